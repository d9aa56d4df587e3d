//! The ground truth of a sample, read once when the data is loaded.

use crate::config::{AnswerConfig, AnswerType};

use crate::extract::extract_anywhere;
use crate::instructions::example;
use crate::label::normalize;
use crate::tolerant::{objects, read};
use crate::value::Value;
use crate::{Answer, Items, RewardError};

/// Characters of a bad answer that an error quotes.
const QUOTED_CHARS: usize = 80;

/// What a completion is checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The right answer.
    pub answer: Answer,
    /// As the data has it.
    pub solution: String,
}

/// Reads the `solution` of a sample, with or without answer tags around it.
///
/// # Errors
/// Text that is not wholly understood: what cannot be read must not be learned from.
pub fn read_truth(solution: &str, answer: &AnswerConfig) -> Result<Answer, RewardError> {
    let text = extract_anywhere(solution);
    if answer.kind == AnswerType::Label && normalize(text).is_empty() {
        return Err(RewardError::EmptyLabel { got: quote(text) });
    }
    let truth = read(text, answer, true)
        .ok_or_else(|| RewardError::Unreadable { expected: expected(answer), got: quote(text) })?;
    if let Answer::Items(items) = &truth {
        check_items(items, text, answer)?;
    }
    Ok(truth)
}

fn check_items(items: &Items, text: &str, answer: &AnswerConfig) -> Result<(), RewardError> {
    if let Some(&flaw) = items.flaws.first() {
        let index = objects(text).count().min(items.valid.len());
        return Err(RewardError::Item { index, flaw });
    }
    let opened = text.matches('{').count();
    let read: usize = objects(text).map(|object| n_objects(&object)).sum();
    if opened != read {
        return Err(RewardError::Partial { opened, read, got: quote(text) });
    }
    let one = matches!(answer.kind, AnswerType::Box | AnswerType::Mask | AnswerType::Interval);
    if one && items.len() != 1 {
        return Err(RewardError::NotOne(items.len()));
    }
    if answer.kind == AnswerType::Json && items.target.is_none() {
        return Err(RewardError::Unreadable { expected: expected(answer), got: quote(text) });
    }
    Ok(())
}

fn n_objects(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            1 + fields.iter().map(|(_, inner)| n_objects(inner)).sum::<usize>()
        }
        Value::List(items) => items.iter().map(n_objects).sum(),
        _ => 0,
    }
}

fn expected(answer: &AnswerConfig) -> String {
    match answer.nothing.is_empty() {
        true => example(answer),
        false => format!("{} or {:?}", example(answer), answer.nothing),
    }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{AnswerConfig, RewardConfig};

    use super::*;
    use crate::Flaw;

    #[track_caller]
    fn check(solution: &str, expect: Result<usize, RewardError>) {
        let answer = read_truth(solution, &RewardConfig::default().answer);
        assert_eq!(answer.map(|answer| answer.n_items()), expect);
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
            Err(RewardError::Item { index: 1, flaw: Flaw::Width { x1: 9.0, x2: 3.0 } }),
        );
    }
    #[test]
    fn a_cut_list_is_refused() {
        let got = "[{'Position': [1, 2, 3, 4]}, {'Position': [9, 2".to_owned();
        check(&got.clone(), Err(RewardError::Partial { opened: 2, read: 1, got }));
    }
    #[test]
    fn other_text_is_refused() {
        let error = read_truth("a cat", &RewardConfig::default().answer).unwrap_err().to_string();
        assert_eq!(
            error,
            "expected [{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...] or \"No Objects\" \
             as the true answer, got \"a cat\""
        );
    }
    #[test]
    fn a_name() {
        let answer = AnswerConfig { kind: AnswerType::Label, ..AnswerConfig::default() };
        let parse = |solution| read_truth(solution, &answer);
        assert_eq!(parse("<answer>737-200</answer>"), Ok(Answer::Words("737-200".into())));
        assert_eq!(parse("<answer> </answer>"), Err(RewardError::EmptyLabel { got: "".into() }));
    }
    #[test]
    fn one_box_is_one() {
        let answer = AnswerConfig { kind: AnswerType::Box, ..AnswerConfig::default() };
        assert!(read_truth("(1,2),(3,4)", &answer).is_ok());
        assert_eq!(read_truth("(1,2),(3,4),(1,2),(5,6)", &answer), Err(RewardError::NotOne(2)));
    }
    #[test]
    fn errors_say_where_and_what() {
        let answer = RewardConfig::default().answer;
        let error = read_truth("[{'Position': [1, 2, 3, 4000]}]", &answer).unwrap_err();
        assert_eq!(
            error.to_string(),
            "item 0 of the true answer: expected coordinates between 0 and 1000, got 4000"
        );
    }
}
