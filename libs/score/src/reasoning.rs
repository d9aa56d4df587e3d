//! Reasoning segmentation as LISA (arXiv 2308.00692) measures it: gIoU, the mean of the overlaps, and cIoU, the
//! overlap of all pictures together. A box counts as the mask of its pixels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
#[derive(Debug, Clone)]
pub struct Found {
    /// Name of the picture, with or without ending and folder.
    image: String,
    shape: Shape,
}

/// What the pixels are told by.
#[derive(Debug, Clone)]
enum Shape {
    Nothing,
    Runs(Runs),
    Outlines(Vec<Vec<[f64; 2]>>),
    /// Boxes by two corners each, in pixels, or in the unit in which the picture has these sides.
    Boxes(Vec<[f64; 4]>, Option<[f64; 2]>),
}

/// A row of predictions by other programs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    image: String,
    /// COCO's run lengths.
    mask: Option<Runs>,
    /// Corners of an outline in pixels, or of several.
    polygon: Option<Outlines>,
    /// Two corners in pixels.
    bbox: Option<[f64; 4]>,
}

/// A row that the evaluator of a run writes (`predictions-rft.jsonl`).
#[derive(Deserialize)]
struct Evaluated {
    sample_id: String,
    predicted: Vec<Predicted>,
    /// Width and height of the picture in the unit of the boxes.
    extent: [f64; 2],
}

#[derive(Deserialize)]
struct Predicted {
    bbox: [f64; 4],
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
    shapes: Vec<Outlined>,
}

#[derive(Deserialize)]
struct Outlined {
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

/// What was found, from a JSON list or one object a line: rows of other programs, or those of the evaluator of a run.
///
/// # Errors
/// Another structure.
pub fn predictions(text: &str) -> Result<Vec<Found>, ScoreError> {
    const WHAT: &str = "masks or boxes of pictures";
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('[') {
        let rows: Vec<Value> = parse(WHAT, text)?;
        let rows = rows.into_iter().enumerate();
        return rows.map(|(index, row)| Found::of(row, &format!("row {index}"))).collect();
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(index, line): (usize, &str)| {
        let place = format!("line {}", index + 1);
        let row = serde_json::from_str(line);
        let wrong =
            |error| ScoreError::Json { expected: WHAT, message: format!("{place}: {error}") };
        Found::of(row.map_err(wrong)?, &place)
    };
    lines.map(row).collect()
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
        let names = one.names();
        let sample = names.iter().find_map(|name| known.get(name)).ok_or_else(|| {
            let n = truth.len();
            wrong(format!("there is no picture {:?} among the {n} of the truth", names[1]))
        })?;
        let (width, height) = (sample.target.width, sample.target.height);
        let mask = one.mask(width, height).map_err(wrong)?;
        if masks.insert(sample.name.as_str(), mask).is_some() {
            return Err(wrong(format!("it is the second for picture {:?}", names[1])));
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
    /// A row at a place of its file.
    fn of(row: Value, place: &str) -> Result<Self, ScoreError> {
        const WHAT: &str = "masks or boxes of pictures";
        let wrong = |error: String| ScoreError::Json {
            expected: WHAT,
            message: format!("{place}: {error}"),
        };
        if row.get("sample_id").is_some() {
            let row: Evaluated = serde_json::from_value(row).map_err(|error| {
                wrong(format!("{error}; expected an answer with boxes, as the evaluator writes it"))
            })?;
            let boxes = row.predicted.iter().map(|one| one.bbox).collect();
            return Ok(Self { image: row.sample_id, shape: Shape::Boxes(boxes, Some(row.extent)) });
        }
        let row: Row = serde_json::from_value(row).map_err(|error| wrong(error.to_string()))?;
        let shape = match (row.mask, row.polygon, row.bbox) {
            (None, None, None) => Shape::Nothing,
            (Some(runs), None, None) => Shape::Runs(runs),
            (None, Some(Outlines::One(one)), None) => Shape::Outlines(vec![one]),
            (None, Some(Outlines::Many(many)), None) => Shape::Outlines(many),
            (None, None, Some(corners)) => Shape::Boxes(vec![corners], None),
            _ => return Err(wrong("expected one of mask, polygon and bbox".to_owned())),
        };
        Ok(Self { image: row.image, shape })
    }

    /// What the picture may be called, without folders: as it is written, and without ending. A name may have points in it.
    pub fn names(&self) -> [&str; 2] {
        let name = self.image.rsplit(['/', '\\']).next().unwrap_or(&self.image);
        [name, name.rsplit_once('.').map_or(name, |(stem, _)| stem)]
    }

    /// The boxes, in pixels of a picture of this size: for a program that makes masks of them.
    ///
    /// # Errors
    /// A mask or an outline.
    pub fn boxes(&self, width: usize, height: usize) -> Result<Vec<[f64; 4]>, String> {
        match &self.shape {
            Shape::Nothing => Ok(Vec::new()),
            Shape::Boxes(boxes, extent) => {
                let [x, y] = extent
                    .map_or([1.0, 1.0], |[wide, high]| [width as f64 / wide, height as f64 / high]);
                Ok(boxes.iter().map(|[x1, y1, x2, y2]| [x1 * x, y1 * y, x2 * x, y2 * y]).collect())
            }
            Shape::Runs(_) | Shape::Outlines(_) => {
                Err("it has a mask or an outline already, expected boxes".to_owned())
            }
        }
    }

    fn mask(&self, width: usize, height: usize) -> Result<Mask, String> {
        match &self.shape {
            Shape::Runs(Runs { size, counts }) => {
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
            Shape::Outlines(outlines) => {
                let mut whole = Mask::empty(width, height);
                outlines.iter().for_each(|one| whole.add(&Mask::polygon(width, height, one)));
                Ok(whole)
            }
            Shape::Nothing | Shape::Boxes(..) => {
                let mut whole = Mask::empty(width, height);
                for corners in self.boxes(width, height)? {
                    whole.add(&Mask::rectangle(width, height, corners));
                }
                Ok(whole)
            }
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(expected: &'static str, text: &'a str) -> Result<T, ScoreError> {
    serde_json::from_str(text)
        .map_err(|error| ScoreError::Json { expected, message: error.to_string() })
}
