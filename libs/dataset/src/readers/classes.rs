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

/// Share of the numbers in a column that may be other than the rest, as many as a run leaves out by default.
const MAX_ODD: f64 = 0.05;

/// Whether a class is what programs write where there is none.
pub(crate) fn is_missing(class: &str) -> bool {
    ["nan", "<na>", "null"].iter().any(|missing| class.eq_ignore_ascii_case(missing))
}

/// The whole number that a number stands for, as 1 for `1.0`: a column of numbers of which one is missing becomes one of
/// decimals in many programs.
pub(crate) fn whole(class: &str) -> Option<i64> {
    let number: f64 = class.trim().parse().ok()?;
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}

/// Why a picture has no class.
#[derive(Debug)]
pub(crate) struct NoClass {
    pub(crate) why: String,
    /// Whether that is what the data says, and no mistake.
    pub(crate) is_meant: bool,
}

impl From<String> for NoClass {
    fn from(why: String) -> Self {
        Self { why, is_meant: false }
    }
}

/// What the classes of all pictures are, in their order: by the name that they have, whole numbers without decimals; or why
/// a picture has none.
pub(crate) fn settled<'a>(
    classes: impl Iterator<Item = &'a str> + Clone,
) -> Vec<Result<String, NoClass>> {
    let known = || classes.clone().filter(|class| !is_missing(class));
    let is_number = |class: &&str| class.trim().parse::<f64>().is_ok_and(f64::is_finite);
    let n_numbers = known().filter(is_number).count();
    let n_whole = known().filter(|class| whole(class).is_some()).count();
    let are_whole =
        n_numbers == known().count() && (n_numbers - n_whole) as f64 <= MAX_ODD * n_numbers as f64;
    let is_zero_based = |number: &i64| *number >= 0;
    let numbers: BTreeSet<i64> = known().filter_map(whole).collect();
    // -1 and 1 are classes, and so are -1, 0 and 1; but -1 beside 0 to n counts no class.
    let is_mark = numbers.range(..0).eq([&-1])
        && numbers.iter().filter(|n| is_zero_based(n)).nth(2).is_some();
    let one = |class: &str| match whole(class) {
        _ if is_missing(class) => Err(format!("its class {class:?} stands for none").into()),
        Some(-1) if are_whole && is_mark => Err(NoClass {
            why: "its class -1 stands for none where the others count from 0 or 1".to_owned(),
            is_meant: true,
        }),
        Some(number) if are_whole && class.contains('.') => Ok(number.to_string()),
        None if are_whole => {
            Err(format!("its class {class:?} is no whole number, as those of the others are")
                .into())
        }
        _ => Ok(class.to_owned()),
    };
    classes.clone().map(one).collect()
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
    fn what_stands_for_no_class_is_told_from_classes() {
        let all = |classes: &[&str]| -> Vec<String> {
            let found = settled(classes.iter().copied()).into_iter();
            found.map(|one| one.unwrap_or_else(|why| format!("({})", why.why))).collect()
        };
        assert_eq!(all(&["1.0", "0.0", "nan", "2.0"])[..2], ["1", "0"]);
        assert!(all(&["cat", "NaN", "dog"])[1].contains("stands for none"));
        assert!(all(&["0", "1", "2", "-1"])[3].contains("-1 stands for none"));
        assert_eq!(all(&["-1", "1", "-1"]), ["-1", "1", "-1"]);
        assert_eq!(all(&["-1", "0", "1"]), ["-1", "0", "1"]);
        let mut many = vec!["3"; 30];
        many[7] = "0.5";
        assert!(all(&many)[7].contains("no whole number"));
        assert_eq!(all(&["0.5", "1.5", "2"]), ["0.5", "1.5", "2"]);
        assert_eq!(all(&["2.0", "v1"]), ["2.0", "v1"]);
    }
    #[test]
    fn keys_have_names_behind_a_tab() {
        assert_eq!(names("n01\trose\nn02\ttulip\n", &["n02"]).unwrap(), ["tulip"]);
        assert_eq!(names("1\trose\n7\ttulip\n", &["7"]).unwrap(), ["tulip"]);
        assert!(names("rose\n", &["tulip"]).is_err());
    }
}
