//! Prompts and completions packed into one forward.

use std::sync::Arc;

use vrft_kernels::{AttentionGroup, AttentionLayout};
use vrft_processor::{EncodedPrompt, Insertion};
use vrft_vision::Patches;

use crate::ModelError;
use crate::model::Model;

/// A prompt and the completions that were sampled from it.
#[derive(Debug, Clone, Copy)]
pub struct PackedGroup<'a> {
    /// The question; processed once, whatever the number of completions.
    pub prompt: &'a EncodedPrompt,
    /// Sampled token ids of each completion, its end token included.
    pub completions: &'a [&'a [u32]],
    /// What others say within each completion, which the policy reads and does not predict; empty where none is
    /// interrupted.
    pub inserted: &'a [&'a [Insertion]],
}

/// The rows of a forward: per group its prompt, then each completion with what was inserted into it and without its last
/// token, which predicts nothing.
pub(crate) struct Packed<'a> {
    pub(crate) token_ids: Vec<u32>,
    pub(crate) positions: Vec<[u32; 3]>,
    pub(crate) layout: Arc<AttentionLayout>,
    /// The rows that predict a token, per group from the prompt's last one on: the last layer is computed for them
    /// alone.
    pub(crate) predicting: Vec<u32>,
    /// As `layout`, where the predicting rows alone have a query.
    pub(crate) predicting_layout: Arc<AttentionLayout>,
    /// Rows that the vectors of a soft prompt fill: all of them before each prompt.
    pub(crate) soft: Vec<usize>,
    /// In the order in which their placeholders come.
    pub(crate) images: Vec<&'a Patches>,
    /// Rows that an image or video fills. A prompt has some, and what is inserted into a completion: among the
    /// completion's own tokens, the placeholder's is a token like any other.
    pub(crate) placeholders: Vec<usize>,
    /// For each completion token, which of the predicting rows predicts it.
    pub(crate) sources: Vec<u32>,
    /// The tokens of the completions, which are to be predicted.
    pub(crate) targets: Vec<u32>,
}

