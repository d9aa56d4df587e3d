//! What is proposed for somebody's rows: the task, the coordinates, and how much there is to learn.

use std::path::PathBuf;

use eyre::{WrapErr, ensure};
use vrft_config::Document;
use vrft_dataset::{BoxesAre, DataConfig, DataSpace, Dataset, Question, Row, Truth};
use vrft_processor::Processor;
use vrft_prompts::{Checker, Declared, Prompter, own_space, resized};
use vrft_reward::answers::{AnswerKind, BoxesAnswer, ItemKeys};
use vrft_reward::config::{AnswerConfig, RewardConfig};
use vrft_reward::{Example, Geometry, Space, proposed_in, usual_reward};

/// Rows that the task is inferred from.
const N_LOOKED_AT: usize = 2000;

/// Share of the pictures that is set aside where there is no other data to judge on.
pub(super) const HOLD_OUT: f64 = 0.2;

/// Room for thinking before an answer, in tokens, and the least room at all.
const THINKING_TOKENS: usize = 192;
const MIN_TOKENS: usize = 256;

/// How often each row comes about, in as many steps as that takes.
const EPOCHS: usize = 4;

/// What the user gave.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// Name of the runs: that of the new folder.
    pub(super) name: String,
    pub(super) data: PathBuf,
    pub(super) test: Option<PathBuf>,
    pub(super) checkpoint: PathBuf,
    pub(super) image_root: Option<PathBuf>,
    pub(super) reward: Option<PathBuf>,
    /// Column with the true answers of a robot's recordings.
    pub(super) truth: Option<String>,
    /// Splits of the data that are learned from and judged on.
    pub(super) learned: Option<String>,
    pub(super) judged: Option<String>,
}

/// What stands in the new configuration.
pub(super) struct Proposal {
    pub(super) given: Given,
    pub(super) reward: RewardConfig,
    /// Why this task.
    pub(super) reason: String,
    /// What the true answers count, and why; `None` where there is nothing to say.
    pub(super) space: Option<(DataSpace, String)>,
    /// Of which pixels places are taken to be where EXIF turns a picture; `None` where it turns none.
    pub(super) boxes_are: Option<BoxesAre>,
    pub(super) n_rows: usize,
    pub(super) n_pictures: usize,
    /// What the policy reads about the first row, and what would be the best answer.
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) max_completion_tokens: usize,
    pub(super) prompts_per_step: usize,
    pub(super) steps: usize,
    pub(super) model: Model,
    /// What is odd about the data, a line each.
    pub(super) notes: Vec<String>,
}

/// How large a model is, which decides how it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    /// Trains within minutes, and with large steps.
    Tiny,
    /// Whole weights are trained.
    Small,
    /// Adapters are trained.
    Large,
}

impl Proposal {
    /// # Errors
    /// Rows whose task cannot be inferred; a reward that cannot be read; no row that the model can be asked about.
    pub(super) fn make(
        dataset: Dataset,
        processor: &Processor,
        given: Given,
    ) -> eyre::Result<Self> {
        let own = own_space(processor).unwrap_or_default();
        let (mut reward, reason, space) = match &given.reward {
            Some(file) => {
                let document = Document::load(file, &[])?;
                let reward: RewardConfig = document.section()?;
                (reward, format!("as {} says", file.display()), None)
            }
            None if is_annotated(&dataset) => annotated(processor, own),
            None => inferred(&dataset, processor, own)?,
        };
        let is_asked_for = dataset.iter().take(N_LOOKED_AT).all(says_its_form);
        if !is_asked_for && given.reward.is_none() {
            reward.format.instruct = true;
        }
        let declared = Declared { space: space.as_ref().map(|(space, _)| *space), boxes_are: None };
        let prompter = Prompter::new(&reward, "").for_data(&dataset, declared)?;
        let checker = Checker::new(processor, 0);
        let max_completion_tokens = room(&dataset, processor, &prompter, &checker);
        // As a run will, so that what is told of the rows here is what it says of them.
        let checker = Checker::new(processor, max_completion_tokens);
        let dataset = dataset.retain_valid(|row| checker.check(&prompter, row), 1.0)?;
        let dataset = &dataset;
        let row = dataset.get(0);
        let mut notes = dataset.summary(dataset.len());
        match &space {
            Some((space, reason)) => {
                notes.push(format!(
                    "coordinates of the true answers are taken for {}, since {reason}",
                    space.name()
                ));
                let of_exif =
                    prompter.notes().iter().filter(|note| note.contains("data.boxes_are"));
                notes.extend(of_exif.cloned());
            }
            None => notes.extend(prompter.notes().iter().cloned()),
        }
        notes.extend(checker.note(&reward));
        notes.extend(warnings(dataset));
        let turns = prompter.turns(row);
        let question: Vec<String> = turns.iter().map(|turn| turn.text()).collect();
        let n_rows = dataset.len();
        let n_pictures = n_pictures(dataset);
        let is_divided = given.test.is_none() && given.judged.is_none();
        ensure!(
            !is_divided || n_pictures > 1,
            "all rows are about one picture, so that none can be set aside to judge on: name other rows by --test"
        );
        let prompts_per_step = n_rows.clamp(1, 8);
        Ok(Self {
            boxes_are: boxes_are(dataset, &prompter),
            space,
            reason,
            n_rows,
            n_pictures,
            question: question.join("\n"),
            answer: shown(&prompter, &checker, row),
            max_completion_tokens,
            prompts_per_step,
            steps: (EPOCHS * n_rows).div_ceil(prompts_per_step).clamp(20, 500),
            model: Model::of(&given)?,
            notes,
            reward,
            given,
        })
    }

