//! Rows of held-out data that another data set has too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::{Dataset, Picture, Row};

/// What held-out data has in common with other data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Rows of the held-out data.
    pub n_test: usize,
    /// Of these, rows with the same pictures, question and answer as a row of the other data.
    pub rows: usize,
    /// Of these, rows with a picture of the other data, by its bytes; the same rows among them.
    pub pictures: usize,
}

impl Overlap {
    /// Compares two data sets. Only pictures of equal length and size are read, so that different data costs nothing.
    pub fn between(train: &Dataset, test: &Dataset) -> Self {
        let mut hashes = Hashes::default();
        let lengths: HashSet<Length> = pictures(train).map(|picture| length(picture)).collect();
        let wanted: HashSet<Length> =
            pictures(test).map(|picture| length(picture)).filter(|l| lengths.contains(l)).collect();
        let seen = pictures(train).filter(|picture| wanted.contains(&length(picture)));
        let seen: HashSet<u128> = seen.filter_map(|picture| hashes.of(picture)).collect();
        let mut overlap = Self { n_test: test.len(), ..Self::default() };
        if seen.is_empty() {
            return overlap;
        }
        let mut keys_of = |row: &Row| -> Option<Vec<u128>> {
            let known = |picture: &&Arc<Picture>| wanted.contains(&length(picture));
            if !row.pictures.iter().all(|picture| known(&picture)) {
                return None;
            }
            row.pictures.iter().map(|picture| hashes.of(picture)).collect()
        };
        let key = |row: &Row, pictures: Vec<u128>| {
            (pictures, format!("{:?}", row.question), format!("{:?}", row.truth))
        };
        let learned: HashSet<_> =
            train.iter().filter_map(|row| Some(key(row, keys_of(row)?))).collect();
        for row in test.iter() {
            let Some(pictures) = keys_of(row) else { continue };
            overlap.pictures += usize::from(pictures.iter().any(|hash| seen.contains(hash)));
            overlap.rows += usize::from(learned.contains(&key(row, pictures)));
        }
        overlap
    }

    /// In words: how many of the rows are also there, as in `learned from`.
    pub fn among(&self, there: &str) -> String {
        let Self { n_test, rows, pictures } = self;
        format!("{rows} of {n_test} rows are also {there}, and {pictures} have a picture that is")
    }
}

/// Bytes and sides of a picture: unequal pictures mostly differ here already.
type Length = (u64, (u32, u32));

fn length(picture: &Picture) -> Length {
    (picture.n_bytes(), picture.header().stored)
}

fn pictures(dataset: &Dataset) -> impl Iterator<Item = &Arc<Picture>> {
    dataset.iter().flat_map(|row| &row.pictures)
}

/// Hashes of pictures, each read once.
#[derive(Default)]
struct Hashes(HashMap<*const Picture, Option<u128>>);

impl Hashes {
    /// `None` if the picture cannot be read any more.
    fn of(&mut self, picture: &Arc<Picture>) -> Option<u128> {
        *self.0.entry(Arc::as_ptr(picture)).or_insert_with(|| picture.content_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{png, row};

    fn dataset(rows: &[(u8, &str)]) -> Dataset {
        let row = |(number, (pixel, solution)): (usize, &(u8, &str))| Row {
            pictures: vec![Arc::new(Picture::of_bytes(png(2, [*pixel, 2, 3, 4])).unwrap())],
            ..row(number, "a", solution)
        };
        Dataset::of(rows.iter().enumerate().map(row).collect()).unwrap()
    }

    #[test]
    fn equal_rows_and_equal_pictures_are_told_apart() {
        let train = dataset(&[(1, "a"), (2, "b"), (3, "c")]);
        let test = dataset(&[(1, "a"), (2, "other"), (9, "a")]);
        let expected = Overlap { n_test: 3, rows: 1, pictures: 2 };
        assert_eq!(Overlap::between(&train, &test), expected);
        assert_eq!(Overlap::between(&train, &dataset(&[(8, "a")])).pictures, 0);
    }
}
