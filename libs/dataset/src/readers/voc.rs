//! Rows of Pascal VOC annotations: a folder with one XML file for each image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roxmltree::{Document, Node};

use super::annotated::{Annotated, Marked, Shown, count_bad, merged, push_all};
use super::fields::Found;
use super::spellings::Spellings;
use crate::path::Locator;
use crate::row::Skipped;
use crate::summary::verb;
use crate::{DatasetError, Selection};

/// Where images are, seen from the root of the data set: VOC's own folder, and another common one.
const IMAGE_FOLDERS: [&str; 3] = ["JPEGImages", "images", ""];

/// Reads annotations; the images they name lie beside them or in VOC's own folder.
pub(crate) fn read(
    files: &[PathBuf],
    image_root: Option<&Path>,
    allow_outside: bool,
    selection: &Selection,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let Some(first) = files.first() else { return Ok(()) };
    // `Annotations/x.xml` speaks of `JPEGImages/x.jpg` beside `Annotations`, whatever case that is written in.
    let folders = IMAGE_FOLDERS.map(PathBuf::from);
    let locator = Locator::new(first, image_root, allow_outside);
    found.pictures.locate_with(if image_root.is_some() {
        locator
    } else {
        locator.also_in(&folders)
    });
    let mut images = Vec::with_capacity(files.len());
    let mut spellings = Spellings::default();
    let mut counts = Counts::default();
    let mut bad_rows = Vec::new();
    for (number, path) in files.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = crate::files::read_text(path).map_err(|error| error.to_string());
        match text.and_then(|text| annotated(path, &text, &mut spellings, &mut counts)) {
            Ok((image, bad)) => {
                for Unusable { place, why, name: called, is_difficult } in bad {
                    let is_asked = called.is_none_or(|called| selection.has(&called));
                    let is_bad = is_asked && !is_difficult;
                    let of_it = if is_bad { &mut bad_rows } else { &mut found.skipped_parts };
                    of_it.push(Skipped { place, row: number, why });
                }
                images.push(image);
            }
            Err(why) => {
                let row = found.rows.len();
                found.rows.push(Err(Skipped { place: name.into_owned(), row, why }));
            }
        }
    }
    found.notes.extend(spellings.note());
    if counts.difficult > 0 {
        found.notes.push(format!(
            "{} of the objects {} marked <difficult>: as in VOC's own metric, an answer need not name such a one, and does no \
             wrong if it does",
            counts.difficult,
            verb(counts.difficult, "is", "are")
        ));
    }
    let (images, notes) = merged(images, counts.twice);
    found.notes.extend(notes);
    let names: BTreeSet<Arc<str>> =
        images.iter().flat_map(|image| image.boxes.keys().cloned()).collect();
    // What names the data is the folder: each row's picture has a file of its own.
    let folder: Arc<Path> = first.parent().unwrap_or(first).into();
    push_all(&images, &names, selection, &folder, found)?;
    // Behind the questions, whose numbers count from the first one.
    count_bad(bad_rows, found);
    Ok(())
}

/// An object of no use.
struct Unusable {
    /// Its file and its number there, in words.
    place: String,
    why: String,
    /// What it is called, where that can be read.
    name: Option<Arc<str>>,
    /// It is no part of an answer, so that nothing is lost with it.
    is_difficult: bool,
}

/// Objects that are left out, or need not be named.
#[derive(Debug, Default)]
struct Counts {
    difficult: usize,
    /// Boxes that are there already.
    twice: usize,
}

/// The picture, and the objects that are of no use.
fn annotated(
    path: &Path,
    text: &str,
    spellings: &mut Spellings,
    counts: &mut Counts,
) -> Result<(Annotated, Vec<Unusable>), String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    let mut boxes = BTreeMap::<Arc<str>, Marked>::new();
    let mut bad = Vec::new();
    let objects = root.children().filter(|node| node.has_tag_name("object"));
    for (number, object) in objects.enumerate() {
        match named_box(object) {
            Ok((name, corners)) => {
                let marked = boxes.entry(spellings.of(name)).or_default();
                let is_difficult = is_difficult(object);
                if marked.has(&corners, is_difficult) {
                    counts.twice += 1;
                } else if is_difficult {
                    counts.difficult += 1;
                    marked.crowds.push(corners);
                } else {
                    marked.push(corners, None);
                }
            }
            Err(why) => {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                let place = format!("{file}, object {number}");
                let is_difficult = is_difficult(object);
                let name = child(object, "name").map_or("", text_of);
                let name = (!name.is_empty()).then(|| spellings.of(name));
                if let Some(name) = name.clone().filter(|_| !is_difficult) {
                    boxes.entry(name).or_default().lacks(&place);
                }
                bad.push(Unusable { place, why, name, is_difficult });
            }
        }
    }
    let side = |name| number(child(root, "size").ok()?, name).ok().filter(|side| *side > 0.0);
    let image = Annotated {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        picture: Some(Shown::Named(text_of(child(root, "filename")?).to_owned())),
        size: side("width").zip(side("height")),
        boxes,
        ..Annotated::default()
    };
    Ok((image, bad))
}

