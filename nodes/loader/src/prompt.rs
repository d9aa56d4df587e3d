//! From a row of the data set to a prompt.

use std::sync::Arc;

use vrft_dataset::{Dataset, DatasetError, Mirror, Picture, Row};
use vrft_messages::{EncodedImage, Prompt};
use vrft_processor::Processor;
use vrft_prompts::{Checker, Declared, Prompter, note_negatives};

use crate::Config;
use crate::seen::Seen;

/// Makes the prompts of one task.
pub(crate) struct Maker<'a> {
    checker: Checker<'a>,
    task: String,
    prompter: Prompter,
    notes: Vec<String>,
}

impl<'a> Maker<'a> {
    /// For the rows of a task by its name; the task of the run's reward has none.
    ///
    /// # Errors
    /// Rows that contradict each other.
    pub(crate) fn new(
        config: &Config,
        task: Option<&str>,
        processor: &'a Processor,
        dataset: &Dataset,
    ) -> Result<Self, DatasetError> {
        let reward = task.map_or(&config.rewards.shared, |task| config.rewards.of(task));
        let checker = Checker::new(processor, config.rollout.max_completion_tokens);
        let Config { data, policy, .. } = config;
        let of_tools = config.rollout.tools.as_ref().map_or("", |tools| &tools.instructions);
        let declared = Declared::learned(data, task);
        let prompter = Prompter::of_data(reward, &policy.system, dataset, data, declared)?
            .with_tools(of_tools);
        let mut notes = prompter.notes().to_vec();
        notes.extend(checker.note(reward));
        notes.extend(checker.note_length(&prompter, dataset));
        notes.extend(note_negatives(data, dataset));
        Ok(Self { task: task.unwrap_or(&reward.task).to_owned(), prompter, checker, notes })
    }

    /// What was assumed about the data and the model, in a few lines for the user.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What shots are counted by: the category or class that a row is about.
    pub(crate) fn class(&self, row: &Row) -> Option<Arc<str>> {
        self.prompter.class(row)
    }

    /// What makes a row unusable before its pictures are decoded.
    pub(crate) fn check(&self, row: &Row) -> Result<(), String> {
        self.checker.check(&self.prompter, row)
    }

    /// The prompt of this number: a function of the row, the number and the configuration alone.
    ///
    /// # Errors
    /// A picture that cannot be read or decoded.
    pub(crate) fn make(
        &self,
        config: &Config,
        row: &Row,
        seen: &mut Seen,
        prompt_id: u64,
        policy_version: u64,
    ) -> Result<Prompt, String> {
        let mirror = Mirror::of_prompt(config.data.flip, config.run.seed, prompt_id);
        let images = row.pictures.iter().enumerate().map(|(idx, picture)| {
            encoded(picture, mirror, seen).map_err(|error| format!("image {idx}: {error}"))
        });
        let images: Vec<EncodedImage> = images.collect::<Result<_, _>>()?;
        let resize = |size| self.checker.resized(size);
        let truth = self.prompter.mirrored_truth(row, &resize, mirror)?;
        Ok(Prompt {
            prompt_id,
            sample_id: row.sample_id().to_owned(),
            task: self.task.clone(),
            turns: self.prompter.turns(row),
            images,
            answer: self.prompter.demonstration(&truth, &config.answer_prefix),
            policy_version,
        })
    }
}

/// The picture in its file's encoding, or mirrored as PNG. What the policy could not decode is noticed here.
fn encoded(
    picture: &Arc<Picture>,
    mirror: Mirror,
    seen: &mut Seen,
) -> Result<EncodedImage, String> {
    let (width, height) = picture.header().displayed();
    let (bytes, encoding) = if mirror.is_none() {
        (seen.sound(picture)?, picture.header().encoding())
    } else {
        (mirror.png(seen.pixels(picture)?)?, "png")
    };
    Ok(EncodedImage { bytes, encoding: encoding.to_owned(), width, height })
}