    /// What was found, for the terminal.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = self.notes.clone();
        lines.push(format!("Task: {} ({})", self.reward.answer.kind.name(), self.reason));
        lines.push(format!("Question: {}", self.question.replace('\n', "\n  ")));
        lines.push(format!("Best answer: {}", self.answer));
        lines
    }
}

fn is_annotated(dataset: &Dataset) -> bool {
    dataset.iter().all(|row| matches!(row.truth, Truth::Boxes(_)))
}

/// What a run would stumble over, or learn nothing from.
fn warnings(dataset: &Dataset) -> Vec<String> {
    let mut warnings = Vec::new();
    let (n_skipped, n) = (dataset.skipped().len(), dataset.n_total());
    let limit = DataConfig::default().max_bad_fraction;
    if n_skipped as f64 > limit * n as f64 {
        warnings.push(format!(
            "warning: {n_skipped} of {n} rows cannot be used, and no run starts with more than {} of them: mend them, or \
             raise data.max_bad_fraction above {limit}",
            (limit * n as f64) as usize
        ));
    }
    let mut answers = dataset.iter().map(|row| match &row.truth {
        Truth::Text(text) => Some(text),
        Truth::Boxes(_) => None,
    });
    let first = answers.next().flatten();
    if dataset.len() > 1 && first.is_some() && answers.all(|answer| answer == first) {
        warnings.push(
            "warning: every row has the same true answer, so that there is nothing to learn"
                .to_owned(),
        );
    }
    warnings
}

/// Of which pixels places are taken to be, where EXIF turns a picture that there are places on.
fn boxes_are(dataset: &Dataset, prompter: &Prompter) -> Option<BoxesAre> {
    let is_turned = |row: &Row| row.pictures.iter().any(|picture| picture.is_turned());
    let in_words = || prompter.space().filter(|_| dataset.iter().any(is_turned));
    dataset.boxes_are().or_else(|| in_words().map(|_| prompter.boxes_are()))
}

/// A task, why it is that, and what its coordinates count.
type Task = (RewardConfig, String, Option<(DataSpace, String)>);

/// Annotated boxes, asked for one category at a time in the form that the model was trained to answer in.
fn annotated(processor: &Processor, own: Space) -> Task {
    let reason = |form: &str| format!("annotated boxes, asked for one category at a time, {form}");
    let Some(keys) = processor.coordinates().item_keys else {
        return (RewardConfig::default(), reason("as Visual-RFT does"), None);
    };
    let (place, label) = (keys.place.to_owned(), keys.label.to_owned());
    let keys = ItemKeys { place, label, ..ItemKeys::default() };
    let kind = BoxesAnswer { space: own, keys, labels: Vec::new() };
    let answer =
        AnswerConfig { nothing: "None".to_owned(), ..AnswerConfig::of(AnswerKind::Boxes(kind)) };
    (usual_reward(answer), reason("in the form that this model was trained to give"), None)
}

/// The kind of answer by its looks, in the coordinates of the model.
fn inferred(dataset: &Dataset, processor: &Processor, own: Space) -> eyre::Result<Task> {
    let rows: Vec<(String, String, &str, Option<[u32; 2]>)> =
        dataset.iter().take(N_LOOKED_AT).filter_map(text_of).collect();
    let examples: Vec<Example> = rows
        .iter()
        .map(|(place, question, solution, size)| Example { place, question, solution, size: *size })
        .collect();
    let proposal = vrft_reward::infer(&examples).wrap_err(
        "the task cannot be inferred from these rows; --reward FILE takes one of configs/rewards/, or your own",
    )?;
    let mut config = proposal.config;
    let space = proposal.space.map(|guess| {
        let of_data = match guess.space {
            Space::Thousandths => DataSpace::Thousandths,
            Space::Unit => DataSpace::Unit,
            Space::Pixels => DataSpace::Pixels,
        };
        let doubt = if guess.is_doubtful { ". Look at a picture to be sure" } else { "" };
        (of_data, format!("{}{doubt}", guess.reason))
    });
    // Outlines are never in pixels, and a question that names thousandths would contradict pixels.
    let is_region = config.answer.kind.geometry() == Some(Geometry::Region);
    let says_its_form = dataset.iter().take(N_LOOKED_AT).any(says_its_form);
    let answered_in = match asked_space(dataset) {
        Some(asked) => Some(asked),
        None if says_its_form || is_region && own == Space::Pixels => None,
        None => Some(own),
    };
    if let (Some(answered_in), Some(_)) = (answered_in, &space) {
        config = proposed_in(config, answered_in, mean_seen_side(dataset, processor));
    }
    Ok((config, proposal.reason, space))
}

