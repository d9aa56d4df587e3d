//! Tables within tables.

use toml::{Table, Value};

/// Lays one table over another: tables meet key by key, anything else is replaced.
pub fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => overlay(base, over),
            (_, value) => _ = base.insert(key, value),
        }
    }
}

/// The value at a dotted path.
pub(crate) fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

/// Sets the value at a path, making tables on the way; `false` if something on the way is no table.
pub(crate) fn set(table: &mut Table, path: &[String], value: Value) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut table = table;
    for key in parents {
        let entry = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = entry else { return false };
        table = next;
    }
    table.insert(last.clone(), value);
    true
}

/// Takes away what is at a dotted path; `false` if there is nothing.
pub(crate) fn remove(table: &mut Table, path: &str) -> bool {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table = table;
    for key in parents.split('.').filter(|key| !key.is_empty()) {
        let Some(Value::Table(next)) = table.get_mut(key) else { return false };
        table = next;
    }
    table.remove(last).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn tables_meet_key_by_key_and_lists_are_replaced() {
        let mut base = table("a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = 2");
        overlay(&mut base, table("list = [3]\n[t]\ny = 3"));
        assert_eq!(base, table("a = 1\nlist = [3]\n[t]\nx = 1\ny = 3"));
    }

    #[test]
    fn a_path_leads_through_tables_alone() {
        let mut base = table("a = 1");
        assert!(!set(&mut base, &["a".into(), "b".into()], Value::Integer(2)));
        assert!(set(&mut base, &["t".into(), "b".into()], Value::Integer(2)));
        assert_eq!(get(&base, "t.b"), Some(&Value::Integer(2)));
        assert_eq!(get(&base, "t.c"), None);
    }
}
