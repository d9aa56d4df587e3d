//! Policy versions that the learner has announced.

use std::collections::BTreeMap;

use eyre::bail;
use vrft_messages::PolicyAnnouncement;
use vrft_node::Node;

use crate::ports::POLICY;

/// More than the largest window: prompts of another rollout that died may ask for a version gone by.
const KEPT: usize = 16;

/// The newest announcements, by version.
#[derive(Default)]
pub(crate) struct Announced {
    known: BTreeMap<u64, PolicyAnnouncement>,
}

impl Announced {
    /// Waits until this version was announced; `None` when the run is over.
    ///
    /// # Errors
    /// A version that was passed over.
    pub(crate) fn wait_for(
        &mut self,
        node: &mut Node,
        wanted: u64,
    ) -> eyre::Result<Option<PolicyAnnouncement>> {
        while !self.known.contains_key(&wanted) {
            if let Some(newest) = self.known.keys().last().filter(|newest| **newest > wanted) {
                bail!("policy version {wanted} was asked for, {newest} came");
            }
            let Some(found) = node.recv(&POLICY)? else { return Ok(None) };
            self.known.insert(found.version, found);
            while self.known.len() > KEPT {
                self.known.pop_first();
            }
        }
        Ok(self.known.get(&wanted).cloned())
    }
}

#[cfg(test)]
mod tests {
    use vrft_node::testing::Script;

    use super::*;
    use crate::ports::PORTS;

    fn version(version: u64) -> PolicyAnnouncement {
        let checksum = "0".repeat(32);
        PolicyAnnouncement { version, location: String::new(), bytes: 1, checksum, group_size: 0 }
    }

    fn script(versions: &[u64]) -> Script {
        let script = versions
            .iter()
            .fold(Script::new(&PORTS), |script, v| script.message("policy", &version(*v)));
        script.end("policy")
    }

    #[test]
    fn the_version_asked_for_is_waited_for() {
        let (mut node, _sent) = script(&[3, 4, 5]).node();
        let mut announced = Announced::default();
        assert_eq!(announced.wait_for(&mut node, 4).unwrap(), Some(version(4)));
        assert_eq!(announced.wait_for(&mut node, 3).unwrap(), Some(version(3)));
        assert_eq!(announced.wait_for(&mut node, 6).unwrap(), None);
    }

    #[test]
    fn a_version_that_never_came_is_named() {
        let (mut node, _sent) = script(&[5]).node();
        let error = Announced::default().wait_for(&mut node, 4).unwrap_err().to_string();
        assert_eq!(error, "policy version 4 was asked for, 5 came");
    }
}
