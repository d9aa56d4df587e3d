//! What a stream's policy is judged on, kept on the disk: a resumed run is judged on the same questions.

use std::fs;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, eyre};
use vrft_messages::{PromptBatch, file};
use vrft_prompts::HELD_OUT_FILE;
use vrft_stream::{Fingerprint, StreamConfig};

use crate::Config;

/// What the frames they are about look like, so that none of their like is learned from: a number a line.
const FINGERPRINTS: &str = "held-out.fingerprints";

/// The questions that were set aside, and the looks of their frames.
#[derive(Debug, PartialEq)]
pub(crate) struct HeldOut {
    pub(crate) questions: PromptBatch,
    pub(crate) fingerprints: Vec<Fingerprint>,
}

impl HeldOut {
    /// Writes both into a run folder; the questions last, since they are what is looked for.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn save(&self, run_dir: &Path) -> eyre::Result<()> {
        let path = fingerprints(run_dir);
        let lines: Vec<String> =
            self.fingerprints.iter().map(|print| format!("{:016x}\n", print.0)).collect();
        fs::write(&path, lines.concat()).wrap_err_with(|| format!("cannot write {path:?}"))?;
        Ok(file::write(&self.questions, &run_dir.join(HELD_OUT_FILE))?)
    }

    /// What was set aside before this run began: by the run that it resumes, or by the one that the configuration names.
    ///
    /// # Errors
    /// A run that is named and set nothing aside; a file that cannot be read.
    pub(crate) fn of_before(
        config: &Config,
        stream: &StreamConfig,
        run_dir: &Path,
    ) -> eyre::Result<Option<Self>> {
        let resumed = if config.run.resume { Self::load(run_dir)? } else { None };
        let from = &stream.held_out_from;
        if resumed.is_some() || from.as_os_str().is_empty() {
            return Ok(resumed);
        }
        let held_out = Self::load(from)?.ok_or_else(|| {
            eyre!(
                "data.stream.held_out_from = {from:?}: there is no {HELD_OUT_FILE} of a run there"
            )
        })?;
        held_out.save(run_dir)?;
        Ok(Some(held_out))
    }

    /// `None` if nothing was set aside there.
    fn load(run_dir: &Path) -> eyre::Result<Option<Self>> {
        if !run_dir.join(HELD_OUT_FILE).exists() {
            return Ok(None);
        }
        let path = fingerprints(run_dir);
        let text = fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {path:?}"))?;
        let print = |line: &str| u64::from_str_radix(line, 16).map(Fingerprint);
        let fingerprints = text.lines().map(print).collect::<Result<_, _>>();
        let fingerprints = fingerprints.wrap_err_with(|| format!("{path:?}"))?;
        Ok(Some(Self { questions: file::read(&run_dir.join(HELD_OUT_FILE))?, fingerprints }))
    }
}

fn fingerprints(run_dir: &Path) -> PathBuf {
    run_dir.join(FINGERPRINTS)
}
