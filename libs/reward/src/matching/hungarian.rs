//! The pairing with the greatest sum (Kuhn and Munkres), in time n²m for n ≤ m.

/// Pairs rows with columns, one to one, so that the sum of the gains is greatest; one result per row.
///
/// `gain` is `None` where a pair is forbidden; a row without a pair gains nothing, so negative gains are avoided.
pub(crate) fn best_pairing(
    n_rows: usize,
    n_columns: usize,
    gain: &dyn Fn(usize, usize) -> Option<f64>,
) -> Vec<Option<(usize, f64)>> {
    if n_rows > n_columns {
        let turned = best_pairing(n_columns, n_rows, &|column, row| gain(row, column));
        let mut pairs = vec![None; n_rows];
        for (column, pair) in turned.into_iter().enumerate() {
            if let Some((row, gain)) = pair {
                pairs[row] = Some((column, gain));
            }
        }
        return pairs;
    }
    let gains: Vec<Vec<Option<f64>>> =
        (0..n_rows).map(|row| (0..n_columns).map(|column| gain(row, column)).collect()).collect();
    let cost = |row: usize, column: usize| -gains[row][column].unwrap_or(0.0).max(0.0);
    let row_of = assign(n_rows, n_columns, &cost);
    let mut pairs = vec![None; n_rows];
    for (column, row) in row_of.into_iter().enumerate() {
        if let Some(row) = row {
            pairs[row] = gains[row][column].filter(|gain| *gain > 0.0).map(|gain| (column, gain));
        }
    }
    pairs
}

/// The row of each column at least cost; n ≤ m. Shortest augmenting paths over potentials, one row at a time.
fn assign(n: usize, m: usize, cost: &dyn Fn(usize, usize) -> f64) -> Vec<Option<usize>> {
    let (mut row_potential, mut column_potential) = (vec![0.0; n], vec![0.0; m]);
    let mut row_of: Vec<Option<usize>> = vec![None; m];
    for start in 0..n {
        let mut shortest = vec![f64::INFINITY; m];
        let mut came_from: Vec<Option<usize>> = vec![None; m];
        let mut done = vec![false; m];
        let mut row = start;
        let mut at = None;
        loop {
            for column in (0..m).filter(|column| !done[*column]) {
                let length = cost(row, column) - row_potential[row] - column_potential[column];
                if length < shortest[column] {
                    shortest[column] = length;
                    came_from[column] = at;
                }
            }
            let open = (0..m).filter(|column| !done[*column]);
            let Some(next) = open.min_by(|a, b| shortest[*a].total_cmp(&shortest[*b])) else {
                break;
            };
            let step = shortest[next];
            row_potential[start] += step;
            for column in 0..m {
                match (done[column], row_of[column]) {
                    (true, Some(row)) => {
                        row_potential[row] += step;
                        column_potential[column] -= step;
                    }
                    _ => shortest[column] -= step,
                }
            }
            done[next] = true;
            at = Some(next);
            match row_of[next] {
                Some(taken) => row = taken,
                None => break,
            }
        }
        while let Some(column) = at {
            let before = came_from[column];
            row_of[column] = before.map_or(Some(start), |before| row_of[before]);
            at = before;
        }
    }
    row_of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(gains: &[Vec<f64>]) -> f64 {
        let m = gains.first().map_or(0, Vec::len);
        let pairs = best_pairing(gains.len(), m, &|row, column| Some(gains[row][column]));
        let columns: std::collections::BTreeSet<usize> =
            pairs.iter().flatten().map(|p| p.0).collect();
        assert_eq!(columns.len(), pairs.iter().flatten().count(), "one to one");
        pairs.iter().flatten().map(|pair| pair.1).sum()
    }
    /// The best sum by trying everything.
    fn brute(gains: &[Vec<f64>], row: usize, used: &mut Vec<bool>) -> f64 {
        if row == gains.len() {
            return 0.0;
        }
        let mut best = brute(gains, row + 1, used);
        for column in 0..used.len() {
            if !used[column] {
                used[column] = true;
                best = best.max(gains[row][column] + brute(gains, row + 1, used));
                used[column] = false;
            }
        }
        best
    }

    #[test]
    fn nothing() {
        assert!(best_pairing(0, 3, &|_, _| Some(1.0)).is_empty());
        assert_eq!(best_pairing(2, 0, &|_, _| Some(1.0)), [None, None]);
    }
    #[test]
    fn forbidden_pairs_are_not_made() {
        let pairs = best_pairing(2, 2, &|row, column| (row != column).then_some(1.0));
        assert_eq!(pairs, [Some((1, 1.0)), Some((0, 1.0))]);
        assert_eq!(best_pairing(2, 2, &|_, _| None), [None, None]);
    }

    proptest::proptest! {
        #[test]
        fn no_pairing_is_better(n in 0usize..6, m in 0usize..6, numbers: [u8; 36]) {
            let gains: Vec<Vec<f64>> =
                (0..n).map(|r| (0..m).map(|c| f64::from(numbers[r * 6 + c]) / 255.0).collect()).collect();
            let best = brute(&gains, 0, &mut vec![false; m]);
            proptest::prop_assert!((total(&gains) - best).abs() < 1e-9);
        }
    }
}
