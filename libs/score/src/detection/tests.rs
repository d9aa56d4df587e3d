//! Average precision by hand.

use super::*;

const A: [f64; 4] = [0.0, 0.0, 100.0, 100.0];
const B: [f64; 4] = [500.0, 500.0, 200.0, 100.0];
const NOWHERE: [f64; 4] = [900.0, 900.0, 50.0, 50.0];

#[track_caller]
fn check(detections: &[([f64; 4], f64)], truth: &[[f64; 4]], ap50: Option<f64>) {
    let got = of_one_image(detections, truth, &[0.5]);
    let near = got.zip(ap50).map_or(got == ap50, |(a, b)| (a - b).abs() < 1e-12);
    assert!(near, "{got:?}, not {ap50:?}");
}

#[test]
fn all_found() {
    check(&[(A, 0.3), (B, 0.9)], &[A, B], Some(1.0));
}

#[test]
fn nothing_found_and_nothing_to_find() {
    check(&[], &[A], Some(0.0));
    check(&[(A, 0.3)], &[], None);
}

#[test]
fn half_found() {
    // Precision 1 up to recall 0.5: 51 of the 101 recalls.
    check(&[(A, 0.9)], &[A, B], Some(51. / 101.));
}

#[test]
fn a_wrong_box_costs_only_above_a_right_one() {
    check(&[(NOWHERE, 0.9), (A, 0.1)], &[A], Some(0.5));
    check(&[(NOWHERE, 0.1), (A, 0.9)], &[A], Some(1.0));
}

#[test]
fn a_box_found_twice() {
    // Ranks: hit, miss, hit. Recall 0.5 at precision 1, recall 1 at 2/3.
    check(&[(A, 0.9), (A, 0.8), (B, 0.7)], &[A, B], Some((51. + 50. * 2. / 3.) / 101.));
}

#[test]
fn only_the_hundred_most_confident_count() {
    let mut found = vec![(NOWHERE, 0.9); 100];
    found.push((A, 0.1));
    check(&found, &[A], Some(0.0));
}

#[test]
fn an_overlap_of_exactly_the_least_one_is_enough() {
    // 70 of 100: numpy's linspace has 0.7 where 0.5 + 4 × 0.05 is above it.
    let found = [([0.0, 0.0, 70.0, 100.0], 1.0)];
    assert!((of_one_image(&found, &[A], &OVERLAPS).unwrap() - 0.5).abs() < 1e-12);
}
