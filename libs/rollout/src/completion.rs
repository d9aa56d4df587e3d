//! A sampled answer.

/// What the policy said to one prompt, and how sure it was of every token.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Sampled ids, the one that ended the completion included.
    pub token_ids: Vec<u32>,
    /// Logprob of each of these tokens under softmax(logits / temperature), before top-k and top-p cut that
    /// distribution, as in TRL; at temperature 0, under softmax(logits).
    pub logprobs: Vec<f32>,
    /// The tokens as text, special ones left out.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Seed of its random stream.
    pub seed: u64,
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// Its last token completed a stop text.
    Stop,
    /// Its last token ends a turn.
    EndOfTurn,
    /// It was cut at the most tokens allowed.
    Length,
}
