//! Presets: a table that builds on one of another file.

use std::path::Path;

use toml::{Table, Value};

use crate::error::{ConfigError, parse_error, require};
use crate::table::overlay;

/// The key that names the file. A value that does not end in `.toml` is left to the section's owner.
pub(crate) const PRESET: &str = "preset";

/// Presets that build on presets, at most.
const MAX_NESTED: usize = 4;

/// Resolves the presets of all tables in `table`. `[NAME]` with `preset = "FILE.toml"` is laid over `[NAME]` of that
/// file, so that what stands here wins; paths start at `folder`, the folder of the file that names the preset, and where there is no such file at the
/// working folder.
///
/// # Errors
/// A file that cannot be read or has no such section, presets that build on each other without end.
pub(crate) fn resolve(table: &mut Table, folder: &Path) -> Result<(), ConfigError> {
    for (name, value) in table.iter_mut() {
        resolve_value(name, value, folder)?;
    }
    Ok(())
}

fn resolve_value(name: &str, value: &mut Value, folder: &Path) -> Result<(), ConfigError> {
    match value {
        Value::Table(table) => {
            if file_of(table).is_some() {
                *table = with_preset(name, std::mem::take(table), folder, MAX_NESTED)?;
            }
            resolve(table, folder)
        }
        Value::Array(items) => {
            items.iter_mut().try_for_each(|item| resolve_value(name, item, folder))
        }
        _ => Ok(()),
    }
}

/// Whether a table, or one within it, builds on a file.
pub(crate) fn is_built_on_one(table: &Table) -> bool {
    let builds = |value: &Value| match value {
        Value::Table(table) => is_built_on_one(table),
        Value::Array(items) => items.iter().filter_map(Value::as_table).any(is_built_on_one),
        _ => false,
    };
    file_of(table).is_some() || table.values().any(builds)
}

fn file_of(table: &Table) -> Option<&str> {
    table.get(PRESET)?.as_str().filter(|file| file.ends_with(".toml"))
}

fn with_preset(
    name: &str,
    mut table: Table,
    folder: &Path,
    left: usize,
) -> Result<Table, ConfigError> {
    let Some(file) = file_of(&table).map(str::to_owned) else { return Ok(table) };
    table.remove(PRESET);
    let key = || format!("{name}.{PRESET}");
    require(left > 0, key(), &file, "a file whose presets end somewhere")?;
    let beside = folder.join(&file);
    let here = Path::new(&file);
    // Written for the folder that the program is started in.
    let path = if !beside.exists() && here.exists() { here.to_owned() } else { beside };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    let origin = path.display().to_string();
    let mut whole: Table = toml::from_str(&text).map_err(|error| parse_error(&origin, &error))?;
    let Some(Value::Table(base)) = whole.remove(name) else {
        let expected = format!("a file with a section [{name}]");
        return require(false, key(), &file, expected).map(|()| table);
    };
    let mut base = with_preset(name, base, path.parent().unwrap_or(folder), left - 1)?;
    overlay(&mut base, table);
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    fn resolved(files: &[(&str, &str)], text: &str) -> Result<Table, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut table = table(text);
        resolve(&mut table, folder.path()).map(|()| table)
    }

    #[test]
    fn what_stands_here_wins_and_paths_start_at_the_file_that_names_them() {
        let files = [
            ("far/a.toml", "[t]\npreset = \"b.toml\"\nx = 2"),
            ("far/b.toml", "[t]\nx = 1\ny = 1\nz = 1"),
        ];
        let found = resolved(&files, "[t]\npreset = \"far/a.toml\"\nz = 3").unwrap();
        assert_eq!(found, table("[t]\nx = 2\ny = 1\nz = 3"));
    }

    #[test]
    fn a_table_in_a_list_may_build_on_one() {
        let found =
            resolved(&[("a.toml", "[t]\nx = 1")], "[[l]]\nt = {preset = \"a.toml\"}").unwrap();
        assert_eq!(found, table("[[l]]\nt = {x = 1}"));
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        let error = |files: &[(&str, &str)]| {
            resolved(files, "[t]\npreset = \"a.toml\"").unwrap_err().to_string()
        };
        assert!(error(&[]).contains("a.toml"), "{}", error(&[]));
        assert!(error(&[("a.toml", "[u]")]).contains("a file with a section [t]"));
        assert!(error(&[("a.toml", "[t]\npreset = \"a.toml\"")]).contains("end somewhere"));
        assert!(error(&[("a.toml", "[t\nx = 1")]).contains("line 1"));
    }
}
