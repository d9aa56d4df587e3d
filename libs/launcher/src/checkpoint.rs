//! Which checkpoint a command means. Every command that takes one finds it here, so that a checkpoint folder, a run folder,
//! `promoted` and a model of the hub mean the same everywhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use clap::Args;
use eyre::{ensure, eyre};
use vrft_answer::Target;
use vrft_checkpoint::{Adapter, Quantization, TensorFiles, TensorView};
use vrft_model::{LoadOptions, Policy};

use crate::graph::Graph;
use crate::print::{remark, say};

/// How the checkpoint that a command names is found and loaded.
#[derive(Debug, Args, Clone)]
pub(crate) struct Loading {
    /// The model that an adapter was trained beside, where it is no longer what the adapter names.
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
    /// Folder of the policies in use, where the checkpoint is `promoted`.
    #[arg(long, value_name = "DIR", default_value = "out/served")]
    pub(crate) served: PathBuf,
    /// Load the checkpoint without comparing it with its manifest.
    #[arg(long)]
    pub(crate) no_verify: bool,
}

impl Loading {
    /// The checkpoint of a name. Where the name leaves a choice, what was chosen is told beside the output, which a program
    /// may read.
    ///
    /// # Errors
    /// Nothing of that name, with what was looked for.
    pub(crate) fn named(&self, name: &str) -> eyre::Result<Target> {
        let target = Target::find(name, &self.served)?;
        if let Some(choice) = &target.choice {
            remark!("{name}: {choice}");
        }
        Ok(target)
    }

    /// The checkpoint of a name, compared with its manifest unless nobody wants that.
    ///
    /// # Errors
    /// As [`Loading::named`]; a damaged file.
    pub(crate) fn find(&self, name: &str) -> eyre::Result<Target> {
        let target = self.named(name)?;
        self.verify(&target.checkpoint, self.base.as_deref())?;
        Ok(target)
    }

    /// Compares a checkpoint with its manifest unless nobody wants that.
    ///
    /// # Errors
    /// A damaged file; a base that is not there.
    pub(crate) fn verify(&self, checkpoint: &Path, base: Option<&Path>) -> eyre::Result<()> {
        if self.no_verify {
            return Ok(());
        }
        Ok(vrft_checkpoint::verify(checkpoint, base)?)
    }

    /// A whole model: the checkpoint of a name, or, where that is an adapter, what it makes of its base, written into
    /// `folder`.
    ///
    /// # Errors
    /// As [`Loading::find`]; weights that cannot be read or written.
    pub(crate) fn whole(&self, name: &str, folder: &Path) -> eyre::Result<PathBuf> {
        let Target { checkpoint, version, .. } = self.find(name)?;
        if !Adapter::is_in(&checkpoint) {
            return Ok(checkpoint);
        }
        let merged = folder.join(version);
        merge_into(&checkpoint, self.base.as_deref(), &merged, None)?;
        Ok(merged)
    }
}

/// Adds the adapter of a name to the weights that it was trained beside and writes a plain checkpoint.
pub(crate) fn merge(
    name: &str,
    loading: &Loading,
    out: &Path,
    dtype: Option<DType>,
) -> eyre::Result<()> {
    let adapter = loading.find(name)?.checkpoint;
    ensure!(
        Adapter::is_in(&adapter),
        "{adapter:?} is no adapter: it has no adapter_config.json; a whole model needs no merging"
    );
    check_free(out)?;
    merge_into(&adapter, loading.base.as_deref(), out, dtype)?;
    say!("{}", written(out)?);
    Ok(())
}

/// What stands in the folder of a checkpoint that was written: weights, their types, their size.
///
/// # Errors
/// Weights that cannot be read again.
pub(crate) fn written(out: &Path) -> eyre::Result<String> {
    let files = TensorFiles::open(out)?;
    let dtype = |_: &str, view: TensorView| {
        Ok::<_, vrft_checkpoint::CheckpointError>(format!("{:?}", view.dtype()).to_lowercase())
    };
    let types = files.read_floats(dtype)?;
    let n_quantized = files.nf4_names().len();
    let mut distinct: BTreeSet<&str> = types.values().map(String::as_str).collect();
    distinct.extend((n_quantized > 0).then_some("nf4"));
    let in_folder = std::fs::read_dir(out)?.flatten().map(|entry| entry.path());
    let weights = in_folder.filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    let n_bytes: u64 = weights.filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    Ok(format!(
        "{}: {} tensors of {}, {:.1} MiB",
        out.display(),
        types.len() + n_quantized,
        distinct.into_iter().collect::<Vec<_>>().join(", "),
        n_bytes as f64 / f64::from(1 << 20)
    ))
}

/// Files that are in the folder of a model, of an adapter, and of a run.
const TAKEN: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "adapter_config.json", "run.json"];

/// Refuses a folder to write a checkpoint into that holds something else: the base of an adapter, for example, with which
/// the adapter would be applied twice.
///
/// # Errors
/// It does.
pub(crate) fn check_free(out: &Path) -> eyre::Result<()> {
    let taken = TAKEN.iter().find(|name| out.join(name).exists());
    match taken {
        Some(name) => Err(eyre!("{out:?} has a {name} already: name another folder, or remove it")),
        None => Ok(()),
    }
}

fn merge_into(
    adapter: &Path,
    base: Option<&Path>,
    out: &Path,
    dtype: Option<DType>,
) -> eyre::Result<()> {
    let options = LoadOptions {
        dtype: DType::F32,
        device: Device::Cpu,
        trainable: false,
        quantization: Quantization::None,
        freeze_vision: false,
        lora: None,
        prompt_tuning: None,
        feature_cache_mib: 0,
        prefix_cache_mib: 0,
    };
    Ok(Policy::load_beside(adapter, base, &options)?.save_merged(out, dtype)?)
}

impl Graph {
    /// Puts the checkpoint in place of a run or of `promoted` in `policy.path`, so that all nodes load the same one, also
    /// after a resume.
    ///
    /// # Errors
    /// A run without a checkpoint, or nothing promoted.
    pub(crate) fn choose_checkpoint(&mut self) -> eyre::Result<()> {
        let path = &self.config.policy.path;
        if !Target::is_choice(path) {
            return Ok(());
        }
        let name = path.display().to_string();
        let target = Target::find(&name, &self.config.answer.served)?;
        let choice = target.choice.unwrap_or(target.version);
        self.notes.push(format!("policy.path = {name:?}: {choice}"));
        self.config.policy.path = target.checkpoint;
        Ok(())
    }
}
