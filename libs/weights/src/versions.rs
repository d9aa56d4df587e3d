//! Where policy versions are read from: the learner's disk if it is visible here, else the learner itself.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use crate::{Client, PolicyAnnouncement, WeightsConfig, WeightsError};

/// Source of weights for whoever uses a policy that another process learns.
pub struct Versions {
    config: WeightsConfig,
    run: String,
    folder: PathBuf,
    client: Option<Client>,
}

impl Versions {
    /// Of the run of this name; what is pulled over the network is kept in `folder` until the next version.
    pub fn new(config: &WeightsConfig, run: &str, folder: &Path) -> Self {
        let (run, folder) = (run.to_owned(), folder.to_owned());
        Self { config: config.clone(), run, folder, client: None }
    }

    /// The tensors of a version, checked against its checksum.
    ///
    /// # Errors
    /// A file that is gone, cut short or damaged; a learner that does not answer.
    pub fn fetch(
        &mut self,
        found: &PolicyAnnouncement,
    ) -> Result<HashMap<String, Tensor>, WeightsError> {
        crate::fetch(&self.here(found)?)
    }

    /// As [`Versions::fetch`], into the memory of these tensors: see [`crate::fetch_into`].
    ///
    /// # Errors
    /// As [`Versions::fetch`].
    pub fn fetch_into(
        &mut self,
        found: &PolicyAnnouncement,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<bool, WeightsError> {
        crate::fetch_into(&self.here(found)?, tensors)
    }

    /// The version as a file of this machine.
    fn here(&mut self, found: &PolicyAnnouncement) -> Result<PolicyAnnouncement, WeightsError> {
        if self.config.always_pull || !found.is_local() {
            return self.pull(found);
        }
        Ok(found.clone())
    }

    fn pull(&mut self, version: &PolicyAnnouncement) -> Result<PolicyAnnouncement, WeightsError> {
        if self.config.endpoint.is_empty() {
            return Err(WeightsError::Elsewhere { location: version.location.clone() });
        }
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect_with(&self.run, &self.config.endpoint, &self.config.zenoh)?,
        };
        let failed = WeightsError::io("create", &self.folder);
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let pulled = client.pull(version, &self.folder)?;
        self.client = Some(client);
        self.remove_others(&pulled)?;
        Ok(pulled)
    }

    /// Only the newest version is kept.
    fn remove_others(&self, newest: &PolicyAnnouncement) -> Result<(), WeightsError> {
        let failed = || WeightsError::io("clear", &self.folder);
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.as_os_str() != newest.location.as_str() {
                std::fs::remove_file(path).map_err(failed())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_version_on_this_machine_is_read_and_one_elsewhere_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = Tensor::arange(0f32, 4., &Device::Cpu).unwrap();
        let tensors = BTreeMap::from([("w".to_owned(), tensor)]);
        let published = crate::Store::new(folder.path()).unwrap().publish(3, &tensors).unwrap();
        let mut versions = Versions::new(&WeightsConfig::default(), "run", folder.path());
        assert_eq!(versions.fetch(&published).unwrap()["w"].dims(), [4]);
        let elsewhere = PolicyAnnouncement { location: "/nowhere/v3".into(), ..published };
        let error = versions.fetch(&elsewhere).unwrap_err().to_string();
        assert!(error.contains("/nowhere/v3") && error.contains("weights.endpoint"), "{error}");
    }
}
