//! From the name of a picture in a row to a path that may be read.
//!
//! Rows come from elsewhere: a row must not make the program read `/etc/shadow` or `../../private.png`. A path as it is
//! written has to lie below the data set's root; symbolic links in it are followed, since that is how the hub's cache
//! and many data sets are laid out.

use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

/// Folders that hold annotations only: their parent is the root of the data set.
const ANNOTATION_FOLDER: &str = "annotations";

/// Where the pictures of one file of rows may be.
#[derive(Debug, Clone)]
pub(crate) struct Locator {
    /// Folders that relative names are tried in, one after the other.
    bases: Vec<PathBuf>,
    /// Paths must lie below one of these.
    roots: Vec<PathBuf>,
    allow_outside: bool,
}

impl Locator {
    /// For the names in `file`, which start at its folder, or at `image_root` if there is one.
    pub(crate) fn new(file: &Path, image_root: Option<&Path>, allow_outside: bool) -> Self {
        let folder = absolute(file.parent().unwrap_or(Path::new("")));
        let root = data_root(&folder);
        let base = image_root.map_or(folder, absolute);
        let mut roots = vec![base.clone(), root];
        // The folder may have been named through a link, and a row through its target.
        roots.extend(roots.clone().iter().filter_map(|root| root.canonicalize().ok()));
        Self { bases: vec![base], roots, allow_outside }
    }

    /// Also tries these folders, seen from the data set's root.
    pub(crate) fn also_in(mut self, folders: &[PathBuf]) -> Self {
        let root = self.roots[1].clone();
        self.bases.extend(folders.iter().map(|folder| normalized(&root.join(folder))));
        self
    }

    /// Also tries these folders below the first one that is tried.
    pub(crate) fn within(mut self, folders: &[PathBuf]) -> Self {
        let first = self.bases[0].clone();
        self.bases.extend(folders.iter().map(|folder| normalized(&first.join(folder))));
        self
    }

    /// Also tries these folders, which belong to the data set too, seen from the file's folder and from the two above it:
    /// annotations are often in a folder of their own.
    pub(crate) fn beside(mut self, folders: &[&str]) -> Self {
        for near in self.bases[0].clone().ancestors().take(3) {
            let named = folders.iter().filter(|folder| !folder.is_empty());
            let found: Vec<PathBuf> = named.map(|folder| normalized(&near.join(folder))).collect();
            self.roots.extend(found.clone());
            self.bases.extend(found);
        }
        self
    }

    /// That a picture is in none of the folders.
    fn nowhere(&self, name: &str) -> String {
        let mut folders: Vec<&PathBuf> = Vec::new();
        self.bases.iter().for_each(|base| {
            if !folders.contains(&base) {
                folders.push(base);
            }
        });
        let named = folders.iter().take(N_NAMED).map(|folder| format!("{}", folder.display()));
        let more = if folders.len() > N_NAMED { ", ..." } else { "" };
        format!(
            "image {name:?} is not there; it was looked for in {}{more}: data.image_root names the folder of the pictures",
            named.collect::<Vec<String>>().join(", ")
        )
    }

    /// The path that a name stands for. The first folder that has the file decides; without any, the first folder.
    ///
    /// # Errors
    /// An address of the web; a path outside of the data set.
    pub(crate) fn resolve(&self, name: &str) -> Result<PathBuf, String> {
        let name = local(name)?;
        let found = self.bases.iter().map(|base| existing(base, name)).find(|path| path.exists());
        let is_there = found.is_some();
        let path = found.unwrap_or_else(|| existing(&self.bases[0], name));
        if is_of_windows(name) && !path.exists() {
            return Err(format!(
                "image {name:?} is a path of another machine, with Windows: write names that start at the folder of the \
                 data set, or at data.image_root"
            ));
        }
        if self.allow_outside || self.roots.iter().any(|root| path.starts_with(root)) {
            let is_open = !is_there && self.bases.len() > 1 && Path::new(name).is_relative();
            return if is_open { Err(self.nowhere(name)) } else { Ok(path) };
        }
        Err(format!(
            "image {path:?} lies outside of the data set's folder {:?}: set data.image_root to the folder of the \
             pictures, or data.allow_outside = true to read pictures from anywhere",
            self.roots[1]
        ))
    }
}

/// Folders that an error names of those where a picture was looked for.
const N_NAMED: usize = 4;

/// The folder that a data set's pictures lie below: that of its file, or the parent of `annotations`.
fn data_root(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match folder.parent().filter(|_| name == ANNOTATION_FOLDER) {
        Some(parent) => parent.to_owned(),
        None => folder.to_owned(),
    }
}

