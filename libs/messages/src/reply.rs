//! What others say in the middle of a completion: the result of a tool that the policy called, or a further question.

use arrow::array::{Array, StructArray};
use arrow::datatypes::UInt32Type;

use crate::build::{nullable_strings, numbers, strings, struct_lists, table};
use crate::columns::Columns;
use crate::image::{images_to_arrow, read_images};
use crate::{EncodedImage, MessageError};

/// What stands between two turns of the policy within a completion. None of its tokens are the policy's own, so none is
/// among the completion's `token_ids`: nothing is learned from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Number of the policy's own tokens before it, counted from the start of the completion; at least 1.
    pub after: u32,
    /// What the policy had said since the reply before, in words, with the call that is answered.
    pub said: String,
    /// Name of the tool that was called; `None` for a question that every completion is asked.
    pub tool: Option<String>,
    /// The reply in words; may be empty where there are pictures.
    pub text: String,
    /// Its pictures, which stand before the words.
    pub images: Vec<EncodedImage>,
}

/// A table with a row for each reply.
pub(crate) fn replies_to_arrow(replies: &[&Reply]) -> StructArray {
    let images: Vec<&EncodedImage> = replies.iter().flat_map(|reply| &reply.images).collect();
    let images = images_to_arrow(&images);
    table(vec![
        ("after", numbers::<UInt32Type>(replies.iter().map(|reply| reply.after))),
        ("said", strings(replies.iter().map(|reply| reply.said.as_str()))),
        ("tool", nullable_strings(replies.iter().map(|reply| reply.tool.as_deref()))),
        ("text", strings(replies.iter().map(|reply| reply.text.as_str()))),
        ("images", struct_lists(replies.iter().map(|reply| reply.images.len()), images)),
    ])
}

/// The replies of one completion of so many own tokens.
pub(crate) fn read_replies(
    array: &StructArray,
    n_tokens: usize,
) -> Result<Vec<Reply>, MessageError> {
    if array.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::new("replies of groups", array);
    let afters = columns.primitive::<UInt32Type>("after")?;
    let said = columns.strings("said")?;
    let tools = columns.nullable_strings("tool")?;
    let texts = columns.strings("text")?;
    let images = columns.struct_lists("images")?;
    let mut replies: Vec<Reply> = Vec::with_capacity(columns.n_rows());
    for (row, images) in images.iter().enumerate() {
        let after = afters.value(row);
        let before = replies.last().map_or(0, |reply| reply.after);
        // A token of the policy stands before each reply, and one after the last.
        if after <= before || after as usize >= n_tokens {
            let why = format!(
                "a reply after {after} tokens should come after more than {before} and before the last of {n_tokens}"
            );
            return Err(columns.row_error(row, why));
        }
        replies.push(Reply {
            after,
            said: said.value(row).to_owned(),
            tool: tools.is_valid(row).then(|| tools.value(row).to_owned()),
            text: texts.value(row).to_owned(),
            images: read_images("images of replies", images)?,
        });
    }
    Ok(replies)
}
