//! One line of `predictions-<label>.jsonl`: an answer to a held-out sample beside the truth.

use serde::Deserialize;
use serde_json::Value;
use vrft_score::detection::Question;

/// Where the axes of a drawing end.
const THOUSANDTHS: f64 = 1000.0;

/// What a policy said about a sample. `truth` and `predicted` are boxes or, for classification, a name.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) sample_id: String,
    /// Number of the sample in the held-out data; names may be equal.
    #[serde(default)]
    sample: Option<usize>,
    /// What was asked; empty in the files of earlier versions.
    #[serde(default)]
    pub(crate) question: String,
    #[serde(default)]
    pub(crate) completion: String,
    /// The turns before, where it spoke in several.
    #[serde(default)]
    pub(crate) turns: Vec<Turn>,
    #[serde(default)]
    truth: Value,
    #[serde(default)]
    predicted: Value,
    #[serde(default)]
    iou: Option<f64>,
    #[serde(default)]
    score: Option<f64>,
    /// Width and height of the whole picture in the coordinates of the boxes; thousandths where nothing is said.
    #[serde(default)]
    extent: Option<[f64; 2]>,
    /// What average precision counts of it.
    #[serde(default)]
    pub(crate) counted: Option<Question>,
}

/// A turn of the policy and what was replied.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Turn {
    pub(crate) said: String,
    /// The tool that was called, if one was.
    pub(crate) tool: Option<String>,
    pub(crate) reply: String,
    /// Files in `images/` that the policy was shown.
    pub(crate) pictures: Vec<String>,
}

/// Corners in thousandths of the picture's width and height and, for a predicted box, the policy's confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Corners {
    pub(crate) x1: f64,
    pub(crate) y1: f64,
    pub(crate) x2: f64,
    pub(crate) y2: f64,
    pub(crate) confidence: Option<f64>,
}

impl Prediction {
    /// What tells its sample from others: the number, or the name where a file has no numbers.
    pub(crate) fn key(&self) -> String {
        self.sample.map_or_else(|| self.sample_id.clone(), |number| number.to_string())
    }

    /// The file of its picture in `images/`, without the extension.
    pub(crate) fn picture(&self) -> Option<String> {
        self.sample.map(|number| format!("{number:04}"))
    }

    /// How right the answer is, in 0..1: as the evaluator scored it, the IoU, or 1 for the true name and 0 for another.
    pub(crate) fn score(&self) -> Option<f64> {
        let named = || match (&self.truth, &self.predicted) {
            (Value::String(truth), Value::String(predicted)) => {
                Some(f64::from(u8::from(truth == predicted)))
            }
            (Value::String(_), Value::Null) => Some(0.0),
            _ => None,
        };
        self.score.or(self.iou()).filter(|score| score.is_finite()).or_else(named)
    }

    /// The mean IoU of the true boxes with the best predicted ones; `None` where there is nothing to be found.
    pub(crate) fn iou(&self) -> Option<f64> {
        // Files of earlier versions have a 0 there.
        self.iou.filter(|_| !self.is_nothing())
    }

    /// Whether the true answer is that there is nothing to be found.
    pub(crate) fn is_nothing(&self) -> bool {
        self.truth.as_array().is_some_and(Vec::is_empty)
    }

    /// Whether the answer is a name.
    pub(crate) fn is_name(&self) -> bool {
        self.truth.is_string()
    }

    /// The true boxes of the sample.
    pub(crate) fn true_boxes(&self) -> Vec<Corners> {
        self.boxes(&self.truth)
    }

    /// The boxes that the policy predicted.
    pub(crate) fn predicted_boxes(&self) -> Vec<Corners> {
        self.boxes(&self.predicted)
    }

    /// The true name of the sample.
    pub(crate) fn true_name(&self) -> &str {
        self.truth.as_str().unwrap_or("")
    }

    /// The name that the policy predicted.
    pub(crate) fn predicted_name(&self) -> &str {
        self.predicted.as_str().unwrap_or("no answer")
    }

    fn boxes(&self, value: &Value) -> Vec<Corners> {
        let is_size = |extent: &[f64; 2]| extent.iter().all(|side| *side > 0.0);
        let extent = self.extent.filter(is_size).unwrap_or([THOUSANDTHS; 2]);
        value.as_array().into_iter().flatten().filter_map(|one| corners(one, extent)).collect()
    }
}

/// `[x1, y1, x2, y2]` or `{"bbox": [...], "confidence": ...}` in a picture that ends at `extent`, in thousandths of it;
/// a box outside the picture is cut at its edge.
fn corners(value: &Value, extent: [f64; 2]) -> Option<Corners> {
    let numbers = value.get("bbox").unwrap_or(value).as_array()?;
    let at = |i: usize| {
        let number = numbers.get(i).and_then(Value::as_f64)?;
        Some((number * THOUSANDTHS / extent[i % 2]).clamp(0.0, THOUSANDTHS))
    };
    let (x1, y1, x2, y2) = (at(0)?, at(1)?, at(2)?, at(3)?);
    let confidence = value.get("confidence").and_then(Value::as_f64);
    Some(Corners { x1: x1.min(x2), y1: y1.min(y2), x2: x1.max(x2), y2: y1.max(y2), confidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Prediction {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn boxes_are_cut_at_the_edge_of_the_image() {
        let prediction = parse(
            r#"{"sample_id":"a","truth":[[1,2,3,4]],"predicted":[{"bbox":[900,-5,1200,50],"confidence":0.9},{"bbox":["x"]}]}"#,
        );
        let boxes = prediction.predicted_boxes();
        assert_eq!(boxes.len(), 1);
        assert_eq!((boxes[0].x2, boxes[0].y1, boxes[0].confidence), (1000.0, 0.0, Some(0.9)));
        assert_eq!(prediction.score(), None);
    }

    #[test]
    fn boxes_in_pixels_are_drawn_where_they_are_in_the_picture() {
        let line = |extent: &str, truth: &str| {
            let line = format!(r#"{{"sample_id":"a","extent":{extent},"truth":[{truth}]}}"#);
            let corners = parse(&line).true_boxes()[0];
            [corners.x1, corners.y1, corners.x2, corners.y2]
        };
        assert_eq!(line("[200,100]", "[20,20,120,40]"), [100.0, 200.0, 600.0, 400.0]);
        assert_eq!(line("[1,1]", "[0.25,0.5,0.75,2]"), [250.0, 500.0, 750.0, 1000.0]);
        // A file of an earlier run says nothing, and what is no size is not divided by.
        for extent in ["null", "[0,0]"] {
            assert_eq!(line(extent, "[1,2,3,4]"), [1.0, 2.0, 3.0, 4.0]);
        }
    }

    #[test]
    fn where_there_is_nothing_to_be_found_no_overlap_is_missed() {
        let iou = |truth: &str| {
            parse(&format!(r#"{{"sample_id":"a","iou":0.0,"truth":{truth},"predicted":[]}}"#)).iou()
        };
        assert_eq!(iou("[[1,2,3,4]]"), Some(0.0));
        assert_eq!(iou("[]"), None);
    }

    #[test]
    fn a_name_is_right_or_wrong() {
        let score = |predicted: &str| {
            let line = format!(r#"{{"sample_id":"a","truth":"cat","predicted":{predicted}}}"#);
            parse(&line).score()
        };
        assert_eq!(
            [score("\"cat\""), score("\"dog\""), score("null")],
            [Some(1.0), Some(0.0), Some(0.0)]
        );
    }
}
