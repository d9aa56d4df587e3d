//! Average precision over all questions, as COCO defines it: for each category, then the mean over the categories.

use vrft_reward::same_label;
use vrft_score::ScoreError;
use vrft_score::detection::{FoundBox, Question, Summary, TrueBox, of_questions};

/// Gathers predictions and truth, question by question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Precision {
    categories: Vec<String>,
    questions: Vec<Question>,
}

impl Precision {
    /// Begins the next question. Until something else is known, each is about a picture of its own.
    pub(crate) fn begin(&mut self) {
        self.questions.push(Question { picture: self.questions.len(), ..Question::default() });
    }

    /// Adds a true box of the present question: x, y, width, height, the area of the object in pixels, and whether it stands for
    /// many objects.
    pub(crate) fn add_truth(&mut self, category: &str, bbox: [f64; 4], area: f64, crowd: bool) {
        let category = self.category(category);
        self.present().truth.push(TrueBox { category, bbox, area, crowd });
    }

    /// Adds a predicted box of the present question: x, y, width, height.
    pub(crate) fn add_prediction(&mut self, category: &str, bbox: [f64; 4], score: f64) {
        let category = self.category(category);
        self.present().found.push(FoundBox { category, bbox, score });
    }

    /// All questions, in the order in which they were begun.
    pub(crate) fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// COCO's numbers.
    ///
    /// # Errors
    /// None that can occur: the ids are unique and of what was added.
    pub(crate) fn summary(&self) -> Result<Summary, ScoreError> {
        Ok(of_questions(&self.questions)?.summary())
    }

    fn present(&mut self) -> &mut Question {
        if self.questions.is_empty() {
            self.begin();
        }
        self.questions.last_mut().expect("one was begun")
    }

    /// What a category is called here: as it was called first.
    fn category(&mut self, name: &str) -> String {
        // No name is like no other name, but for itself.
        let is_same = |known: &&String| *known == name || same_label(known, name);
        if let Some(known) = self.categories.iter().find(is_same) {
            return known.clone();
        }
        self.categories.push(name.to_owned());
        name.to_owned()
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
                    precision.add_truth(name, bbox(row), area, crowd);
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
        for _ in 0..9 {
            precision.begin();
            precision.add_truth("cat", square, 100.0, false);
            precision.add_prediction("Cat", square, 0.9);
        }
        precision.begin();
        precision.add_truth("dog", square, 100.0, false);
        assert_eq!(precision.summary().unwrap().get("AP50"), Some(0.5));
    }
}
