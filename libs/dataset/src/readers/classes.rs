//! The names of classes, where a data set has numbers or short keys in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::DatasetError;

/// A file with one class a line, in the order of their numbers: its name, or a key, a tab and the name.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    names: Vec<Arc<str>>,
    by_key: BTreeMap<String, Arc<str>>,
}

impl Classes {
    /// Reads the file; without one, every class is called what the data calls it.
    ///
    /// # Errors
    /// A file that cannot be read, is empty or has a class twice.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, DatasetError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = crate::files::read_text(path)?;
        let mut classes = Self::default();
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let (key, name) = line.split_once('\t').unwrap_or((line, line));
            let name: Arc<str> = name.trim().into();
            classes.names.push(name.clone());
            if classes.by_key.insert(key.trim().to_owned(), name).is_some() {
                return Err(super::content(
                    path,
                    "a list of classes",
                    format!("{key:?} is there twice"),
                ));
            }
        }
        if classes.names.is_empty() {
            return Err(super::content(path, "a list of classes", "it is empty"));
        }
        Ok(classes)
    }

    /// The name of a class that the data calls so; `None` if the list has none.
    pub(crate) fn name(&self, key: &str) -> Option<Arc<str>> {
        if self.names.is_empty() { Some(key.into()) } else { self.by_key.get(key).cloned() }
    }

    /// Names of classes that the data may only number, where none of the keys is in the list and all are numbers: the first
    /// line is number 0 where that occurs, and number 1 where that of the last line occurs then.
    ///
    /// # Errors
    /// A key that the list does not have; numbers that may count from 0 or from 1.
    pub(crate) fn names_of<'a>(
        &self,
        keys: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<BTreeMap<String, Arc<str>>, String> {
        let distinct: BTreeSet<&str> = keys.collect();
        let numbers: Option<BTreeMap<&str, usize>> =
            distinct.iter().map(|key| Some((*key, key.parse().ok()?))).collect();
        let by_number = numbers.filter(|numbers| {
            !self.names.is_empty() && numbers.keys().all(|key| !self.by_key.contains_key(*key))
        });
        let has =
            |wanted: usize| by_number.as_ref().is_some_and(|n| n.values().any(|n| *n == wanted));
        let n_names = self.names.len();
        let is_open = |numbers: &BTreeMap<&str, usize>| numbers.values().all(|n| *n < n_names);
        if by_number.as_ref().is_some_and(is_open) && !has(0) {
            return Err(format!(
                "the numbers of the classes are neither 0 nor {n_names}, so they may count the {n_names} lines of \
                 data.classes from 0 or from 1: write each line of it as NUMBER, a tab and NAME"
            ));
        }
        let first = usize::from(!has(0));
        let name = |key: &str| match by_number.as_ref().and_then(|numbers| numbers.get(key)) {
            Some(number) => self.names.get(number.wrapping_sub(first)).cloned(),
            None => self.name(key),
        };
        let named = distinct.into_iter().map(|key| {
            let name = name(key).ok_or_else(|| {
                format!(
                    "class {key:?} is not in data.classes, which has {} classes",
                    self.names.len()
                )
            })?;
            Ok((key.to_owned(), name))
        });
        named.collect()
    }

    /// The name in this line, from 0.
    pub(crate) fn at(&self, line: usize) -> Option<Arc<str>> {
        self.names.get(line).cloned()
    }

    /// Whether there is a list.
    pub(crate) fn is_given(&self) -> bool {
        !self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn names(list: &str, keys: &[&str]) -> Result<Vec<String>, String> {
        let folder = Folder::new(&[("classes.txt", list.as_bytes())]);
        let classes = Classes::read(Some(&folder.path("classes.txt"))).unwrap();
        let names = classes.names_of(keys.iter().copied())?;
        Ok(keys.iter().map(|key| names[*key].to_string()).collect())
    }

    #[test]
    fn numbers_count_from_one_unless_there_is_a_zero() {
        assert_eq!(names("rose\ntulip\n", &["2", "1"]).unwrap(), ["tulip", "rose"]);
        assert_eq!(names("rose\ntulip\n", &["0", "1"]).unwrap(), ["rose", "tulip"]);
        let why = names("rose\ntulip\nlily\n", &["1", "2"]).unwrap_err();
        assert!(why.contains("from 0 or from 1: write each line"), "{why}");
        assert_eq!(names("0\trose\n1\ttulip\n2\tlily\n", &["1", "2"]).unwrap(), ["tulip", "lily"]);
        let why = names("rose\ntulip\n", &["3"]).unwrap_err();
        assert!(why.contains("\"3\" is not in data.classes, which has 2"), "{why}");
    }
    #[test]
    fn keys_have_names_behind_a_tab() {
        assert_eq!(names("n01\trose\nn02\ttulip\n", &["n02"]).unwrap(), ["tulip"]);
        assert_eq!(names("1\trose\n7\ttulip\n", &["7"]).unwrap(), ["tulip"]);
        assert!(names("rose\n", &["tulip"]).is_err());
    }
}