/// Without the scheme of a local file.
fn local(name: &str) -> Result<&str, String> {
    if let Some(path) = name.strip_prefix("file://") {
        return Ok(path.strip_prefix("localhost").unwrap_or(path));
    }
    match name.split_once("://") {
        Some((scheme, _)) if !scheme.contains('/') => Err(format!(
            "image {name:?} is an address of the web: download the pictures and name the files, nothing is fetched \
             during a run"
        )),
        _ => Ok(name),
    }
}

/// A name in a folder. Where there is no such file, backslashes count as Windows means them, and an accent may be a letter
/// of its own or part of one: macOS writes names in other bytes than most programs.
fn existing(base: &Path, name: &str) -> PathBuf {
    let path = normalized(&base.join(name));
    if path.exists() {
        return path;
    }
    let name = name.replace('\\', "/");
    let spelled = [name.clone(), name.nfc().collect(), name.nfd().collect()];
    let mut spelled = spelled.iter().map(|name| normalized(&base.join(name)));
    let first = spelled.next().unwrap_or(path);
    if first.exists() { first } else { spelled.find(|path| path.exists()).unwrap_or(first) }
}

/// Whether a path begins with the letter of a drive, so that it can only be one of a machine with Windows.
fn is_of_windows(name: &str) -> bool {
    let bytes = name.as_bytes();
    matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    normalized(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// Without `.` and `..`, by the letters of the path alone.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn locator(folder: &Folder) -> Locator {
        Locator::new(&folder.path("rows.jsonl"), None, false)
    }

    #[test]
    fn names_start_at_the_folder_of_the_rows() {
        let folder = Folder::new(&[]);
        let locator = locator(&folder);
        let check = |name: &str| assert_eq!(locator.resolve(name), Ok(folder.path("img/a.png")));
        check("img/a.png");
        check("./img/../img/a.png");
        check(&folder.path("img/a.png").display().to_string());
        check(&format!("file://{}", folder.path("img/a.png").display()));
        check("img\\a.png");
    }

    #[test]
    fn an_accent_may_be_written_in_either_way() {
        let folder = Folder::of(&["Cafe\u{301}.png", "th\u{e9}.png"]);
        let resolved = |name: &str| locator(&folder).resolve(name).unwrap();
        assert_eq!(resolved("Caf\u{e9}.png"), folder.path("Cafe\u{301}.png"));
        assert_eq!(resolved("the\u{301}.png"), folder.path("th\u{e9}.png"));
    }

    #[test]
    fn a_path_of_windows_is_told_as_such() {
        for name in ["C:\\data\\a.png", "d:/a.png"] {
            let why = locator(&Folder::new(&[])).resolve(name).unwrap_err();
            assert!(why.contains("with Windows") && why.contains("data.image_root"), "{why}");
        }
    }

    #[test]
    fn a_path_outside_is_refused_as_it_is_written() {
        let folder = Folder::new(&[]);
        for name in
            ["../a.png", "/etc/passwd", "img/../../a.png", "..\\a.png", "file:///etc/passwd"]
        {
            let why = locator(&folder).resolve(name).unwrap_err();
            assert!(why.contains("outside") && why.contains("data.allow_outside"), "{name}: {why}");
        }
        let anywhere = Locator::new(&folder.path("rows.jsonl"), None, true);
        assert_eq!(anywhere.resolve("/etc/passwd"), Ok("/etc/passwd".into()));
    }

    #[test]
    fn the_parent_of_annotations_is_the_root() {
        let folder = Folder::new(&[]);
        let locator = Locator::new(&folder.path("annotations/x.json"), None, false);
        assert_eq!(locator.resolve("../train/a.png"), Ok(folder.path("train/a.png")));
        assert!(locator.resolve("../../a.png").is_err());
    }

    #[test]
    fn a_picture_that_is_nowhere_is_told_with_the_folders() {
        let folder = Folder::of(&["JPEGImages/a.png"]);
        let locator = Locator::new(&folder.path("Annotations/a.xml"), None, false);
        let locator = locator.also_in(&["JPEGImages".into(), "images".into()]);
        assert_eq!(locator.resolve("a.png"), Ok(folder.path("JPEGImages/a.png")));
        let why = locator.resolve("b.png").unwrap_err();
        for words in ["\"b.png\" is not there", "JPEGImages", "Annotations", "data.image_root"] {
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn an_image_root_says_where_names_start() {
        let (folder, elsewhere) = (Folder::new(&[]), Folder::new(&[]));
        let file = folder.path("rows.jsonl");
        let locator = Locator::new(&file, Some(&elsewhere.path("pictures")), false);
        assert_eq!(locator.resolve("a.png"), Ok(elsewhere.path("pictures/a.png")));
    }

    #[test]
    fn an_address_of_the_web_is_refused() {
        let why = locator(&Folder::new(&[])).resolve("https://example.org/a.jpg").unwrap_err();
        assert!(why.contains("address of the web: download"), "{why}");
    }
}
