//! [`Answerer`]: a loaded policy that is asked, one question after the other.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use vrft_checkpoint::PolicyConfig;
use vrft_config::{ConfigError, Document};
use vrft_dataset::Question;
use vrft_messages::{FinishReason, Turn, chat_messages};
use vrft_model::{LoadOptions, Policy};
use vrft_plan::RolloutConfig;
use vrft_processor::{EncodedPrompt, Processor};
use vrft_prompts::Prompter;
use vrft_reward::Frame;
use vrft_reward::config::RewardConfig;
use vrft_rollout::{Generator, Sampling, completion_seed};

use crate::contents::{self, Look};
use crate::found::Reader;
use crate::{AnswerConfig, AnswerError, Found, Picture, Reading, Target, Truths};

/// The sections that say how a policy is loaded, asked and read.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How it is loaded and prompted.
    pub policy: PolicyConfig,
    /// Of the sampling, the texts that end an answer.
    pub rollout: RolloutConfig,
    /// The task; without one, answers are read as the checkpoint's family was trained to give them.
    pub reward: Option<RewardConfig>,
    /// How it is asked.
    pub answer: AnswerConfig,
}

impl Settings {
    /// Reads the sections.
    ///
    /// # Errors
    /// A section that cannot be used.
    pub fn read(document: &Document) -> Result<Self, ConfigError> {
        Ok(Self {
            policy: document.section()?,
            rollout: document.section()?,
            reward: document.optional()?,
            answer: document.section()?,
        })
    }
}

/// A policy that is asked.
pub struct Answerer {
    settings: Settings,
    loaded: Loaded,
}

/// A checkpoint in memory.
struct Loaded {
    policy: Policy,
    processor: Processor,
    /// How its answers are read; `None` where that is not known.
    reader: Option<Reader>,
    prompter: Prompter,
    version: String,
    digest: String,
}

/// What takes the place of the version in use.
pub struct Fresh {
    version: String,
    digest: String,
    change: Change,
}

enum Change {
    /// New weights of the same policy.
    Weights(HashMap<String, Tensor>),
    /// Another checkpoint, with all of its weights, and how it is asked.
    Whole(Box<(Settings, Loaded)>),
}

/// An answer of the policy in use.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What the policy said.
    pub text: String,
    /// The version that said it, from the first token to the last.
    pub version: String,
    /// What tells that version from others of its name: see [`Answerer::digest`].
    pub digest: String,
    /// What became of the text.
    pub reading: Reading,
    /// The kind of answer that it was read as, as `reward.answer.type` has it; `None` where no task is declared and the
    /// checkpoint's family has no form of its own.
    pub kind: Option<&'static str>,
    /// What places in the text count; `None` where it has none.
    pub frame: Option<Frame>,
    /// What the answer says is in the first picture.
    pub found: Vec<Found>,
    /// Why the answer ended.
    pub finish_reason: FinishReason,
    /// Tokens of the question, with those of its pictures.
    pub n_prompt_tokens: usize,
    /// Tokens of the answer.
    pub n_tokens: usize,
    /// How long it took.
    pub took: Duration,
}

/// Told of the text of an answer while it grows; `false` ends the answer there.
pub type Watch<'a> = dyn Fn(&str) -> bool + Sync + 'a;

/// The question about a category.
pub type AskCategory = dyn Fn(&str) -> Vec<Turn> + Send + Sync;

impl Answerer {
    /// Loads a checkpoint.
    ///
    /// # Errors
    /// Files that are absent, damaged or of another model; a device that is not there.
    pub fn load(settings: &Settings, target: &Target) -> Result<Self, AnswerError> {
        Ok(Self { settings: settings.clone(), loaded: Loaded::load(settings, target)? })
    }

    /// What the version in use is called.
    pub fn version(&self) -> &str {
        &self.loaded.version
    }

    /// What the version in use holds, 16 hexadecimal digits: those of two checkpoints differ, whatever these are called.
    pub fn digest(&self) -> &str {
        &self.loaded.digest
    }

