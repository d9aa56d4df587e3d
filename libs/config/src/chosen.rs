//! `[chosen_for]`: values of a file that were chosen for another value in it, and mean nothing beside other ones.
//!
//! ```toml
//! [chosen_for]
//! "data.train" = ["data.shots", "data.flip"]
//! ```
//!
//! Where an override names other training data, `data.shots` and `data.flip` are as by default, unless they are overridden
//! as well.

use toml::{Table, Value};

use crate::overrides::Override;
use crate::{ConfigError, table};

/// Name of the table. It belongs to no section, since it speaks of all of them.
const NAME: &str = "chosen_for";

/// Takes the table out of the configuration and acts on it; gives what was done, a sentence for each key.
///
/// # Errors
/// A table that is not one of lists of keys.
pub(crate) fn release(
    whole: &mut Table,
    overrides: &[Override],
) -> Result<Vec<String>, ConfigError> {
    let Some(chosen) = whole.remove(NAME) else { return Ok(Vec::new()) };
    let malformed = || {
        let expected = "a table of lists of keys, as in \"data.train\" = [\"data.shots\"]";
        crate::require(false, NAME, "something else", expected)
    };
    let Value::Table(chosen) = chosen else { return malformed().map(|()| Vec::new()) };
    let mut told = Vec::new();
    for (key, dependent) in &chosen {
        let keys: Option<Vec<&str>> =
            dependent.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        let Some(keys) = keys else { return malformed().map(|()| Vec::new()) };
        let before = table::get(whole, key);
        if !overrides.iter().any(|one| one.is_within(key) && one.is_another(before)) {
            continue;
        }
        let is_overridden = |key: &str| overrides.iter().any(|one| one.is_within(key));
        let keys = keys.into_iter().filter(|key| !is_overridden(key));
        let released: Vec<&str> = keys.filter(|key| table::remove(whole, key)).collect();
        if !released.is_empty() {
            told.push(format!(
                "{key} is overridden, so {} {} as by default: the file chose {} for its own {key}",
                released.join(", "),
                if released.len() == 1 { "is" } else { "are" },
                if released.len() == 1 { "it" } else { "them" }
            ));
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use crate::Document;

    const FILE: &str = "[data]\ntrain = \"data/a.parquet\"\nshots = 16\nflip = \"both\"\n\
                        [chosen_for]\n\"data.train\" = [\"data.shots\", \"data.flip\", \"sft.prefix\"]";

    fn read(overrides: &[&str]) -> Document {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Document::parse_with(FILE, "file", &overrides).unwrap()
    }

    fn shots(document: &Document) -> Option<i64> {
        document.get("data.shots").and_then(|value| value.as_integer())
    }

    #[test]
    fn what_was_chosen_for_other_rows_is_released_and_told() {
        let document = read(&["data.train=mine.jsonl"]);
        assert_eq!((shots(&document), document.get("data.flip")), (None, None));
        assert_eq!(
            document.notes(),
            [
                "data.train is overridden, so data.shots, data.flip are as by default: the file chose them for its own \
              data.train"
            ]
        );
        assert_eq!(document.get("chosen_for"), None);
    }

    #[test]
    fn what_is_overridden_itself_stays_and_so_does_all_beside_the_same_rows() {
        let document = read(&["data.train=mine.jsonl", "data.shots=3"]);
        let told = "so data.flip is as by default: the file chose it for";
        assert!(document.notes()[0].contains(told), "{:?}", document.notes());
        assert_eq!((shots(&document), document.get("data.flip")), (Some(3), None));
        let above = FILE.replace("data/a", "../data/a");
        for same in ["data.train=/somewhere/data/a.parquet", "data.seed=7"] {
            for file in [FILE, &above] {
                let document = Document::parse_with(file, "file", &[same.to_owned()]).unwrap();
                assert_eq!((shots(&document), document.notes().len()), (Some(16), 0));
            }
        }
    }

    #[test]
    fn a_table_of_anything_else_is_refused() {
        for text in ["chosen_for = 1", "[chosen_for]\n\"data.train\" = \"data.shots\""] {
            let error = Document::parse(text, "file").unwrap_err().to_string();
            assert!(error.contains("chosen_for"), "{error}");
        }
    }
}
