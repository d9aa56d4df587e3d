//! The conversation and the true answer that a row becomes under a declared task.

use std::sync::Arc;

use vrft_dataset::{
    BoxesAre, DataConfig, DataSpace, Dataset, DatasetError, Mirror, Question, Row, Truth,
};
use vrft_messages::{Part, Role, Turn};
use vrft_reward::answers::AnswerKind;
use vrft_reward::config::RewardConfig;
use vrft_reward::{Flaw, Reward, RewardError, check_tags, instructions, true_answer};
use vrft_vision::{Original, Rect, Sides};

use crate::asked;
use crate::category;
use crate::percent::Percent;
use crate::space::{Declared, Reading};
use crate::unused;

/// The width and height at which a model sees a picture of this width and height, or why it cannot see it.
pub type Resize<'a> = dyn Fn((u32, u32)) -> Result<(u32, u32), String> + 'a;

/// Asks about rows under one declared task.
pub struct Prompter {
    reward: RewardConfig,
    reader: Reward,
    system: String,
    /// What rows are asked that have no question in words, if not what fits the kind of answer.
    question: Option<String>,
    /// What is said of tools at the end of every question; empty for nothing.
    of_tools: String,
    reading: Reading,
    percent: Percent,
}

/// What stands for the category of a row in `data.question`.
const CATEGORY: &str = "{category}";
/// What stands for the expression of a row there.
const EXPRESSION: &str = "{expression}";

impl Prompter {
    /// For a task; `system` is the system turn of rows that have none of their own, empty for none. The true answers of
    /// rows are taken to be in the coordinates of the task.
    pub fn new(reward: &RewardConfig, system: &str) -> Self {
        let (reader, reading) = (Reward::new(reward), Reading::of_task());
        let percent = Percent::default();
        Self {
            reward: reward.clone(),
            reader,
            system: system.to_owned(),
            question: None,
            of_tools: String::new(),
            reading,
            percent,
        }
    }

    /// For the rows of a task's data set, as the section `[data]` says and what is declared of their coordinates.
    ///
    /// # Errors
    /// As [`Prompter::for_data`].
    pub fn of_data(
        reward: &RewardConfig,
        system: &str,
        dataset: &Dataset,
        data: &DataConfig,
        declared: Declared,
    ) -> Result<Self, DatasetError> {
        Self::new(reward, system)
            .with_question(data.question.as_deref())
            .for_data(dataset, declared)
    }

    /// The same, asking rows that have no question in words what `data.question` says.
    pub fn with_question(mut self, question: Option<&str>) -> Self {
        self.question = question.map(ToOwned::to_owned);
        self
    }

    /// The same, telling the policy at the end of each question what it may call, in these words.
    #[must_use]
    pub fn with_tools(mut self, instructions: &str) -> Self {
        instructions.clone_into(&mut self.of_tools);
        self
    }

    /// The same for rows of this data set: the coordinates of their true answers are what is declared, else what they
    /// look like, and are converted to those of the task.
    ///
    /// # Errors
    /// Rows that contradict each other in what their coordinates count.
    pub fn for_data(mut self, dataset: &Dataset, declared: Declared) -> Result<Self, DatasetError> {
        let refused = |why| DatasetError::Contradictory { path: dataset.path().to_owned(), why };
        self.reading = Reading::of(&self.reader, dataset, declared).map_err(refused)?;
        self.percent = Percent::of(&self.reader, dataset).map_err(refused)?;
        self.reading.notes.extend(unused::question(self.question.as_deref(), dataset));
        self.reading.notes.extend(asked::note(&self.reader, dataset));
        self.reading.notes.extend(asked::note_sides(&self.reader, dataset));
        self.reading.notes.extend(asked::note_form(&self.reader, dataset));
        self.reading.notes.extend(asked::note_order(&self.reader, dataset));
        self.reading.notes.extend(asked::note_marks(dataset));
        Ok(self)
    }

    /// What the coordinates of the data are taken to count; `None` where they are those of the task or there are none.
    pub fn space(&self) -> Option<DataSpace> {
        self.reading.space()
    }

    /// Of which pixels the places in answers in words are taken to be where EXIF turns a picture.
    pub fn boxes_are(&self) -> BoxesAre {
        self.reading.boxes_are()
    }

    /// What was assumed about the data, and what of its configuration has no effect, in a few lines for the user.
    pub fn notes(&self) -> &[String] {
        &self.reading.notes
    }

    /// What the policy reads: a system turn if there is one, the turns of the row, and at the end of the question what
    /// the answer should look like, where the task says so. Where the task is to correct an answer, the row's first
    /// answer follows, and the question of the second turn; else the policy does not see that answer.
    pub fn turns(&self, row: &Row) -> Vec<Turn> {
        self.ask(&row.question, row.pictures.len())
    }