    /// How it is asked.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A question in somebody's own words about so many pictures, which come first.
    pub fn question(&self, words: &str, n_pictures: usize) -> Vec<Turn> {
        let turns = [Turn::question(n_pictures, words)];
        self.loaded.prompter.ask(&Question::Turns(turns.into()), n_pictures)
    }

    /// Where are all objects of a category? As the policy was asked in training.
    pub fn category(&self, category: &str, n_pictures: usize) -> Vec<Turn> {
        self.loaded.prompter.ask(&Question::Category(category.into()), n_pictures)
    }

    /// [`Answerer::category`] about one picture, for who does not have the policy itself.
    pub fn categories(&self) -> Box<AskCategory> {
        let task = self.loaded.reader.as_ref().map(|reader| reader.reward.config().clone());
        let prompter = Prompter::new(&task.unwrap_or_default(), &self.settings.policy.system);
        Box::new(move |category| prompter.ask(&Question::Category(category.into()), 1))
    }

    /// How true answers are written that a person says; where no task is declared, as the checkpoint's family answers, and
    /// where that has no form of its own, as Visual-RFT does.
    pub fn truths(&self) -> Truths {
        let task = self.loaded.reader.as_ref().map(|reader| reader.reward.config().clone());
        Truths::new(&task.unwrap_or_default(), self.settings.reward.is_some())
    }

    /// How answers are decoded unless somebody says otherwise.
    pub fn sampling(&self) -> Sampling {
        let AnswerConfig { temperature, top_p, top_k, max_tokens, .. } = self.settings.answer;
        let stop = self.settings.rollout.stop.clone();
        Sampling { temperature, top_p, top_k, ..Sampling::greedy(max_tokens, stop) }
    }

    /// The answer to a conversation whose last turn is a question. `number` is the seed where answers are sampled.
    ///
    /// # Errors
    /// Pictures that are not as many as the conversation speaks of, or cannot be decoded; a question that is too long.
    pub fn answer(
        &self,
        turns: &[Turn],
        pictures: &[Picture],
        number: u64,
    ) -> Result<Answered, AnswerError> {
        self.answer_with(turns, pictures, &self.sampling(), number, &|_| true)
    }

    /// The same with sampling of one's own, watched while it grows.
    ///
    /// # Errors
    /// As [`Answerer::answer`].
    pub fn answer_with(
        &self,
        turns: &[Turn],
        pictures: &[Picture],
        sampling: &Sampling,
        number: u64,
        watch: &Watch,
    ) -> Result<Answered, AnswerError> {
        let start = Instant::now();
        let Loaded { policy, processor, reader, version, digest, .. } = &self.loaded;
        let expected = turns.iter().map(Turn::n_images).sum();
        if expected != pictures.len() {
            return Err(AnswerError::NumberOfPictures { expected, got: pictures.len() });
        }
        let files: Vec<&[u8]> = pictures.iter().map(|picture| &picture.file[..]).collect();
        let prompt = processor.encode_messages(&chat_messages(turns), &files, &[], true)?;
        let n_prompt_tokens = prompt.token_ids.len();
        check_length(processor, &prompt, sampling.max_tokens)?;
        let told = |_: usize, _: usize, token_ids: &[u32]| {
            // What cannot be decoded yet is told with the next token.
            processor.decode(token_ids).map_or(true, |text| watch(&text))
        };
        let seed = |_, _| completion_seed(0, 0, number, 0);
        let generator = Generator { policy, processor, sampling, group_size: 1 };
        let mut groups = generator.watched(&[&prompt], &seed, &told)?;
        let completion = groups.pop().and_then(|mut group| group.pop());
        let completion = completion.expect("one completion of one prompt was asked for");
        let (reading, found, frame) = match (reader, pictures.first()) {
            (Some(reader), Some(first)) => {
                let resized = resized(processor, first.shown)?;
                let (reading, found) = reader.read(&completion.text, first.original, resized);
                (reading, found, reader.frame(first.original, resized))
            }
            _ => (Reading::Unread, Vec::new(), None),
        };
        Ok(Answered {
            text: completion.text,
            version: version.clone(),
            digest: digest.clone(),
            reading,
            kind: reader.as_ref().map(Reader::kind),
            frame,
            found,
            finish_reason: completion.finish_reason,
            n_prompt_tokens,
            n_tokens: completion.token_ids.len(),
            took: start.elapsed(),
        })
    }

