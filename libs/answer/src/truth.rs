//! What a person says is right about a picture, as the true answer of a row to learn from.

use vrft_reward::config::RewardConfig;
use vrft_reward::{BBox, Conversion, Frame, Reward, RewardError, Space, instructions, said_text};

use crate::{Answered, Reading};

/// Writes true answers in the form that a policy is asked for; places count thousandths of the picture, whatever the task
/// itself counts, so that a row stays true when the picture is scaled.
pub struct Truths {
    /// The task, with places in thousandths.
    reward: Reward,
    /// Whether somebody has declared the task; else any words may be an answer.
    is_declared: bool,
}

impl Truths {
    /// For a task that is declared, or for one that stands in where none is.
    pub(crate) fn new(task: &RewardConfig, is_declared: bool) -> Self {
        let answer = task.answer.in_space(Space::Thousandths);
        Self { reward: Reward::new(&RewardConfig { answer, ..task.clone() }), is_declared }
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
        let boxes = boxes.iter().map(|(corners, label)| {
            let bbox = BBox::try_new(corners.map(f64::round)).map_err(|flaw| flaw.to_string())?;
            Ok((bbox, label.as_str()))
        });
        let text = self.reward.write_boxes(&boxes.collect::<Result<Vec<_>, String>>()?);
        self.checked(text.ok_or_else(|| self.not("boxes"))?)
    }

    /// Points with what is at each, in thousandths of the picture; none say that there is nothing to be found.
    ///
    /// # Errors
    /// A task whose answers are no points.
    pub fn of_points(&self, points: &[([f64; 2], String)]) -> Result<String, String> {
        let points = points.iter().map(|(point, label)| (*point, label.as_str()));
        let text = self.reward.write_points(&points.collect::<Vec<_>>());
        self.checked(text.ok_or_else(|| self.not("points"))?)
    }

    /// What a person writes in place of an answer. Places in it count what those of the answer do.
    ///
    /// # Errors
    /// Words that the task does not read.
    pub fn of_text(&self, text: &str, answered: &Answered) -> Result<String, String> {
        let text = text.trim();
        match self.reward.corrected(&in_thousandths(answered), text) {
            Ok(answer) => self.checked(answer),
            Err(error) if self.is_declared => Err(error.to_string()),
            Err(_) => Ok(said_text(text).unwrap_or_else(|| text.to_owned())),
        }
    }

    /// What a policy answered, where that is right.
    ///
    /// # Errors
    /// An answer that cannot be read, or that says nothing within the picture.
    pub fn of_answer(&self, answered: &Answered) -> Result<String, String> {
        if answered.reading == Reading::Unread {
            let said = said_text(&answered.text).filter(|said| !said.is_empty());
            return said.filter(|_| !self.is_declared).ok_or_else(|| {
                "this answer could not be read: draw or write what is right".to_owned()
            });
        }
        let accepted = self.reward.accepted(&in_thousandths(answered), &answered.text);
        self.checked(accepted.map_err(|error| error.to_string())?)
    }

    fn not(&self, drawn: &str) -> String {
        let kind = self.reward.config().answer.kind.name();
        format!(
            "answers of this task are of type {kind}, not {drawn}: write the right text instead"
        )
    }

    /// With the tags that the task asks for, if the loader will read it.
    fn checked(&self, text: String) -> Result<String, String> {
        let is_tagged = text.contains("<answer>");
        let wants_tags = self.reward.config().format.tags && !is_tagged;
        let text = if wants_tags { format!("<answer>{text}</answer>") } else { text };
        let read = self.reward.parse_answer(&text);
        read.map(|_truth| text).map_err(|error: RewardError| error.to_string())
    }
}

