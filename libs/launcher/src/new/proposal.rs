//! What is proposed for somebody's rows: the task, the coordinates, and how much there is to learn.

use std::path::PathBuf;

use eyre::{WrapErr, ensure};
use vrft_config::Document;
use vrft_dataset::{BoxesAre, DataConfig, DataSpace, Dataset, HeldOut, Question, Row, Truth};
use vrft_processor::Processor;
use vrft_prompts::{Checker, Declared, Prompter};
use vrft_reward::config::RewardConfig;

use super::task;

/// Rows that the task is inferred from.
pub(super) const N_LOOKED_AT: usize = 2000;

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
    /// File with the names of the classes.
    pub(super) classes: Option<PathBuf>,
    /// Splits that are learned from, and judged on: of the same data, or of `test`.
    pub(super) learned: Option<String>,
    pub(super) judged: Option<String>,
    /// Whether rows that are judged on are learned from as well.
    pub(super) shares_rows: bool,
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
    /// Of rows to learn from, and of those to judge on where they are others.
    ///
    /// # Errors
    /// Rows whose task cannot be inferred; a reward that cannot be read; no row that the model can be asked about.
    pub(super) fn make(
        dataset: Dataset,
        judged: Option<Judged>,
        processor: &Processor,
        mut given: Given,
    ) -> eyre::Result<Self> {
        let (mut reward, reason, space) = match &given.reward {
            Some(file) => {
                let document = Document::load(file, &[])?;
                let reward: RewardConfig = document.section()?;
                (reward, format!("as {} says", file.display()), None)
            }
            None => task::of(&dataset, processor).wrap_err_with(|| left_out(&dataset))?,
        };
        // What is asked about annotations and classes says it, so that to ask for it again changes nothing; but what is
        // told of a run that goes wrong should not propose it then.
        let says_it = |row: &Row| matches!(row.question, Question::Turns(_)) && says_its_form(row);
        let is_asked_for = dataset.iter().take(N_LOOKED_AT).all(says_it);
        if !is_asked_for && given.reward.is_none() {
            reward.format.instruct = true;
        }
        let space_of = space.as_ref().map(|(space, _)| *space);
        let declared = Declared { space: space_of, ..Declared::default() };
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
                // That of the space is said by the line above.
                let is_other = |note: &&String| {
                    note.contains("data.boxes_are") || note.starts_with("warning:")
                };
                notes.extend(prompter.notes().iter().filter(is_other).cloned());
            }
            None => notes.extend(prompter.notes().iter().cloned()),
        }
        notes.extend(checker.note(&reward));
        notes.extend(warnings(dataset));
        if let Some(judged) = judged {
            let declared = Declared { boxes_are: boxes_are(dataset, &prompter), ..declared };
            notes.extend(judged.lines(dataset, &reward, declared, &checker, &mut given)?);
        }
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

/// Rows that are never learned from.
pub(super) struct Judged {
    pub(super) dataset: Dataset,
    /// Whether the user named them: others are left aside where they cannot be used.
    pub(super) is_named: bool,
}

impl Judged {
    /// What is to be told of them beside what is learned from, read as a run will read them. Where none can be used, they are judged on no longer.
    ///
    /// # Errors
    /// None can be used, and the user named them.
    fn lines(
        self,
        learned: &Dataset,
        reward: &RewardConfig,
        declared: Declared,
        checker: &Checker,
        given: &mut Given,
    ) -> eyre::Result<Vec<String>> {
        let Self { dataset, is_named } = self;
        let place = dataset.path().display().to_string();
        let read = || {
            let prompter = Prompter::new(reward, "").for_data(&dataset, declared)?;
            dataset.retain_valid(|row| checker.check(&prompter, row), 1.0)
        };
        match read() {
            Ok(rows) => {
                let mut lines = rows.summary(rows.len());
                lines.extend(too_many_bad(&rows));
                lines[0] = format!("judged on: {}", lines[0]);
                let shared = vrft_dataset::shared(&[learned], &[(HeldOut::TEST, &rows)]);
                given.shares_rows = !shared.is_empty();
                lines.extend(shared.into_iter().map(|sentence| format!("warning: {sentence}")));
                Ok(lines)
            }
            Err(error) if is_named => Err(error).wrap_err("--test"),
            Err(error) => {
                (given.test, given.judged) = (None, None);
                Ok(vec![format!("{place} is not judged on: {error}")])
            }
        }
    }
}

/// What was inferred from, and why some rows were not among it.
fn left_out(dataset: &Dataset) -> String {
    dataset.summary(dataset.len()).join("\n  ")
}

/// That a run will not start with so many bad rows.
fn too_many_bad(dataset: &Dataset) -> Option<String> {
    let (n_skipped, n) = (dataset.skipped().len(), dataset.n_total());
    let limit = DataConfig::default().max_bad_fraction;
    (n_skipped as f64 > limit * n as f64).then(|| {
        format!(
            "warning: {n_skipped} of {n} rows cannot be used, and no run starts with more than {} of them: mend them, or \
             raise data.max_bad_fraction above {limit}",
            (limit * n as f64) as usize
        )
    })
}

/// What a run would stumble over, or learn nothing from.
fn warnings(dataset: &Dataset) -> Vec<String> {
    let mut warnings: Vec<String> = too_many_bad(dataset).into_iter().collect();
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

/// Whether the question says what an answer looks like.
pub(super) fn says_its_form(row: &Row) -> bool {
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
