//! The files of a journal: `groups/step-N.arrow` in the run folder, Arrow IPC, columns as on the wire.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, ensure};
use vrft_messages::{CompletionBatch, CompletionRow, file};

/// Folder within a run folder.
const FOLDER: &str = "groups";

/// Writes groups down.
pub(crate) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(crate) fn open(run_dir: &Path) -> eyre::Result<Self> {
        let folder = run_dir.join(FOLDER);
        fs::create_dir_all(&folder).wrap_err_with(|| format!("{folder:?}"))?;
        Ok(Self { folder })
    }

    /// Writes the groups of a step; a resumed run writes the same once more.
    pub(crate) fn write(&self, step: u64, groups: &CompletionBatch) -> eyre::Result<()> {
        let path = self.folder.join(format!("step-{step:06}.arrow"));
        Ok(file::write(groups, &path)?)
    }
}

/// The groups of an earlier run.
pub(crate) struct Logged {
    groups: BTreeMap<u64, Vec<CompletionRow>>,
}

impl Logged {
    /// Reads all groups of a run folder.
    ///
    /// # Errors
    /// No journal there, or a file that cannot be read.
    pub(crate) fn read(run_dir: &Path) -> eyre::Result<Self> {
        let folder = run_dir.join(FOLDER);
        let entries = fs::read_dir(&folder).wrap_err_with(|| format!("cannot read {folder:?}"))?;
        let mut groups = BTreeMap::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "arrow") {
                let batch: CompletionBatch = file::read(&path)?;
                groups.extend(batch.groups().map(|group| (group[0].prompt_id, group.to_vec())));
            }
        }
        ensure!(!groups.is_empty(), "{folder:?} holds no groups");
        Ok(Self { groups })
    }

    pub(crate) fn group(&self, prompt_id: u64) -> Option<&Vec<CompletionRow>> {
        self.groups.get(&prompt_id)
    }

    pub(crate) fn n_prompts(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.groups.keys().next().copied()
    }

    /// How many prompts were logged one after the other, from this number on.
    pub(crate) fn n_from(&self, first: u64) -> u64 {
        (first..).take_while(|id| self.groups.contains_key(id)).count() as u64
    }
}
