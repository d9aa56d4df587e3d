//! The files of a journal: `groups/step-N.arrow` in the run folder, Arrow IPC, columns as on the wire.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{RecordBatch, StructArray};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use eyre::{WrapErr, ensure};
use messages::{Completion, CompletionBatch, Message};

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
        let partial = path.with_extension("tmp");
        let context = || format!("cannot write {path:?}");
        let batch = RecordBatch::from(groups.to_arrow());
        let file = File::create(&partial).wrap_err_with(context)?;
        let mut writer = FileWriter::try_new(file, &batch.schema()).wrap_err_with(context)?;
        writer.write(&batch).and_then(|()| writer.finish()).wrap_err_with(context)?;
        fs::rename(&partial, &path).wrap_err_with(context)
    }
}

/// The groups of an earlier run.
pub(crate) struct Logged {
    groups: BTreeMap<u64, Vec<Completion>>,
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
                read_file(&path, &mut groups).wrap_err_with(|| format!("cannot read {path:?}"))?;
            }
        }
        ensure!(!groups.is_empty(), "{folder:?} holds no groups");
        Ok(Self { groups })
    }

    pub(crate) fn group(&self, prompt_id: u64) -> Option<&Vec<Completion>> {
        self.groups.get(&prompt_id)
    }

    pub(crate) fn n_prompts(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.groups.keys().next().copied()
    }
}

fn read_file(path: &Path, groups: &mut BTreeMap<u64, Vec<Completion>>) -> eyre::Result<()> {
    for batch in FileReader::try_new(File::open(path)?, None)? {
        let batch = CompletionBatch::from_arrow(&StructArray::from(batch?))?;
        groups.extend(batch.groups().map(|group| (group[0].prompt_id, group.to_vec())));
    }
    Ok(())
}
