//! What people say of answers, and what follows from it for a loader: the answers that can still be remarked on.

use std::collections::VecDeque;

use vrft_answer::{Answered, Found, Place, Reading, Truths};
use vrft_stream::{AnswerRemark, Feedback, Right, Said};

/// Answers that can still be remarked on.
const REMEMBERED: usize = 512;

/// The newest answers, and how what is right about them is written.
pub(crate) struct Remarks {
    truths: Truths,
    remembered: VecDeque<Remembered>,
}

/// An answer that can still be remarked on.
pub(crate) struct Remembered {
    pub(crate) answer_id: String,
    /// The frame that it is about, if that has a name.
    pub(crate) frame_id: Option<String>,
    /// What was asked, where the question and one frame were all that the policy was given.
    pub(crate) question: Option<String>,
    /// In thousandths of the frame; `None` of an answer that says something else than boxes.
    pub(crate) boxes: Option<Vec<[f64; 4]>>,
    pub(crate) answered: Answered,
}

impl Remarks {
    pub(crate) fn new(truths: Truths) -> Self {
        Self { truths, remembered: VecDeque::new() }
    }

    /// An answer that can be remarked on from now on.
    pub(crate) fn remember(&mut self, answer: Remembered) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(answer);
    }

    /// What a loader is told because of a remark, if anything, and what is wrong with the remark.
    pub(crate) fn follow(&self, remark: &AnswerRemark) -> (Option<Feedback>, Result<(), String>) {
        let id = &remark.answer_id;
        let wrong = |why: String| (None, Err(format!("answer {id:?} {why}")));
        let Some(about) = self.remembered.iter().find(|about| about.answer_id == *id) else {
            return wrong(format!("is none of the last {REMEMBERED}"));
        };
        let Some(frame_id) = &about.frame_id else {
            let why = "is about a frame without a frame_id, which no loader can tell from others";
            return wrong(why.to_owned());
        };
        let right = self.right(&remark.remark, about);
        let has_right = matches!(right, Ok(Some(_)));
        if remark.remark == Said::Accept && about.boxes.is_none() && !has_right {
            let why = if about.answered.reading == Reading::Unread {
                "could not be read, so that nothing in it can be accepted: tell what is right"
            } else {
                "says nothing that a loader learns from: it is written down alone"
            };
            return wrong(why.to_owned());
        }
        let said_otherwise = matches!(remark.remark, Said::Text(_) | Said::Points(_));
        let taken = match &right {
            Err(why) if said_otherwise => {
                Err(format!("what is said instead of answer {id:?} cannot be learned: {why}"))
            }
            _ => Ok(()),
        };
        let right = right.ok().flatten();
        (remark.of_frame(frame_id, about.boxes.as_deref(), right), taken)
    }

    /// The question that was answered with the answer that is right, if the remark says one.
    fn right(&self, said: &Said, about: &Remembered) -> Result<Option<Right>, String> {
        let unlabelled = |n| std::iter::repeat_n(String::new(), n);
        let answer = match said {
            Said::Accept => self.truths.of_answer(&about.answered)?,
            Said::Text(text) => self.truths.of_text(text, &about.answered)?,
            Said::Edit(boxes) => {
                let boxes: Vec<_> = boxes.iter().copied().zip(unlabelled(boxes.len())).collect();
                self.truths.of_boxes(&boxes)?
            }
            Said::Points(points) => {
                let points: Vec<_> = points.iter().copied().zip(unlabelled(points.len())).collect();
                self.truths.of_points(&points)?
            }
            Said::Reject | Said::Rate(_) => return Ok(None),
        };
        let question = about.question.clone();
        Ok(question.map(|question| Right { question, answer }))
    }
}

/// What an answer says is in a frame of this size, in thousandths of that; `None` where it says that in another way than
/// by boxes, or where nothing of it lies in the frame.
pub(crate) fn said_in_boxes(
    reading: Reading,
    found: &[Found],
    (width, height): (u32, u32),
) -> Option<Vec<[f64; 4]>> {
    let sides = [width, height, width, height].map(|side| f64::from(side.max(1)));
    let scaled = |one: &Found| match one.place {
        Place::Box(corners) => Some(std::array::from_fn(|n| corners[n] / sides[n] * 1000.0)),
        Place::Point(_) => None,
    };
    match reading {
        Reading::Nothing => Some(Vec::new()),
        Reading::Something if !found.is_empty() => found.iter().map(scaled).collect(),
        _ => None,
    }
}
