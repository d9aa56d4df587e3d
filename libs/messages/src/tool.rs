//! `rollout/<tool>`: calls of a tool, and what it gives back. A tool is any node that turns the one into the other.

use arrow::array::{Array, StructArray};
use arrow::datatypes::{UInt16Type, UInt32Type, UInt64Type};

use crate::build::{numbers, strings, struct_lists, table};
use crate::columns::Columns;
use crate::image::{images_to_arrow, read_images};
use crate::{EncodedImage, Message, MessageError};

/// One call: the policy wrote `<tool>arguments</tool>`, where `tool` is the name of the edge.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The prompt whose completion calls.
    pub prompt_id: u64,
    /// Which of its completions, from 0.
    pub completion_idx: u16,
    /// Number of the call within the completion, from 0.
    pub call_idx: u16,
    /// What stands between the tags.
    pub arguments: String,
    /// The pictures of the prompt.
    pub images: Vec<EncodedImage>,
    /// For each picture, the x and y of its lower right corner in the coordinates that the policy uses: 1000 and 1000
    /// for thousandths, the sides of the picture as the model sees it for pixels.
    pub extents: Vec<[u32; 2]>,
}

/// All calls of a tool at a time: those of one turn of the completions of a batch of prompts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolCallBatch {
    /// One row per call.
    pub calls: Vec<ToolCall>,
}

/// What a tool gives back for one call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The prompt whose completion called.
    pub prompt_id: u64,
    /// Which of its completions.
    pub completion_idx: u16,
    /// What the policy is to read; an error too is said here.
    pub text: String,
    /// What it is to see, before the text.
    pub images: Vec<EncodedImage>,
}

/// The results of a batch of calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolResultBatch {
    /// One row per call, in the order of the calls.
    pub results: Vec<ToolResult>,
}

impl Message for ToolCallBatch {
    const NAME: &'static str = "tool_calls";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.calls;
        let images: Vec<&EncodedImage> = rows.iter().flat_map(|row| &row.images).collect();
        let images = images_to_arrow(&images);
        let extents: Vec<[u32; 2]> = rows.iter().flat_map(|row| row.extents.clone()).collect();
        let extents = table(vec![
            ("x", numbers::<UInt32Type>(extents.iter().map(|extent| extent[0]))),
            ("y", numbers::<UInt32Type>(extents.iter().map(|extent| extent[1]))),
        ]);
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("completion_idx", numbers::<UInt16Type>(rows.iter().map(|row| row.completion_idx))),
            ("call_idx", numbers::<UInt16Type>(rows.iter().map(|row| row.call_idx))),
            ("arguments", strings(rows.iter().map(|row| row.arguments.as_str()))),
            ("images", struct_lists(rows.iter().map(|row| row.images.len()), images)),
            ("extents", struct_lists(rows.iter().map(|row| row.extents.len()), extents)),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let idxs = columns.primitive::<UInt16Type>("completion_idx")?;
        let call_idxs = columns.primitive::<UInt16Type>("call_idx")?;
        let arguments = columns.strings("arguments")?;
        let images = columns.struct_lists("images")?;
        let extents = columns.struct_lists("extents")?;
        let mut calls = Vec::with_capacity(columns.n_rows());
        for row in 0..columns.n_rows() {
            let images = read_images("images of tool_calls", &images[row])?;
            let extents = read_extents(&extents[row])?;
            if images.len() != extents.len() {
                let why = format!("{} images but {} extents", images.len(), extents.len());
                return Err(columns.row_error(row, why));
            }
            calls.push(ToolCall {
                prompt_id: prompt_ids.value(row),
                completion_idx: idxs.value(row),
                call_idx: call_idxs.value(row),
                arguments: arguments.value(row).to_owned(),
                images,
                extents,
            });
        }
        Ok(Self { calls })
    }
}

fn read_extents(array: &StructArray) -> Result<Vec<[u32; 2]>, MessageError> {
    if array.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::new("extents of tool_calls", array);
    let (x, y) = (columns.primitive::<UInt32Type>("x")?, columns.primitive::<UInt32Type>("y")?);
    Ok((0..columns.n_rows()).map(|row| [x.value(row), y.value(row)]).collect())
}