    /// Puts another version into use; answers from now on are its own alone.
    ///
    /// # Errors
    /// Weights of another policy; the version in use stays then.
    pub fn take(&mut self, fresh: Fresh) -> Result<(), AnswerError> {
        match fresh.change {
            Change::Weights(tensors) => {
                self.loaded.policy.take_weights(tensors)?;
                (self.loaded.version, self.loaded.digest) = (fresh.version, fresh.digest);
            }
            Change::Whole(whole) => (self.settings, self.loaded) = *whole,
        }
        Ok(())
    }
}

impl Loaded {
    /// All files are of one checkpoint, or nothing is loaded.
    fn load(settings: &Settings, target: &Target) -> Result<Self, AnswerError> {
        let Settings { policy, reward, answer, .. } = settings;
        let Target { checkpoint, version, .. } = target;
        let look = Look::of(checkpoint)?;
        let device = vrft_model::open_device("answer.device", answer.device)?;
        let config = PolicyConfig { path: checkpoint.to_owned(), ..policy.clone() };
        let processor = Processor::of(&config)?;
        let options = options(&config, device, checkpoint);
        let policy = Policy::load_beside(checkpoint, config.base.as_deref(), &options)?;
        let digest = contents::digest(checkpoint, config.base.as_deref())?;
        if Look::of(checkpoint)? != look {
            return Err(AnswerError::Changed { path: checkpoint.clone() });
        }
        let reader = match reward {
            Some(reward) => Some(Reader::declared(reward)),
            None => Reader::native(processor.coordinates()),
        };
        let task = reader.as_ref().map(|reader| reader.reward.config().clone());
        let prompter = Prompter::new(&task.unwrap_or_default(), &config.system);
        Ok(Self { policy, processor, reader, prompter, version: version.clone(), digest })
    }
}

/// An adapter brings its own rank and layers; a run's own adapter begins beside plain weights.
fn options(config: &PolicyConfig, device: Device, checkpoint: &Path) -> LoadOptions {
    let options = LoadOptions::new(config, device, false);
    let is_adapter = vrft_checkpoint::Adapter::is_in(checkpoint);
    if is_adapter { LoadOptions { lora: None, prompt_tuning: None, ..options } } else { options }
}

impl Fresh {
    /// New weights of the policy in use; `digest` tells them from others.
    pub(crate) fn weights(
        version: String,
        digest: String,
        tensors: HashMap<String, Tensor>,
    ) -> Self {
        Self { version, digest, change: Change::Weights(tensors) }
    }

    /// Loads a checkpoint with all of its weights.
    pub(crate) fn whole(settings: &Settings, target: &Target) -> Result<Self, AnswerError> {
        let loaded = Loaded::load(settings, target)?;
        let (version, digest) = (loaded.version.clone(), loaded.digest.clone());
        let change = Change::Whole(Box::new((settings.clone(), loaded)));
        Ok(Self { version, digest, change })
    }

    /// What it is called.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What tells it from others of its name: see [`Answerer::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn resized(processor: &Processor, (width, height): (u32, u32)) -> Result<(u32, u32), AnswerError> {
    let resized = processor.preprocessor().resized(height as usize, width as usize);
    let failed = |error: vrft_vision::VisionError| AnswerError::Picture {
        number: 1,
        why: error.to_string(),
    };
    let (height, width) = resized.map_err(failed)?;
    Ok((width as u32, height as u32))
}

fn check_length(
    processor: &Processor,
    prompt: &EncodedPrompt,
    max_tokens: usize,
) -> Result<(), AnswerError> {
    let n_tokens = prompt.token_ids.len();
    match processor.max_tokens() {
        Some(positions) if n_tokens + max_tokens > positions => {
            let n_patches: usize = prompt.images.iter().map(|image| image.grid.n_patches()).sum();
            let n_pictures = n_patches / processor.preprocessor().merge_size().pow(2);
            let n_text = n_tokens.saturating_sub(n_pictures);
            Err(AnswerError::TooLong { n_text, n_pictures, max_tokens, positions })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
