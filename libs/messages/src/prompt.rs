//! `loader/prompts`: questions about images, with their verifiable answers.

use arrow::array::StructArray;
use arrow::datatypes::UInt64Type;

use crate::build::{nullable_strings, numbers, strings, struct_lists, table};
use crate::columns::Columns;
use crate::image::{images_to_arrow, read_images};
use crate::turn::{n_parts, read_turns, turns_to_arrow};
use crate::{EncodedImage, Message, MessageError, Role, Turn};

/// One question with its pictures and its true answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Position in the run: the k-th prompt ever asked for. Everything else about it joins on this.
    pub prompt_id: u64,
    /// Row of the data set it came from.
    pub sample_id: String,
    /// Kind of task, as in `reward.task`.
    pub task: String,
    /// What the policy reads: a system turn if there is one, then the conversation up to the answer.
    ///
    /// On the wire the columns `system` and `text` repeat the system turn and the last question in words, for readers
    /// that want no more.
    pub turns: Vec<Turn>,
    /// Images, in the order of their places in the turns.
    pub images: Vec<EncodedImage>,
    /// Ground truth, in the words of the data set's `solution` column.
    pub answer: String,
    /// The policy version that must answer it, exactly this one: staleness is bounded by construction.
    pub policy_version: u64,
}

/// The prompts of one learner step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptBatch {
    /// At least one, in order of `prompt_id`.
    pub prompts: Vec<Prompt>,
}

impl Prompt {
    /// The system turn in words, if there is one.
    pub fn system(&self) -> Option<String> {
        self.turns.iter().find(|turn| turn.role == Role::System).map(Turn::text)
    }

    /// The last answer of the conversation, if it has one: what the policy is asked to correct, where a task is that.
    pub fn first(&self) -> Option<String> {
        self.turns.iter().rfind(|turn| turn.role == Role::Assistant).map(Turn::text)
    }

    /// The last question in words, without its pictures.
    pub fn text(&self) -> String {
        let question = self.turns.iter().rfind(|turn| turn.role == Role::User);
        question.map(Turn::text).unwrap_or_default()
    }
}

impl Message for PromptBatch {
    const NAME: &'static str = "prompts";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.prompts;
        let images: Vec<&EncodedImage> = rows.iter().flat_map(|row| &row.images).collect();
        let images = images_to_arrow(&images);
        let systems: Vec<Option<String>> = rows.iter().map(Prompt::system).collect();
        let texts: Vec<String> = rows.iter().map(Prompt::text).collect();
        let turns = turns_to_arrow(rows.iter().map(|row| row.turns.as_slice()));
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("sample_id", strings(rows.iter().map(|row| row.sample_id.as_str()))),
            ("task", strings(rows.iter().map(|row| row.task.as_str()))),
            ("system", nullable_strings(systems.iter().map(Option::as_deref))),
            ("text", strings(texts.iter().map(String::as_str))),
            ("turns", struct_lists(rows.iter().map(|row| n_parts(&row.turns)), turns)),
            ("images", struct_lists(rows.iter().map(|row| row.images.len()), images)),
            ("answer", strings(rows.iter().map(|row| row.answer.as_str()))),
            ("policy_version", numbers::<UInt64Type>(rows.iter().map(|row| row.policy_version))),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let sample_ids = columns.strings("sample_id")?;
        let tasks = columns.strings("task")?;
        let turns = columns.struct_lists("turns")?;
        let images = columns.struct_lists("images")?;
        let answers = columns.strings("answer")?;
        let versions = columns.primitive::<UInt64Type>("policy_version")?;
        let mut prompts: Vec<Prompt> = Vec::with_capacity(columns.n_rows());
        for (row, (images, turns)) in images.iter().zip(&turns).enumerate() {
            let prompt_id = prompt_ids.value(row);
            if prompts.last().is_some_and(|last| last.prompt_id >= prompt_id) {
                return Err(columns.row_error(row, format!("prompt_id {prompt_id} is not rising")));
            }
            prompts.push(Prompt {
                prompt_id,
                sample_id: sample_ids.value(row).to_owned(),
                task: tasks.value(row).to_owned(),
                turns: read_turns(turns)?,
                images: read_images("images of prompts", images)?,
                answer: answers.value(row).to_owned(),
                policy_version: versions.value(row),
            });
        }
        Ok(Self { prompts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_image()(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            encoding in "[a-z]{3,4}", width: u32, height: u32,
        ) -> EncodedImage {
            EncodedImage { bytes, encoding, width, height }
        }
    }

    prop_compose! {
        fn any_prompt()(
            sample_id in ".*", task in "[a-z]+", system in prop::option::of(".*"), text in ".*",
            answered in prop::option::of(".*"),
            images in prop::collection::vec(any_image(), 0..3), answer in ".*",
            policy_version: u64,
        ) -> Prompt {
            let mut turns: Vec<Turn> = system.iter().map(|text| Turn::system(text)).collect();
            if let Some(words) = answered {
                turns.push(Turn::question(0, "before"));
                turns.push(Turn { role: Role::Assistant, parts: vec![crate::Part::Text(words)] });
            }
            turns.push(Turn::question(images.len(), &text));
            Prompt { prompt_id: 0, sample_id, task, turns, images, answer, policy_version }
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(mut prompts in prop::collection::vec(any_prompt(), 0..5)) {
            (0..).zip(&mut prompts).for_each(|(id, prompt)| prompt.prompt_id = id);
            let batch = PromptBatch { prompts };
            prop_assert_eq!(PromptBatch::from_arrow(&batch.to_arrow()).unwrap(), batch);
        }
    }

    #[test]
    fn a_repeated_prompt_is_refused() {
        let prompt = Prompt {
            prompt_id: 3,
            sample_id: String::new(),
            task: String::new(),
            turns: vec![],
            images: vec![],
            answer: String::new(),
            policy_version: 0,
        };
        let batch = PromptBatch { prompts: vec![prompt.clone(), prompt] };
        let error = PromptBatch::from_arrow(&batch.to_arrow()).unwrap_err().to_string();
        assert_eq!(error, "row 1 of prompts: prompt_id 3 is not rising");
    }
}
