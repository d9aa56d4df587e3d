//! Average precision over all questions, as COCO defines it: for each category, then the mean over the categories.

use vrft_reward::same_label;
use vrft_score::ScoreError;
use vrft_score::detection::{
    Annotation, Category, Evaluation, Id, Image, Prediction, Protocol, Summary, Truth,
};

/// Gathers predictions and truth, question by question. Each question counts as an image of its own, which changes
/// nothing: predictions are compared with the true boxes of one category in one image, and that is what is asked about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Precision {
    categories: Vec<String>,
    n_images: i64,
    annotations: Vec<Annotation>,
    predictions: Vec<Prediction>,
}

/// A true box: x, y, width, height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TrueBox {
    pub(crate) bbox: [f64; 4],
    /// Of the object in pixels, by which it is small, medium or large.
    pub(crate) area: f64,
    /// It stands for many objects: it may be found often and need not be.
    pub(crate) crowd: bool,
}

impl Precision {
    /// Begins the next question.
    pub(crate) fn begin(&mut self) {
        self.n_images += 1;
    }

    /// Adds a true box of the present question.
    pub(crate) fn add_truth(&mut self, category: &str, truth: TrueBox) {
        let category = self.category(category);
        let TrueBox { bbox, area, crowd } = truth;
        self.annotations.push(Annotation {
            // Not 0: pycocotools takes a match with that for none.
            id: Id::Number(self.annotations.len() as i64 + 1),
            image: Id::Number(self.n_images),
            category,
            bbox,
            area,
            crowd,
            ignore: false,
        });
    }

    /// Adds a predicted box of the present question: x, y, width, height.
    pub(crate) fn add_prediction(&mut self, category: &str, bbox: [f64; 4], score: f64) {
        let category = self.category(category);
        let image = Id::Number(self.n_images);
        self.predictions.push(Prediction { image, category, bbox, score });
    }

    /// COCO's numbers.
    ///
    /// # Errors
    /// None that can occur: the ids are unique and of what was added.
    pub(crate) fn summary(&self) -> Result<Summary, ScoreError> {
        let image =
            |id| Image { id: Id::Number(id), negative: Vec::new(), not_exhaustive: Vec::new() };
        let category = |(id, name): (i64, &String)| Category {
            id: Id::Number(id),
            name: name.clone(),
            frequency: None,
        };
        let truth = Truth {
            images: (1..=self.n_images).map(image).collect(),
            categories: (0..).zip(&self.categories).map(category).collect(),
            annotations: self.annotations.clone(),
        };
        Ok(Evaluation::new(&truth, &self.predictions, Protocol::Coco)?.summary())
    }

    fn category(&mut self, name: &str) -> Id {
        // No name is like no other name, but for itself.
        let is_same = |known: &String| known == name || same_label(known, name);
        let known = self.categories.iter().position(is_same);
        let number = known.unwrap_or_else(|| {
            self.categories.push(name.to_owned());
            self.categories.len() - 1
        });
        Id::Number(number as i64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn bbox(value: &Value) -> [f64; 4] {
        serde_json::from_value(value["bbox"].clone()).unwrap()
    }

    /// Asks about every category on every image, as a data set with negatives does.
    fn ask(case: &Value) -> Summary {
        let truth = &case["truth"];
        let mut precision = Precision::default();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let mut images = list(&truth["images"]);
        images.sort_by_key(|image| image["id"].as_i64());
        for image in images {
            for category in list(&truth["categories"]) {
                precision.begin();
                let is_here = |row: &&Value| {
                    row["image_id"] == image["id"] && row["category_id"] == category["id"]
                };
                let name = category["name"].as_str().unwrap();
                for row in list(&truth["annotations"]).iter().filter(is_here) {
                    let area = row["area"].as_f64().unwrap();
                    let crowd = row["iscrowd"] == 1;
                    precision.add_truth(name, TrueBox { bbox: bbox(row), area, crowd });
                }
                for row in list(&case["predictions"]).iter().filter(is_here) {
                    precision.add_prediction(name, bbox(row), row["score"].as_f64().unwrap());
                }
            }
        }
        precision.summary().unwrap()
    }

    #[test]
    fn categories_crowds_and_areas_count_as_pycocotools_has_them() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../../score/tests/detection.json")).unwrap();
        let is_coco = |case: &&Value| {
            let annotations = case["truth"]["annotations"].as_array().unwrap();
            let is_plain = |row: &Value| row["id"] != 0 && row["area"].is_number();
            case["protocol"] == "coco" && annotations.iter().all(is_plain)
        };
        let mut n_cases = 0;
        for case in cases.iter().filter(is_coco) {
            let expected: BTreeMap<String, f64> =
                serde_json::from_value(case["expected"].clone()).unwrap();
            let summary = ask(case);
            for name in ["AP", "AP50", "AP75", "APs", "APm", "APl"] {
                let got = summary.get(name).unwrap_or(-1.0);
                let expected = expected[name];
                assert!((got - expected).abs() < 1e-9, "{name} is {got}, not {expected}");
            }
            n_cases += 1;
        }
        assert!(n_cases >= 20, "{n_cases} cases");
    }

    #[test]
    fn a_rare_category_weighs_as_much_as_a_common_one() {
        let mut precision = Precision::default();
        let square = [0.0, 0.0, 10.0, 10.0];
        let truth = TrueBox { bbox: square, area: 100.0, crowd: false };
        for _ in 0..9 {
            precision.begin();
            precision.add_truth("cat", truth);
            precision.add_prediction("Cat", square, 0.9);
        }
        precision.begin();
        precision.add_truth("dog", truth);
        assert_eq!(precision.summary().unwrap().get("AP50"), Some(0.5));
    }
}
