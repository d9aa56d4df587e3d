//! A person's remark on a frame, as one JSON object.

use serde::{Deserialize, Serialize};

use crate::StreamError;

/// Characters of a bad remark that an error quotes.
const QUOTED_CHARS: usize = 80;

/// `{"frame_id": "12", "remark": {"rate": 4}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// The frame it is about.
    pub frame_id: String,
    /// What is said of it.
    pub remark: Remark,
    /// Name of the person.
    #[serde(default)]
    pub user: String,
    /// The right answer to a question about the frame, of whatever kind; what is learned from people alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<Right>,
    /// The answer of a policy that is remarked on; none where the remark is on the frame itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Remarked>,
}

/// An answer about a frame that a person has remarked on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remarked {
    /// What the answer is called.
    pub id: String,
    /// The boxes that were accepted with it, in thousandths of the frame; none of an answer that says something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<Vec<[f64; 4]>>,
}

/// A question about a frame, and what a person says is the right answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Right {
    /// The question as the policy was asked, in words.
    pub question: String,
    /// The answer in the form that the task asks for, with places in thousandths of the frame.
    pub answer: String,
}

/// What a person did: remarked on a frame's boxes, or on an answer about the frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// The answer is right; of a frame, its boxes are: those of an earlier edit, or the teacher's.
    Accept,
    /// The answer is wrong; of a frame, it is not to be asked about.
    Reject,
    /// From 1, wrong, to 5, right: how often the frame is asked about, unless somebody decides.
    Rate(u8),
    /// These are the boxes, in thousandths of the frame, whatever the teacher says.
    Edit(Vec<[f64; 4]>),
    /// These points are right in place of the answer, in thousandths of the frame.
    Points(Vec<[f64; 2]>),
    /// This text is right in place of the answer, as the person wrote it.
    Text(String),
    /// What people decided before is taken back: the frame is as if nobody had accepted, rejected or edited it.
    Retract,
}

/// What follows from a remark for the boxes of its frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect<'a> {
    /// The boxes that are known are right.
    Accepted,
    /// The frame is not to be asked about.
    RuledOut,
    /// So many stars.
    Rated(u8),
    /// These are the boxes.
    Boxes(&'a [[f64; 4]]),
    /// What people decided before does not count any more.
    TakenBack,
}

impl Feedback {
    /// Reads one remark.
    ///
    /// # Errors
    /// Text that is not one, stars outside 1 to 5, a box outside 0 to 1000 or without an inside.
    pub fn parse(text: &str) -> Result<Self, StreamError> {
        let bad = |why: String| StreamError::Feedback { text: quoted(text), why };
        let feedback: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        match &feedback.remark {
            Remark::Rate(stars) => check_stars(*stars).map_err(bad)?,
            Remark::Edit(boxes) => check_boxes(boxes).map_err(bad)?,
            Remark::Points(points) => check_points(points).map_err(bad)?,
            Remark::Accept | Remark::Reject | Remark::Retract | Remark::Text(_) => {}
        }
        if let Some(boxes) = feedback.answer.as_ref().and_then(|answer| answer.boxes.as_ref()) {
            check_boxes(boxes).map_err(bad)?;
        }
        let is_answer = matches!(feedback.remark, Remark::Points(_) | Remark::Text(_));
        if is_answer && feedback.answer.is_none() && feedback.right.is_none() {
            let why = "expected \"right\" with the question and the answer in the form of the task, or the \"answer\" \
                       that was corrected";
            return Err(bad(why.into()));
        }
        let is_blank = |right: &Right| right.question.trim().is_empty() || right.answer.is_empty();
        if feedback.right.as_ref().is_some_and(is_blank) {
            return Err(bad("expected \"right\" with a question and an answer".into()));
        }
        Ok(feedback)
    }

    /// What follows for the boxes of the frame. An answer that is rejected, or corrected by something else than boxes, takes
    /// back what was decided before; a frame that is rejected is ruled out.
    pub fn effect(&self) -> Effect<'_> {
        match (&self.remark, &self.answer) {
            (Remark::Rate(stars), _) => Effect::Rated(*stars),
            (Remark::Edit(boxes), _) => Effect::Boxes(boxes),
            (Remark::Accept, None) => Effect::Accepted,
            (Remark::Accept, Some(answer)) => {
                answer.boxes.as_deref().map_or(Effect::TakenBack, Effect::Boxes)
            }
            (Remark::Reject, None) => Effect::RuledOut,
            (Remark::Reject, Some(_))
            | (Remark::Points(_) | Remark::Text(_) | Remark::Retract, _) => Effect::TakenBack,
        }
    }
}

/// The start of a text, for errors.
pub(crate) fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}

