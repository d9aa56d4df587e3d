//! Paths: without detours, and as who started a program would type them.

use std::path::{Component, Path, PathBuf};

/// The variable in which a shell tells programs where they were started, be they moved to another folder since.
const STARTED_IN: &str = "PWD";

/// A path that starts at this folder, without detours.
pub fn joined(folder: &Path, path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if whole.file_name().is_some() => _ = whole.pop(),
            other => whole.push(other),
        }
    }
    whole
}

/// A path as it is told: from the folder in which the command was started where it lies there, else as a whole. A node of a
/// graph runs in the folder of the graph, so its own `../out` is another one to whoever reads it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let started_in = std::env::var_os(STARTED_IN).map(PathBuf::from);
    shown_from(&joined(&here, path), started_in.as_deref()).display().to_string()
}

fn shown_from<'a>(whole: &'a Path, started_in: Option<&Path>) -> &'a Path {
    // Of the root everything is a part.
    let folder = started_in.filter(|folder| folder.is_absolute() && folder.parent().is_some());
    let within = folder.and_then(|folder| whole.strip_prefix(folder).ok());
    within.filter(|within| !within.as_os_str().is_empty()).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_as_who_started_the_command_would_type_it() {
        let told = |path: &str, started_in: Option<&str>| {
            let whole = joined("/home/ada/robot/configs".as_ref(), path.as_ref());
            shown_from(&whole, started_in.map(Path::new)).display().to_string()
        };
        assert_eq!(told("../out/run", Some("/home/ada/robot")), "out/run");
        assert_eq!(told("../out/run", Some("/home/ada/robot/configs")), "/home/ada/robot/out/run");
        assert_eq!(told("/data/out", Some("/home/ada/robot")), "/data/out");
        for elsewhere in [None, Some("robot"), Some("/"), Some("/home/ada/robot/out")] {
            assert_eq!(told("../out", elsewhere), "/home/ada/robot/out", "{elsewhere:?}");
        }
    }

    #[test]
    fn detours_are_left_out() {
        let folder = Path::new("/a/b");
        assert_eq!(joined(folder, "../c/./d".as_ref()), Path::new("/a/c/d"));
        assert_eq!(joined(folder, "/x/../y".as_ref()), Path::new("/y"));
    }
}
