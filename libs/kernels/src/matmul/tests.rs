//! Products of all layouts against plain sums.

use super::*;

/// Numbers of few bits, so that every sum is exact in both types.
fn numbers(n: usize, modulus: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7 % modulus) as f32 - (modulus / 2) as f32).collect()
}

/// Numbers whose sums depend on their order.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.7).sin()).collect()
}

/// All four layouts of a product in both types, serial and parallel, against three loops.
#[track_caller]
fn check(m: usize, n: usize, k: usize) {
    check_path(m, n, k, false);
}

#[track_caller]
fn check_path(m: usize, n: usize, k: usize, decoding: bool) {
    let (a, b) = (numbers(m * k, 13), numbers(k * n, 7));
    let narrow = |values: &[f32]| values.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>();
    let (a16, b16) = (narrow(&a), narrow(&b));
    for (lhs_t, rhs_t, parallel) in (0..8).map(|i| (i & 1 > 0, i & 2 > 0, i & 4 > 0)) {
        let how = if parallel { How::PARALLEL } else { How::SERIAL }.decoding(decoding);
        let at = |i: usize, p: usize| if lhs_t { p * m + i } else { i * k + p };
        let bt = |p: usize, j: usize| if rhs_t { j * k + p } else { p * n + j };
        let stride = n + 3;
        let mut expected = vec![1.0f32; m * stride];
        for i in 0..m {
            for j in 0..n {
                let sum: f32 = (0..k).map(|p| a[at(i, p)] * b[bt(p, j)]).sum();
                expected[i * stride + j] += 2.0 * sum;
            }
        }
        fn view<T>(data: &[T], rows: usize, cols: usize, t: bool) -> Mat<'_, T> {
            if t { Mat::new(data, cols, rows).t() } else { Mat::new(data, rows, cols) }
        }
        let mut out = vec![1.0; m * stride];
        let into = MatMut::strided(&mut out, m, n, stride);
        let (lhs, rhs) = (view(&a, m, k, lhs_t), view(&b, k, n, rhs_t));
        matmul(into, Write::Add, 2.0, lhs, rhs, how);
        assert!(out == expected, "{m}x{n}x{k} {lhs_t} {rhs_t} {parallel}");
        let mut out = vec![1.0; m * stride];
        let into = MatMut::strided(&mut out, m, n, stride);
        let (lhs, rhs) = (view(&a16, m, k, lhs_t), view(&b16, k, n, rhs_t));
        matmul_bf16(into, Write::Add, 2.0, lhs, rhs, how);
        assert!(out == expected, "bf16 {m}x{n}x{k} {lhs_t} {rhs_t} {parallel}");
    }
}

#[test]
fn every_layout_and_rest_is_the_plain_sum() {
    for (m, n, k) in [(1, 1, 1), (8, 48, 16), (7, 50, 33), (9, 17, 64), (3, 100, 18)] {
        check(m, n, k);
    }
}

#[test]
fn blocks_add_up() {
    check(150, 70, 600);
    check(40, 1600, 31);
}

#[test]
fn an_odd_inner_dimension_leaves_half_a_lane() {
    check(50, 64, 421);
    check(33, 7, 1025);
}

#[test]
fn few_rows_may_take_the_other_path() {
    for (m, n, k) in [(1, 130, 40), (19, 65, 514), (61, 70, 300), (61, 70, 100), (65, 7, 600)] {
        check(m, n, k);
        check_path(m, n, k, true);
    }
}

#[test]
fn a_row_comes_out_the_same_beside_many_and_alone() {
    let (a, b) = (values(300 * 520), values(200 * 520));
    let rows = |n: usize| {
        let (lhs, rhs) = (Mat::new(&a[..n * 520], n, 520), Mat::new(&b, 200, 520).t());
        product(1.0, lhs, rhs, How::PARALLEL)
    };
    let all = rows(300);
    for n in [1, 8, 31, 64, 130] {
        assert!(rows(n)[..] == all[..n * 200], "{n} rows");
    }
}

#[test]
fn products_of_one_operand_are_those_of_each() {
    for rows in [1, 9, 33] {
        let (a, b, c) = (numbers(rows * 70, 13), numbers(50 * 70, 7), numbers(200 * 70, 5));
        let lhs = Mat::new(&a, rows, 70);
        let rhs = [Mat::new(&b, 50, 70).t(), Mat::new(&c, 200, 70).t()];
        let each = product_each(lhs, rhs, How::PARALLEL.decoding(true));
        let one_by_one = rhs.map(|rhs| product(1.0, lhs, rhs, How::SERIAL));
        assert!(each == one_by_one, "{rows} rows");
    }
}

#[test]
fn an_empty_sum_is_zero_and_an_empty_product_is_empty() {
    let (none, some) = (Mat::<f32>::new(&[], 2, 0), Mat::new(&[1.0; 6], 2, 3));
    assert_eq!(product(1.0, none, none.t(), How::PARALLEL), [0.0; 4]);
    assert!(product(1.0, Mat::new(&[], 0, 2), some, How::SERIAL).is_empty());
}

#[test]
fn transposes_and_strides_are_views() {
    let a = [1., 2., 9., 3., 4., 9.]; // [[1, 2], [3, 4]] in rows of three
    let b = [5., 6., 7., 8.];
    let mut out = [1.0; 4];
    matmul(
        MatMut::new(&mut out, 2, 2),
        Write::Add,
        2.0,
        Mat::strided(&a, 2, 2, 3).t(),
        Mat::new(&b, 2, 2),
        How::SERIAL,
    );
    assert_eq!(out, [53., 61., 77., 89.]); // 1 + 2 · [[1, 3], [2, 4]] · [[5, 6], [7, 8]]
}

#[test]
#[should_panic(expected = "matrix outside its slice")]
fn a_view_may_not_leave_its_slice() {
    Mat::strided(&[0.0; 5], 2, 3, 3);
}
