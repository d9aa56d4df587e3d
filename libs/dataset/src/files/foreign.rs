//! Layouts of other programs that are not read, each with the way to one that is.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a file that tell what it is.
const PEEKED_BYTES: u64 = 4096;
/// Files that are looked at.
const MAX_PEEKED: usize = 8;
/// Numbers of a line of YOLO's: the class, the middle of the box, its width and height.
const N_YOLO: usize = 5;

const YOLO: &str = "as YOLO has them, which are not read: export COCO annotations";

/// What a folder is that no reader takes, as a sentence that goes on after "it has"; `None` for anything unknown.
pub(super) fn known(folder: &Path) -> Option<String> {
    let has_both = |folder: &Path| folder.join("images").is_dir() && folder.join("labels").is_dir();
    let entries = super::list(folder).ok()?;
    // Ultralytics has them in the folder, Roboflow in one for each split.
    if has_both(folder) || entries.iter().any(|entry| has_both(entry)) {
        return Some(format!("images and labels {YOLO}"));
    }
    let ends_in = |path: &&std::path::PathBuf, ending: &str| {
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending)) && path.is_file()
    };
    let starts = |ending: &'static str| {
        let files = entries.iter().filter(move |path| ends_in(path, ending));
        files.take(MAX_PEEKED).filter_map(|path| start(path))
    };
    if starts("txt").any(|text| is_yolo(&text)) {
        return Some(format!("a file of labels beside each picture {YOLO}"));
    }
    let is_labelme = |text: &String| text.contains("\"shapes\"") && text.contains("\"shape_type\"");
    starts("json").any(|text| is_labelme(&text)).then(|| {
        "a file of LabelMe beside each picture, which are not read: its program `labelme2coco` makes COCO \
         annotations of them"
            .to_owned()
    })
}

/// Whether a text begins with a line of YOLO's.
fn is_yolo(text: &str) -> bool {
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let is_class = words.next().is_some_and(|class| class.parse::<u32>().is_ok());
    let shares: Vec<f64> = words.map_while(|word| word.parse().ok()).collect();
    // Outlines are longer.
    is_class && shares.len() + 1 >= N_YOLO && shares.iter().all(|share| (0.0..=1.0).contains(share))
}

fn start(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(PEEKED_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Folder, black};

    #[track_caller]
    fn check(files: &[(&str, &[u8])], expected: Option<&str>) {
        let folder = Folder::new(files);
        let found = known(&folder.path(""));
        match expected {
            None => assert_eq!(found, None),
            Some(words) => assert!(found.as_ref().is_some_and(|f| f.contains(words)), "{found:?}"),
        }
    }

    #[test]
    fn layouts_that_are_not_read_are_known_by_their_names() {
        let picture: &[u8] = &black(8, 8);
        let of_yolo: &[u8] = b"0 0.5 0.5 0.25 0.125\n";
        check(&[("images/a.jpg", picture), ("labels/a.txt", of_yolo)], Some("YOLO"));
        check(&[("train/images/a.jpg", picture), ("train/labels/a.txt", of_yolo)], Some("YOLO"));
        check(&[("a.png", picture), ("a.txt", of_yolo)], Some("beside each picture as YOLO"));
        let labelme: &[u8] = br#"{"shapes": [{"label": "mug", "shape_type": "rectangle"}]}"#;
        check(&[("a.png", picture), ("a.json", labelme)], Some("LabelMe"));
        check(&[("a.png", picture), ("readme.txt", b"5 mugs")], None);
        check(&[("a.png", picture), ("a.txt", b"3 640 480 20 30")], None);
    }
}
