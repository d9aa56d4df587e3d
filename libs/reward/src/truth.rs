//! What a completion is checked against, and how it gets into the coordinates of its task.

use crate::answers::Draft;
use crate::config::AnswerConfig;
use crate::geometry::{Frame, Geometry, Space};
use crate::text::extract::Solution;
use crate::writing::write;
use crate::{Answer, Reward, RewardError, read_answer, read_truth};

/// What a completion is checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The right answer.
    pub answer: Answer,
    /// As the data has it.
    pub solution: String,
}

impl Reward {
    /// Reads the ground truth of a sample whose coordinates are in another frame than the answers to its question: data
    /// in thousandths for a model that speaks of pixels of its resized image, or the other way round.
    ///
    /// `data` is the frame of the solution's coordinates, `answers` that of the task's, of the same image. The solution of
    /// the truth is written anew in the frame of the answers, with whole numbers where that frame has them.
    ///
    /// # Errors
    /// As [`Reward::parse_answer`]. A frame of answers that is not of the declared space.
    ///
    /// ```
    /// # use vrft_reward::{Frame, Reward, config::RewardConfig};
    /// let config: RewardConfig = toml::from_str(
    ///     "answer = { type = 'boxes', space = 'pixels', keys = { place = 'bbox_2d' } }"
    /// )?;
    /// let reward = Reward::new(&config);
    /// let seen = Frame::pixels(644, 476); // the size that the model sees
    /// let truth = reward.parse_answer_in(Frame::Thousandths, seen, "[{'bbox_2d': [250, 500, 1000, 1000]}]")?;
    /// assert_eq!(truth.solution, "[{\"bbox_2d\": [161, 238, 644, 476]}]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse_answer_in(
        &self,
        data: Frame,
        answers: Frame,
        solution: &str,
    ) -> Result<Truth, RewardError> {
        let config = &self.config().answer;
        let (Some(space), Some(geometry)) = (config.space(), config.kind.geometry()) else {
            return self.parse_answer(solution);
        };
        if matches!(geometry, Geometry::Span | Geometry::Solid) || data == answers {
            return self.parse_answer(solution);
        }
        if space != answers.space() {
            return Err(RewardError::Frame { expected: space.name(), got: answers.space().name() });
        }
        if geometry == Geometry::Region && data.space() == Space::Pixels {
            return Err(RewardError::Frame { expected: space.name(), got: Space::Pixels.name() });
        }
        let declared = AnswerConfig { kind: config.kind.in_space(data.space()), ..config.clone() };
        let answer = read_truth(solution, &declared)?.converted(data, answers);
        let solution = self.rewritten(&answer, solution);
        Ok(Truth { answer, solution })
    }

    /// A solution with its answer written anew, its thinking and tags as they were.
    fn rewritten(&self, answer: &Answer, solution: &str) -> String {
        let old = Solution::new(solution).answer;
        // "Nothing" and regions say the same in every frame.
        let (Some(new), Some(at)) = (self.written(answer), solution.rfind(old)) else {
            return solution.to_owned();
        };
        [&solution[..at], &new, &solution[at + old.len()..]].concat()
    }

    /// The text of a true answer with numbers as a policy would write them, which are whole in most spaces; exact ones
    /// where an item would be lost otherwise. `None` for "nothing" and for regions.
    pub(crate) fn written(&self, answer: &Answer) -> Option<String> {
        let config = &self.config().answer;
        let draft = Draft::of(answer)?;
        let kind = config.kind.kind().as_items();
        let tidy = rounded(draft.clone(), |n| kind.map_or(n, |kind| kind.tidy(n)));
        let tidy = write(&tidy, config);
        let n_items = read_answer(&tidy, config).map_or(0, |answer| answer.items().len());
        let is_whole = n_items == answer.items().len();
        let exact = || write(&rounded(draft, |n| (n * 1e6).round() / 1e6), config);
        Some(if is_whole { tidy } else { exact() })
    }
}

/// A draft with the numbers of its items rounded.
fn rounded(mut draft: Draft, round: impl Fn(f64) -> f64) -> Draft {
    if let Draft::Items { items, .. } = &mut draft {
        items.iter_mut().flat_map(|item| &mut item.numbers).for_each(|n| *n = round(*n));
    }
    draft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{AnswerKind, BoxesAnswer, ItemKeys};
    use crate::config::RewardConfig;

    fn in_pixels() -> Reward {
        let keys =
            ItemKeys { place: "bbox_2d".into(), label: "label".into(), ..ItemKeys::default() };
        let kind = BoxesAnswer { space: Space::Pixels, keys, labels: Vec::new() };
        let answer =
            AnswerConfig { nothing: "None".into(), ..AnswerConfig::of(AnswerKind::Boxes(kind)) };
        let mut config = RewardConfig { answer, ..RewardConfig::default() };
        config.terms.remove("confidence");
        Reward::new(&config)
    }

    #[test]
    fn a_truth_in_thousandths_is_scored_in_the_pixels_that_the_model_sees() {
        let reward = in_pixels();
        let solution = "<answer>[{'bbox_2d': [250, 500, 999, 1000], 'label': 'cat'}]</answer>";
        let seen = Frame::pixels(644, 476);
        let truth = reward.parse_answer_in(Frame::Thousandths, seen, solution).unwrap();
        let exact = [161.0, 238.0, 643.356, 476.0];
        let got = truth.answer.detections()[0].bbox.corners();
        assert!(got.iter().zip(exact).all(|(a, b)| (a - b).abs() < 1e-9), "{got:?}");
        let written = "<answer>[{\"bbox_2d\": [161, 238, 643, 476], \"label\": \"cat\"}]</answer>";
        assert_eq!(truth.solution, written);
        let total = reward.score(&format!("<think>a</think>{written}"), &truth).total.unwrap();
        assert!(total > 1.999, "{total}");
        assert_eq!(reward.demonstration(&truth, ""), format!("<think></think>{written}"));
    }
    #[test]
    fn pixels_of_the_stored_image_become_pixels_of_the_resized_one() {
        let stored = Frame::pixels(1000, 500);
        let solution = "[{'bbox_2d': [100, 50, 200, 100], 'label': 'cat'}]";
        let truth = in_pixels().parse_answer_in(stored, Frame::pixels(500, 250), solution).unwrap();
        assert_eq!(truth.answer.detections()[0].bbox.corners(), [50.0, 25.0, 100.0, 50.0]);
    }
    #[test]
    fn nothing_is_nothing_in_every_frame() {
        let seen = Frame::pixels(500, 250);
        let truth = in_pixels().parse_answer_in(Frame::Thousandths, seen, "None").unwrap();
        assert_eq!((truth.answer, truth.solution.as_str()), (Answer::Nothing, "None"));
    }
    #[test]
    fn an_item_that_rounding_would_lose_keeps_its_numbers() {
        let solution = "[{'bbox_2d': [100, 100, 101, 101], 'label': 'cat'}]";
        let seen = Frame::pixels(100, 100);
        let truth = in_pixels().parse_answer_in(Frame::Thousandths, seen, solution).unwrap();
        assert!(truth.solution.contains("[10, 10, 10.1, 10.1]"), "{}", truth.solution);
    }
    #[test]
    fn a_frame_of_another_space_is_refused() {
        let error = in_pixels()
            .parse_answer_in(Frame::pixels(10, 10), Frame::Thousandths, "None")
            .unwrap_err();
        assert_eq!(error.to_string(), "expected coordinates in pixels, got thousandths");
    }
}