    /// The same of a question about so many pictures that no data set has.
    pub fn ask(&self, question: &Question, n_pictures: usize) -> Vec<Turn> {
        let (mut turns, is_instructed) = match question {
            Question::Turns(turns) => (before_first(turns).to_vec(), false),
            other => {
                let (text, is_instructed) = self.worded(other);
                (vec![Turn::question(n_pictures, &text)], is_instructed)
            }
        };
        if self.reward.format.instruct && !is_instructed {
            append(&mut turns, &format!("\n{}", instructions(&self.reward)));
        }
        if !self.of_tools.is_empty() {
            append(&mut turns, &format!("\n{}", self.of_tools));
        }
        let of_data = self.reward.correction.as_ref().filter(|it| !it.is_of_policy());
        if let (Some(correction), Some(first)) = (of_data, first_of(question)) {
            turns.extend([first.clone(), Turn::question(0, &correction.question)]);
        }
        if !self.system.is_empty() && turns.iter().all(|turn| turn.role != Role::System) {
            turns.insert(0, Turn::system(&self.system));
        }
        turns
    }

    /// A question that a row does not have in words, and whether it says what the answer should look like.
    fn worded(&self, question: &Question) -> (String, bool) {
        let reward = &self.reward;
        match (question, &self.question) {
            (Question::Category(name), Some(words)) => (words.replace(CATEGORY, name), false),
            (Question::Expression(text), Some(words)) => (words.replace(EXPRESSION, text), false),
            (_, Some(words)) => (words.clone(), false),
            (Question::Category(name), None) => (category::question(name, reward), true),
            (Question::Tracks, None) => (category::tracks_question(reward), true),
            (Question::Expression(text), None) => {
                (category::reference_question(text, reward), true)
            }
            (Question::Class | Question::Turns(_), None) => {
                (category::class_question(reward), true)
            }
        }
    }

    /// Whether `data.question` says what the row is about, and whether there is a first answer if it is to be corrected.
    ///
    /// # Errors
    /// It leaves out the row's category or expression, so that all rows would ask the same; no first answer.
    pub fn check_question(&self, row: &Row) -> Result<(), String> {
        let needs_first = self.reward.correction.as_ref().is_some_and(|it| !it.is_of_policy());
        if needs_first && !is_answered(&row.question) {
            return Err(
                "no first answer to correct (reward.correction): expected a text under \"first\", or \
                 reward.correction.first = \"policy\""
                    .to_owned(),
            );
        }
        let needed = match &row.question {
            Question::Category(_) => CATEGORY,
            Question::Expression(_) => EXPRESSION,
            Question::Class | Question::Tracks | Question::Turns(_) => return Ok(()),
        };
        match &self.question {
            Some(words) if !words.contains(needed) => {
                Err(format!("data.question has no {needed}, got {words:?}"))
            }
            _ => Ok(()),
        }
    }

    /// What shots are counted by: the category that the row asks for, or where names are answers the true one.
    pub fn class(&self, row: &Row) -> Option<Arc<str>> {
        if let (AnswerKind::Label(_), Truth::Text(text)) = (&self.reward.answer.kind, &row.truth) {
            return Some(true_answer(text).into());
        }
        self.category(row)
    }

    /// The category whose objects the row asks for; `None` where the question is another one.
    pub fn category(&self, row: &Row) -> Option<Arc<str>> {
        match &row.question {
            Question::Category(name) => Some(name.clone()),
            Question::Class | Question::Expression(_) | Question::Tracks => None,
            Question::Turns(turns) => {
                let asked = turns.iter().rfind(|turn| turn.role == Role::User)?;
                category::category_in(&asked.text()).map(Into::into)
            }
        }
    }

    /// [`Prompter::turns`] in the form of Hugging Face's chat messages.
    pub fn chat_messages(&self, row: &Row) -> serde_json::Value {
        vrft_messages::chat_messages(&self.turns(row))
    }

    /// The true answer in words, as the reward reads it.
    ///
    /// # Errors
    /// Boxes where the task declares an answer without places, pixels of a picture that the model cannot see, an answer
    /// in other coordinates that cannot be read.
    pub fn truth(&self, row: &Row, resize: &Resize) -> Result<String, String> {
        self.truth_of(row, resize, Mirror::default())
    }

    /// [`Prompter::truth`] of the row whose pictures are mirrored. Words such as "left" stay as they are.
    ///
    /// # Errors
    /// As [`Prompter::truth`].
    pub fn mirrored_truth(
        &self,
        row: &Row,
        resize: &Resize,
        mirror: Mirror,
    ) -> Result<String, String> {
        if self.reward.answer.has_positions() {
            // These are mirrored within their text, which stays as it is but for the numbers.
            return Ok(mirror.positions(&self.truth(row, resize)?));
        }
        self.truth_of(row, resize, mirror)
    }

