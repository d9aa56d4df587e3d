//! How good live answers are: boxes beside the true ones of the same frame, as soon as both are known.

use std::collections::VecDeque;

use vrft_reward::{BBox, Detection, match_greedily};

/// Answers, and true boxes, that wait for each other.
const KEPT: usize = 64;

/// Newest scores that the mean and its interval are over.
const WINDOW: usize = 200;

/// Pairs answers with true boxes by the name of their frame.
#[derive(Default)]
pub(crate) struct Live {
    answers: VecDeque<(String, Waiting)>,
    truths: VecDeque<(String, Vec<BBox>)>,
    newest: VecDeque<f64>,
}

/// An answer that was not measured yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    /// The id of the answer.
    pub(crate) answer_id: String,
    /// Which version gave it.
    pub(crate) version: String,
    /// Its boxes, in pixels of the frame, with how sure it is of each; none where it could not be read as boxes.
    pub(crate) boxes: Option<Vec<Detection>>,
}

/// An answer that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scored {
    pub(crate) answer_id: String,
    pub(crate) version: String,
    /// Sum of the IoUs of matched boxes over the larger number of boxes, in [0, 1]; 1 where there are none on either
    /// side, and 0 for an answer that could not be read.
    pub(crate) overlap: f64,
}

impl Live {
    /// An answer about a frame; its score if the true boxes are known.
    pub(crate) fn answered(&mut self, frame_id: &str, answer: Waiting) -> Option<Scored> {
        match self.truths.iter().find(|(known, _)| known == frame_id) {
            Some((_, truth)) => {
                let truth = truth.clone();
                Some(self.score(answer, &truth))
            }
            None => {
                keep(&mut self.answers, (frame_id.to_owned(), answer));
                None
            }
        }
    }

    /// The true boxes of a frame; the score of its answer if there is one already.
    pub(crate) fn truth(&mut self, frame_id: &str, truth: Vec<BBox>) -> Option<Scored> {
        let waiting = self.answers.iter().position(|(known, _)| known == frame_id);
        let waiting = waiting.and_then(|at| self.answers.remove(at));
        let scored = waiting.map(|(_, answer)| self.score(answer, &truth));
        keep(&mut self.truths, (frame_id.to_owned(), truth));
        scored
    }

    /// The mean of the newest scores with its 95% interval, and their number.
    pub(crate) fn mean(&self) -> Option<(f64, (f64, f64), usize)> {
        let samples: Vec<(f64, f64)> = self.newest.iter().map(|score| (*score, 1.0)).collect();
        let interval = vrft_score::ratio_interval(&samples)?;
        let n = samples.len();
        Some((self.newest.iter().sum::<f64>() / n as f64, interval, n))
    }

    fn score(&mut self, answer: Waiting, truth: &[BBox]) -> Scored {
        let Waiting { answer_id, version, boxes } = answer;
        let overlap = boxes.map_or(0.0, |boxes| overlap(&boxes, truth));
        if self.newest.len() == WINDOW {
            self.newest.pop_front();
        }
        self.newest.push_back(overlap);
        Scored { answer_id, version, overlap }
    }
}

fn overlap(boxes: &[Detection], truth: &[BBox]) -> f64 {
    let most = boxes.len().max(truth.len());
    let matched: f64 = match_greedily(boxes, truth, 0.0).iter().map(|one| one.iou).sum();
    // A sum of nothing is a negative zero.
    if most == 0 { 1.0 } else { matched / most as f64 + 0.0 }
}

fn keep<T>(kept: &mut VecDeque<T>, one: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x2: f64) -> BBox {
        BBox::try_new([0.0, 0.0, x2, 10.0]).unwrap()
    }

    fn answer(id: &str, ends: &[f64]) -> Waiting {
        let boxes = ends.iter().map(|x2| Detection { bbox: bbox(*x2), confidence: 1.0 });
        Waiting { answer_id: id.into(), version: "v".into(), boxes: Some(boxes.collect()) }
    }

    #[test]
    fn an_answer_is_measured_whichever_comes_first() {
        let mut live = Live::default();
        assert_eq!(live.answered("1", answer("a", &[8.0])), None);
        assert_eq!(live.truth("1", vec![bbox(10.0)]).unwrap().overlap, 0.8);
        assert_eq!(live.truth("2", vec![bbox(10.0)]), None);
        let scored = live.answered("2", answer("b", &[10.0, 9.0])).unwrap();
        assert_eq!((scored.answer_id.as_str(), scored.overlap), ("b", 0.5));
        assert_eq!(live.mean().map(|mean| mean.2), Some(2));
    }

    #[test]
    fn nothing_found_where_there_is_nothing_is_right_and_anything_else_is_wrong() {
        let mut live = Live::default();
        live.truth("1", vec![]);
        assert_eq!(live.answered("1", answer("a", &[])).unwrap().overlap, 1.0);
        let wrong = live.answered("1", answer("b", &[3.0])).unwrap().overlap;
        assert!(wrong == 0.0 && wrong.is_sign_positive());
        let unread = Waiting { boxes: None, ..answer("c", &[]) };
        assert_eq!(live.answered("1", unread).unwrap().overlap, 0.0);
    }

    #[test]
    fn what_is_never_paired_is_forgotten() {
        let mut live = Live::default();
        for n in 0..1000 {
            live.answered(&format!("a{n}"), answer("a", &[]));
            live.truth(&format!("b{n}"), vec![]);
        }
        assert_eq!((live.answers.len(), live.truths.len()), (KEPT, KEPT));
    }
}
