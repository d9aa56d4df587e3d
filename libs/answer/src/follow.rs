//! Newer versions, fetched and loaded beside the policy that answers, so that answers go on meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};
use vrft_messages::PolicyAnnouncement;
use vrft_weights::Versions;

use crate::{Fresh, Settings, promoted};

/// How often the folder of the promoted policies is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Loads what comes next, in a thread of its own that ends with it.
pub struct Follower {
    fresh: Receiver<Fresh>,
    announced: Option<Sender<PolicyAnnouncement>>,
    is_over: Arc<AtomicBool>,
}

impl Follower {
    /// Follows the folder `answer.served`, where `version` is in use already.
    ///
    /// A policy that cannot be loaded is told of and left out: the one in use stays.
    pub fn promoted(settings: &Settings, version: &str) -> Self {
        let (ready, fresh) = sync_channel(1);
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, settings, mut known) =
            (Arc::clone(&is_over), settings.clone(), version.to_owned());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                look(&settings, &mut known, &ready);
                thread::sleep(LOOK);
            }
        });
        Self { fresh, announced: None, is_over }
    }

    /// Follows a learner, whose versions are told by [`Follower::announce`].
    pub fn learner(versions: Versions) -> Self {
        let (ready, fresh) = sync_channel(1);
        let (announced, told) = channel();
        thread::spawn(move || fetch(versions, &told, &ready));
        Self { fresh, announced: Some(announced), is_over: Arc::new(AtomicBool::new(false)) }
    }

    /// The learner has a new version.
    pub fn announce(&self, version: PolicyAnnouncement) {
        if let Some(announced) = &self.announced {
            // The thread ends only with this value.
            let _told = announced.send(version).is_ok();
        }
    }

    /// The newest version that is ready to be put into use, if there is one since the last time.
    pub fn newest(&self) -> Option<Fresh> {
        self.fresh.try_iter().last()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Loads the policy in use, if it is another one than the last.
fn look(settings: &Settings, known: &mut String, ready: &SyncSender<Fresh>) {
    let served: &Path = &settings.answer.served;
    let target = match promoted(served) {
        Ok(Some(target)) if target.version != *known => target,
        Ok(_) => return,
        Err(error) => {
            let why = error.to_string();
            if *known != why {
                warn!(why, "The promoted policy cannot be found; the one in use stays.");
                *known = why;
            }
            return;
        }
    };
    known.clone_from(&target.version);
    match Fresh::whole(settings, &target) {
        Ok(fresh) => {
            info!(version = target.version, "Loaded what was promoted.");
            // Nobody waits for it any more.
            let _taken = ready.send(fresh).is_ok();
        }
        Err(error) => {
            let version = &target.version;
            let why = error.to_string();
            warn!(version, why, "The promoted policy cannot be loaded; the one in use stays.");
        }
    }
}

/// Fetches the newest version that was told of; what a faster learner has overtaken is left out.
fn fetch(mut versions: Versions, told: &Receiver<PolicyAnnouncement>, ready: &SyncSender<Fresh>) {
    let mut has_warned = false;
    while let Ok(first) = told.recv() {
        let found = told.try_iter().last().unwrap_or(first);
        let name = format!("step-{:06}", found.version);
        match versions.fetch(&found) {
            Ok(tensors) => {
                if ready.send(Fresh::weights(name, tensors)).is_err() {
                    return;
                }
            }
            // Usually the learner was faster and its file is gone; the next version is on its way.
            Err(error) if has_warned => tracing::debug!(version = name, %error, "Left out."),
            Err(error) => {
                let why = error.to_string();
                warn!(
                    version = name,
                    why, "A version could not be fetched; the one in use stays until the next."
                );
                has_warned = true;
            }
        }
    }
}
