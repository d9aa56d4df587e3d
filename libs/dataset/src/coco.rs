//! Samples of COCO annotations: `images`, `annotations`, `categories` in one JSON file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::DatasetError;
use crate::annotations::{Annotated, samples};
use crate::dataset::FoundRows;

#[derive(Deserialize)]
struct Coco {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: f64,
    height: f64,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    /// x, y, width, height in pixels.
    bbox: [f64; 4],
    /// A box around many objects at once: no answer to a question for each of them.
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// Reads annotations and the images they name, relative to the file.
pub(crate) fn read(path: &Path) -> Result<FoundRows, DatasetError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    let coco: Coco = serde_json::from_str(&text).map_err(|error| DatasetError::Content {
        path: path.to_owned(),
        format: "COCO annotations",
        message: error.to_string(),
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(annotated(&coco, folder).iter().flat_map(samples).collect())
}

fn annotated(coco: &Coco, folder: &Path) -> Vec<Annotated> {
    let names: BTreeMap<u64, &str> =
        coco.categories.iter().map(|category| (category.id, category.name.as_str())).collect();
    let mut by_image: BTreeMap<u64, BTreeMap<String, Vec<[f64; 4]>>> = BTreeMap::new();
    for annotation in coco.annotations.iter().filter(|annotation| annotation.iscrowd == 0) {
        let id = annotation.category_id;
        let name = names.get(&id).map_or_else(|| format!("category {id}"), |n| (*n).to_owned());
        let [x, y, width, height] = annotation.bbox;
        let boxes = by_image.entry(annotation.image_id).or_default();
        boxes.entry(name).or_default().push([x, y, x + width, y + height]);
    }
    let image = |image: &Image| Annotated {
        name: image.id.to_string(),
        path: folder.join(&image.file_name),
        size: (image.width, image.height),
        boxes: by_image.remove(&image.id).unwrap_or_default(),
    };
    coco.images.iter().map(image).collect()
}

#[cfg(test)]
mod tests {
    use crate::Dataset;
    use crate::testing::{Folder, png};

    const COCO: &str = r#"{
        "images": [{"id": 7, "file_name": "a.png", "width": 200, "height": 100}, {"id": 8, "file_name": "no.png", "width": 9, "height": 9}],
        "annotations": [
            {"image_id": 7, "category_id": 2, "bbox": [20, 10, 100, 50]},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 201, 100]},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 10, 10], "iscrowd": 0},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 99, 99], "iscrowd": 1},
            {"image_id": 8, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]}"#;

    #[test]
    fn a_question_for_each_category() {
        let folder = Folder::new(&[("a.png", &png(2, [0; 4])), ("coco.json", COCO.as_bytes())]);
        let dataset = Dataset::open(&folder.path("coco.json")).unwrap();
        let ids: Vec<_> = dataset.iter().map(|sample| sample.sample_id.as_str()).collect();
        assert_eq!(ids, ["7-cat", "7-dog"]);
        assert_eq!(
            dataset.get(0).solution,
            "<answer>[{'Position': [100, 100, 600, 600], 'Confidence': 1}, {'Position': [0, 0, 50, 100], 'Confidence': 1}]</answer>"
        );
        assert_eq!(
            dataset.get(1).solution,
            "<answer>[{'Position': [0, 0, 1000, 1000], 'Confidence': 1}]</answer>"
        );
        assert!(dataset.get(0).problem.starts_with(
            "Detect all objects belonging to the category 'cat' in the image, and provide"
        ));
        assert!(dataset.skipped()[0].why.contains("no.png"));
    }
    #[test]
    fn other_json_is_an_error() {
        let folder = Folder::new(&[("x.json", b"{\"images\": []}")]);
        let error = Dataset::open(&folder.path("x.json")).unwrap_err().to_string();
        assert!(error.contains("cannot be read as COCO annotations: missing field"), "{error}");
    }
}
