//! Lets a policy answer the held-out questions and measures the answers.

mod attacked;
mod error;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use vrft_checkpoint::PolicyConfig;
use vrft_config::{ConfigError, Document};
use vrft_dataset::Truth as RowTruth;
use vrft_dataset::{DataConfig, Dataset, EvaluationConfig, Row};
use vrft_messages::{Reply, Role, Turn};
use vrft_model::{LoadOptions, Policy, SharedWeights};
use vrft_plan::RolloutConfig;
use vrft_processor::{EncodedPrompt, Processor};
use vrft_prompts::{Checker, Declared, Prompter, fits, resized};
use vrft_reward::config::RewardConfig;
use vrft_reward::{Frame, Reward, Truth, instructions};
use vrft_rollout::{Generator, Sampling};
use vrft_score::detection::Question;
use vrft_vision::Sides;

pub use error::JudgeError;

use crate::turns::{HeldOutPartner, Said};
use crate::{Evaluation, Evaluator, Subject, best_constant, existence};

/// The sections that say how a policy is judged.
#[derive(Debug, Clone, Default)]
pub struct JudgeConfig {
    /// How the policy is loaded and prompted.
    pub policy: PolicyConfig,
    /// The held-out data, and how it is decoded.
    pub evaluation: EvaluationConfig,
    /// The section `[data]`: how files are opened, and the share of rows that may be unusable.
    pub data: DataConfig,
    /// How long an answer may be.
    pub rollout: RolloutConfig,
    /// How answers are read and scored.
    pub reward: RewardConfig,
}

impl JudgeConfig {
    /// Reads the sections; the reward is that of the run.
    ///
    /// # Errors
    /// A section that cannot be used.
    pub fn read(document: &Document) -> Result<Self, ConfigError> {
        let config = Self {
            policy: document.section()?,
            evaluation: document.section()?,
            data: document.section()?,
            rollout: document.section()?,
            reward: document.section()?,
        };
        config.check_attack()?;
        Ok(config)
    }
}

/// Held-out questions and how to judge answers to them.
pub struct Judge {
    config: JudgeConfig,
    test: Dataset,
    notes: Vec<String>,
    prompter: Prompter,
    answers: Vec<Truth>,
    subjects: Vec<Subject>,
    /// Of each question whether it is asked at all.
    asked: Vec<bool>,
    processor: Processor,
    /// What other processes on the same GPU may have loaded.
    shared: Option<Arc<SharedWeights>>,
}

/// What a policy did.
pub struct Judgment {
    /// The measures of all answers together.
    pub evaluation: Evaluation,
    /// Answers of the policy, in the order of the data.
    pub predictions: Vec<Prediction>,
    /// How the answers were read and scored.
    pub reward: Reward,
    /// Seconds from loading to the last answer.
    pub secs: f64,
}

/// One answer to one held-out question.
pub struct Prediction {
    /// The sample it is about.
    pub sample_id: String,
    /// What was asked, without what is said of the form of answers.
    pub question: String,
    /// What the policy said: in its last turn, where it spoke in several.
    pub completion: String,
    /// The turns before, each with what was replied to it.
    pub turns: Vec<Reply>,
    /// The true answer to the question.
    pub answer: Truth,
    /// How right it is, in [0, 1]; boxes are measured together.
    pub score: Option<f64>,
    /// Width and height of the whole picture in the coordinates that boxes are answered in: 1000 and 1000 for
    /// thousandths, the pixels that the model sees for pixels. `None` where nothing has a place in a picture.
    pub extent: Option<[f64; 2]>,
    /// What average precision counts of it, where answers are boxes: with it, two policies can be compared in pairs.
    pub counted: Option<Question>,
}

impl Judge {
    /// Opens `evaluation.test`; bad rows are skipped within `data.max_bad_fraction`.
    ///
    /// # Errors
    /// Data or tokenizer that cannot be used.
    pub fn load(config: &JudgeConfig) -> Result<Self, JudgeError> {
        let options = config.data.options_to_judge(&config.evaluation);
        let test = Dataset::open_with(&config.evaluation.test, &options)?;
        let (reward, system) = (&config.reward, &config.policy.system);
        let data = &config.data;
        let declared = Declared::judged(data, &config.evaluation, Some(&reward.task));
        let prompter = Prompter::of_data(reward, system, &test, data, declared)?
            .with_tools(of_tools(&config.rollout));
        Self::with(config, test, prompter)
    }

