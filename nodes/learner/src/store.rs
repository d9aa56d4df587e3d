//! Where the learner's policies go: versions for the rollout, checkpoints to keep, copies to evaluate.

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

    /// Makes the current weights available to the rollout.
    pub(crate) fn publish(&mut self, node: &mut Node, learner: &Learner) -> eyre::Result<()> {
        let version = self.versions.publish(learner.step(), &learner.policy().version()?)?;
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
        match learner.step() {
            0 => offer(node, 0, &config.policy.path, false),
            _ => Ok(()),
        }
    }

    /// Saves, and offers for evaluation, at the configured steps.
    pub(crate) fn save_if_due(
        &mut self,
        node: &mut Node,
        config: &Config,
        learner: &Learner,
    ) -> eyre::Result<()> {
        let step = learner.step();
        let due =
            |every: u64| every > 0 && step.is_multiple_of(every) && step < config.learner.steps;
        if due(config.learner.checkpoint_every) {
            self.save(node, config, learner)?;
        }
        if due(config.evaluation.every) {
            // A copy of its own: checkpoints are removed as newer ones come, the evaluator may be behind.
            let folder = self.candidates.join(format!("step-{step:06}"));
            learner.policy().save(&folder).wrap_err("cannot save a policy to evaluate")?;
            offer(node, step, &folder, false)?;
        }
        Ok(())
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
        info!(step, folder = %folder.display(), "Saved.");
        self.last_saved = Some((step, folder.clone()));
        Ok(folder)
    }
}

fn offer(node: &mut Node, version: u64, folder: &Path, last: bool) -> eyre::Result<()> {
    let location = folder.display().to_string();
    node.send(&CHECKPOINT, &Checkpoint { version, location, last })
}
