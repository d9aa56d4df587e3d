//! What a person says is right about an answer, as the true answer of a sample.

use crate::conversion::Conversion;
use crate::geometry::{BBox, Geometry, Place};
use crate::reading::{quote, read_completion, read_truth};
use crate::text::extract::{answer_text, said_text};
use crate::{Answer, Item, Items, Reward, RewardError};

impl Reward {
    /// The true answer of a sample whose question this completion answered rightly: what it says, in the frame of
    /// `conversion.answers`, without its thinking, without what is left of tags and without the confidences, which are the
    /// policy's own. What it says outside of the picture is left out.
    ///
    /// # Errors
    /// A completion that cannot be read, or that says nothing within the picture.
    ///
    /// ```
    /// use vrft_reward::{Conversion, Frame, Reward, config::RewardConfig};
    /// let reward = Reward::new(&RewardConfig::default());
    /// let seen = Frame::Thousandths;
    /// let said = "<think>a cup</think><answer>[{'Position': [1, 2, 30, 40], 'Confidence': 0.3}]</answer>";
    /// let truth = reward.accepted(&Conversion::of(seen, seen), said)?;
    /// assert_eq!(truth, "[{\"Position\": [1, 2, 30, 40], \"Confidence\": 1}]");
    /// # Ok::<(), vrft_reward::RewardError>(())
    /// ```
    pub fn accepted(
        &self,
        conversion: &Conversion,
        completion: &str,
    ) -> Result<String, RewardError> {
        let answer = &self.config().answer;
        let declared = answer.in_space(conversion.data.space());
        let unreadable = || self.unreadable(answer_text(completion).unwrap_or(completion));
        let said = said_text(completion).ok_or_else(unreadable)?;
        // As it is written, it must be an answer; what is learned is what it says without remains of tags.
        read_completion(completion, &declared).ok_or_else(unreadable)?;
        let tagged = format!("<answer>{said}</answer>");
        let read = read_completion(&tagged, &declared).ok_or_else(unreadable)?;
        self.stated(conversion, &read, &tagged)
    }

    /// The true answer that a person writes in place of a policy's, with places as a policy counts them,
    /// `conversion.data`; as [`Reward::accepted`] gives it.
    ///
    /// # Errors
    /// Text that is not wholly understood, or that says nothing within the picture.
    pub fn corrected(&self, conversion: &Conversion, text: &str) -> Result<String, RewardError> {
        let declared = self.config().answer.in_space(conversion.data.space());
        // What is wrong with several answers, or with none, is said by who reads the truth.
        let said = said_text(text).unwrap_or_else(|| text.to_owned());
        let read = read_truth(&said, &declared)?;
        self.stated(conversion, &read, &said)
    }

    /// `said` is the text that was read.
    fn stated(
        &self,
        conversion: &Conversion,
        read: &Answer,
        said: &str,
    ) -> Result<String, RewardError> {
        let config = &self.config().answer;
        if *read == Answer::Nothing {
            return Ok(config.nothing.clone());
        }
        let text = answer_text(said).unwrap_or(said);
        let nowhere = || self.unreadable(text);
        match config.kind.geometry() {
            // Of a region only a bitmap is known; its outlines are in the text.
            Some(Geometry::Region) => Ok(self.parse_answer_in(conversion, text)?.solution),
            Some(_) => {
                let inside = within(conversion, read).ok_or_else(nowhere)?;
                self.written(&inside).ok_or_else(nowhere)
            }
            None => self.written(read).ok_or_else(nowhere),
        }
    }

    fn unreadable(&self, text: &str) -> RewardError {
        let kind = self.config().answer.kind.name();
        let expected = format!("an answer of type {kind} with something in the picture");
        RewardError::Unreadable { expected, got: quote(text) }
    }
}

/// The items that lie in the picture, in the frame of answers; `None` if none does, or not the one that is meant.
fn within(conversion: &Conversion, read: &Answer) -> Option<Answer> {
    let Answer::Items(items) = read else { return Some(read.clone()) };
    let placed =
        |item: &Item| Some(Item { place: inside(conversion, &item.place)?, ..item.clone() });
    let kept: Vec<Option<Item>> = items.valid.iter().map(placed).collect();
    let target = match items.target {
        Some(at) => {
            kept.get(at)?.as_ref()?;
            Some(kept[..at].iter().flatten().count())
        }
        None => None,
    };
    let valid: Vec<Item> = kept.into_iter().flatten().collect();
    (!valid.is_empty()).then_some(Answer::Items(Items { valid, flaws: Vec::new(), target }))
}

