//! One question as the model reads it: token ids, positions and pixel patches.

use vrft_vision::Grid;

use crate::PolicyError;

/// One question, ready for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedPrompt {
    /// Token ids, each placeholder of an image or a video already expanded to one token per merged patch.
    pub token_ids: Vec<u32>,
    /// M-RoPE position (time, height, width) of each token.
    pub positions: Vec<[u32; 3]>,
    /// The images and videos, mixed as their placeholders are in the prompt: the first belongs to the first run
    /// of tokens that are `image_token_id` or `video_token_id`, and so on.
    pub images: Vec<vrft_vision::Patches>,
}

impl EncodedPrompt {
    /// The prompt with these tokens of an answer after it.
    pub fn followed_by(&self, completion: &[u32]) -> EncodedPrompt {
        let mut whole = self.clone();
        whole.token_ids.extend(completion);
        let positions = (self.next_position()..).map(|position| [position; 3]);
        whole.positions.extend(positions.take(completion.len()));
        whole
    }

    /// Position of the first completion token on all three axes; later ones follow one by one.
    pub fn next_position(&self) -> u32 {
        self.positions.iter().flatten().max().map_or(0, |last| last + 1)
    }
}

/// What stands for an image or a video in the prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placeholder {
    /// The token that is repeated.
    pub(crate) token_id: u32,
    /// Patches before they are merged.
    pub(crate) grid: Grid,
    /// Positions from one temporal patch to the next.
    pub(crate) time_step: f32,
}

/// M-RoPE positions: text counts up on all axes alike, an image or a video spans time, height and width from
/// where the text stopped, and the text after it goes on past its longer side.
///
/// An error if the tokens are not those that the placeholders ask for.
/// [Qwen2-VL](https://arxiv.org/abs/2409.12191), "Multimodal Rotary Position Embedding", with the absolute time of
/// [Qwen2.5-VL](https://arxiv.org/abs/2502.13923); as `get_rope_index` of transformers.
pub(crate) fn mrope_positions(
    token_ids: &[u32],
    placeholders: &[Placeholder],
    special_ids: &[u32],
    merge_size: usize,
) -> Result<Vec<[u32; 3]>, PolicyError> {
    let mut positions = Vec::with_capacity(token_ids.len());
    let mut placeholders = placeholders.iter();
    let mut next = 0;
    while let Some(id) = token_ids.get(positions.len()) {
        if !special_ids.contains(id) {
            positions.push([next; 3]);
            next += 1;
            continue;
        }
        let found = placeholders.next().filter(|placeholder| {
            let start = positions.len();
            let run = token_ids.get(start..start + placeholder.grid.n_tokens(merge_size));
            run.is_some_and(|run| run.iter().all(|id| *id == placeholder.token_id))
        });
        let Some(placeholder) = found else {
            return Err(misplaced(positions.len(), *id));
        };
        span(&mut positions, placeholder, merge_size, &mut next);
    }
    match placeholders.next() {
        None => Ok(positions),
        Some(placeholder) => Err(misplaced(positions.len(), placeholder.token_id)),
    }
}

/// The positions of one image or video.
fn span(
    positions: &mut Vec<[u32; 3]>,
    placeholder: &Placeholder,
    merge_size: usize,
    next: &mut u32,
) {
    let Grid { t, h, w } = placeholder.grid;
    let (rows, columns) = (h / merge_size, w / merge_size);
    for i in 0..t * rows * columns {
        let (t, h, w) = (i / (rows * columns), i / columns % rows, i % columns);
        // A fraction of a position is dropped, in single precision.
        let t = (t as f32 * placeholder.time_step) as usize;
        positions.push([t, h, w].map(|offset| *next + offset as u32));
    }
    *next += rows.max(columns) as u32;
}

fn misplaced(token_idx: usize, id: u32) -> PolicyError {
    let what = format!("token {token_idx} of the prompt ({id})");
    PolicyError::input(what, "one of as many as the images and videos have patches", "another")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u32 = 9;
    const VIDEO: u32 = 8;

    fn positions(
        token_ids: &[u32],
        placeholders: &[Placeholder],
    ) -> Result<Vec<[u32; 3]>, PolicyError> {
        mrope_positions(token_ids, placeholders, &[IMAGE, VIDEO], 2)
    }

    fn image(h: usize, w: usize) -> Placeholder {
        Placeholder { token_id: IMAGE, grid: Grid { t: 1, h, w }, time_step: 1.0 }
    }

    #[test]
    fn text_goes_on_past_the_longer_side_of_an_image() {
        let positions = positions(&[5, IMAGE, IMAGE, 5], &[image(4, 2)]).expect("fits");
        assert_eq!(positions, [[0; 3], [1, 1, 1], [1, 2, 1], [3; 3]]);
    }

    #[test]
    fn time_passes_in_a_video() {
        let video =
            Placeholder { token_id: VIDEO, grid: Grid { t: 3, h: 2, w: 2 }, time_step: 2.5 };
        let positions = positions(&[5, VIDEO, VIDEO, VIDEO, 5], &[video]).expect("fits");
        assert_eq!(positions, [[0; 3], [1, 1, 1], [3, 1, 1], [6, 1, 1], [2; 3]]);
    }

    #[test]
    fn images_may_touch() {
        let positions = positions(&[IMAGE, IMAGE, IMAGE], &[image(2, 2), image(2, 4)]);
        assert_eq!(positions.expect("fits"), [[0; 3], [1, 1, 1], [1, 1, 2]]);
    }

    #[test]
    fn tokens_must_match_the_grids() {
        let expected = "token 1 of the prompt (9) should be one of as many as the images and videos have patches, \
                        got another";
        for placeholders in [vec![], vec![image(4, 2)]] {
            let error = positions(&[5, IMAGE], &placeholders).expect_err("refused");
            assert_eq!(error.to_string(), expected);
        }
        assert!(positions(&[5], &[image(2, 2)]).is_err());
        assert!(positions(&[5, VIDEO], &[image(2, 2)]).is_err());
    }

    #[test]
    fn a_completion_starts_past_every_position() {
        let positions = vec![[0; 3], [1, 1, 1], [1, 7, 1], [3; 3]];
        let prompt = EncodedPrompt { token_ids: vec![0; 4], positions, images: vec![] };
        assert_eq!(prompt.next_position(), 8);
    }
}
