//! From a frame to a prompt.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vrft_dataset::Order;
use vrft_messages::{EncodedImage, Prompt, Turn};
use vrft_stream::{Frame, Labels, PuzzleKind, Sizes, StreamConfig, Truth};

use crate::Config;

/// Keeps the questions that the policy is judged on apart from those it learns from.
const HELD_OUT_SEED: u64 = 0x6865_6c64;

/// Makes questions; the k-th of a run about a frame is always the same.
///
/// Kinds take turns, and so do the right answers of each: of four questions in a row to choose an answer of, each has
/// another one, so that a policy which does not look is right a quarter of the time.
pub(crate) struct Questions {
    seed: u64,
    system: Option<String>,
    truth: Truth,
    puzzles: Vec<PuzzleKind>,
    sizes: Sizes,
    category: String,
    kinds: Order,
    choices: Order,
}

impl Questions {
    pub(crate) fn new(config: &Config, stream: &StreamConfig) -> Self {
        Self {
            seed: config.run.seed,
            system: Some(config.policy.system.clone()).filter(|system| !system.is_empty()),
            truth: stream.truth,
            puzzles: stream.puzzles.clone(),
            sizes: Sizes { jigsaws: stream.jigsaws.clone(), decoys: stream.decoys.clone() },
            category: stream.category.clone(),
            kinds: Order::new(stream.puzzles.len(), config.run.seed),
            choices: Order::new(vrft_stream::N_CHOICES, config.run.seed),
        }
    }

    /// A question to learn from; `None` if this frame makes none.
    pub(crate) fn ask(
        &self,
        prompt_id: u64,
        frame: &Frame,
        other: &Frame,
        labels: &Labels,
    ) -> eyre::Result<Option<Prompt>> {
        self.make(self.seed, prompt_id, frame, other, labels)
    }

    /// A question to be judged on.
    pub(crate) fn held_out(
        &self,
        prompt_id: u64,
        frame: &Frame,
        other: &Frame,
        labels: &Labels,
    ) -> eyre::Result<Option<Prompt>> {
        self.make(self.seed ^ HELD_OUT_SEED, prompt_id, frame, other, labels)
    }

    fn make(
        &self,
        seed: u64,
        prompt_id: u64,
        frame: &Frame,
        other: &Frame,
        labels: &Labels,
    ) -> eyre::Result<Option<Prompt>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(prompt_id);
        let (task, size, images, text, answer) = match self.truth {
            Truth::Puzzles => {
                let kind = self.puzzles[self.kinds.index(prompt_id)];
                let (frame, other) = (frame.decode()?, other.decode()?);
                let choice = self.choices.index(prompt_id / self.puzzles.len() as u64);
                let Some(puzzle) =
                    vrft_stream::make(kind, &frame, &other, choice, &self.sizes, &mut rng)
                else {
                    return Ok(None);
                };
                let images = puzzle.images.iter().map(png).collect::<eyre::Result<Vec<_>>>()?;
                (kind.name(), puzzle.size, images, puzzle.question, puzzle.answer)
            }
            Truth::Teacher => {
                let (coin, second) = (rng.random(), rng.random());
                let label = labels.get(&frame.id);
                let Some(boxes) = label.and_then(|label| label.truth(coin, second)) else {
                    return Ok(None);
                };
                let (text, answer) = Labels::ask(&self.category, boxes);
                ("detection", String::new(), vec![jpeg(frame)], text, answer)
            }
            Truth::Person => {
                let Some(right) = labels.right(&frame.id) else { return Ok(None) };
                let (question, answer) = (right.question.clone(), right.answer.clone());
                ("answer", String::new(), vec![jpeg(frame)], question, answer)
            }
        };
        // How large a puzzle is belongs to its name: in the records of a run, harder ones are told from easier ones by it.
        let of_size = if size.is_empty() { size } else { format!("-{size}") };
        let mut turns: Vec<Turn> = self.system.iter().map(|text| Turn::system(text)).collect();
        turns.push(Turn::question(images.len(), &text));
        Ok(Some(Prompt {
            prompt_id,
            sample_id: format!("{}-{task}{of_size}-{prompt_id}", frame.id),
            task: task.to_owned(),
            turns,
            images,
            answer,
            policy_version: 0,
        }))
    }
}

fn png(image: &RgbImage) -> eyre::Result<EncodedImage> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, ImageFormat::Png)?;
    Ok(EncodedImage {
        bytes: file.into_inner(),
        encoding: "png".to_owned(),
        width: image.width(),
        height: image.height(),
    })
}

fn jpeg(frame: &Frame) -> EncodedImage {
    EncodedImage {
        bytes: frame.jpeg.clone(),
        encoding: "jpeg".to_owned(),
        width: frame.width,
        height: frame.height,
    }
}
