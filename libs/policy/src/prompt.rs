//! One question as the model reads it: token ids, positions and pixel patches.

use crate::PolicyError;

/// One question, ready for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedPrompt {
    /// Token ids, each image placeholder already expanded to one token per merged patch.
    pub token_ids: Vec<u32>,
    /// M-RoPE position (time, height, width) of each token.
    pub positions: Vec<[u32; 3]>,
    /// The images, in the order of their placeholders.
    pub images: Vec<vision::Patches>,
}

impl EncodedPrompt {
    /// Position of the first completion token on all three axes; later ones follow one by one.
    pub fn next_position(&self) -> u32 {
        self.positions.iter().flatten().max().map_or(0, |last| last + 1)
    }
}

/// M-RoPE positions: text counts up on all axes alike, an image spans time, height and width from where
/// the text stopped, and the text after it goes on past its longer side.
///
/// An error if the image tokens are not as many as the grids ask for.
/// [Qwen2-VL](https://arxiv.org/abs/2409.12191), "Multimodal Rotary Position Embedding"; as `get_rope_index`
/// of transformers.
pub(crate) fn mrope_positions(
    token_ids: &[u32],
    image_token_id: u32,
    grids: &[vision::Grid],
    merge_size: usize,
) -> Result<Vec<[u32; 3]>, PolicyError> {
    let expected: usize = grids.iter().map(|grid| grid.n_tokens(merge_size)).sum();
    let got = token_ids.iter().filter(|id| **id == image_token_id).count();
    if got != expected {
        return Err(PolicyError::input("image tokens of the prompt", expected, got));
    }
    let mut positions = Vec::with_capacity(token_ids.len());
    let mut grids = grids.iter();
    let mut next = 0;
    while let Some(id) = token_ids.get(positions.len()) {
        let grid = if *id == image_token_id { grids.next() } else { None };
        let Some(grid) = grid else {
            positions.push([next; 3]);
            next += 1;
            continue;
        };
        let (rows, columns) = (grid.h / merge_size, grid.w / merge_size);
        for i in 0..grid.t * rows * columns {
            let (t, h, w) = (i / (rows * columns), i / columns % rows, i % columns);
            positions.push([t, h, w].map(|offset| next + offset as u32));
        }
        next += rows.max(columns) as u32;
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u32 = 9;

    #[test]
    fn text_goes_on_past_the_longer_side_of_an_image() {
        let grid = vision::Grid { t: 1, h: 4, w: 2 };
        let positions = mrope_positions(&[5, IMAGE, IMAGE, 5], IMAGE, &[grid], 2).expect("fits");
        assert_eq!(positions, [[0; 3], [1, 1, 1], [1, 2, 1], [3; 3]]);
    }

    #[test]
    fn image_tokens_must_match_the_grids() {
        let message =
            mrope_positions(&[5, IMAGE], IMAGE, &[], 2).expect_err("no image").to_string();
        assert_eq!(message, "image tokens of the prompt should be 0, got 1");
    }

    #[test]
    fn a_completion_starts_past_every_position() {
        let positions = vec![[0; 3], [1, 1, 1], [1, 7, 1], [3; 3]];
        let prompt = EncodedPrompt { token_ids: vec![0; 4], positions, images: vec![] };
        assert_eq!(prompt.next_position(), 8);
    }
}
