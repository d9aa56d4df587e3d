//! Where the rollout gets policy versions from: the learner's disk if it is visible here, else the learner.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::Tensor;
use eyre::{WrapErr, ensure};
use vrft_messages::PolicyVersion;
use vrft_node::Node;
use vrft_weights::{Client, WeightsConfig};

/// Source of weights.
pub(crate) struct Versions {
    config: WeightsConfig,
    run: String,
    folder: PathBuf,
    client: Option<Client>,
}

impl Versions {
    pub(crate) fn new(node: &Node, config: &WeightsConfig) -> Self {
        let folder = node.run_dir().join("pulled").join(node.id());
        Self { config: config.clone(), run: node.run_name(), folder, client: None }
    }

    /// The tensors of a version, checked against its checksum.
    pub(crate) fn fetch(&mut self, found: &PolicyVersion) -> eyre::Result<HashMap<String, Tensor>> {
        let context = || format!("cannot load policy version {}", found.version);
        if self.config.always_pull || !found.is_local() {
            let pulled = self.pull(found).wrap_err_with(context)?;
            return vrft_weights::fetch(&pulled).wrap_err_with(context);
        }
        vrft_weights::fetch(found).wrap_err_with(context)
    }

    fn pull(&mut self, version: &PolicyVersion) -> eyre::Result<PolicyVersion> {
        ensure!(
            !self.config.endpoint.is_empty(),
            "{:?} is not on this machine: set weights.endpoint to an address of the learner's machine",
            version.location
        );
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect_with(&self.run, &self.config.endpoint, &self.config.zenoh)?,
        };
        std::fs::create_dir_all(&self.folder)?;
        let pulled = client.pull(version, &self.folder)?;
        self.client = Some(client);
        self.remove_others(&pulled)?;
        Ok(pulled)
    }

    /// Only the newest version is kept.
    fn remove_others(&self, newest: &PolicyVersion) -> eyre::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.as_os_str() != newest.location.as_str() {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}
