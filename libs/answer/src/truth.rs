//! What a person says is right about a picture, as the true answer of a row to learn from.

use vrft_reward::config::{AnswerConfig, RewardConfig};
use vrft_reward::{Answer, BBox, Reward, Space, instructions};

use crate::{Answered, Place, Reading};

/// Writes true answers in the form that a policy is asked for; places count thousandths of the picture, whatever the task
/// itself counts, so that a row stays true when the picture is scaled.
pub struct Truths {
    /// The task, with places in thousandths.
    reward: Reward,
}

impl Truths {
    /// For a task.
    pub(crate) fn new(task: &RewardConfig) -> Self {
        let answer = match task.answer.space() {
            Some(_) => task.answer.in_space(Space::Thousandths),
            None => task.answer.clone(),
        };
        Self { reward: Reward::new(&RewardConfig { answer, ..task.clone() }) }
    }

    /// The question of a row: what was asked, without the format instructions that training adds to every question.
    pub fn question(&self, asked: &str) -> String {
        let task = self.reward.config();
        let end = format!("\n{}", instructions(task));
        let asked = if task.format.instruct { asked.trim_end_matches(&end) } else { asked };
        asked.to_owned()
    }

    /// Boxes with what is in each, in thousandths of the picture; none say that there is nothing to be found.
    ///
    /// # Errors
    /// A task whose answers are no boxes, a box without an inside.
    pub fn of_boxes(&self, boxes: &[([f64; 4], String)]) -> Result<String, String> {
        let kind = self.answer().kind.name();
        let boxes = boxes.iter().map(|(corners, label)| {
            let bbox = BBox::try_new(corners.map(f64::round)).map_err(|flaw| flaw.to_string())?;
            Ok((bbox, label.as_str()))
        });
        let text = self.reward.write_boxes(&boxes.collect::<Result<Vec<_>, String>>()?);
        let text = text.ok_or_else(|| {
            format!("answers of this task are {kind}, not boxes: write the right text instead")
        })?;
        self.checked(text)
    }

    /// Words.
    ///
    /// # Errors
    /// Words that the task does not read; places in words, since nobody writes them in thousandths.
    pub fn of_text(&self, text: &str) -> Result<String, String> {
        let text = self.checked(text.trim().to_owned())?;
        let is_place = self.answer().space().is_some() && self.read(&text)? != Answer::Nothing;
        if is_place {
            return Err("answers of this task are places in the picture: draw them instead".into());
        }
        Ok(text)
    }

    /// What a policy answered about a picture of this size, where that is right.
    ///
    /// # Errors
    /// An answer that cannot be read, or that has other places than boxes.
    pub fn of_answer(&self, answered: &Answered, size: (u32, u32)) -> Result<String, String> {
        if answered.reading == Reading::Unread {
            return Err("this answer could not be read: draw or write what is right".into());
        }
        if self.answer().space().is_none() {
            return Ok(answered.text.clone());
        }
        let sides = [size.0, size.1, size.0, size.1].map(|side| f64::from(side.max(1)));
        let boxes = answered.found.iter().map(|found| match found.place {
            Place::Box(corners) => {
                let scaled = std::array::from_fn(|n| corners[n] / sides[n] * 1000.0);
                Ok((scaled, found.label.clone().unwrap_or_default()))
            }
            Place::Point(_) => Err("points cannot be accepted yet, boxes can".to_owned()),
        });
        self.of_boxes(&boxes.collect::<Result<Vec<_>, _>>()?)
    }

    fn answer(&self) -> &AnswerConfig {
        &self.reward.config().answer
    }

    /// With the tags that the task asks for, if the loader will read it.
    fn checked(&self, text: String) -> Result<String, String> {
        let is_tagged = text.contains("<answer>");
        let wants_tags = self.reward.config().format.tags && !is_tagged;
        let text = if wants_tags { format!("<answer>{text}</answer>") } else { text };
        self.read(&text)?;
        Ok(text)
    }

    fn read(&self, text: &str) -> Result<Answer, String> {
        let truth = self.reward.parse_answer(text);
        truth.map(|truth| truth.answer).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vrft_config::Document;
    use vrft_messages::FinishReason;

    use super::*;
    use crate::Found;

    fn truths(toml: &str) -> Truths {
        Truths::new(&Document::parse(toml, "test").unwrap().section().unwrap())
    }

    const PIXELS: &str = "[reward.answer]\ntype = \"boxes\"\nspace = \"pixels\"\nkeys = {place = \"bbox_2d\", label = \"label\"}\n\
                          [reward.terms.iou]\nmetric = \"overlap\"\n";

    #[test]
    fn boxes_are_written_in_the_form_of_the_task_and_in_thousandths() {
        let cup = ([10.2, 20.0, 30.0, 40.0], "cup".to_owned());
        let written = truths("").of_boxes(std::slice::from_ref(&cup)).unwrap();
        assert!(written.starts_with("<answer>[{\"Position\": [10, 20, 30, 40]"), "{written}");
        assert_eq!(truths("").of_boxes(&[]).unwrap(), "<answer>No Objects</answer>");
        let written = truths(PIXELS).of_boxes(&[cup]).unwrap();
        assert!(written.contains("\"bbox_2d\": [10, 20, 30, 40]"), "{written}");
        assert!(written.contains("\"cup\""), "{written}");
    }

    #[test]
    fn an_accepted_answer_is_told_in_thousandths_of_its_picture() {
        let place = Place::Box([64.0, 120.0, 320.0, 480.0]);
        let answered = Answered {
            text: String::new(),
            version: "v".into(),
            reading: Reading::Something,
            found: vec![Found { place, label: None, confidence: Some(0.3) }],
            finish_reason: FinishReason::Stop,
            n_prompt_tokens: 1,
            n_tokens: 1,
            took: Duration::ZERO,
        };
        let written = truths("").of_answer(&answered, (640, 480)).unwrap();
        assert!(written.contains("[100, 250, 500, 1000]"), "{written}");
        let unread = Answered { reading: Reading::Unread, ..answered };
        assert!(truths("").of_answer(&unread, (640, 480)).unwrap_err().contains("draw or write"));
    }

    #[test]
    fn words_are_right_only_where_the_task_reads_words() {
        let error = truths("").of_text("[{'Position': [1, 2, 3, 4]}]").unwrap_err();
        assert!(error.contains("draw them"), "{error}");
        assert!(truths("").of_text("a cup").is_err());
        assert_eq!(truths("").of_text("No Objects").unwrap(), "<answer>No Objects</answer>");
        let text =
            "[reward.answer]\ntype = \"text\"\n[reward.terms.same]\nmetric = \"similarity\"\n";
        assert_eq!(truths(text).of_text(" a cup ").unwrap(), "<answer>a cup</answer>");
        let error = truths(text).of_boxes(&[]).unwrap_err();
        assert!(error.contains("write the right text"), "{error}");
    }

    #[test]
    fn instructions_that_training_adds_are_no_part_of_the_question() {
        let instructed = truths(&format!("{PIXELS}[reward.format]\ninstruct = true\n"));
        let asked = format!("Where?\n{}", instructions(instructed.reward.config()));
        assert_eq!(instructed.question(&asked), "Where?");
        assert_eq!(truths(PIXELS).question("Where?\nSay it."), "Where?\nSay it.");
    }
}
