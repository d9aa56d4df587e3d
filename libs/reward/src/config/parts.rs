//! Reads tables whose keys depend on the value of one of them: an answer on its `type`, a term on its `metric`.
//!
//! A derived reader would do, but for what it says of a wrong key: neither what it belongs to nor what to write instead.

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use toml::{Table, Value};

/// A key that must be there, and what to write if it is not.
pub(crate) type Required = (&'static str, &'static str);

/// Reads the keys of `owner`, which stand at the path `at` beside keys that its like have in common.
///
/// A key that is unknown may stand there if `is_nothing` says that it has the value which stands for nothing.
///
/// # Errors
/// A key that is unknown or missing, or that has a value of the wrong type, by its path and with what to write.
pub(crate) fn part<T: DeserializeOwned>(
    mut table: Table,
    at: &str,
    owner: &str,
    common: &[&str],
    required: &[Required],
    is_nothing: fn(&str, &Value) -> bool,
) -> Result<T, String> {
    let known = fields::<T>();
    table.retain(|key, value| known.contains(&key) || !is_nothing(key, value));
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        let known: Vec<&str> = known.iter().chain(common).copied().collect();
        return Err(format!("{at}.{key}: {owner} has no such key; it has {}", known.join(", ")));
    }
    if let Some((key, remedy)) = required.iter().find(|(key, _)| !table.contains_key(*key)) {
        return Err(format!("{at}.{key} is missing: {remedy}"));
    }
    read(Value::Table(table), at)
}

/// Reads a value at a path.
///
/// # Errors
/// A value of the wrong type, by its path.
pub(crate) fn read<T: DeserializeOwned>(value: Value, at: &str) -> Result<T, String> {
    T::deserialize(value).map_err(|error| {
        // The path below comes on a line of its own.
        let text = error.to_string();
        let (message, path) = text.trim_end().split_once("\nin `").unwrap_or((text.trim_end(), ""));
        let path = path.trim_end_matches('`');
        let dot = if path.is_empty() { "" } else { "." };
        format!("{at}{dot}{path}: {message}")
    })
}

/// The names of a structure's fields.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It fails as soon as the names are known.
    drop(T::deserialize(FieldNames(&mut names)));
    names
}

/// Notes which fields a structure asks for, and gives none.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("only the names of fields are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        depth: f64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        scale: f64,
        inner: Option<Inner>,
    }

    fn is_nothing(key: &str, value: &Value) -> bool {
        key == "length" && value.as_integer() == Some(0)
    }

    #[track_caller]
    fn check(text: &str, expect: Result<Outer, &str>) {
        let table: Table = toml::from_str(text).unwrap();
        let required = [("scale", "write a number")];
        let got =
            part::<Outer>(table, "reward.x", "the metric m", &["weight"], &required, is_nothing);
        assert_eq!(got, expect.map_err(str::to_owned));
    }

    #[test]
    fn keys_that_are_known_are_read() {
        check("scale = 2.0", Ok(Outer { scale: 2.0, inner: None }));
    }
    #[test]
    fn an_unknown_key_is_named_with_those_that_are_known() {
        check(
            "scale = 2.0\nnorm = 1",
            Err("reward.x.norm: the metric m has no such key; it has scale, inner, weight"),
        );
    }
    #[test]
    fn a_key_that_does_not_apply_may_stand_there_with_the_value_for_nothing() {
        check("scale = 2.0\nlength = 0", Ok(Outer { scale: 2.0, inner: None }));
        check(
            "scale = 2.0\nlength = 3",
            Err("reward.x.length: the metric m has no such key; it has scale, inner, weight"),
        );
    }
    #[test]
    fn a_missing_key_is_named_with_its_remedy() {
        check("", Err("reward.x.scale is missing: write a number"));
    }
    #[test]
    fn a_value_of_another_type_is_named_by_its_path() {
        check("scale = \"a\"", Err("reward.x.scale: invalid type: string \"a\", expected f64"));
        check(
            "scale = 1.0\ninner = { depth = true }",
            Err("reward.x.inner.depth: invalid type: boolean `true`, expected f64"),
        );
    }
}