/// Whether VOC's metric leaves an object out: it is hard to recognize.
fn is_difficult(object: Node) -> bool {
    let is_yes = |text: &str| text == "1" || text.eq_ignore_ascii_case("true");
    child(object, "difficult").is_ok_and(|node| is_yes(text_of(node)))
}

fn named_box<'a>(object: Node<'a, '_>) -> Result<(&'a str, [f64; 4]), String> {
    let name = text_of(child(object, "name")?);
    let [x1, y1, x2, y2] = corners(child(object, "bndbox")?)?;
    if name.is_empty() {
        return Err("its <name> is empty".to_owned());
    }
    // A box of one pixel begins and ends there.
    let [xmin, ymin] = [x1, y1].map(|first| first + 1.0);
    if xmin > x2 || ymin > y2 {
        return Err(format!(
            "its <bndbox> has its corners swapped: from ({xmin}, {ymin}) to ({x2}, {y2})"
        ));
    }
    Ok((name, [x1, y1, x2, y2]))
}

/// VOC counts pixels from 1 and includes the last one.
fn corners(bndbox: Node) -> Result<[f64; 4], String> {
    Ok([
        number(bndbox, "xmin")? - 1.0,
        number(bndbox, "ymin")? - 1.0,
        number(bndbox, "xmax")?,
        number(bndbox, "ymax")?,
    ])
}

fn number(node: Node, name: &str) -> Result<f64, String> {
    let text = text_of(child(node, name)?);
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("<{name}> should be a number, got {text:?}"))
}

