//! A graph and the configuration that goes with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dora_message::descriptor::{Descriptor, EnvValue};
use eyre::{WrapErr, ensure, eyre};
use vrft_plan::OnLoss;

use crate::cli::GraphOptions;
use crate::config::Config;

/// A graph that may be run: its wiring and its configuration were checked.
pub(crate) struct Graph {
    pub(crate) path: PathBuf,
    /// Folder of the graph: where relative paths start.
    pub(crate) folder: PathBuf,
    pub(crate) descriptor: Descriptor,
    pub(crate) config: Config,
}

impl Graph {
    /// Reads graph and configuration.
    ///
    /// # Errors
    /// A file that cannot be read or does not parse, an unknown key, an impossible value, a wrong edge.
    pub(crate) fn load(options: &GraphOptions) -> eyre::Result<Self> {
        Self::with_config(options, None)
    }

    /// The same with the configuration of an earlier run.
    pub(crate) fn with_config(
        options: &GraphOptions,
        earlier: Option<&Path>,
    ) -> eyre::Result<Self> {
        let path = options.graph.clone();
        let text = std::fs::read_to_string(&path)
            .wrap_err_with(|| format!("cannot read the graph {path:?}"))?;
        let descriptor: Descriptor =
            yaml_serde::from_str(&text).wrap_err_with(|| format!("in the graph {path:?}"))?;
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        vrft_node::wiring::check(&descriptor)
            .and_then(|()| vrft_node::wiring::check_environment(&descriptor, is_set))
            .wrap_err_with(|| format!("in the graph {path:?}"))?;
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let file = match (&options.config, earlier) {
            (Some(config), _) => config.clone(),
            (None, Some(earlier)) => earlier.to_owned(),
            (None, None) => folder.join(named_config(&descriptor)?),
        };
        let config = Config::load(&file, &options.overrides)?;
        Ok(Self { path, folder, descriptor, config })
    }

    /// Sets an environment variable of every node.
    pub(crate) fn set_env(&mut self, key: &str, value: &str) {
        let env = self.descriptor.env.get_or_insert_default();
        env.insert(key.to_owned(), EnvValue::String(value.to_owned()));
    }

    /// The checkpoint directory of `policy.path`: relative paths start at the graph's folder, a model of the
    /// Hugging Face hub is downloaded if this machine does not have it.
    pub(crate) fn checkpoint(&self) -> eyre::Result<PathBuf> {
        let path = &self.config.policy.path;
        let anchored = self.folder.join(path);
        if anchored.exists() {
            return Ok(anchored);
        }
        let found = vrft_checkpoint::checkpoint_dir(path).wrap_err("policy.path")?;
        Ok(if found == *path { anchored } else { found })
    }

    /// Nodes that the run can do without.
    pub(crate) fn expendable(&self) -> BTreeSet<String> {
        match self.config.pool.on_loss {
            OnLoss::End => BTreeSet::new(),
            OnLoss::Survive => vrft_node::wiring::replicas(&self.descriptor),
        }
    }

    /// Checks that nodes which are started from here can use the devices that the configuration gives them.
    ///
    /// # Errors
    /// A device for which neither this program nor, therefore, the nodes are built.
    pub(crate) fn check_devices(&self) -> eyre::Result<()> {
        if self.descriptor.nodes.iter().any(|node| node.deploy.is_some()) {
            // Other machines have programs of their own.
            return Ok(());
        }
        for (key, device) in self.devices() {
            vrft_model::check_device(key, device)?;
        }
        Ok(())
    }

    /// Where the nodes with a model compute, by the key that says so.
    pub(crate) fn devices(&self) -> [(&'static str, vrft_plan::Device); 3] {
        let Config { rollout, learner, evaluation, .. } = &self.config;
        [
            ("rollout.device", rollout.device),
            ("learner.device", learner.device),
            ("evaluation.device", evaluation.device),
        ]
    }

    /// Checks that the data and the checkpoint are there. Relative paths start at the graph's folder.
    pub(crate) fn check_files(&self) -> eyre::Result<()> {
        let mut config = self.config.clone();
        config.policy.path = self.checkpoint()?;
        let of_sources = config.data.sources.iter_mut();
        let of_sources =
            of_sources.flat_map(|source| [Some(&mut source.train), source.test.as_mut()]);
        let files = [&mut config.data.train, &mut config.evaluation.test];
        let models = config.semantic.iter_mut().map(|semantic| &mut semantic.model);
        for path in files.into_iter().chain(of_sources.flatten()).chain(models) {
            *path = self.folder.join(&path);
        }
        Ok(config.check_files()?)
    }
}

fn named_config(descriptor: &Descriptor) -> eyre::Result<String> {
    let variable = vrft_node::CONFIG_VARIABLE;
    let env = descriptor.env.as_ref().and_then(|env| env.get(variable));
    let named = env.map(ToString::to_string).ok_or_else(|| {
        eyre!("the graph names no configuration: set {variable} in its `env`, or give --config")
    })?;
    ensure!(!named.is_empty(), "{variable} is empty in the graph's `env`");
    Ok(named)
}
