//! Reasoning segmentation as LISA (arXiv 2308.00692) measures it: gIoU, the mean of the overlaps, and cIoU, the
//! overlap of all pictures together. A box counts as the mask of its pixels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::mask::Mask;
use crate::{ScoreError, ratio_interval};

/// The outlines of one picture.
#[derive(Debug, Clone)]
pub struct Sample {
    name: String,
    target: Mask,
    ignored: Mask,
}

/// What was found on one picture.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Name of the picture, with or without ending and folder.
    image: String,
    /// COCO's run lengths.
    mask: Option<Runs>,
    /// Corners of an outline in pixels, or of several.
    polygon: Option<Outlines>,
    /// Two corners in pixels.
    bbox: Option<[f64; 4]>,
}

#[derive(Debug, Clone, Deserialize)]
struct Runs {
    /// Height and width.
    size: [usize; 2],
    counts: Counts,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Counts {
    Packed(String),
    Plain(Vec<usize>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Outlines {
    One(Vec<[f64; 2]>),
    Many(Vec<Vec<[f64; 2]>>),
}

/// gIoU and cIoU, each with its 95 % interval over the choice of pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReasoningScore {
    /// Number of pictures.
    pub n: usize,
    /// Mean over the pictures of the overlap with the true mask.
    #[serde(rename = "gIoU")]
    pub giou: f64,
    /// Pixels in common over pixels of either, of all pictures together.
    #[serde(rename = "cIoU")]
    pub ciou: f64,
    /// Interval of gIoU.
    #[serde(rename = "gIoU_interval")]
    pub giou_interval: Option<(f64, f64)>,
    /// Interval of cIoU.
    #[serde(rename = "cIoU_interval")]
    pub ciou_interval: Option<(f64, f64)>,
}

#[derive(Deserialize)]
struct Annotated {
    shapes: Vec<Shape>,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    label: String,
    points: Vec<[f64; 2]>,
}

impl Sample {
    /// The annotations of a picture of this width and height. Of shapes that cover each other the smaller wins; shapes
    /// labeled `flag` are none, and pixels of those labeled `ignore` count for nothing.
    ///
    /// # Errors
    /// A text that is not ReasonSeg's.
    pub fn from_json(
        name: &str,
        (width, height): (u32, u32),
        text: &str,
    ) -> Result<Self, ScoreError> {
        let Annotated { shapes } = parse("ReasonSeg annotations", text)?;
        let (width, height) = (width as usize, height as usize);
        let shapes = shapes.iter().filter(|shape| !shape.label.eq_ignore_ascii_case("flag"));
        let mut shapes: Vec<(Mask, bool)> = shapes
            .map(|shape| {
                let is_ignored = shape.label.to_lowercase().contains("ignore");
                (Mask::polygon(width, height, &shape.points), is_ignored)
            })
            .collect();
        // The sort is stable, so that of equal ones the later is drawn over the earlier.
        shapes.sort_by_key(|(mask, _)| std::cmp::Reverse(mask.area()));
        let (mut target, mut ignored) = (Mask::empty(width, height), Mask::empty(width, height));
        for (mask, is_ignored) in &shapes {
            let (to, from) =
                if *is_ignored { (&mut ignored, &mut target) } else { (&mut target, &mut ignored) };
            to.add(mask);
            from.remove(mask);
        }
        Ok(Self { name: name.to_owned(), target, ignored })
    }
}

/// What was found, from a JSON list or one object a line.
///
/// # Errors
/// Another structure.
pub fn predictions(text: &str) -> Result<Vec<Found>, ScoreError> {
    const WHAT: &str = "masks or boxes of pictures";
    if text.trim_start().starts_with('[') {
        return parse(WHAT, text);
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| parse(WHAT, line)).collect()
}

/// Compares what was found with the truth. A picture without a prediction has an empty one.
///
/// # Errors
/// A prediction about a picture that is not there, or twice about one; a mask of another size.
pub fn score(truth: &[Sample], found: &[Found]) -> Result<ReasoningScore, ScoreError> {
    let known: BTreeMap<&str, &Sample> = truth.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut masks: BTreeMap<&str, Mask> = BTreeMap::new();
    for (index, one) in found.iter().enumerate() {
        let wrong = |message: String| ScoreError::Prediction { index, message };
        let name = stem(&one.image);
        let sample = known.get(name).ok_or_else(|| {
            wrong(format!("there is no picture {name:?} among the {} of the truth", truth.len()))
        })?;
        let (width, height) = (sample.target.width, sample.target.height);
        let mask = one.mask(width, height).map_err(wrong)?;
        if masks.insert(sample.name.as_str(), mask).is_some() {
            return Err(wrong(format!("it is the second for picture {name:?}")));
        }
    }
    let overlaps: Vec<(f64, f64)> = truth
        .iter()
        .map(|sample| {
            let nothing = Mask::empty(sample.target.width, sample.target.height);
            let found = masks.get(sample.name.as_str()).unwrap_or(&nothing);
            let (both, either) = sample.target.overlap(found, &sample.ignored);
            (both as f64, either as f64)
        })
        .collect();
    // To find nothing where there is nothing is right.
    let iou = |&(both, either): &(f64, f64)| if either > 0.0 { both / either } else { 1.0 };
    let each: Vec<(f64, f64)> = overlaps.iter().map(|overlap| (iou(overlap), 1.0)).collect();
    let ratio = |all: &[(f64, f64)]| {
        let (sum, count) = all.iter().fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    Ok(ReasoningScore {
        n: truth.len(),
        giou: ratio(&each),
        ciou: ratio(&overlaps),
        giou_interval: ratio_interval(&each),
        ciou_interval: ratio_interval(&overlaps),
    })
}

impl Found {
    fn mask(&self, width: usize, height: usize) -> Result<Mask, String> {
        match (&self.mask, &self.polygon, self.bbox) {
            (Some(Runs { size, counts }), None, None) => {
                if *size != [height, width] {
                    let [rows, columns] = size;
                    return Err(format!(
                        "its mask is {columns} x {rows} pixels, the picture has {width} x {height}"
                    ));
                }
                match counts {
                    Counts::Packed(text) => Mask::from_packed_runs(width, height, text),
                    Counts::Plain(runs) => Mask::from_runs(width, height, runs),
                }
            }
            (None, Some(outlines), None) => {
                let outlines = match outlines {
                    Outlines::One(one) => std::slice::from_ref(one),
                    Outlines::Many(many) => many,
                };
                let mut whole = Mask::empty(width, height);
                outlines.iter().for_each(|one| whole.add(&Mask::polygon(width, height, one)));
                Ok(whole)
            }
            (None, None, Some(corners)) => Ok(Mask::rectangle(width, height, corners)),
            (None, None, None) => Ok(Mask::empty(width, height)),
            _ => Err("expected one of mask, polygon and bbox".to_owned()),
        }
    }
}

/// The name of a picture without folders and ending.
fn stem(image: &str) -> &str {
    let name = image.rsplit(['/', '\\']).next().unwrap_or(image);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn parse<'a, T: Deserialize<'a>>(expected: &'static str, text: &'a str) -> Result<T, ScoreError> {
    serde_json::from_str(text)
        .map_err(|error| ScoreError::Json { expected, message: error.to_string() })
}
