//! What others say about a frame: a detector's boxes, and a person's remarks on them.

use std::collections::{BTreeMap, VecDeque};

use vrft_reward::visual_rft_question;

use crate::{Effect, Feedback, Right};

/// A box in thousandths of the frame: x1, y1, x2, y2.
type Box4 = [f64; 4];

/// All that is known of one frame: a teacher's boxes, and what people said of them.
///
/// A person outranks any teacher: corrected boxes replace the teacher's, and a rejected frame is not asked about. Stars
/// decide nothing by themselves; they say how often the teacher is believed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Label {
    teacher: Option<Vec<Box4>>,
    edited: Option<Vec<Box4>>,
    decision: Option<Decision>,
    right: Option<Right>,
    n_ratings: u32,
    sum_of_ratings: f64,
}

/// What a person decided last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// The boxes are right: the edited ones, or the teacher's.
    Accepted,
    /// The frame should not be asked about.
    Rejected,
}

impl Label {
    /// The weight of the stars against the teacher: n / (n + 2) after n ratings.
    pub fn rho(&self) -> f64 {
        f64::from(self.n_ratings) / f64::from(self.n_ratings + 2)
    }

    /// The boxes to ask for, or that the frame should not be asked about.
    ///
    /// `coin` and `second`, even in [0, 1), decide where there are ratings alone: with a chance of [`Label::rho`] the
    /// frame is asked about as often as its stars say, from never at one star to always at five.
    pub fn truth(&self, coin: f64, second: f64) -> Option<&[Box4]> {
        match (self.decision, &self.edited, &self.teacher) {
            (Some(Decision::Rejected), _, _) => None,
            (_, Some(edited), _) => Some(edited),
            (Some(Decision::Accepted), None, teacher) => teacher.as_deref(),
            (None, None, teacher) => {
                let approval = self.sum_of_ratings / f64::from(self.n_ratings.max(1));
                let is_asked = coin >= self.rho() || second < approval;
                teacher.as_deref().filter(|_| is_asked)
            }
        }
    }

    /// Whether a person ruled the frame out.
    fn is_rejected(&self) -> bool {
        self.decision == Some(Decision::Rejected)
    }

    fn add(&mut self, feedback: &Feedback) {
        // Stars decide nothing, and that a detector's boxes are right says nothing of another question.
        let effect = feedback.effect();
        if !matches!(effect, Effect::Accepted | Effect::Rated(_)) || feedback.right.is_some() {
            self.right.clone_from(&feedback.right);
        }
        match effect {
            Effect::Accepted => self.decision = Some(Decision::Accepted),
            Effect::RuledOut => self.decision = Some(Decision::Rejected),
            Effect::Rated(stars) => {
                self.n_ratings += 1;
                self.sum_of_ratings += f64::from(stars.saturating_sub(1)) / 4.0;
            }
            Effect::TakenBack => {
                self.edited = None;
                self.decision = None;
            }
            Effect::Boxes(boxes) => {
                self.edited = Some(boxes.to_vec());
                self.decision = Some(Decision::Accepted);
            }
        }
    }
}

/// The labels of the newest frames, up to a number of them.
#[derive(Debug, Clone)]
pub struct Labels {
    by_frame: BTreeMap<String, Label>,
    order: VecDeque<String>,
    capacity: usize,
}

impl Labels {
    /// Creates a store for the labels of at most `capacity` frames; the oldest are removed.
    pub fn new(capacity: usize) -> Self {
        Self { by_frame: BTreeMap::new(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// What is known of a frame.
    pub fn get(&self, frame_id: &str) -> Option<&Label> {
        self.by_frame.get(frame_id)
    }

    /// Whether a frame can be asked about: it has boxes (be there none in it), and no person rejected it.
    pub fn can_ask(&self, frame_id: &str) -> bool {
        let has_boxes = |label: &Label| label.teacher.is_some() || label.edited.is_some();
        self.get(frame_id).is_some_and(|label| has_boxes(label) && !label.is_rejected())
    }

    /// Whether a detector has answered about a frame.
    pub fn is_taught(&self, frame_id: &str) -> bool {
        self.get(frame_id).is_some_and(|label| label.teacher.is_some())
    }

    /// Whether a person rejected a frame.
    pub fn is_rejected(&self, frame_id: &str) -> bool {
        self.get(frame_id).is_some_and(Label::is_rejected)
    }

    /// A detector's boxes, in pixels of a frame of this size.
    pub fn teach(&mut self, frame_id: &str, boxes: &[Box4], (width, height): (u32, u32)) {
        let sides = [width, height, width, height].map(|side| f64::from(side.max(1)));
        let scaled =
            |b: &Box4| std::array::from_fn(|n| (b[n] / sides[n] * 1000.0).clamp(0.0, 1000.0));
        let whole = |b: &Box4| b[0].round() < b[2].round() && b[1].round() < b[3].round();
        let boxes = boxes.iter().map(scaled).filter(whole).collect();
        self.entry(frame_id).teacher = Some(boxes);
    }

    /// The question about a frame whose right answer a person has said, and that answer: the last word counts.
    pub fn right(&self, frame_id: &str) -> Option<&Right> {
        self.get(frame_id).and_then(|label| label.right.as_ref())
    }

    /// Takes in what a person remarks about a frame.
    pub fn remark(&mut self, feedback: &Feedback) {
        self.entry(&feedback.frame_id).add(feedback);
    }

    fn entry(&mut self, frame_id: &str) -> &mut Label {
        if !self.by_frame.contains_key(frame_id) {
            if self.order.len() >= self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_frame.remove(&oldest);
            }
            self.order.push_back(frame_id.to_owned());
        }
        self.by_frame.entry(frame_id.to_owned()).or_default()
    }

    /// Question and true answer about the boxes of one category, as the data sets of Visual-RFT write them.
    pub fn ask(category: &str, boxes: &[Box4]) -> (String, String) {
        let position = |b: &Box4| {
            let [x1, y1, x2, y2] = b.map(f64::round);
            format!("{{'Position': [{x1}, {y1}, {x2}, {y2}], 'Confidence': 1}}")
        };
        let answer = if boxes.is_empty() {
            "No Objects".to_owned()
        } else {
            format!("[{}]", boxes.iter().map(position).collect::<Vec<_>>().join(", "))
        };
        (visual_rft_question(category), format!("<answer>{answer}</answer>"))
    }
}

#[cfg(test)]
mod tests;
