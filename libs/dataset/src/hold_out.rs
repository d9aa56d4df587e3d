//! Divides a data set into what is learned from and what is set aside, by its pictures.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use twox_hash::XxHash3_128;

use crate::row::Skipped;
use crate::{DatasetError, Part, Picture, Row, summary};

/// Keeps the rows of a part and gives those of the other. All rows about a picture are on one side, whatever file it lies in by whatever path: a
/// picture is known by its bytes where it has no file, else by the end of its path, and files of the same bytes by the
/// first of their paths. A side has at least one picture.
///
/// # Errors
/// Fewer than two pictures; with the first of the rows that were left out, which may be the reason.
pub(crate) fn divide(
    part: Part,
    rows: &mut Vec<Row>,
    path: &Path,
    skipped: &[Skipped],
) -> Result<Vec<Row>, DatasetError> {
    let same = SameContent::of(rows);
    let keys: Vec<u64> = rows.iter().map(|row| same.key(row)).collect();
    let all: BTreeSet<u64> = keys.iter().copied().collect();
    let n = all.len();
    if n < 2 {
        let left_out = skipped.first().map_or(String::new(), |first| {
            format!("; {} cannot be used, first: {first}", summary::rows(skipped.len()))
        });
        let why = format!(
            "all of its usable rows are about one picture, so that data.hold_out cannot set any aside: name other rows as \
             evaluation.test{left_out}"
        );
        return Err(DatasetError::Contradictory { path: path.to_owned(), why });
    }
    let n_held_out = ((part.hold_out * n as f64).round() as usize).clamp(1, n - 1);
    let held_out: BTreeSet<u64> = all.into_iter().take(n_held_out).collect();
    let keyed = keys.into_iter().zip(std::mem::take(rows));
    let (wanted, others): (Vec<_>, Vec<_>) =
        keyed.partition(|(key, _)| held_out.contains(key) == part.is_held_out);
    rows.extend(wanted.into_iter().map(|(_, row)| row));
    Ok(others.into_iter().map(|(_, row)| row).collect())
}

/// Pictures of the same bytes under different names, each by the key that stands for all of them.
struct SameContent(HashMap<u64, u64>);

impl SameContent {
    /// Only pictures of equal length, size and end are read: others cannot be the same.
    fn of(rows: &[Row]) -> Self {
        // By length in bytes and size in pixels, each picture once.
        let mut alike: HashMap<_, BTreeMap<u64, &Arc<Picture>>> = HashMap::new();
        for picture in rows.iter().filter_map(|row| row.pictures.first()) {
            if !picture.is_frame() {
                let look = (picture.n_bytes(), picture.header().stored);
                alike.entry(look).or_default().insert(picture.key(), picture);
            }
        }
        let tail = |(key, picture): (u64, &'_ Arc<Picture>)| {
            Some((picture.tail_key()?, key, picture.clone()))
        };
        let alike: Vec<(u128, u64, Arc<Picture>)> = alike
            .into_values()
            .filter(|pictures| pictures.len() > 1)
            .flatten()
            .collect::<Vec<_>>()
            .into_par_iter()
            .filter_map(tail)
            .collect();
        let mut by_tail: HashMap<u128, Vec<(u64, Arc<Picture>)>> = HashMap::new();
        for (tail, key, picture) in alike {
            by_tail.entry(tail).or_default().push((key, picture));
        }
        let alike: Vec<(u64, Arc<Picture>)> =
            by_tail.into_values().filter(|pictures| pictures.len() > 1).flatten().collect();
        let read = |(key, picture): (u64, Arc<Picture>)| Some((picture.content_key()?, key));
        let contents: Vec<(u128, u64)> = alike.into_par_iter().filter_map(read).collect();
        let mut first: HashMap<u128, u64> = HashMap::new();
        for (content, key) in &contents {
            first.entry(*content).and_modify(|first| *first = (*first).min(*key)).or_insert(*key);
        }
        Self(contents.iter().map(|(content, key)| (*key, first[content])).collect())
    }

    /// What a row is divided by.
    fn key(&self, row: &Row) -> u64 {
        let key = match row.pictures.first() {
            Some(picture) => picture.key(),
            None => XxHash3_128::oneshot(row.sample_id().as_bytes()) as u64,
        };
        self.0.get(&key).copied().unwrap_or(key)
    }
}

/// Which part this is, for the user.
pub(crate) fn note(part: Part, n: usize, n_all: usize) -> String {
    let Part { hold_out, is_held_out } = part;
    let what = if is_held_out { "judged on and never learned from" } else { "learned from" };
    let are = summary::verb(n, "is", "are");
    format!(
        "{n} of {n_all} rows {are} {what}, divided by their pictures (data.hold_out = {hold_out})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{png, row};

    fn rows(pictures: impl Iterator<Item = Arc<Picture>>) -> Vec<Row> {
        let of = |(n, picture)| Row { pictures: vec![picture], ..row(n, "a", "b") };
        pictures.enumerate().map(of).collect()
    }

    fn numbers(mut rows: Vec<Row>, is_held_out: bool) -> Vec<usize> {
        let part = Part { hold_out: 0.25, is_held_out };
        divide(part, &mut rows, Path::new("rows.jsonl"), &[]).unwrap();
        rows.iter().map(|row| row.origin.row).collect()
    }

    fn picture(n: u8) -> Arc<Picture> {
        Arc::new(Picture::of_bytes(png(2, [n, n / 2, 3, 4])).expect("picture"))
    }

    #[test]
    fn every_picture_is_on_one_side() {
        let all = || rows((0..200).flat_map(|n| [picture(n), picture(n)]));
        let (held_out, learned) = (numbers(all(), true), numbers(all(), false));
        assert_eq!((held_out.len(), learned.len()), (100, 300));
        assert!(held_out.iter().all(|n| held_out.contains(&(n ^ 1)) && !learned.contains(n)));
    }

    #[test]
    fn of_few_pictures_one_is_set_aside_and_of_one_none_can_be() {
        for n in 2..6 {
            assert_eq!(numbers(rows((0..n).map(picture)), true).len(), 1);
        }
        let part = Part { hold_out: 0.25, is_held_out: true };
        let skipped = [row(7, "b", "").origin.skipped("image: gone".to_owned())];
        let mut one = rows((0..1).map(picture));
        let error = divide(part, &mut one, Path::new("rows.jsonl"), &skipped).unwrap_err();
        let words = "1 row cannot be used, first: row 7 (b): image: gone";
        let error = error.to_string();
        assert!(error.contains("one picture") && error.contains(words), "{error}");
    }

    #[test]
    fn one_picture_under_two_names_is_on_one_side() {
        let folder = tempfile::tempdir().unwrap();
        let file = |(name, n): (String, u8)| {
            let path = folder.path().join(name);
            std::fs::write(&path, png(2, [n, n / 2, 3, 4])).unwrap();
            Arc::new(Picture::open(&path).unwrap())
        };
        let all = || {
            let names =
                (0..40).flat_map(|n| [(format!("{n}.png"), n), (format!("copy of {n}.png"), n)]);
            rows(names.map(file))
        };
        let (held_out, learned) = (numbers(all(), true), numbers(all(), false));
        assert_eq!((held_out.len(), learned.len()), (20, 60));
        assert!(held_out.iter().all(|n| held_out.contains(&(n ^ 1))), "{held_out:?}");
    }
}