/// A place as far as it lies in the picture. Times and boxes in space are no places in it.
fn inside(conversion: &Conversion, place: &Place) -> Option<Place> {
    let [width, height] = conversion.data.extent();
    match place {
        Place::Box(BBox { x1, y1, x2, y2 }) => {
            let low = [x1.clamp(0.0, width), y1.clamp(0.0, height)];
            let high = [x2.clamp(0.0, width), y2.clamp(0.0, height)];
            let ([x1, y1], [x2, y2]) = (conversion.point(low), conversion.point(high));
            (x1 < x2 && y1 < y2).then_some(Place::Box(BBox { x1, y1, x2, y2 }))
        }
        Place::Point([x, y]) => {
            let is_in = (0.0..=width).contains(x) && (0.0..=height).contains(y);
            is_in.then(|| Place::Point(conversion.point([*x, *y])))
        }
        other => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{AnswerKind, JsonAnswer, JsonKeys};
    use crate::config::{AnswerConfig, RewardConfig};
    use crate::geometry::{Frame, Space};
    use crate::rng::Rng;

    const SEEN: Frame = Frame::Pixels { width: 500, height: 200 };

    fn reward(kind: AnswerKind) -> Reward {
        let answer = AnswerConfig::of(kind).in_space(Space::Thousandths);
        Reward::new(&RewardConfig { answer, ..RewardConfig::default() })
    }

    fn accepted(toml: &str, completion: &str) -> Result<String, RewardError> {
        let config: RewardConfig = toml::from_str(toml).unwrap();
        let answer = config.answer.in_space(Space::Thousandths);
        let reward = Reward::new(&RewardConfig { answer, ..config });
        reward.accepted(&Conversion::of(SEEN, Frame::Thousandths), completion)
    }

    #[test]
    fn every_kind_of_answer_can_be_accepted_and_corrected() {
        let same = Conversion::of(Frame::Thousandths, Frame::Thousandths);
        for (seed, kind) in AnswerKind::each().into_iter().enumerate() {
            let name = kind.name();
            let reward = reward(match kind {
                AnswerKind::Json(json) => {
                    let [objects, place, label, target] =
                        ["objects", "bbox", "label", "target"].map(str::to_owned);
                    let keys = JsonKeys { objects, place, label, target };
                    AnswerKind::Json(JsonAnswer { keys, ..json })
                }
                other => other,
            });
            let answer = &reward.config().answer;
            let draft = answer.kind.kind().draw(&mut Rng::new(seed as u64));
            let said = &crate::writing::write(&draft, answer);
            let expected = reward
                .parse_answer(said)
                .unwrap_or_else(|why| panic!("{name}: {said}: {why}"))
                .answer;
            let texts = [
                reward.accepted(&same, &format!("<think>So.</think><answer>{said}</answer>")),
                reward.corrected(&same, said),
            ];
            for text in texts {
                let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(!text.contains("think"), "{name}: {text}");
                assert_eq!(reward.parse_answer(&text).unwrap().answer, expected, "{name}: {text}");
            }
        }
    }

    #[test]
    fn what_is_left_of_tags_is_not_learned() {
        let text = "answer = {type = 'text'}\nformat = {think = false, tags = false}";
        let label = "answer = {type = 'label'}";
        for said in ["a cup</answer>", "<think>So.</think>a cup</answer>", "So.</think>a cup"] {
            assert_eq!(accepted(text, said).unwrap(), "a cup", "{said}");
            assert_eq!(accepted(label, said).unwrap(), "a cup", "{said}");
        }
        let config: RewardConfig = toml::from_str(text).unwrap();
        let same = Conversion::of(Frame::Thousandths, Frame::Thousandths);
        let corrected = Reward::new(&config).corrected(&same, "a cup</answer>").unwrap();
        assert_eq!(corrected, "a cup");
    }

    #[test]
    fn places_count_thousandths_whatever_the_policy_counts() {
        let toml = "answer = {type = 'points', space = 'pixels'}\nmatch = {measure = 'l1'}";
        assert_eq!(
            accepted(toml, "<answer>[[250, 50], [501, 7]]</answer>").unwrap(),
            "[[500, 250]]"
        );
        let error = accepted(toml, "<answer>[[900, 50]]</answer>").unwrap_err().to_string();
        assert!(error.contains("something in the picture"), "{error}");
        let toml = "answer = {type = 'polygon', space = 'pixels'}";
        let said = "<answer>[[[0, 0], [250, 0], [250, 100]]]</answer>";
        assert_eq!(accepted(toml, said).unwrap(), "[[[0, 0], [500, 0], [500, 500]]]");
    }

    #[test]
    fn the_one_that_is_meant_is_still_meant() {
        let same = Conversion::of(SEEN, Frame::Thousandths);
        let place = |x: f64| Item::at(Place::Point([x, 10.0]));
        let items = |target| {
            let valid = vec![place(900.0), place(10.0), place(20.0)];
            Answer::Items(Items { valid, flaws: Vec::new(), target })
        };
        let Some(Answer::Items(kept)) = within(&same, &items(Some(2))) else { panic!("items") };
        assert_eq!((kept.valid.len(), kept.target), (2, Some(1)));
        assert_eq!(within(&same, &items(Some(0))), None);
    }
}