    /// Judges on the first `evaluation.limit` rows of this data instead, whose true answers are in the coordinates of the
    /// task; rows that the policy cannot be asked about are skipped within `data.max_bad_fraction`.
    ///
    /// # Errors
    /// As [`Judge::load`].
    pub fn of(config: &JudgeConfig, test: Dataset) -> Result<Self, JudgeError> {
        let prompter = Prompter::new(&config.reward, &config.policy.system)
            .with_tools(of_tools(&config.rollout));
        Self::with(config, test, prompter)
    }

    fn with(config: &JudgeConfig, test: Dataset, prompter: Prompter) -> Result<Self, JudgeError> {
        let processor = Processor::of(&config.policy)?;
        let reward = Reward::new(&config.reward);
        let mut answers = Vec::new();
        let mut subjects = Vec::new();
        let check = |row: &Row| {
            prompter.check_question(row)?;
            let truth = prompter.truth(row, &|size| resized(&processor, size))?;
            let truth = reward.parse_answer(&truth).map_err(|error| error.to_string())?;
            let n_tokens = encode(&processor, &prompter, row)?.token_ids.len();
            fits(&processor, n_tokens, config.rollout.max_completion_tokens)?;
            answers.push(truth);
            subjects.push(subject(&processor, &prompter, row));
            Ok(())
        };
        let limit = config.data.max_bad_fraction;
        let checker = Checker::new(&processor, config.rollout.max_completion_tokens);
        let test = if config.evaluation.limit == 0 {
            test.check_rest(|row| checker.check(&prompter, row))
        } else {
            test
        };
        let test = test.first_valid(config.evaluation.limit, check, limit)?;
        let mut notes = test.summary(test.len());
        notes.extend(prompter.notes().iter().cloned());
        notes.extend(checker.note_length(&prompter, &test));
        for line in &notes {
            // The launcher shows lines that begin so.
            tracing::info!("Data: {line}");
        }
        let asked = match &config.evaluation.exist {
            Some(path) => existence::asked(path, test.iter())
                .map_err(|why| JudgeError::Exist { path: path.clone(), why })?,
            None => vec![true; test.len()],
        };
        let config = config.clone();
        Ok(Self {
            config,
            test,
            notes,
            prompter,
            answers,
            subjects,
            asked,
            processor,
            shared: None,
        })
    }

    /// Shares the frozen weights of policies on a GPU with other processes there, and from one evaluation to the next.
    #[must_use]
    pub fn sharing(self, shared: &Arc<SharedWeights>) -> Self {
        Self { shared: Some(shared.clone()), ..self }
    }

    /// The held-out data.
    pub fn test(&self) -> &Dataset {
        &self.test
    }

    /// What the held-out data is, which rows of it are left out and why, and what was assumed, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Greedy answers of the policy in this checkpoint folder, and their measures.
    ///
    /// # Errors
    /// A checkpoint that cannot be loaded or run.
    pub fn evaluate(&self, checkpoint: &Path) -> Result<Judgment, JudgeError> {
        let start = Instant::now();
        let (said, attacked) = self.with_policy(checkpoint, |policy| {
            let said = self.complete(policy, &|idx| self.encode(self.test.get(idx)))?;
            let attack = self.config.evaluation.attack.as_ref();
            let attacked = attack.map(|attack| self.attacked(policy, attack, &said)).transpose()?;
            Ok((said, attacked))
        })?;
        let mut judgment = self.judge(said, start);
        if let Some(attacked) = attacked {
            attacked.add_to(self, &mut judgment);
        }
        Ok(judgment)
    }

    /// What `f` makes of the policy in a folder, whose memory on a device is given back afterwards.
    fn with_policy<T>(
        &self,
        checkpoint: &Path,
        f: impl FnOnce(&Policy) -> Result<T, JudgeError>,
    ) -> Result<T, JudgeError> {
        let (key, name) = ("evaluation.device", self.config.evaluation.device);
        let device = match &self.shared {
            Some(shared) => shared.open_device(key, name)?,
            None => vrft_model::open_device(key, name)?,
        };
        let options = LoadOptions::new(&self.config.policy, device.clone(), false);
        let base = self.config.policy.base.as_deref();
        let policy = Policy::load_shared(checkpoint, base, &options, self.shared.as_deref())?;
        let made = f(&policy)?;
        drop(policy);
        vrft_model::give_back_freed_memory(&device)?;
        Ok(made)
    }

    /// The true answers, one for each row of the held-out data.
    pub fn truths(&self) -> &[Truth] {
        &self.answers
    }

    /// Measures answers that something else gave, one for each row of the held-out data; `None` for another number of them.
    pub fn measure(&self, completions: Vec<String>) -> Option<Judgment> {
        let is_whole = completions.len() == self.answers.len();
        let said = || completions.into_iter().map(Said::from).collect();
        is_whole.then(|| self.judge(said(), Instant::now()))
    }

