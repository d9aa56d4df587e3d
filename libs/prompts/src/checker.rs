//! Whether a model can be asked about a row, found out without a pixel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use vrft_dataset::{Dataset, Row};
use vrft_processor::Processor;
use vrft_reward::config::RewardConfig;
use vrft_reward::{Geometry, Space, true_answer};
use vrft_vision::CoordinateSpace;

use crate::Prompter;

/// Rows whose answers are measured, at most: evenly from all.
const MAX_MEASURED: usize = 256;

/// Encodes rows as the rollout will, up to the pixels.
pub struct Checker<'a> {
    processor: &'a Processor,
    max_completion_tokens: usize,
    /// Tokens by a hash of conversation and sizes: rows that ask the same about pictures of a size are counted once.
    counted: RefCell<HashMap<u64, usize>>,
    hasher: RandomState,
}

impl<'a> Checker<'a> {
    /// For the processor of a checkpoint, with room for answers of so many tokens.
    pub fn new(processor: &'a Processor, max_completion_tokens: usize) -> Self {
        let counted = RefCell::default();
        let hasher = RandomState::new();
        Self { processor, max_completion_tokens, counted, hasher }
    }

    /// The width and height at which the model sees a picture.
    ///
    /// # Errors
    /// A shape that it cannot see, as a strip.
    pub fn resized(&self, size: (u32, u32)) -> Result<(u32, u32), String> {
        resized(self.processor, size)
    }

    /// What the user should know of a task that asks for places in another way than the model was trained to say them;
    /// `None` where it asks for no places, or in the model's own way.
    pub fn note(&self, reward: &RewardConfig) -> Option<String> {
        let declared = reward.answer.space()?;
        let is_in_picture = matches!(
            reward.answer.kind.geometry(),
            Some(Geometry::Box | Geometry::Point | Geometry::Region)
        );
        let own = own_space(self.processor)?;
        let words = match own {
            Space::Thousandths => "thousandths of the picture",
            Space::Unit => "shares of the picture's sides",
            Space::Percent => "percent of the picture's sides",
            Space::Pixels => "pixels of the picture as it sees it",
        };
        let keys = self.processor.coordinates().item_keys;
        let form = keys.map(|keys| format!(" under {:?}", keys.place)).unwrap_or_default();
        (is_in_picture && own != declared).then(|| {
            format!(
                "models of this kind are published saying places in {words}{form}, the task asks for {} \
                 (reward.answer.space): one that was not tuned for that learns it too, but takes longer",
                declared.name()
            )
        })
    }

    /// That answers as they should be are longer than a completion may be, so that it is cut before it ends; `None` where all
    /// that are looked at have room.
    pub fn note_length(&self, prompter: &Prompter, dataset: &Dataset) -> Option<String> {
        let step = dataset.len().div_ceil(MAX_MEASURED).max(1);
        let lengths: Vec<usize> =
            dataset.iter().step_by(step).filter_map(|row| self.length(prompter, row)).collect();
        let (n, max) = (lengths.len(), self.max_completion_tokens);
        let n_cut = lengths.iter().filter(|length| **length > max).count();
        let longest = lengths.into_iter().max().filter(|_| n_cut > 0)?;
        let of = if step > 1 { " that were measured" } else { "" };
        let cut = if n_cut == n { "every" } else { "such a" };
        Some(format!(
            "warning: {n_cut} of {n} answers as they should be{of} are longer than rollout.max_completion_tokens = {max}, up to \
             {longest} tokens: {cut} completion is cut before it ends"
        ))
    }

    /// Tokens of the shortest answer to a row that earns all, as far as it can be told.
    fn length(&self, prompter: &Prompter, row: &Row) -> Option<usize> {
        let truth = prompter.truth(row, &|size| self.resized(size)).ok()?;
        // Thinking may be as short as the policy likes.
        let answer = prompter.demonstration(true_answer(&truth), "");
        self.processor.encode_text(&answer).ok().map(|ids| ids.len())
    }

    /// Whether the true answer can be read, and the question encoded with room for an answer.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn check(&self, prompter: &Prompter, row: &Row) -> Result<(), String> {
        prompter.check_question(row)?;
        let truth = prompter.truth(row, &|size| self.resized(size))?;
        prompter.check_truth(&truth)?;
        let n_tokens = self.n_tokens(prompter, row)?;
        fits(self.processor, n_tokens, self.max_completion_tokens)
    }

    fn n_tokens(&self, prompter: &Prompter, row: &Row) -> Result<usize, String> {
        let turns = prompter.turns(row);
        let sizes = row.pictures.iter().map(|picture| picture.header().displayed());
        let sizes: Vec<(u32, u32)> = sizes.collect();
        let key = self.hasher.hash_one((&turns, &sizes));
        if let Some(n_tokens) = self.counted.borrow().get(&key) {
            return Ok(*n_tokens);
        }
        let counted = self.processor.count_tokens(&vrft_messages::chat_messages(&turns), &sizes);
        let n_tokens = counted.map_err(|error| error.to_string())?;
        self.counted.borrow_mut().insert(key, n_tokens);
        Ok(n_tokens)
    }
}

/// What a model was trained to say places in, as a task declares it; `None` for what no task declares.
pub fn own_space(processor: &Processor) -> Option<Space> {
    match processor.coordinates().space {
        CoordinateSpace::Thousandths => Some(Space::Thousandths),
        CoordinateSpace::Resized => Some(Space::Pixels),
        CoordinateSpace::Original => None,
    }
}

/// The width and height at which a model sees a picture.
///
/// # Errors
/// A shape that it cannot see, as a strip.
pub fn resized(processor: &Processor, (width, height): (u32, u32)) -> Result<(u32, u32), String> {
    let size = processor.preprocessor().resized(height as usize, width as usize);
    let (height, width) = size.map_err(|error| format!("image: {error}"))?;
    Ok((width as u32, height as u32))
}

/// Whether a question of so many tokens and an answer have room in the model.
///
/// # Errors
/// Too many tokens, with both numbers.
pub fn fits(
    processor: &Processor,
    n_tokens: usize,
    max_completion_tokens: usize,
) -> Result<(), String> {
    match processor.max_tokens() {
        Some(max) if n_tokens + max_completion_tokens > max => Err(format!(
            "the question takes {n_tokens} tokens and its answer may take {max_completion_tokens} \
             (rollout.max_completion_tokens), the model has {max} positions"
        )),
        _ => Ok(()),
    }
}