pub(crate) fn check_stars(stars: u8) -> Result<(), String> {
    let is_fine = (1..=5).contains(&stars);
    if is_fine { Ok(()) } else { Err(format!("expected 1 to 5 stars, got {stars}")) }
}

pub(crate) fn check_boxes(boxes: &[[f64; 4]]) -> Result<(), String> {
    if boxes.iter().all(is_box) {
        return Ok(());
    }
    Err("expected boxes [x1, y1, x2, y2] with x1 < x2, y1 < y2, 0 to 1000".into())
}

pub(crate) fn check_points(points: &[[f64; 2]]) -> Result<(), String> {
    let is_inside = points.as_flattened().iter().all(|value| (0.0..=1000.0).contains(value));
    if is_inside { Ok(()) } else { Err("expected points [x, y], 0 to 1000".into()) }
}

fn is_box([x1, y1, x2, y2]: &[f64; 4]) -> bool {
    let inside = |value: &f64| (0.0..=1000.0).contains(value);
    [x1, y1, x2, y2].into_iter().all(inside) && x1.round() < x2.round() && y1.round() < y2.round()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(remark: &str, expected: Remark) {
        let text = format!("{{\"frame_id\": \"7\", \"remark\": {remark}}}");
        assert_eq!(Feedback::parse(&text).unwrap().remark, expected);
    }

    #[test]
    fn a_remark_on_an_answer_says_what_the_person_did_and_what_follows() {
        let read = |remark: &str, answer: &str| {
            let text =
                format!("{{\"frame_id\": \"7\", \"remark\": {remark}, \"answer\": {answer}}}");
            Feedback::parse(&text)
        };
        let boxes = [[1.0, 2.0, 30.0, 40.0]];
        let accepted = "{\"id\": \"a-1\", \"boxes\": [[1, 2, 30, 40]]}";
        let told = read("\"accept\"", accepted).unwrap();
        assert_eq!((&told.remark, told.effect()), (&Remark::Accept, Effect::Boxes(&boxes)));
        for remark in
            ["\"accept\"", "\"reject\"", "{\"text\": \"a cup\"}", "{\"points\": [[1, 2]]}"]
        {
            let told = read(remark, "{\"id\": \"a-1\"}").unwrap();
            assert_eq!(told.effect(), Effect::TakenBack, "{remark}");
        }
        let of_frame = |remark: &str| {
            Feedback::parse(&format!("{{\"frame_id\": \"7\", \"remark\": {remark}}}"))
        };
        assert_eq!(of_frame("\"accept\"").unwrap().effect(), Effect::Accepted);
        assert_eq!(of_frame("\"reject\"").unwrap().effect(), Effect::RuledOut);
        let error = of_frame("{\"text\": \"a cup\"}").unwrap_err().to_string();
        assert!(error.contains("\"right\" with the question"), "{error}");
        let flat = read("\"accept\"", "{\"id\": \"a-1\", \"boxes\": [[9, 2, 3, 4]]}");
        assert!(flat.unwrap_err().to_string().contains("x1 < x2"));
    }

    #[test]
    fn the_five_remarks() {
        check("\"accept\"", Remark::Accept);
        check("\"reject\"", Remark::Reject);
        check("\"retract\"", Remark::Retract);
        check("{\"rate\": 4}", Remark::Rate(4));
        check("{\"edit\": [[1, 2, 30, 40.5]]}", Remark::Edit(vec![[1.0, 2.0, 30.0, 40.5]]));
    }

    #[test]
    fn a_right_answer_stands_beside_the_remark() {
        let with = |right: &str| {
            Feedback::parse(&format!(
                "{{\"frame_id\": \"7\", \"remark\": \"retract\", \"right\": {right}}}"
            ))
        };
        let right = with("{\"question\": \"Which color?\", \"answer\": \"green\"}").unwrap().right;
        assert_eq!(right.map(|right| right.answer).as_deref(), Some("green"));
        let blank = with("{\"question\": \" \", \"answer\": \"green\"}").unwrap_err().to_string();
        assert!(blank.contains("a question and an answer"), "{blank}");
        assert!(with("{\"answer\": \"green\"}").is_err());
    }

    #[test]
    fn what_is_not_a_remark_is_quoted() {
        for text in
            ["", "null", "{\"frame_id\": \"7\"}", "{\"frame_id\": 7, \"remark\": \"accept\"}"]
        {
            let error = Feedback::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("feedback "), "{error}");
        }
        let stars =
            Feedback::parse("{\"frame_id\": \"7\", \"remark\": {\"rate\": 6}}").unwrap_err();
        assert!(stars.to_string().contains("expected 1 to 5 stars, got 6"), "{stars}");
        let flat = Feedback::parse("{\"frame_id\": \"7\", \"remark\": {\"edit\": [[9, 2, 3, 4]]}}");
        assert!(flat.unwrap_err().to_string().contains("x1 < x2"));
    }
}
