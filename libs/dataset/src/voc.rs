//! Samples of Pascal VOC annotations: a folder with one XML file for each image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use crate::DatasetError;
use crate::annotations::{Annotated, samples};
use crate::dataset::FoundRows;

/// Where VOC keeps images, seen from the folder of the annotations.
const IMAGE_FOLDER: &str = "../JPEGImages";

/// Reads annotations and the images they name, beside them or in VOC's own folder.
pub(crate) fn read(files: &[&PathBuf]) -> Result<FoundRows, DatasetError> {
    let mut rows = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DatasetError::Read { path: path.to_path_buf(), source })?;
        match annotated(path, &text) {
            Ok(image) => rows.extend(samples(&image)),
            Err(why) => rows.push(Err(format!("{path:?}: {why}"))),
        }
    }
    Ok(rows)
}

fn annotated(path: &Path, text: &str) -> Result<Annotated, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    let size = child(root, "size")?;
    let mut boxes: BTreeMap<String, Vec<[f64; 4]>> = BTreeMap::new();
    for object in root.children().filter(|node| node.has_tag_name("object")) {
        let name = child(object, "name")?.text().unwrap_or_default().trim().to_owned();
        boxes.entry(name).or_default().push(corners(child(object, "bndbox")?)?);
    }
    let file_name = child(root, "filename")?.text().unwrap_or_default().trim();
    Ok(Annotated {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        path: image_path(path.parent().unwrap_or(Path::new("")), file_name),
        size: (number(size, "width")?, number(size, "height")?),
        boxes,
    })
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

fn image_path(folder: &Path, file_name: &str) -> PathBuf {
    let beside = folder.join(file_name);
    match beside.exists() {
        true => beside,
        false => folder.join(IMAGE_FOLDER).join(file_name),
    }
}

fn number(node: Node, name: &str) -> Result<f64, String> {
    let text = child(node, name)?.text().unwrap_or_default().trim();
    text.parse().ok().ok_or_else(|| format!("<{name}> should be a number, got {text:?}"))
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Result<Node<'a, 'input>, String> {
    node.children()
        .find(|child| child.has_tag_name(name))
        .ok_or_else(|| format!("no <{name}> in <{}>", node.tag_name().name()))
}

#[cfg(test)]
mod tests {
    use crate::Dataset;
    use crate::testing::{Folder, png};

    const CAT: &str = "<annotation><filename>a.png</filename>\
        <size><width>200</width><height>100</height><depth>3</depth></size>\
        <object><name>cat</name><bndbox><xmin>21</xmin><ymin>11</ymin><xmax>120</xmax><ymax>60</ymax></bndbox></object>\
        </annotation>";

    #[test]
    fn a_folder_of_annotations() {
        let damaged = CAT.replace("<xmax>120</xmax>", "");
        let folder = Folder::new(&[
            ("a.png", &png(2, [0; 4])),
            ("a.xml", CAT.as_bytes()),
            ("b.xml", damaged.as_bytes()),
        ]);
        let dataset = Dataset::open(&folder.path("")).unwrap();
        assert_eq!(dataset.len(), 1);
        assert_eq!(dataset.get(0).sample_id, "a-cat");
        assert_eq!(
            dataset.get(0).solution,
            "<answer>[{'Position': [100, 100, 600, 600], 'Confidence': 1}]</answer>"
        );
        let why = &dataset.skipped()[0].why;
        assert!(why.ends_with("b.xml\": no <xmax> in <bndbox>"), "{why}");
    }
}