    /// What the best answer is worth that is the same for every question; `None` without questions.
    pub fn constant(&self) -> Option<Judgment> {
        let start = Instant::now();
        let completions = best_constant(&self.config.reward, &self.answers, &self.subjects)?;
        Some(self.judge(completions.into_iter().map(Said::from).collect(), start))
    }

    pub(crate) fn judge(&self, completions: Vec<Said>, start: Instant) -> Judgment {
        let mut evaluator = Evaluator::new(&self.config.reward);
        let mut predictions = Vec::with_capacity(completions.len());
        for (idx, Said { completion, turns }) in completions.into_iter().enumerate() {
            let (sample_id, answer) =
                (self.test.get(idx).sample_id().to_owned(), &self.answers[idx]);
            let subject = &self.subjects[idx];
            let score = if self.asked[idx] {
                evaluator.add_about(&completion, answer, subject)
            } else {
                evaluator.add_unasked(answer, subject);
                None
            };
            predictions.push(Prediction {
                sample_id,
                question: self.question(idx),
                completion,
                turns,
                answer: answer.clone(),
                score,
                extent: self.extent(idx),
                counted: None,
            });
        }
        let questions = evaluator.questions().iter().zip(self.pictures());
        for (prediction, (question, picture)) in predictions.iter_mut().zip(questions) {
            prediction.counted = Some(Question { picture, ..question.clone() });
        }
        let secs = start.elapsed().as_secs_f64();
        let reward = Reward::new(&self.config.reward);
        Judgment { evaluation: evaluator.finish(), predictions, reward, secs }
    }

    /// The last words to the policy about a row, without the format instructions that follow every question.
    fn question(&self, idx: usize) -> String {
        let turns = self.prompter.turns(self.test.get(idx));
        let asked = turns.iter().rfind(|turn| turn.role == Role::User).map(Turn::text);
        let asked = asked.unwrap_or_default();
        let end = instructions(&self.config.reward);
        asked.strip_suffix(end.as_str()).unwrap_or(&asked).trim_end().to_owned()
    }

    /// A number for the picture of each row: that of the first row with the same one.
    fn pictures(&self) -> Vec<usize> {
        let mut first = BTreeMap::new();
        let number = |(idx, row): (usize, &Row)| {
            let path = row.pictures.first().and_then(|picture| picture.path().map(Path::to_owned));
            path.map_or(idx, |path| *first.entry(path).or_insert(idx))
        };
        self.test.iter().enumerate().map(number).collect()
    }

    /// Width and height of the picture of a sample in the coordinates of the answers.
    fn extent(&self, idx: usize) -> Option<[f64; 2]> {
        let space = self.config.reward.answer.space()?;
        let (width, height) = self.subjects[idx].sides.as_ref()?.resized();
        Some(Frame::of(space, width as u32, height as u32).extent())
    }

    pub(crate) fn encode(&self, row: &Row) -> Result<EncodedPrompt, JudgeError> {
        encode(&self.processor, &self.prompter, row)
            .map_err(|why| JudgeError::Prompt { sample_id: row.sample_id().to_owned(), why })
    }

    /// An answer to each question, empty to those that are not asked; `encode` makes what the policy reads of a row's number.
    pub(crate) fn complete(
        &self,
        policy: &Policy,
        encode: &dyn Fn(usize) -> Result<EncodedPrompt, JudgeError>,
    ) -> Result<Vec<Said>, JudgeError> {
        let rollout = &self.config.rollout;
        let sampling = Sampling::greedy(rollout.max_completion_tokens, rollout.stop.clone());
        let asked: Vec<usize> = (0..self.asked.len()).filter(|idx| self.asked[*idx]).collect();
        let rows: Vec<&Row> = asked.iter().map(|idx| self.test.get(*idx)).collect();
        let answers = self.greedy(policy, &rows, &sampling, &|at| encode(asked[at]), true)?;
        let mut answers = answers.into_iter();
        let text = |asked: &bool| asked.then(|| answers.next()).flatten().unwrap_or_default();
        Ok(self.asked.iter().map(text).collect())
    }

