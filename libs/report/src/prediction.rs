//! One line of `predictions-<label>.jsonl`: an answer to a held-out sample beside the truth.

use serde::Deserialize;
use serde_json::Value;

/// What a policy said about a sample. `truth` and `predicted` are boxes or, for classification, a name.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) sample_id: String,
    /// Number of the sample in the held-out data; names may be equal.
    #[serde(default)]
    sample: Option<usize>,
    #[serde(default)]
    pub(crate) completion: String,
    #[serde(default)]
    truth: Value,
    #[serde(default)]
    predicted: Value,
    #[serde(default)]
    pub(crate) iou: Option<f64>,
    #[serde(default)]
    score: Option<f64>,
}

/// Corners in 0..1000 of the image and, for a predicted box, the policy's confidence.
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
        self.score.or(self.iou).filter(|score| score.is_finite()).or_else(named)
    }

    /// Whether the answer is a name.
    pub(crate) fn is_name(&self) -> bool {
        self.truth.is_string()
    }

    /// True boxes.
    pub(crate) fn true_boxes(&self) -> Vec<Corners> {
        boxes(&self.truth)
    }

    /// Predicted boxes.
    pub(crate) fn predicted_boxes(&self) -> Vec<Corners> {
        boxes(&self.predicted)
    }

    /// True name.
    pub(crate) fn true_name(&self) -> &str {
        self.truth.as_str().unwrap_or("")
    }

    /// Predicted name.
    pub(crate) fn predicted_name(&self) -> &str {
        self.predicted.as_str().unwrap_or("no answer")
    }
}

fn boxes(value: &Value) -> Vec<Corners> {
    value.as_array().into_iter().flatten().filter_map(corners).collect()
}

/// `[x1, y1, x2, y2]` or `{"bbox": [...], "confidence": ...}`; a box outside the image is cut at its edge.
fn corners(value: &Value) -> Option<Corners> {
    let numbers = value.get("bbox").unwrap_or(value).as_array()?;
    let at = |i: usize| numbers.get(i).and_then(Value::as_f64).map(|x| x.clamp(0.0, 1000.0));
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