/// Mean side of the pictures as the model sees them, in pixels; `None` where it sees none.
fn mean_seen_side(dataset: &Dataset, processor: &Processor) -> Option<f64> {
    let first = dataset.iter().take(N_LOOKED_AT).filter_map(|row| row.pictures.first());
    let seen = first.filter_map(|picture| resized(processor, picture.header().displayed()).ok());
    let sides: Vec<f64> = seen.map(|(w, h)| f64::from(w + h) / 2.0).collect();
    (!sides.is_empty()).then(|| sides.iter().sum::<f64>() / sides.len() as f64)
}

/// Place, question, true answer, and how far places in the first picture may reach.
fn text_of(row: &Row) -> Option<(String, String, &str, Option<[u32; 2]>)> {
    let Truth::Text(solution) = &row.truth else { return None };
    let asked = row.question.words().unwrap_or_default();
    let size = row.pictures.first().map(|picture| picture.header().reach());
    Some((row.origin.place(), asked, solution, size))
}

/// What all questions ask for coordinates in, where they name thousandths or shares of the sides: answers are paid in that.
/// Of which pixels a question speaks cannot be told.
fn asked_space(dataset: &Dataset) -> Option<Space> {
    let asked = |row: &Row| space_named_in(&row.question.words().unwrap_or_default());
    let mut spaces = dataset.iter().take(N_LOOKED_AT).map(asked);
    let first = spaces.next()??;
    spaces.all(|space| space == Some(first)).then_some(first)
}

fn space_named_in(question: &str) -> Option<Space> {
    let question = question.to_lowercase();
    let has = |phrases: &[&str]| {
        phrases.iter().any(|phrase| {
            let ends = question.match_indices(phrase).map(|(at, found)| at + found.len());
            // "0 to 1" is no part of "0 to 1000".
            ends.into_iter().any(|end| !question[end..].starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    if has(&["thousandth", "0 to 1000", "0 and 1000", "0-1000", "0–1000"]) {
        return Some(Space::Thousandths);
    }
    has(&["0 to 1", "0 and 1", "between 0.0 and 1.0"]).then_some(Space::Unit)
}

/// Whether the question says what an answer looks like.
fn says_its_form(row: &Row) -> bool {
    match &row.question {
        Question::Turns(turns) => turns.iter().any(|turn| turn.text().contains("<answer>")),
        // Annotations are asked about with instructions.
        _ => true,
    }
}

fn n_pictures(dataset: &Dataset) -> usize {
    let all = dataset.iter().flat_map(|row| &row.pictures);
    all.map(std::sync::Arc::as_ptr).collect::<std::collections::HashSet<_>>().len()
}

/// The best answer to a row, as supervised tuning would show it: where thinking is paid for, with an empty one.
fn shown(prompter: &Prompter, checker: &Checker, row: &Row) -> String {
    let truth = prompter.truth(row, &|size| checker.resized(size)).unwrap_or_default();
    prompter.demonstration(&truth, "")
}

/// Tokens for thinking and the longest true answer, rounded up.
fn room(dataset: &Dataset, processor: &Processor, prompter: &Prompter, checker: &Checker) -> usize {
    let tokens = |row: &Row| {
        let text = shown(prompter, checker, row);
        processor.encode_completion(&text).map_or(0, |ids| ids.len())
    };
    let longest = dataset.iter().take(N_LOOKED_AT).map(tokens).max().unwrap_or(0);
    (longest + THINKING_TOKENS).next_multiple_of(64).max(MIN_TOKENS)
}

impl Model {
    /// By the bytes of its weights.
    fn of(given: &Given) -> eyre::Result<Self> {
        let folder = vrft_checkpoint::checkpoint_dir(&given.checkpoint)?;
        let files = std::fs::read_dir(&folder).wrap_err_with(|| format!("{folder:?}"))?;
        let is_weights = |path: &PathBuf| path.extension().is_some_and(|e| e == "safetensors");
        let sizes = files.flatten().map(|entry| entry.path()).filter(is_weights);
        let bytes: u64 =
            sizes.filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
        Ok(match bytes {
            0..200_000_000 => Model::Tiny,
            200_000_000..2_000_000_000 => Model::Small,
            _ => Model::Large,
        })
    }
}