impl Message for ToolResultBatch {
    const NAME: &'static str = "tool_results";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.results;
        let images: Vec<&EncodedImage> = rows.iter().flat_map(|row| &row.images).collect();
        let images = images_to_arrow(&images);
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("completion_idx", numbers::<UInt16Type>(rows.iter().map(|row| row.completion_idx))),
            ("text", strings(rows.iter().map(|row| row.text.as_str()))),
            ("images", struct_lists(rows.iter().map(|row| row.images.len()), images)),
        ])
    }

    /// Reads results; `images` may be left out by a tool that has none to show.
    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let idxs = columns.primitive::<UInt16Type>("completion_idx")?;
        let texts = columns.strings("text")?;
        let images = columns.optional_struct_lists("images")?;
        let result = |row: usize| {
            let images = match &images {
                Some(images) => read_images("images of tool_results", &images[row])?,
                None => Vec::new(),
            };
            Ok(ToolResult {
                prompt_id: prompt_ids.value(row),
                completion_idx: idxs.value(row),
                text: texts.value(row).to_owned(),
                images,
            })
        };
        let results = (0..columns.n_rows()).map(result).collect::<Result<_, MessageError>>()?;
        Ok(Self { results })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ListArray, NullArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn image() -> EncodedImage {
        EncodedImage { bytes: vec![1, 2], encoding: "png".into(), width: 3, height: 4 }
    }

    fn call(completion_idx: u16, n_images: usize) -> ToolCall {
        ToolCall {
            prompt_id: 5,
            completion_idx,
            call_idx: 1,
            arguments: "[1, 2, 3, 4]".into(),
            images: vec![image(); n_images],
            extents: vec![[1000, 1000]; n_images],
        }
    }

    #[test]
    fn calls_and_results_arrive_as_they_were_sent() {
        let calls = ToolCallBatch { calls: vec![call(0, 2), call(3, 0)] };
        assert_eq!(ToolCallBatch::from_arrow(&calls.to_arrow()).unwrap(), calls);
        let result =
            |images| ToolResult { prompt_id: 5, completion_idx: 0, text: "there".into(), images };
        let results = ToolResultBatch { results: vec![result(vec![image()]), result(vec![])] };
        assert_eq!(ToolResultBatch::from_arrow(&results.to_arrow()).unwrap(), results);
    }

    #[test]
    fn a_tool_without_pictures_need_not_say_so() {
        let array = table(vec![
            ("prompt_id", numbers::<UInt64Type>([5])),
            ("completion_idx", numbers::<UInt16Type>([1])),
            ("text", strings(["four"])),
        ]);
        let results = ToolResultBatch::from_arrow(&array).unwrap().results;
        assert_eq!((results[0].text.as_str(), results[0].images.len()), ("four", 0));
    }

    /// As pyarrow makes it of rows without a picture: a list of nothing has no type.
    #[test]
    fn an_empty_list_of_any_type_is_no_picture() {
        let nothing = Arc::new(NullArray::new(0));
        let field = Arc::new(Field::new_list_field(DataType::Null, true));
        let images = ListArray::new(field, OffsetBuffer::from_lengths([0]), nothing, None);
        let array = table(vec![
            ("prompt_id", numbers::<UInt64Type>([5])),
            ("completion_idx", numbers::<UInt16Type>([1])),
            ("text", strings(["Error: no box."])),
            ("images", Arc::new(images)),
        ]);
        let results = ToolResultBatch::from_arrow(&array).unwrap().results;
        assert_eq!(results[0].images, []);
    }

    #[test]
    fn every_picture_has_its_extent() {
        let mut call = call(0, 2);
        call.extents.pop();
        let batch = ToolCallBatch { calls: vec![call] };
        let error = ToolCallBatch::from_arrow(&batch.to_arrow()).unwrap_err().to_string();
        assert_eq!(error, "row 0 of tool_calls: 2 images but 1 extents");
    }
}