/// From what the places of an answer count to what those of rows do.
fn in_thousandths(answered: &Answered) -> Conversion {
    Conversion::of(answered.frame.unwrap_or(Frame::Thousandths), Frame::Thousandths)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vrft_config::Document;
    use vrft_messages::FinishReason;

    use super::*;

    fn truths(toml: &str) -> Truths {
        Truths::new(&Document::parse(toml, "test").unwrap().section().unwrap(), true)
    }

    /// What a policy says about a picture that it sees in 500 × 200 pixels.
    fn said(text: &str) -> Answered {
        Answered {
            text: text.into(),
            version: "v".into(),
            digest: "d".into(),
            reading: Reading::Something,
            kind: None,
            frame: Some(Frame::pixels(500, 200)),
            found: Vec::new(),
            finish_reason: FinishReason::Stop,
            n_prompt_tokens: 1,
            n_tokens: 1,
            took: Duration::ZERO,
        }
    }

    const PIXELS: &str = "[reward.answer]\ntype = \"boxes\"\nspace = \"pixels\"\nkeys = {place = \"bbox_2d\", label = \"label\"}\n\
                          [reward.terms.iou]\nmetric = \"overlap\"\n";
    const TEXT: &str =
        "[reward.answer]\ntype = \"text\"\n[reward.terms.same]\nmetric = \"similarity\"\n";
    const POINTS: &str = "[reward.answer]\ntype = \"points\"\nspace = \"pixels\"\n[reward.terms.near]\nmetric = \"overlap\"\n\
                          [reward.match]\nmeasure = \"l1\"\n";

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
        let boxes = "[{\"bbox_2d\": [50, 50, 250, 200], \"label\": \"cup\"}]";
        let written = truths(PIXELS).of_answer(&said(boxes)).unwrap();
        assert!(written.contains("[100, 250, 500, 1000]"), "{written}");
        let points = "<think></think><answer>[[250, 50]]</answer>";
        assert_eq!(
            truths(POINTS).of_answer(&said(points)).unwrap(),
            "<answer>[[500, 250]]</answer>"
        );
        let words = "<think>Red.</think><answer>a cup</answer>";
        assert_eq!(truths(TEXT).of_answer(&said(words)).unwrap(), "<answer>a cup</answer>");
        // The stop text ends what a policy says that opens no tag.
        let stray = "a cup</answer>";
        assert_eq!(truths(TEXT).of_answer(&said(stray)).unwrap(), "<answer>a cup</answer>");
    }

    #[test]
    fn what_cannot_be_read_or_lies_outside_is_not_accepted_as_nothing() {
        let unread = Answered { reading: Reading::Unread, ..said("Hm.") };
        assert!(truths(PIXELS).of_answer(&unread).unwrap_err().contains("draw or write"));
        let outside = "[{\"bbox_2d\": [600, 50, 700, 200], \"label\": \"cup\"}]";
        let error = truths(PIXELS).of_answer(&said(outside)).unwrap_err();
        assert!(error.contains("something in the picture"), "{error}");
    }

    #[test]
    fn places_that_a_person_writes_count_what_the_policy_counts() {
        let text = "[{\"bbox_2d\": [50, 50, 250, 200], \"label\": \"cup\"}]";
        let written = truths(PIXELS).of_text(text, &said("")).unwrap();
        assert!(written.contains("[100, 250, 500, 1000]"), "{written}");
        let points = truths(POINTS).of_text("[[250, 50], [0, 0]]", &said("")).unwrap();
        assert_eq!(points, "<answer>[[500, 250], [0, 0]]</answer>");
        let drawn = truths(POINTS).of_points(&[([500.2, 250.0], String::new())]).unwrap();
        assert_eq!(drawn, "<answer>[[500, 250]]</answer>");
        assert!(truths(PIXELS).of_points(&[]).unwrap_err().contains("not points"));
    }

    #[test]
    fn words_are_right_only_where_the_task_reads_words() {
        assert!(truths("").of_text("a cup", &said("")).is_err());
        let nothing = truths("").of_text("No Objects", &said("")).unwrap();
        assert_eq!(nothing, "<answer>No Objects</answer>");
        assert_eq!(truths(TEXT).of_text(" a cup ", &said("")).unwrap(), "<answer>a cup</answer>");
        let error = truths(TEXT).of_boxes(&[]).unwrap_err();
        assert!(error.contains("write the right text"), "{error}");
    }

    #[test]
    fn where_no_task_is_declared_any_words_may_be_right() {
        let free = Truths::new(&RewardConfig::default(), false);
        let unread = Answered { reading: Reading::Unread, frame: None, ..said("A red cup. ") };
        assert_eq!(free.of_answer(&unread).unwrap(), "A red cup.");
        assert_eq!(free.of_text("A blue cup.", &unread).unwrap(), "A blue cup.");
        // Tags are how a policy was taught to speak, and no words.
        for text in ["A red cup.</answer>", "<think>Hm.</think> <answer>A red cup.</answer>"] {
            let tagged = Answered { text: text.into(), ..unread.clone() };
            assert_eq!(free.of_answer(&tagged).unwrap(), "A red cup.", "{text}");
            assert_eq!(free.of_text(text, &tagged).unwrap(), "A red cup.", "{text}");
        }
        let thought = Answered { text: "<think>A red cup".into(), ..unread };
        assert!(free.of_answer(&thought).unwrap_err().contains("could not be read"));
    }

    #[test]
    fn instructions_that_training_adds_are_no_part_of_the_question() {
        let instructed = truths(&format!("{PIXELS}[reward.format]\ninstruct = true\n"));
        let asked = format!("Where?\n{}", instructions(instructed.reward.config()));
        assert_eq!(instructed.question(&asked), "Where?");
        assert_eq!(truths(PIXELS).question("Where?\nSay it."), "Where?\nSay it.");
    }
}