    /// What the policy in this folder says to whether there is what each row asks for, by the row's sample: a file for
    /// `evaluation.exist`. Rows that ask for no category are asked in any case.
    ///
    /// # Errors
    /// As [`Judge::evaluate`].
    pub fn existence(&self, checkpoint: &Path) -> Result<BTreeMap<String, bool>, JudgeError> {
        let sampling = Sampling::greedy(existence::MAX_TOKENS, Vec::new());
        let rows: Vec<&Row> = self.test.iter().collect();
        let question = |at: usize| {
            let row = rows[at];
            let turns = existence::question(self.prompter.category(row).as_deref(), row);
            let messages = vrft_messages::chat_messages(&turns);
            vrft_prompts::encode(&self.processor, &messages, row)
                .map_err(|why| JudgeError::Prompt { sample_id: row.sample_id().to_owned(), why })
        };
        let answer = |policy: &Policy| self.greedy(policy, &rows, &sampling, &question, false);
        let answers = self.with_policy(checkpoint, answer)?;
        let exists = rows.iter().zip(&answers).map(|(row, answer)| {
            let is_asked =
                self.prompter.category(row).is_none() || existence::is_yes(&answer.completion);
            (row.sample_id().to_owned(), is_asked)
        });
        Ok(exists.collect())
    }

    /// The most probable answers to questions about these rows; in several turns, where the task has some and they are
    /// wanted. `encode` makes what the policy reads about the row at a place among them.
    fn greedy(
        &self,
        policy: &Policy,
        rows: &[&Row],
        sampling: &Sampling,
        encode: &dyn Fn(usize) -> Result<EncodedPrompt, JudgeError>,
        in_turns: bool,
    ) -> Result<Vec<Said>, JudgeError> {
        let mut said = Vec::with_capacity(rows.len());
        for rows in rows.chunks(self.config.evaluation.batch_size) {
            // Pixels of all rows together may be more than memory holds.
            let start = said.len();
            let batch = (start..start + rows.len()).map(encode);
            let batch: Vec<EncodedPrompt> = batch.collect::<Result<_, _>>()?;
            let batch: Vec<&EncodedPrompt> = batch.iter().collect();
            // Greedy decoding draws nothing.
            let seed = |_, _| 0;
            let processor = &self.processor;
            let groups = if in_turns {
                let (tools, reward) = (self.config.rollout.tools.as_ref(), &self.config.reward);
                let mut partner = HeldOutPartner::new(rows, processor, tools, reward);
                let generator = Generator { policy, processor, sampling, group_size: 1 };
                generator.in_turns(&batch, &seed, &mut partner)?
            } else {
                vrft_rollout::generate(policy, processor, &batch, 1, sampling, &seed)?
            };
            said.extend(groups.into_iter().flatten().map(Said::from));
        }
        Ok(said)
    }
}

/// What questions say of tools: nothing where held-out questions are answered without.
fn of_tools(rollout: &RolloutConfig) -> &str {
    let tools = rollout.tools.as_ref().filter(|tools| !tools.held_out.is_empty());
    tools.map_or("", |tools| &tools.instructions)
}

/// What a row is about.
fn subject(processor: &Processor, prompter: &Prompter, row: &Row) -> Subject {
    let original = row.pictures.first().map(|picture| picture.header().displayed());
    let sides = original.and_then(|original| {
        let float = |(width, height): (u32, u32)| (f64::from(width), f64::from(height));
        Some(Sides::new(float(original), float(resized(processor, original).ok()?)))
    });
    let boxes = match &row.truth {
        RowTruth::Boxes(boxes) => Some(boxes.clone()),
        RowTruth::Text(_) => None,
    };
    Subject { category: prompter.category(row), sides, boxes }
}

/// What the policy reads about a row.
fn encode(processor: &Processor, prompter: &Prompter, row: &Row) -> Result<EncodedPrompt, String> {
    vrft_prompts::encode(processor, &prompter.chat_messages(row), row)
}

/// The measures that may decide which of two policies is better, the most telling first; all are better the higher.
pub const LEADING_MEASURES: [&str; 4] = ["miou", "accuracy", "overlap", "reward"];

/// The first of [`LEADING_MEASURES`] that is among these metrics, and its value.
pub fn leading_measure(metrics: &BTreeMap<String, f64>) -> Option<(&'static str, f64)> {
    LEADING_MEASURES.into_iter().find_map(|name| Some((name, *metrics.get(name)?)))
}

/// The measures of a judgment, without the answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Number of held-out samples that were answered.
    pub n: usize,
    /// Seconds that the evaluation took.
    pub secs: f64,
    /// Value of each measure, by the measure's name.
    pub metrics: BTreeMap<String, f64>,
}

impl Judgment {
    /// The measure that decides which of two policies is better, and its value.
    pub fn leading(&self) -> Option<(&'static str, f64)> {
        leading_measure(&self.evaluation.metrics)
    }

    /// What fits on a screen.
    pub fn summary(&self) -> Summary {
        let Evaluation { n, metrics } = self.evaluation.clone();
        Summary { n, secs: self.secs, metrics }
    }
}
