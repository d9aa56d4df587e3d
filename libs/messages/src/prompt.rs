//! `loader/prompts`: questions about images, with their verifiable answers.

use arrow::array::{Array, StructArray};
use arrow::datatypes::{UInt32Type, UInt64Type};

use crate::build::{binaries, nullable_strings, numbers, strings, struct_lists, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Position in the run: the k-th prompt ever asked for. Everything else about it joins on this.
    pub prompt_id: u64,
    /// Row of the data set it came from.
    pub sample_id: String,
    /// Kind of task, as in `reward.task`.
    pub task: String,
    /// System turn, if any.
    pub system: Option<String>,
    /// The user's turn.
    pub text: String,
    /// Images, shown before the text.
    pub images: Vec<EncodedImage>,
    /// Ground truth, in the words of the data set's `solution` column.
    pub answer: String,
    /// The policy version that must answer: staleness is bounded by construction.
    pub min_policy_version: u64,
}

/// An image file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedImage {
    /// PNG, JPEG, WebP or BMP bytes.
    pub bytes: Vec<u8>,
    /// `png`, `jpeg`, …
    pub encoding: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// The prompts of one learner step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptBatch {
    /// At least one, in order of `prompt_id`.
    pub prompts: Vec<Prompt>,
}

impl Message for PromptBatch {
    const NAME: &'static str = "prompts";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.prompts;
        let images: Vec<&EncodedImage> = rows.iter().flat_map(|row| &row.images).collect();
        let images = table(vec![
            ("bytes", binaries(images.iter().map(|image| image.bytes.as_slice()))),
            ("encoding", strings(images.iter().map(|image| image.encoding.as_str()))),
            ("width", numbers::<UInt32Type>(images.iter().map(|image| image.width))),
            ("height", numbers::<UInt32Type>(images.iter().map(|image| image.height))),
        ]);
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("sample_id", strings(rows.iter().map(|row| row.sample_id.as_str()))),
            ("task", strings(rows.iter().map(|row| row.task.as_str()))),
            ("system", nullable_strings(rows.iter().map(|row| row.system.as_deref()))),
            ("text", strings(rows.iter().map(|row| row.text.as_str()))),
            ("images", struct_lists(rows.iter().map(|row| row.images.len()), images)),
            ("answer", strings(rows.iter().map(|row| row.answer.as_str()))),
            (
                "min_policy_version",
                numbers::<UInt64Type>(rows.iter().map(|row| row.min_policy_version)),
            ),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let sample_ids = columns.strings("sample_id")?;
        let tasks = columns.strings("task")?;
        let systems = columns.nullable_strings("system")?;
        let texts = columns.strings("text")?;
        let images = columns.struct_lists("images")?;
        let answers = columns.strings("answer")?;
        let versions = columns.primitive::<UInt64Type>("min_policy_version")?;
        let mut prompts: Vec<Prompt> = Vec::with_capacity(columns.n_rows());
        for (row, images) in images.iter().enumerate() {
            let prompt_id = prompt_ids.value(row);
            if prompts.last().is_some_and(|last| last.prompt_id >= prompt_id) {
                return Err(columns.row_error(row, format!("prompt_id {prompt_id} is not rising")));
            }
            prompts.push(Prompt {
                prompt_id,
                sample_id: sample_ids.value(row).to_owned(),
                task: tasks.value(row).to_owned(),
                system: systems.is_valid(row).then(|| systems.value(row).to_owned()),
                text: texts.value(row).to_owned(),
                images: read_images(images)?,
                answer: answers.value(row).to_owned(),
                min_policy_version: versions.value(row),
            });
        }
        Ok(Self { prompts })
    }
}

fn read_images(array: &StructArray) -> Result<Vec<EncodedImage>, MessageError> {
    let columns = Columns::new("images of prompts", array);
    let bytes = columns.binaries("bytes")?;
    let encodings = columns.strings("encoding")?;
    let widths = columns.primitive::<UInt32Type>("width")?;
    let heights = columns.primitive::<UInt32Type>("height")?;
    Ok((0..columns.n_rows())
        .map(|row| EncodedImage {
            bytes: bytes[row].to_vec(),
            encoding: encodings.value(row).to_owned(),
            width: widths.value(row),
            height: heights.value(row),
        })
        .collect())
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
            images in prop::collection::vec(any_image(), 0..3), answer in ".*",
            min_policy_version: u64,
        ) -> Prompt {
            Prompt { prompt_id: 0, sample_id, task, system, text, images, answer, min_policy_version }
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
            system: None,
            text: String::new(),
            images: vec![],
            answer: String::new(),
            min_policy_version: 0,
        };
        let batch = PromptBatch { prompts: vec![prompt.clone(), prompt] };
        let error = PromptBatch::from_arrow(&batch.to_arrow()).unwrap_err().to_string();
        assert_eq!(error, "row 1 of prompts: prompt_id 3 is not rising");
    }
}