    fn truth_of(&self, row: &Row, resize: &Resize, mirror: Mirror) -> Result<String, String> {
        let boxes = match &row.truth {
            Truth::Text(text) => {
                if row.question == Question::Class {
                    // What a class is called has no tags around it.
                    check_tags(text).map_err(|error| error.to_string())?;
                }
                self.percent.check(text)?;
                return self.converted(row, text, resize, mirror);
            }
            Truth::Boxes(boxes) => boxes,
        };
        let category = match &row.question {
            Question::Category(name) => name,
            _ => "",
        };
        let picture = row.pictures.first().ok_or("boxes without a picture")?;
        let original = picture.header().displayed();
        let as_numbers = |(width, height): (u32, u32)| (f64::from(width), f64::from(height));
        let sides = Sides::new(as_numbers(original), as_numbers(resize(original)?));
        let rects: Vec<Rect<Original>> =
            boxes.iter().map(|rect| mirrored(rect, &sides, mirror)).collect();
        // Shapes are not mirrored: data.flip is refused where regions are asked for.
        category::answer(category, &rects, boxes, &sides, &self.reward)
    }

    /// An answer in words, in the coordinates of the task.
    fn converted(
        &self,
        row: &Row,
        text: &str,
        resize: &Resize,
        mirror: Mirror,
    ) -> Result<String, String> {
        let Some(own) = self.reward.answer.space() else { return Ok(text.to_owned()) };
        let Some(conversion) = self.reading.conversion(row, own, resize, mirror)? else {
            return Ok(text.to_owned());
        };
        if let Some(coordinates) = self.reader.coordinates(text) {
            self.reading.check_units(coordinates, row)?;
        }
        let truth = self.reader.parse_answer_in(&conversion, text);
        truth.map(|truth| truth.solution).map_err(|error| self.refused(&error, row))
    }

    /// Why a true answer is refused; where its place is out of bounds, with what its coordinates are taken to count.
    fn refused(&self, error: &RewardError, row: &Row) -> String {
        let is_out = matches!(
            error,
            RewardError::Outside { .. } | RewardError::Item { flaw: Flaw::Coordinate { .. }, .. }
        );
        match self.reading.blamed(&self.reader, row).filter(|_| is_out) {
            Some(blamed) => format!("{error}; {blamed}"),
            None => error.to_string(),
        }
    }

    /// The true answer as supervised tuning should show it, without the prefix that it puts before every answer: what
    /// the reward accepts as the best answer, with the thinking of the row if it has any.
    ///
    /// A truth that the reward cannot read stays as it is.
    pub fn demonstration(&self, truth: &str, prefix: &str) -> String {
        let Ok(read) = self.reader.parse_answer(truth) else { return truth.to_owned() };
        let shown = self.reader.demonstration(&read, prefix);
        shown.strip_prefix(prefix).map_or_else(|| shown.clone(), str::to_owned)
    }

    /// Whether the reward can read the true answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_truth(&self, truth: &str) -> Result<(), String> {
        self.reader.parse_answer(truth).map(drop).map_err(|error| error.to_string())
    }
}

/// The first answer that a conversation ends with.
fn first_of(question: &Question) -> Option<&Turn> {
    let Question::Turns(turns) = question else { return None };
    turns.last().filter(|turn| turn.role == Role::Assistant)
}

/// The conversation without the first answer that it ends with.
fn before_first(turns: &[Turn]) -> &[Turn] {
    match turns.split_last() {
        Some((last, before)) if last.role == Role::Assistant => before,
        _ => turns,
    }
}

/// Whether the policy is shown an answer: one that the conversation ends with, or one that its last question is about.
fn is_answered(question: &Question) -> bool {
    let Question::Turns(turns) = question else { return false };
    turns.iter().any(|turn| turn.role == Role::Assistant)
}

/// A box on the mirrored picture.
fn mirrored(rect: &Rect<Original>, sides: &Sides, mirror: Mirror) -> Rect<Original> {
    let [x1, y1, x2, y2] = rect.corners();
    let (width, height) = sides.original();
    let (x1, x2) = if mirror.horizontal { (width - x2, width - x1) } else { (x1, x2) };
    let (y1, y2) = if mirror.vertical { (height - y2, height - y1) } else { (y1, y2) };
    Rect::new([x1, y1, x2, y2])
}

/// Adds to the words of the last question.
fn append(turns: &mut [Turn], text: &str) {
    let Some(turn) = turns.iter_mut().rfind(|turn| turn.role == Role::User) else { return };
    match turn.parts.last_mut() {
        Some(Part::Text(words)) => words.push_str(text),
        _ => turn.parts.push(Part::Text(text.trim_start().to_owned())),
    }
}

#[cfg(test)]
mod tests;
