//! Positions on three axes (M-RoPE).

use vrft_vision::Grid;

use crate::ProcessorError;

/// Tokens that follow each other and stand for one image, one video, or one frame of a video.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The token that is repeated.
    pub(super) token_id: u32,
    pub(super) grid: Grid,
    /// Positions from one temporal patch to the next.
    pub(super) time_step: f32,
}

/// M-RoPE positions: text counts up on all axes alike, an image or a video spans time, height and width from
/// where the text stopped, and the text after it goes on past its longer side.
///
/// [Qwen2-VL](https://arxiv.org/abs/2409.12191), "Multimodal Rotary Position Embedding", with the absolute time of
/// [Qwen2.5-VL](https://arxiv.org/abs/2502.13923); as `get_rope_index` of transformers.
///
/// # Errors
/// Tokens that are not those of the pictures.
pub(super) fn mrope_positions(
    token_ids: &[u32],
    spans: impl IntoIterator<Item = Span>,
    special_ids: &[u32],
    merge_size: usize,
) -> Result<Vec<[u32; 3]>, ProcessorError> {
    let mut positions = Vec::with_capacity(token_ids.len());
    let mut spans = spans.into_iter();
    let mut next = 0;
    while let Some(id) = token_ids.get(positions.len()) {
        if !special_ids.contains(id) {
            positions.push([next; 3]);
            next += 1;
            continue;
        }
        let found = spans.next().filter(|span| {
            let start = positions.len();
            let run = token_ids.get(start..start + span.grid.n_tokens(merge_size));
            run.is_some_and(|run| run.iter().all(|id| *id == span.token_id))
        });
        let Some(span) = found else {
            return Err(misplaced(positions.len(), *id));
        };
        push(&mut positions, span, merge_size, &mut next);
    }
    match spans.next() {
        None => Ok(positions),
        Some(span) => Err(misplaced(positions.len(), span.token_id)),
    }
}

/// Adds the positions of one image or video.
fn push(positions: &mut Vec<[u32; 3]>, span: Span, merge_size: usize, next: &mut u32) {
    let Grid { t, h, w } = span.grid;
    let (rows, columns) = (h / merge_size, w / merge_size);
    for i in 0..t * rows * columns {
        let (t, h, w) = (i / (rows * columns), i / columns % rows, i % columns);
        // A fraction of a position is dropped, in single precision.
        let t = (t as f32 * span.time_step) as usize;
        positions.push([t, h, w].map(|offset| *next + offset as u32));
    }
    *next += rows.max(columns) as u32;
}

fn misplaced(token_idx: usize, id: u32) -> ProcessorError {
    let what = format!("token {token_idx} of the prompt ({id})");
    ProcessorError::input(what, "one of as many as the images and videos have patches", "another")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u32 = 9;
    const VIDEO: u32 = 8;

    fn positions(token_ids: &[u32], spans: &[Span]) -> Result<Vec<[u32; 3]>, ProcessorError> {
        mrope_positions(token_ids, spans.iter().copied(), &[IMAGE, VIDEO], 2)
    }

    fn image(h: usize, w: usize) -> Span {
        Span { token_id: IMAGE, grid: Grid { t: 1, h, w }, time_step: 1.0 }
    }

    #[test]
    fn text_goes_on_past_the_longer_side_of_an_image() {
        let positions = positions(&[5, IMAGE, IMAGE, 5], &[image(4, 2)]).expect("fits");
        assert_eq!(positions, [[0; 3], [1, 1, 1], [1, 2, 1], [3; 3]]);
    }

    #[test]
    fn time_passes_in_a_video() {
        let grid = Grid { t: 3, h: 2, w: 2 };
        let video = Span { token_id: VIDEO, grid, time_step: 2.5 };
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
        for spans in [vec![], vec![image(4, 2)]] {
            let error = positions(&[5, IMAGE], &spans).expect_err("refused");
            assert_eq!(error.to_string(), expected);
        }
        assert!(positions(&[5], &[image(2, 2)]).is_err());
        assert!(positions(&[5, VIDEO], &[image(2, 2)]).is_err());
    }
}
