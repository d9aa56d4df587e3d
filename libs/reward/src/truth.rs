//! What a completion is checked against, and how it gets into the coordinates of its task.

use crate::answers::Draft;
use crate::conversion::Conversion;
use crate::geometry::{Geometry, Space};
use crate::text::extract::Solution;
use crate::text::find::{lists, objects};
use crate::text::plain::plain_whole;
use crate::writing::write;
use crate::{Answer, Reward, RewardError, read_answer, read_truth};

/// What a completion is checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The right answer to the question.
    pub answer: Answer,
    /// As the data has it.
    pub solution: String,
}

impl Reward {
    /// Reads the ground truth of a sample whose coordinates are in another frame than the answers to its question: data
    /// in thousandths for a model that speaks of pixels of its resized image, or the other way round; of an image that is
    /// turned before it is shown.
    ///
    /// The solution of the truth is written anew in the frame of the answers, with whole numbers where that frame has
    /// them.
    ///
    /// # Errors
    /// As [`Reward::parse_answer`]. A frame of answers that is not of the declared space; a place outside of the image.
    ///
    /// ```
    /// # use vrft_reward::{Conversion, Frame, Reward, config::RewardConfig};
    /// let config: RewardConfig = toml::from_str(
    ///     "answer = { type = 'boxes', space = 'pixels', keys = { place = 'bbox_2d' } }"
    /// )?;
    /// let reward = Reward::new(&config);
    /// let seen = Frame::pixels(644, 476); // the size that the model sees
    /// let conversion = Conversion::of(Frame::Thousandths, seen);
    /// let truth = reward.parse_answer_in(&conversion, "[{'bbox_2d': [250, 500, 1000, 1000]}]")?;
    /// assert_eq!(truth.solution, "[{\"bbox_2d\": [161, 238, 644, 476]}]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse_answer_in(
        &self,
        conversion: &Conversion,
        solution: &str,
    ) -> Result<Truth, RewardError> {
        let config = &self.config().answer;
        let (Some(space), Some(geometry)) = (config.space(), config.kind.geometry()) else {
            return self.parse_answer(solution);
        };
        let Conversion { data, answers, .. } = *conversion;
        if matches!(geometry, Geometry::Span | Geometry::Solid | Geometry::Point3d) {
            return self.parse_answer(solution);
        }
        if space != answers.space() {
            return Err(RewardError::Frame { expected: space.name(), got: answers.space().name() });
        }
        if geometry == Geometry::Region {
            return self.region(conversion, solution);
        }
        let declared = config.in_space(data.space());
        let read = read_truth(solution, &declared)?;
        let answer = conversion.answer(&read)?;
        if conversion.is_identity() && answer == read {
            return Ok(Truth { answer, solution: solution.to_owned() });
        }
        let solution = self.rewritten(&answer, solution);
        Ok(Truth { answer, solution })
    }

    /// Regions become bitmaps when they are read, so their outlines are converted before.
    fn region(&self, conversion: &Conversion, solution: &str) -> Result<Truth, RewardError> {
        if conversion.is_identity() {
            return self.parse_answer(solution);
        }
        let text = Solution::new(solution).answer;
        let (Some(at), false) = (solution.rfind(text), self.says_nothing(text)) else {
            return self.parse_answer(solution);
        };
        let text_in_frame = conversion.outlines(text, self.config().answer.place_key())?;
        self.parse_answer(&[&solution[..at], &text_in_frame, &solution[at + text.len()..]].concat())
    }

    fn says_nothing(&self, text: &str) -> bool {
        read_truth(text, &self.config().answer).is_ok_and(|answer| answer == Answer::Nothing)
    }

    /// The coordinates of a solution, x and y in turn, whatever they count; `None` for an answer without places in an
    /// image, or one that cannot be read.
    pub fn coordinates(&self, solution: &str) -> Option<Vec<f64>> {
        let config = &self.config().answer;
        let declared = config.in_space(Space::Pixels);
        match config.kind.geometry()? {
            Geometry::Span | Geometry::Solid | Geometry::Point3d => None,
            Geometry::Region => {
                let text = &*plain_whole(Solution::new(solution).answer);
                let objects = objects(text).any(|object| object.get("counts").is_some());
                (!objects)
                    .then(|| lists(text).filter_map(|list| list.numbers()).flatten().collect())
            }
            Geometry::Box | Geometry::Point => {
                let answer = read_truth(solution, &declared).ok()?;
                let places = answer.items().iter().filter_map(|item| item.place.numbers());
                Some(places.flatten().collect())
            }
        }
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
    use crate::config::{AnswerConfig, RewardConfig};
    use crate::geometry::Frame;

    fn converted(data: Frame, answers: Frame, solution: &str) -> Result<Truth, RewardError> {
        in_pixels().parse_answer_in(&Conversion::of(data, answers), solution)
    }

    fn in_pixels() -> Reward {
        let keys =
            ItemKeys { place: "bbox_2d".into(), label: "label".into(), ..ItemKeys::default() };
        let kind = BoxesAnswer { space: Space::Pixels, keys, ..BoxesAnswer::default() };
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
        let truth = converted(Frame::Thousandths, seen, solution).unwrap();
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
        let truth = converted(stored, Frame::pixels(500, 250), solution).unwrap();
        assert_eq!(truth.answer.detections()[0].bbox.corners(), [50.0, 25.0, 100.0, 50.0]);
    }
    #[test]
    fn nothing_is_nothing_in_every_frame() {
        let seen = Frame::pixels(500, 250);
        let truth = converted(Frame::Thousandths, seen, "None").unwrap();
        assert_eq!((truth.answer, truth.solution.as_str()), (Answer::Nothing, "None"));
    }
    #[test]
    fn an_item_that_rounding_would_lose_keeps_its_numbers() {
        let solution = "[{'bbox_2d': [100, 100, 101, 101], 'label': 'cat'}]";
        let seen = Frame::pixels(100, 100);
        let truth = converted(Frame::Thousandths, seen, solution).unwrap();
        assert!(truth.solution.contains("[10, 10, 10.1, 10.1]"), "{}", truth.solution);
    }
    #[test]
    fn what_keeps_its_frame_keeps_its_text() {
        let solution = "[{'bbox_2d': [10, 20, 30, 41], 'label': 'cat'}]";
        let seen = Frame::pixels(40, 40);
        let truth = converted(seen, seen, "[{'bbox_2d': [10, 20, 30, 40], 'label': 'cat'}]");
        assert_eq!(truth.unwrap().solution, "[{'bbox_2d': [10, 20, 30, 40], 'label': 'cat'}]");
        // One pixel outside is moved to the edge.
        assert!(converted(seen, seen, solution).unwrap().solution.contains("[10, 20, 30, 40]"));
        let far = solution.replace("41", "44");
        assert!(matches!(converted(seen, seen, &far), Err(RewardError::Outside { .. })));
    }
    #[test]
    fn outlines_in_pixels_serve_a_task_in_thousandths() {
        let answer = AnswerConfig::of(AnswerKind::Mask(crate::answers::MaskAnswer::default()));
        let reward = Reward::new(&RewardConfig { answer, ..RewardConfig::default() });
        let conversion = Conversion::of(Frame::pixels(200, 100), Frame::Thousandths);
        let solution = "<answer>[[0, 0], [100, 0], [100, 50], [0, 50]]</answer>";
        assert_eq!(reward.coordinates(solution).unwrap().len(), 8);
        let truth = reward.parse_answer_in(&conversion, solution).unwrap();
        let expected = "<answer>[[0, 0], [500, 0], [500, 500], [0, 500]]</answer>";
        assert_eq!(truth, reward.parse_answer(expected).unwrap());
    }
    #[test]
    fn a_frame_of_another_space_is_refused() {
        let error = converted(Frame::pixels(10, 10), Frame::Thousandths, "None").unwrap_err();
        assert_eq!(error.to_string(), "expected coordinates in pixels, got thousandths");
    }
}
