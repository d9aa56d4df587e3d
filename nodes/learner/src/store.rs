//! Where the learner's policies go: versions for the rollout, checkpoints to keep, copies to evaluate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use tracing::{info, warn};
use vrft_learner::{Checkpoints, Cursor, Learner};
use vrft_messages::Checkpoint;
use vrft_node::Node;

use crate::config::Config;
use crate::ports::{CHECKPOINT, POLICY};

/// Folders of one learner within the run folder.
pub(crate) struct Store {
    versions: vrft_weights::Store,
    /// Serves the versions to other machines for as long as it lives.
    _server: Option<vrft_weights::Server>,
    checkpoints: Checkpoints,
    candidates: PathBuf,
    last_saved: Option<(u64, PathBuf)>,
}

impl Store {
    pub(crate) fn open(node: &Node, config: &Config) -> eyre::Result<Self> {
        let folder = |kind: &str| node.run_dir().join(kind).join(node.id());
        let versions = vrft_weights::Store::new(&folder("versions"))?;
        // The baseline has no rollout to serve.
        let serves = |text: &&str| !text.is_empty() && node.has_output(&POLICY);
        let endpoint = Some(config.weights.endpoint.as_str()).filter(serves);
        let settings = &config.weights.zenoh;
        let start = |endpoint| {
            vrft_weights::Server::start_with(&versions, &node.run_name(), endpoint, settings)
        };
        let server = endpoint.map(start).transpose().wrap_err("weights.endpoint")?;
        Ok(Self {
            versions,
            _server: server,
            checkpoints: Checkpoints::new(&folder("checkpoints"), config.learner.keep_checkpoints)?,
            candidates: folder("candidates"),
            last_saved: None,
        })
    }

    /// Goes back to the newest intact checkpoint, if the run is to be resumed and there is one.
    pub(crate) fn resume(&mut self, config: &Config, learner: &mut Learner) -> eyre::Result<()> {
        if !config.run.resume {
            return Ok(());
        }
        match self.checkpoints.newest()? {
            Some(checkpoint) => {
                learner.restore(&checkpoint)?;
                info!(step = learner.step(), "Resumed.");
            }
            None => warn!("No checkpoint was saved: starting at step 1."),
        }
        Ok(())
    }

    /// Makes the current weights available to the rollout, where there is one: a learner from a journal has none.
    pub(crate) fn publish(&mut self, node: &mut Node, learner: &Learner) -> eyre::Result<()> {
        if !node.has_output(&POLICY) {
            return Ok(());
        }
        let mut version = self.versions.publish(learner.step(), &learner.policy().version()?)?;
        // Bound to the version, so that whoever answers by it answers as often.
        version.group_size = learner.group_size().unwrap_or_default() as u16;
        node.send(&POLICY, &version)
    }

    /// Removes versions that no rollout will ask for again.
    pub(crate) fn remove_below(&self, version: u64) -> eyre::Result<()> {
        Ok(self.versions.remove_below(version)?)
    }

    /// Offers the policy that the run starts from for evaluation.
    pub(crate) fn offer_start(
        &self,
        node: &mut Node,
        config: &Config,
        learner: &Learner,
    ) -> eyre::Result<()> {
        // Of a resumed run too, with all that was offered before and perhaps not evaluated: the evaluator knows what it has.
        offer(node, 0, &config.policy.path, false)?;
        for (step, folder) in self.waiting()?.into_iter().filter(|(step, _)| *step < learner.step())
        {
            offer(node, step, &folder, false)?;
        }
        if learner.step() > 0 {
            self.offer_if_due(node, config, learner)?;
        }
        Ok(())
    }

    /// Copies that wait to be evaluated, in the order of their steps.
    fn waiting(&self) -> eyre::Result<BTreeMap<u64, PathBuf>> {
        let mut waiting = BTreeMap::new();
        let Ok(entries) = std::fs::read_dir(&self.candidates) else { return Ok(waiting) };
        for entry in entries {
            let path = entry.wrap_err_with(|| format!("cannot list {:?}", self.candidates))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
                waiting.insert(step, path);
            }
        }
        Ok(waiting)
    }

    /// Saves, and offers for evaluation, at the configured steps.
    pub(crate) fn save_if_due(
        &mut self,
        node: &mut Node,
        config: &Config,
        learner: &Learner,
    ) -> eyre::Result<()> {
        if is_due(config, learner, config.learner.checkpoint_every) {
            self.save(node, config, learner)?;
        }
        self.offer_if_due(node, config, learner)
    }

    fn offer_if_due(
        &self,
        node: &mut Node,
        config: &Config,
        learner: &Learner,
    ) -> eyre::Result<()> {
        if !is_due(config, learner, config.evaluation.interval(config.learner.steps)) {
            return Ok(());
        }
        // A copy of its own: checkpoints are removed as newer ones come, the evaluator may be behind.
        let step = learner.step();
        let folder = self.candidates.join(format!("step-{step:06}"));
        let partial = folder.with_extension("partial");
        learner.policy().save(&partial).wrap_err("cannot save a policy to evaluate")?;
        // Whole or not there, also where the run is killed meanwhile.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).wrap_err_with(|| format!("{folder:?}"))?;
        }
        std::fs::rename(&partial, &folder).wrap_err_with(|| format!("{folder:?}"))?;
        offer(node, step, &folder, false)
    }

    /// Saves what there is at the end or at a stop; a finished run is also offered for evaluation.
    pub(crate) fn save_last(
        &mut self,
        node: &mut Node,
        config: &Config,
        learner: &Learner,
    ) -> eyre::Result<()> {
        let folder = self.save(node, config, learner)?;
        self.versions.close()?;
        let is_last = learner.step() == config.learner.steps;
        if is_last { offer(node, learner.step(), &folder, true) } else { Ok(()) }
    }

    fn save(
        &mut self,
        node: &mut Node,
        config: &Config,
        learner: &Learner,
    ) -> eyre::Result<PathBuf> {
        let step = learner.step();
        if let Some((_, folder)) = self.last_saved.as_ref().filter(|(saved, _)| *saved == step) {
            return Ok(folder.clone());
        }
        let cursor = Cursor { next_prompt_id: config.learner.first_prompt_of(step) };
        let saved = node.timed(step, "checkpoint", |_| self.checkpoints.save(learner, &cursor));
        let folder = saved.wrap_err("cannot save a checkpoint; earlier ones are untouched")?;
        info!(step, folder = vrft_config::shown(&folder), "Saved.");
        self.last_saved = Some((step, folder.clone()));
        Ok(folder)
    }
}

/// Whether something is to be done after this step that is done every so many; after the last one it is done anyway.
fn is_due(config: &Config, learner: &Learner, every: u64) -> bool {
    let step = learner.step();
    every > 0 && step.is_multiple_of(every) && step < config.learner.steps
}

fn offer(node: &mut Node, version: u64, folder: &Path, last: bool) -> eyre::Result<()> {
    let location = folder.display().to_string();
    node.send(&CHECKPOINT, &Checkpoint { version, location, last })
}