fn text_of<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Result<Node<'a, 'input>, String> {
    node.children()
        .find(|child| child.has_tag_name(name))
        .ok_or_else(|| format!("no <{name}> in <{}>", node.tag_name().name()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Folder, black};
    use crate::{Absent, Dataset, OpenOptions, Selection, Truth};

    const CAT: &str = "<annotation><filename>a.png</filename>\
        <size><width>200</width><height>100</height><depth>3</depth></size>\
        <object><name>cat</name><bndbox><xmin>21</xmin><ymin>11</ymin><xmax>120</xmax><ymax>60</ymax></bndbox></object>\
        </annotation>";

    #[test]
    fn a_folder_of_annotations() {
        let damaged = CAT.replace("<xmax>120</xmax>", "").replace("a.png", "b.png");
        let folder = Folder::new(&[
            ("JPEGImages/a.png", &black(200, 100)),
            ("Annotations/a.xml", CAT.as_bytes()),
            ("Annotations/b.xml", damaged.as_bytes()),
            ("Annotations/c.xml", b"<annotation>"),
        ]);
        let dataset = Dataset::open(&folder.path("Annotations")).unwrap();
        assert_eq!(dataset.len(), 1);
        assert_eq!(dataset.get(0).sample_id(), "a-cat");
        let Truth::Boxes(boxes) = &dataset.get(0).truth else { panic!("boxes") };
        assert_eq!(boxes[0].corners(), [20.0, 10.0, 120.0, 60.0]);
        let skipped: Vec<String> = dataset.skipped().iter().map(ToString::to_string).collect();
        assert!(skipped[0].starts_with("c.xml: ") && skipped.len() == 1, "{skipped:?}");
        let parts: Vec<String> = dataset.skipped_parts().iter().map(ToString::to_string).collect();
        assert_eq!(
            parts,
            [
                "the question b-cat: b.xml, object 0 cannot be used, so that its true answer would lack an object",
                "b.xml, object 0: no <xmax> in <bndbox>",
            ]
        );
    }

    #[test]
    fn what_is_difficult_need_not_be_named() {
        let object = CAT[CAT.find("<object>").unwrap()..].replace("</annotation>", "");
        let hard = object.replace("<name>", "<difficult>1</difficult><name>").replace("21", "31");
        let easy = object.replace("<name>", "<difficult>Unspecified</difficult><name>");
        let both = CAT.replace("</annotation>", &[&hard, &easy, "</annotation>"].concat());
        let alone = both.replace(&object, "").replace(&easy, "").replace("a.png", "b.png");
        let picture = black(200, 100);
        let folder = Folder::new(&[
            ("a.png", &picture),
            ("b.png", &picture),
            ("a.xml", both.as_bytes()),
            ("b.xml", alone.as_bytes()),
        ]);
        let dataset = Dataset::open(&folder.path("")).unwrap();
        assert_eq!((dataset.len(), dataset.get(0).sample_id()), (1, "a-cat"));
        let Truth::Boxes(boxes) = &dataset.get(0).truth else { panic!("boxes") };
        assert_eq!((boxes.len(), boxes[0].corners()), (1, [20.0, 10.0, 120.0, 60.0]));
        assert_eq!(boxes.crowds[0].corners(), [30.0, 10.0, 120.0, 60.0]);
        let notes = dataset.notes().join("\n");
        assert!(notes.contains("2 of the objects are marked <difficult>"), "{notes}");
        assert!(notes.contains("1 box is there already"), "{notes}");
    }

    #[test]
    fn swapped_corners_are_called_that_and_one_pixel_is_a_box() {
        let other = |name: &str| CAT.replace("a.png", name);
        let swapped = other("b.png").replace("<xmax>120</xmax>", "<xmax>11</xmax>");
        let pixel = CAT
            .replace("<xmax>120</xmax>", "<xmax>21</xmax>")
            .replace("<ymax>60</ymax>", "<ymax>11</ymax>");
        let endless = other("c.png").replace("<ymin>11</ymin>", "<ymin>nan</ymin>");
        let folder = Folder::new(&[
            ("a.png", &black(200, 100)),
            ("a.xml", pixel.as_bytes()),
            ("b.xml", swapped.as_bytes()),
            ("c.xml", endless.as_bytes()),
        ]);
        let dataset = Dataset::open(&folder.path("")).unwrap();
        let Truth::Boxes(boxes) = &dataset.get(0).truth else { panic!("boxes") };
        assert_eq!(boxes[0].corners(), [20.0, 10.0, 21.0, 11.0]);
        assert_eq!((dataset.len(), dataset.skipped_parts().len()), (1, 2));
        let skipped: Vec<String> = dataset.skipped().iter().map(ToString::to_string).collect();
        assert_eq!(
            skipped,
            [
                "b.xml, object 0: its <bndbox> has its corners swapped: from (21, 11) to (11, 60)",
                "c.xml, object 0: <ymin> should be a number, got \"nan\"",
            ]
        );
    }

    #[test]
    fn what_is_difficult_and_of_no_use_is_no_bad_row_and_takes_no_question_along() {
        let object = CAT[CAT.find("<object>").unwrap()..].replace("</annotation>", "");
        let swapped = object.replace("<xmax>120</xmax>", "<xmax>11</xmax>");
        let hard = swapped.replace("<name>", "<difficult>1</difficult><name>");
        let dog = swapped.replace("cat", "dog");
        let all = CAT.replace("</annotation>", &[&hard, &dog, "</annotation>"].concat());
        let folder = Folder::new(&[("a.png", &black(200, 100)), ("a.xml", all.as_bytes())]);
        let told = |selection: Selection| {
            let options = OpenOptions { selection, ..OpenOptions::default() };
            let dataset = Dataset::open_with(&folder.path(""), &options).unwrap();
            let n_asked = (dataset.len(), dataset.get(0).sample_id().to_owned());
            (n_asked, dataset.skipped().len(), dataset.skipped_parts().len())
        };
        // Nothing is known of the dog: it is asked for neither as there nor as absent.
        let absent = Selection { absent: Absent::Every, ..Selection::default() };
        assert_eq!(told(absent), ((1, "a-cat".to_owned()), 0, 3));
        // Where cats alone are asked for, a bad dog is no harm.
        let cats = Selection { categories: vec!["cat".to_owned()], ..Selection::default() };
        assert_eq!(told(cats), ((1, "a-cat".to_owned()), 0, 2));
    }

    #[test]
    fn the_size_of_another_picture_is_refused() {
        let folder = Folder::new(&[("a.png", &black(100, 200)), ("a.xml", CAT.as_bytes())]);
        let error = Dataset::open(&folder.path("")).unwrap_err().to_string();
        assert!(error.contains("a.png\": it is annotated as 200 x 100"), "{error}");
    }
}
