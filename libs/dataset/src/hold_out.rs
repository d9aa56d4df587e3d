//! Divides a data set into what is learned from and what is set aside, by its pictures.

use twox_hash::XxHash3_128;

use crate::{Part, Row};

/// Whether a row belongs to this part. All rows about a picture are on one side, whatever file it lies in by whatever
/// path: a picture is known by its bytes where it has no file, else by the end of its path.
pub(crate) fn is_in(part: Part, row: &Row) -> bool {
    let key = match row.pictures.first() {
        Some(picture) => picture.key(),
        None => XxHash3_128::oneshot(row.sample_id().as_bytes()) as u64,
    };
    // A fraction in [0, 1) that is spread evenly.
    let place = (key >> 11) as f64 / (1_u64 << 53) as f64;
    (place < part.hold_out) == part.is_held_out
}

/// Which part this is, for the user.
pub(crate) fn note(part: Part, n: usize, n_all: usize) -> String {
    let Part { hold_out, is_held_out } = part;
    let what = if is_held_out { "judged on and never learned from" } else { "learned from" };
    format!(
        "{n} of {n_all} rows are {what}, divided by their pictures (data.hold_out = {hold_out})"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{png, row};
    use crate::{Dataset, Picture};

    #[test]
    fn every_picture_is_on_one_side() {
        let picture =
            |n: u8| Arc::new(Picture::of_bytes(png(2, [n, n / 2, 3, 4])).expect("picture"));
        let of = |n: u8, id: &str| Row { pictures: vec![picture(n)], ..row(n.into(), id, "a") };
        let rows: Vec<Row> = (0..200).flat_map(|n| [of(n, "first"), of(n, "second")]).collect();
        let data = Dataset::of(rows).expect("rows");
        let part = |is_held_out| Part { hold_out: 0.25, is_held_out };
        let (held_out, learned): (Vec<&Row>, Vec<&Row>) =
            data.iter().partition(|row| is_in(part(true), row));
        assert!((30..=70).contains(&(held_out.len() / 2)), "{}", held_out.len());
        assert!(learned.iter().all(|row| is_in(part(false), row)));
        let sides = |rows: &[&Row]| -> Vec<usize> { rows.iter().map(|r| r.origin.row).collect() };
        assert!(sides(&held_out).iter().all(|n| !sides(&learned).contains(n)));
    }
}
