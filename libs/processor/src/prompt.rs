//! One question as the model reads it: token ids, positions and pixel patches.

use vrft_vision::Patches;

/// One question, ready for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedPrompt {
    /// Token ids, each placeholder of an image or a video already expanded to one token per merged patch.
    pub token_ids: Vec<u32>,
    /// Position of each token on three axes: time, height and width.
    pub positions: Vec<[u32; 3]>,
    /// The images and videos, mixed as their placeholders are in the prompt: the first fills the first of the tokens
    /// that stand for a merged patch, and so on.
    pub images: Vec<Patches>,
}

/// What somebody else says within a completion, as the model reads it between two tokens of the policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Insertion {
    /// Number of the completion's own tokens before it, at least 1.
    pub after: usize,
    /// From the end of the policy's turn to where it speaks again. Positions count from 0: they are added to the first
    /// free one at the place where this is inserted.
    pub tokens: EncodedPrompt,
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

    /// The same prompt about pictures without detail, see [`Patches::without_detail`].
    pub fn without_detail(&self) -> EncodedPrompt {
        let images = self.images.iter().map(Patches::without_detail).collect();
        EncodedPrompt {
            token_ids: self.token_ids.clone(),
            positions: self.positions.clone(),
            images,
        }
    }

    /// Position of the first completion token on all three axes; later ones follow one by one.
    pub fn next_position(&self) -> u32 {
        self.positions.iter().flatten().max().map_or(0, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_starts_past_every_position() {
        let positions = vec![[0; 3], [1, 1, 1], [1, 7, 1], [3; 3]];
        let prompt = EncodedPrompt { token_ids: vec![0; 4], positions, images: vec![] };
        assert_eq!(prompt.next_position(), 8);
        let whole = prompt.followed_by(&[5, 6]);
        assert_eq!(whole.token_ids, [0, 0, 0, 0, 5, 6]);
        assert_eq!(whole.positions[4..], [[8; 3], [9; 3]]);
    }
}
