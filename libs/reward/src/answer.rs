//! The ground truth of a sample, parsed once when the data is loaded.

use config::TaskKind;

use crate::extract::extract_anywhere;
use crate::parse::{self, bbox, says_nothing};
use crate::value::Value;
use crate::{BBox, Flaw, RewardError, classification};

/// Characters of a bad answer that an error quotes.
const QUOTED_CHARS: usize = 80;

/// What a completion is checked against.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The true boxes; none where the right answer is "No Objects".
    Detection(Vec<BBox>),
    /// The true name.
    Classification(String),
}

impl Answer {
    /// Reads the `solution` of a sample, with or without answer tags around it.
    ///
    /// # Errors
    /// Text that is not wholly understood: what cannot be read must not be learned from.
    pub fn parse(solution: &str, task: TaskKind) -> Result<Self, RewardError> {
        let text = extract_anywhere(solution);
        match task {
            TaskKind::Detection => boxes(text).map(Answer::Detection),
            TaskKind::Classification => label(text).map(Answer::Classification),
        }
    }
}

fn boxes(text: &str) -> Result<Vec<BBox>, RewardError> {
    if says_nothing(text) {
        return Ok(Vec::new());
    }
    let objects: Vec<_> = parse::objects(text).collect();
    let opened = text.matches('{').count();
    if opened == 0 {
        return Err(RewardError::Unreadable { got: quote(text) });
    }
    if objects.len() != opened {
        return Err(RewardError::Partial { opened, read: objects.len(), got: quote(text) });
    }
    let boxes = objects.iter().map(true_box).enumerate();
    boxes.map(|(index, b)| b.map_err(|flaw| RewardError::Box { index, flaw })).collect()
}

/// A true box may come without a confidence, but not with one that no policy should learn to say.
fn true_box(object: &Value) -> Result<BBox, Flaw> {
    match object.get("Confidence") {
        Some(Value::Number(confidence)) if !(0.0..=1.0).contains(confidence) => {
            Err(Flaw::Confidence(*confidence))
        }
        _ => bbox(object),
    }
}

fn label(text: &str) -> Result<String, RewardError> {
    match classification::normalize(text).is_empty() {
        true => Err(RewardError::EmptyLabel { got: quote(text) }),
        false => Ok(text.to_owned()),
    }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(solution: &str, expect: Result<usize, RewardError>) {
        let answer = Answer::parse(solution, TaskKind::Detection);
        let n_boxes = answer.map(|answer| match answer {
            Answer::Detection(boxes) => boxes.len(),
            Answer::Classification(label) => panic!("{label}"),
        });
        assert_eq!(n_boxes, expect);
    }

    #[test]
    fn as_the_datasets_have_it() {
        check("<answer>[{'Position': [1, 364, 98, 649], 'Confidence': 1}]</answer>", Ok(1));
        check("<answer>No Objects</answer>", Ok(0));
    }
    #[test]
    fn without_tags_or_confidence() {
        check("[{'Position': [1, 2, 3, 4]}, {'Position': [5, 6, 7, 8]}]", Ok(2));
    }
    #[test]
    fn a_bad_box_is_named() {
        check(
            "[{'Position': [1, 2, 3, 4]}, {'Position': [9, 2, 3, 4]}]",
            Err(RewardError::Box { index: 1, flaw: Flaw::Width { x1: 9.0, x2: 3.0 } }),
        );
    }
    #[test]
    fn a_cut_list_is_refused() {
        let got = "[{'Position': [1, 2, 3, 4]}, {'Position': [9, 2".to_owned();
        check(&got.clone(), Err(RewardError::Partial { opened: 2, read: 1, got }));
    }
    #[test]
    fn other_text_is_refused() {
        check("a cat", Err(RewardError::Unreadable { got: "a cat".into() }));
    }
    #[test]
    fn a_name() {
        let parse = |solution| Answer::parse(solution, TaskKind::Classification);
        assert_eq!(parse("<answer>737-200</answer>"), Ok(Answer::Classification("737-200".into())));
        assert_eq!(parse("<answer> </answer>"), Err(RewardError::EmptyLabel { got: "".into() }));
    }
    #[test]
    fn errors_say_where_and_what() {
        let error =
            Answer::parse("[{'Position': [1, 2, 3, 4000]}]", TaskKind::Detection).unwrap_err();
        assert_eq!(
            error.to_string(),
            "box 0 of the true answer: expected coordinates between 0 and 1000, got 4000"
        );
    }
}
