//! From annotated images to questions: one for each image and each category on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use vrft_vision::{Original, Rect, Sides, Thousandths};

use crate::Sample;
use crate::dataset::FoundRows;

/// An image and the boxes on it.
#[derive(Debug)]
pub(crate) struct Annotated {
    /// Name of the image in sample ids.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Width and height in pixels.
    pub(crate) size: (f64, f64),
    /// Corners `[x1, y1, x2, y2]` in pixels, by category.
    pub(crate) boxes: BTreeMap<String, Vec<[f64; 4]>>,
}

/// The samples of an image, in the order of the categories' names.
pub(crate) fn samples(image: &Annotated) -> FoundRows {
    let bytes = fs::read(&image.path).map_err(|error| format!("image {:?}: {error}", image.path));
    let sample = |(category, boxes): (&String, &Vec<[f64; 4]>)| {
        Ok(Sample {
            sample_id: format!("{}-{category}", image.name).replace('/', "-"),
            images: vec![bytes.clone()?],
            problem: problem(category),
            solution: solution(boxes, image.size)?,
        })
    };
    image.boxes.iter().map(sample).collect()
}

/// The question of Visual-RFT (arXiv 2503.01785, table 1) as its data sets have it, to the letter: policies that
/// it tuned have seen exactly this.
fn problem(category: &str) -> String {
    format!(
        "Detect all objects belonging to the category '{category}' in the image, and provide the bounding boxes \
         (between 0 and 1000, integer) and confidence (between 0 and 1, with two decimal places).\n\
         If no object belonging to the category '{category}' in the image, return 'No Objects'.\n\
         Output the thinking process in <think> </think> and final answer in <answer> </answer> tags.\
         The output answer format should be as follows:\n\
         <think> ... </think> <answer>[{{'Position': [x1, y1, x2, y2], 'Confidence': number}}, ...]</answer>\n\
         Please strictly follow the format."
    )
}

/// The boxes in thousandths of the image; an edge that an annotator drew outside is moved to the border.
fn solution(boxes: &[[f64; 4]], (width, height): (f64, f64)) -> Result<String, String> {
    if !(width > 0.0 && height > 0.0) {
        return Err(format!("expected the size of the image in pixels, got {width} x {height}"));
    }
    // Thousandths are the same of the image as it is and of any that it may be scaled to.
    let sides = Sides::new((width, height), (width, height));
    let list = boxes.iter().map(|&corners| {
        let position = Rect::<Original>::new(corners).to::<Thousandths>(&sides).rounded(&sides);
        format!("{{'Position': {}, 'Confidence': 1}}", bracketed(position.corners()))
    });
    Ok(format!("<answer>[{}]</answer>", list.collect::<Vec<_>>().join(", ")))
}

fn bracketed([x1, y1, x2, y2]: [f64; 4]) -> String {
    format!("[{x1}, {y1}, {x2}, {y2}]")
}
