//! A remark on a live answer, as one JSON object.

use serde::{Deserialize, Serialize};

use crate::feedback::{check_boxes, check_points, check_stars, quoted};
use crate::{Feedback, Remark, Remarked, Right, StreamError};

/// `{"answer_id": "18c-12", "remark": "accept"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRemark {
    /// The answer it is about.
    pub answer_id: String,
    /// What is said of it.
    pub remark: Said,
    /// The person or program that says it.
    #[serde(default)]
    pub user: String,
}

/// What can be said of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The answer is right.
    Accept,
    /// It is wrong; what would be right is not said.
    Reject,
    /// From 1, wrong, to 5, right.
    Rate(u8),
    /// These boxes are right, in thousandths of the frame.
    Edit(Vec<[f64; 4]>),
    /// These points are right, in thousandths of the frame.
    Points(Vec<[f64; 2]>),
    /// This text is right; places in it count what those of the answer do.
    Text(String),
}

impl AnswerRemark {
    /// Reads one remark.
    ///
    /// # Errors
    /// Text that is not one, stars outside 1 to 5, a place outside 0 to 1000, a box without an inside, a text without words.
    pub fn parse(text: &str) -> Result<Self, StreamError> {
        let bad = |why: String| StreamError::Feedback { text: quoted(text), why };
        let remark: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        match &remark.remark {
            Said::Rate(stars) => check_stars(*stars).map_err(bad)?,
            Said::Text(text) if text.trim().is_empty() => {
                return Err(bad("expected a text with words".into()));
            }
            Said::Edit(boxes) => check_boxes(boxes).map_err(bad)?,
            Said::Points(points) => check_points(points).map_err(bad)?,
            Said::Accept | Said::Reject | Said::Text(_) => {}
        }
        Ok(remark)
    }

    /// What a loader is told of the frame that was answered about: what the person did, and what answer is `right`, if the
    /// remark says that. `None` where it decides nothing. `boxes` are those of the answer, in thousandths of the frame;
    /// `None` for an answer of which no boxes follow.
    pub fn of_frame(
        &self,
        frame_id: &str,
        boxes: Option<&[[f64; 4]]>,
        right: Option<Right>,
    ) -> Option<Feedback> {
        let remark = match &self.remark {
            Said::Accept if boxes.is_none() && right.is_none() => return None,
            Said::Accept => Remark::Accept,
            Said::Reject => Remark::Reject,
            Said::Edit(edited) => Remark::Edit(edited.clone()),
            Said::Points(points) => Remark::Points(points.clone()),
            Said::Text(text) => Remark::Text(text.clone()),
            Said::Rate(_) => return None,
        };
        let accepted = boxes.filter(|_| remark == Remark::Accept).map(<[_]>::to_vec);
        let answer = Some(Remarked { id: self.answer_id.clone(), boxes: accepted });
        let (frame_id, user) = (frame_id.to_owned(), self.user.clone());
        Some(Feedback { frame_id, remark, user, right, answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effect;

    fn parse(remark: &str) -> Result<AnswerRemark, StreamError> {
        AnswerRemark::parse(&format!("{{\"answer_id\": \"a-1\", \"remark\": {remark}}}"))
    }

    #[test]
    fn accepted_and_edited_boxes_are_the_truth_about_the_frame() {
        let boxes = [[1.0, 2.0, 30.0, 40.0]];
        let of_frame = |remark: &str| parse(remark).unwrap().of_frame("7", Some(&boxes), None);
        let accepted = of_frame("\"accept\"").unwrap();
        assert_eq!((&accepted.remark, accepted.effect()), (&Remark::Accept, Effect::Boxes(&boxes)));
        assert_eq!(accepted.answer.unwrap().id, "a-1");
        let edited = of_frame("{\"edit\": [[5, 6, 70, 80]]}").unwrap();
        assert_eq!(edited.remark, Remark::Edit(vec![[5.0, 6.0, 70.0, 80.0]]));
        assert_eq!(parse("\"accept\"").unwrap().of_frame("7", None, None), None, "it has no boxes");
        let right = Right { question: "Which color?".into(), answer: "green".into() };
        let told = parse("\"accept\"").unwrap().of_frame("7", None, Some(right.clone())).unwrap();
        assert_eq!((&told.remark, told.effect()), (&Remark::Accept, Effect::TakenBack));
        assert_eq!(told.right, Some(right));
        assert_eq!(of_frame("{\"rate\": 1}"), None);
    }

    #[test]
    fn the_last_word_on_a_frame_takes_back_the_one_before() {
        for (remark, did) in [
            ("\"reject\"", Remark::Reject),
            ("{\"points\": [[1, 2]]}", Remark::Points(vec![[1.0, 2.0]])),
            ("{\"text\": \"a cup\"}", Remark::Text("a cup".into())),
        ] {
            let told = parse(remark).unwrap().of_frame("7", Some(&[[1.0, 2.0, 30.0, 40.0]]), None);
            let told = told.unwrap();
            assert_eq!((&told.remark, told.effect()), (&did, Effect::TakenBack), "{remark}");
        }
    }

    #[test]
    fn what_a_loader_is_told_is_what_it_reads() {
        let told = parse("\"accept\"")
            .unwrap()
            .of_frame("7", Some(&[[1.0, 2.0, 30.0, 40.0]]), None)
            .unwrap();
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(Feedback::parse(&text).unwrap(), told);
    }

    #[test]
    fn what_is_not_a_remark_is_refused() {
        for remark in [
            "\"maybe\"",
            "{\"rate\": 0}",
            "{\"edit\": [[9, 2, 3, 4]]}",
            "{\"text\": \" \"}",
            "{\"points\": [[1, 1001]]}",
        ] {
            assert!(parse(remark).unwrap_err().to_string().starts_with("feedback "), "{remark}");
        }
    }
}
