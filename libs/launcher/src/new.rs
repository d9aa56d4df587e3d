//! `vrft new`: a commented configuration for somebody's own rows, after a look at them.

mod proposal;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use eyre::{WrapErr, ensure, eyre};
use vrft_answer::{AnswerConfig, Target};
use vrft_checkpoint::PolicyConfig;
use vrft_dataset::{Dataset, DatasetError, OpenOptions, RobotConfig};
use vrft_processor::Processor;

use crate::config::Config;
use crate::print::say;
use proposal::{Given, Proposal};

/// The configuration within the new folder.
const FILE: &str = "config.toml";

/// Splits that are learned from and judged on where a folder has several, the better ones first.
const LEARNED: [&str; 1] = ["train"];
const JUDGED: [&str; 2] = ["test", "validation"];

#[derive(Args)]
pub(crate) struct NewOptions {
    /// Folder to write `config.toml` to; it is made if it is not there.
    pub(crate) folder: PathBuf,
    /// Rows, COCO or Pascal VOC annotations: a file or a folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// The same for rows that are never learned from [default: another split of the data, else a fifth of its pictures].
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
    /// Split to learn from, where a folder has several [default: train].
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,
    /// Checkpoint folder, run folder, `promoted`, or a model of the hub as owner/name [default: data/starter].
    #[arg(long, value_name = "DIR|RUN|promoted")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Folder that the names of pictures start at [default: that of the data].
    #[arg(long, value_name = "DIR")]
    pub(crate) image_root: Option<PathBuf>,
    /// Column with the true answers, for a folder of LeRobot.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) truth: Option<String>,
    /// A reward to use instead of one that is inferred, as in `configs/rewards/`.
    #[arg(long, value_name = "FILE")]
    pub(crate) reward: Option<PathBuf>,
}

/// Which splits of a folder are used for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Splits {
    learned: Option<String>,
    judged: Option<String>,
}

/// Looks at the rows and writes the configuration.
///
/// # Errors
/// Rows that cannot be read or whose task cannot be inferred; a configuration that is there already.
pub(crate) fn new(options: &NewOptions) -> eyre::Result<()> {
    let file = options.folder.join(FILE);
    ensure!(!file.exists(), "{file:?} is there already: name another folder, or remove it");
    let (dataset, splits, mut notes) = open(options)?;
    let starter = Path::new("data/starter");
    let named = options.checkpoint.as_deref().unwrap_or(starter);
    let found = Target::is_choice(named)
        .then(|| Target::find(&named.display().to_string(), &AnswerConfig::default().served));
    let found = found.transpose().wrap_err("--checkpoint")?;
    let checkpoint = found.as_ref().map_or(named, |target| &target.checkpoint);
    let policy = PolicyConfig { path: checkpoint.to_owned(), ..PolicyConfig::default() };
    let processor = Processor::of(&policy)
        .wrap_err_with(|| format!("--checkpoint {}", checkpoint.display()))?;
    let data = absolute(&options.data)?;
    let test = match (&options.test, &splits.judged) {
        (Some(test), _) => {
            open_one(options, test, None).wrap_err("--test")?;
            Some(test.clone())
        }
        (None, Some(_)) => None,
        (None, None) => sibling(options, &data, &mut notes),
    };
    let given = Given {
        name: options.folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        data,
        test: test.as_deref().map(absolute).transpose()?,
        checkpoint: if checkpoint.exists() { absolute(checkpoint)? } else { checkpoint.to_owned() },
        image_root: options.image_root.as_deref().map(absolute).transpose()?,
        reward: options.reward.as_deref().map(absolute).transpose()?,
        truth: options.truth.clone(),
        learned: splits.learned,
        judged: splits.judged,
    };
    let mut proposal = Proposal::make(dataset, &processor, given)?;
    proposal.notes.extend(notes);
    let written = text::configuration(&proposal);
    std::fs::create_dir_all(&options.folder).wrap_err_with(|| format!("{:?}", options.folder))?;
    std::fs::write(&file, written).wrap_err_with(|| format!("{file:?}"))?;
    // What was written must be what the program reads.
    Config::load(&file, &[]).wrap_err("the new configuration")?;
    proposal.lines().iter().for_each(|line| say!("{line}"));
    let shown = shlex::try_quote(&file.display().to_string())?.into_owned();
    say!(
        "\nWritten: {shown}. Read it, then:\n  vrft check --config {shown}\n  vrft run --config {shown}"
    );
    Ok(())
}

/// Opens rows as a run with the new configuration will.
fn open_one(
    options: &NewOptions,
    path: &Path,
    split: Option<&str>,
) -> Result<Dataset, DatasetError> {
    let split = split.map(str::to_owned);
    let image_root = options.image_root.clone();
    let truth = options.truth.clone().unwrap_or_default();
    let robot = RobotConfig { truth, ..RobotConfig::default() };
    let options = OpenOptions { split, image_root, robot, ..OpenOptions::default() };
    Dataset::open_with(path, &options)
}

/// The rows to learn from, which splits are which, and what else was found.
fn open(options: &NewOptions) -> eyre::Result<(Dataset, Splits, Vec<String>)> {
    let path = absolute(&options.data)?;
    let open = |split: Option<&str>| open_one(options, &path, split);
    let splits = match open(options.split.as_deref()) {
        Ok(dataset) => {
            let learned = options.split.clone();
            return Ok((dataset, Splits { learned, judged: None }, Vec::new()));
        }
        Err(DatasetError::SeveralSplits { splits, .. }) => splits,
        Err(error) => return Err(error.into()),
    };
    // As in `train (2 files)`.
    let names: Vec<&str> = splits
        .iter()
        .map(|split| split.split_once(" (").map_or(&**split, |(name, _)| name))
        .collect();
    let learned = LEARNED.iter().find(|name| names.contains(name)).ok_or_else(|| {
        eyre!("{path:?} has the splits {}: choose one by --split", splits.join(", "))
    })?;
    let dataset = open(Some(learned))?;
    let mut notes = Vec::new();
    let is_usable = |split: &&&str| match open(Some(split)) {
        Ok(_) => true,
        Err(error) => {
            notes.push(format!("the split {split} is not judged on: {error}"));
            false
        }
    };
    let judged = JUDGED.iter().filter(|name| names.contains(name)).find(is_usable);
    let judged = judged.map(|name| (*name).to_owned());
    Ok((dataset, Splits { learned: Some((*learned).to_owned()), judged }, notes))
}

/// The file to judge on that lies beside a file to learn from, and has rows: `test.jsonl` beside `train.jsonl`,
/// `instances_val2017.json` beside `instances_train2017.json`.
fn sibling(options: &NewOptions, data: &Path, notes: &mut Vec<String>) -> Option<PathBuf> {
    let name = data.file_name()?.to_str()?;
    let names = ["test", "validation", "valid", "val", "dev"].iter();
    let candidates = names.map(|other| data.with_file_name(name.replace("train", other)));
    let mut candidates = candidates.filter(|other| other != data && other.is_file());
    candidates.find(|other| match open_one(options, other, None) {
        Ok(_) => true,
        Err(error) => {
            notes.push(format!("{} is not judged on: {error}", other.display()));
            false
        }
    })
}

fn absolute(path: &Path) -> eyre::Result<PathBuf> {
    path.canonicalize().wrap_err_with(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests;