impl<'a> Packed<'a> {
    /// Packs the groups.
    ///
    /// # Errors
    /// A prompt or completion that the model cannot read; a completion without tokens.
    pub(crate) fn new(model: &Model, groups: &[PackedGroup<'a>]) -> Result<Self, ModelError> {
        let mut packed = Self {
            token_ids: Vec::new(),
            positions: Vec::new(),
            layout: Arc::new(AttentionLayout::default()),
            predicting: Vec::new(),
            predicting_layout: Arc::new(AttentionLayout::default()),
            soft: Vec::new(),
            images: Vec::new(),
            placeholders: Vec::new(),
            sources: Vec::new(),
            targets: Vec::new(),
        };
        let mut layout = Vec::new();
        for (idx, group) in groups.iter().enumerate() {
            model.check_prompt(idx, group.prompt)?;
            layout.push(packed.push(model, idx, group)?);
        }
        let of_predicting = |group: &AttentionGroup| AttentionGroup {
            first_query: group.prefix - 1,
            ..group.clone()
        };
        let predicting_layout = layout.iter().map(of_predicting).collect();
        packed.layout = Arc::new(AttentionLayout::new(layout));
        packed.predicting_layout = Arc::new(AttentionLayout::new(predicting_layout));
        Ok(packed)
    }

    /// Whether an image fills a predicting row, because a prompt ends with it or a completion is interrupted by it.
    pub(crate) fn image_predicts(&self) -> bool {
        self.placeholders.iter().any(|row| self.predicting.binary_search(&(*row as u32)).is_ok())
    }

    fn push(
        &mut self,
        model: &Model,
        idx: usize,
        group: &PackedGroup<'a>,
    ) -> Result<AttentionGroup, ModelError> {
        let prompt = group.prompt;
        let n_soft = model.n_soft();
        self.push_soft(n_soft);
        let rows = (self.token_ids.len()..).zip(&prompt.token_ids);
        let placeholders = rows.filter(|(_, id)| model.is_placeholder(**id));
        self.placeholders.extend(placeholders.map(|(row, _)| row));
        self.token_ids.extend(&prompt.token_ids);
        let moved = |place: &[u32; 3]| place.map(|axis| axis + n_soft as u32);
        self.positions.extend(prompt.positions.iter().map(moved));
        self.images.extend(&prompt.images);
        let last_of_prompt = self.predicting.len() as u32;
        self.predicting.push(self.token_ids.len() as u32 - 1);
        let first_position = n_soft as u32 + prompt.next_position();
        let mut suffixes = Vec::new();
        if !group.inserted.is_empty() && group.inserted.len() != group.completions.len() {
            let expected = format!("{}, one for each completion", group.completions.len());
            let name = format!("insertions of group {idx}");
            return Err(ModelError::input(name, expected, group.inserted.len()));
        }
        for (completion_idx, completion) in group.completions.iter().enumerate() {
            let name = format!("completion {completion_idx} of group {idx}");
            let Some((_, inputs)) = completion.split_last() else {
                return Err(ModelError::input(name, "at least 1 token", 0));
            };
            model.check_tokens(&name, completion)?;
            let inserted = group.inserted.get(completion_idx).copied().unwrap_or_default();
            if !inserted.is_empty() {
                let ends = (last_of_prompt, first_position);
                suffixes.push(self.push_interrupted(model, &name, completion, inserted, ends)?);
                continue;
            }
            let first_row = self.token_ids.len() as u32;
            let first_source = self.predicting.len() as u32;
            let n_inputs = inputs.len() as u32;
            self.predicting.extend(first_row..first_row + n_inputs);
            self.sources.push(last_of_prompt);
            self.sources.extend(first_source..first_source + n_inputs);
            self.targets.extend(*completion);
            self.token_ids.extend(inputs);
            self.positions.extend((first_position..).map(|p| [p; 3]).take(inputs.len()));
            suffixes.push(inputs.len());
        }
        Ok(AttentionGroup {
            prefix: n_soft + prompt.token_ids.len(),
            suffixes,
            causal: true,
            first_query: 0,
        })
    }

    /// Adds a completion with what is inserted into it; returns the number of its rows. `source` is the predicting row
    /// of its first token, `position` the first free position.
    fn push_interrupted(
        &mut self,
        model: &Model,
        name: &str,
        completion: &[u32],
        inserted: &'a [Insertion],
        (mut source, mut position): (u32, u32),
    ) -> Result<usize, ModelError> {
        let first_row = self.token_ids.len();
        let mut inserted = inserted.iter().peekable();
        for (token_idx, token) in completion.iter().enumerate() {
            if let Some(insertion) = inserted.next_if(|insertion| insertion.after == token_idx) {
                if token_idx == 0 {
                    return Err(misplaced(name, insertion.after, completion.len()));
                }
                model.check_inserted(name, &insertion.tokens)?;
                let tokens = &insertion.tokens;
                self.images.extend(&tokens.images);
                for (id, place) in tokens.token_ids.iter().zip(&tokens.positions) {
                    let row = self.token_ids.len();
                    self.placeholders.extend(model.is_placeholder(*id).then_some(row));
                    self.push_row(*id, place.map(|axis| axis + position));
                }
                source = self.predicting.len() as u32 - 1;
                position += tokens.next_position();
            }
            self.sources.push(source);
            self.targets.push(*token);
            if token_idx + 1 < completion.len() {
                source = self.predicting.len() as u32;
                self.push_row(*token, [position; 3]);
                position += 1;
            }
        }
        match inserted.next() {
            Some(left) => Err(misplaced(name, left.after, completion.len())),
            None => Ok(self.token_ids.len() - first_row),
        }
    }

    /// Adds the rows of a soft prompt, in which any token may stand: their embeddings are replaced.
    fn push_soft(&mut self, n: usize) {
        let start = self.token_ids.len();
        self.soft.extend(start..start + n);
        self.token_ids.extend(std::iter::repeat_n(0, n));
        self.positions.extend((0..n as u32).map(|place| [place; 3]));
    }

    /// Adds a row that predicts a token.
    fn push_row(&mut self, token: u32, position: [u32; 3]) {
        self.predicting.push(self.token_ids.len() as u32);
        self.token_ids.push(token);
        self.positions.push(position);
    }
}

fn misplaced(name: &str, after: usize, n_tokens: usize) -> ModelError {
    let what = format!("place of what is inserted into {name}");
    let expected = format!("rising, at least 1 and below its {n_tokens} tokens");
    ModelError::input(what, expected, after)
}
