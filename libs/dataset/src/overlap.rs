//! Rows of held-out data that another data set has too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;

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
    /// Compares two data sets. Only pictures of equal length, size and end are read, so that different data costs little.
    pub fn between(train: &Dataset, test: &Dataset) -> Self {
        let mut hashes = Hashes::default();
        let alike = Alike::of(train, test);
        let seen = pictures(train).filter(|picture| alike.has(picture));
        let seen: HashSet<u128> = seen.filter_map(|picture| hashes.of(picture)).collect();
        let mut overlap = Self { n_test: test.len(), ..Self::default() };
        if seen.is_empty() {
            return overlap;
        }
        let mut keys_of = |row: &Row| -> Option<Vec<Option<u128>>> {
            // A picture that is in one of both alone equals none.
            let mut key =
                |picture: &Arc<Picture>| alike.has(picture).then(|| hashes.of(picture)).flatten();
            let keys: Vec<Option<u128>> = row.pictures.iter().map(&mut key).collect();
            (row.pictures.is_empty() || keys.iter().any(Option::is_some)).then_some(keys)
        };
        let key = |row: &Row, pictures: &[Option<u128>]| {
            let is_known = pictures.iter().all(Option::is_some);
            is_known.then(|| {
                (pictures.to_vec(), format!("{:?}", row.question), format!("{:?}", row.truth))
            })
        };
        let learned: HashSet<_> = train.iter().filter_map(|row| key(row, &keys_of(row)?)).collect();
        for row in test.iter() {
            let Some(pictures) = keys_of(row) else { continue };
            let is_seen = pictures.iter().flatten().any(|hash| seen.contains(hash));
            overlap.pictures += usize::from(is_seen);
            overlap.rows +=
                usize::from(key(row, &pictures).is_some_and(|key| learned.contains(&key)));
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

/// Pictures of two data sets that may be the same: of the same length, size and end as one of the other.
struct Alike(HashSet<*const Picture>);

impl Alike {
    fn of(train: &Dataset, test: &Dataset) -> Self {
        let lengths = |dataset| pictures(dataset).map(|picture| length(picture));
        let both: HashSet<Length> = lengths(train).collect();
        let both: HashSet<Length> = lengths(test).filter(|length| both.contains(length)).collect();
        let tails = |dataset| -> HashMap<*const Picture, (Length, u128)> {
            let near = pictures(dataset).filter(|picture| both.contains(&length(picture)));
            let near: HashMap<*const Picture, &Arc<Picture>> =
                near.map(|picture| (Arc::as_ptr(picture), picture)).collect();
            let near: Vec<&Arc<Picture>> = near.into_values().collect();
            let tails: Vec<Option<u128>> =
                near.par_iter().map(|picture| picture.tail_key()).collect();
            let known = near.into_iter().zip(tails);
            known
                .filter_map(|(picture, tail)| {
                    Some((Arc::as_ptr(picture), (length(picture), tail?)))
                })
                .collect()
        };
        let (of_train, of_test) = (tails(train), tails(test));
        let ends = |all: &HashMap<_, (Length, u128)>| all.values().copied().collect::<HashSet<_>>();
        let (in_train, in_test) = (ends(&of_train), ends(&of_test));
        let shared = |end: &(Length, u128)| in_train.contains(end) && in_test.contains(end);
        let all = of_train.into_iter().chain(of_test).filter(|(_, end)| shared(end));
        Self(all.map(|(picture, _)| picture).collect())
    }

    fn has(&self, picture: &Arc<Picture>) -> bool {
        self.0.contains(&Arc::as_ptr(picture))
    }
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
