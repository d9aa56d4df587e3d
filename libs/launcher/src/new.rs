//! `vrft new`: a commented configuration for somebody's own rows, after a look at them.

mod proposal;
mod splits;
mod task;
mod text;

use std::path::{Component, Path, PathBuf};

use clap::Args;
use eyre::{WrapErr, ensure};
use vrft_answer::{AnswerConfig, Target};
use vrft_checkpoint::PolicyConfig;
use vrft_processor::Processor;

use crate::config::Config;
use crate::print::say;
use proposal::{Given, Judged, Proposal};

/// The configuration within the new folder.
const FILE: &str = "config.toml";

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
    /// File with the names of the classes, where the data numbers them: a line each, in the order of the numbers.
    #[arg(long, value_name = "FILE")]
    pub(crate) classes: Option<PathBuf>,
    /// A reward to use instead of one that is inferred, as in `configs/rewards/`.
    #[arg(long, value_name = "FILE")]
    pub(crate) reward: Option<PathBuf>,
}

/// Looks at the rows and writes the configuration.
///
/// # Errors
/// Rows that cannot be read or whose task cannot be inferred; a configuration that is there already.
pub(crate) fn new(options: &NewOptions) -> eyre::Result<()> {
    let file = options.folder.join(FILE);
    ensure!(!file.exists(), "{file:?} is there already: name another folder, or remove it");
    let splits::Opened { dataset, split, judged, notes } = splits::open(options)?;
    let starter = Path::new("data/starter");
    let named = options.checkpoint.as_deref().unwrap_or(starter);
    let found = Target::is_choice(named)
        .then(|| Target::find(&named.display().to_string(), &AnswerConfig::default().served));
    let found = found.transpose().wrap_err("--checkpoint")?;
    let checkpoint = found.as_ref().map_or(named, |target| &target.checkpoint);
    let policy = PolicyConfig { path: checkpoint.to_owned(), ..PolicyConfig::default() };
    let processor = Processor::of(&policy)
        .wrap_err_with(|| format!("--checkpoint {}", checkpoint.display()))?;
    let test = judged.as_ref().and_then(|judged| judged.file.clone());
    let judged_split = judged.as_ref().and_then(|judged| judged.split.clone());
    let given = Given {
        name: options.folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        data: absolute(&options.data)?,
        test: test.as_deref().map(absolute).transpose()?,
        checkpoint: if checkpoint.exists() { absolute(checkpoint)? } else { checkpoint.to_owned() },
        image_root: options.image_root.as_deref().map(absolute).transpose()?,
        reward: options.reward.as_deref().map(absolute).transpose()?,
        truth: options.truth.clone(),
        classes: options.classes.as_deref().map(absolute).transpose()?,
        learned: split,
        judged: judged_split,
        shares_rows: false,
    };
    let judged =
        judged.map(|judged| Judged { is_named: options.test.is_some(), dataset: judged.dataset });
    let mut proposal = Proposal::make(dataset, judged, &processor, given)?;
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

/// The path from the root. A link to a file stays one: its name has the ending, and beside it are the pictures, not beside
/// what it points to.
fn absolute(path: &Path) -> eyre::Result<PathBuf> {
    let named = || format!("{}", path.display());
    let whole = path.canonicalize().wrap_err_with(named)?;
    if whole.is_dir() {
        return Ok(whole);
    }
    let has_parent = path.components().any(|part| part == Component::ParentDir);
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if has_parent => Ok(folder.canonicalize()?.join(name)),
        _ => std::path::absolute(path).wrap_err_with(named),
    }
}

#[cfg(test)]
mod tests;
