//! Newer versions, fetched and loaded beside the policy that answers, so that answers go on meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};
use vrft_messages::PolicyAnnouncement;
use vrft_weights::Versions;

use crate::contents::{self, Look};
use crate::{AnswerError, Answerer, Fresh, Settings, Target, promoted};

/// How a promoted policy is asked.
pub type SettingsOf = dyn Fn(&Target) -> Result<Settings, AnswerError> + Send;

/// Digits of a checksum that tell a version of a learner from others.
const N_DIGITS: usize = 16;

/// How often the folder of the promoted policies is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Loads what comes next, in a thread of its own that ends with it.
pub struct Follower {
    fresh: Receiver<Fresh>,
    announced: Option<Sender<PolicyAnnouncement>>,
    is_over: Arc<AtomicBool>,
}

impl Follower {
    /// Follows the folder `answer.served`, beginning with the policy in use. `settings_of` says how one that was promoted
    /// is asked.
    ///
    /// Policies are told apart by what they hold: another one in a folder of the same name takes its place too. A policy
    /// that cannot be loaded is told of and left out: the one in use stays.
    pub fn promoted(in_use: &Answerer, settings_of: Box<SettingsOf>) -> Self {
        let (ready, fresh) = sync_channel(1);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let mut promotions = Promotions {
            served: in_use.settings().answer.served.clone(),
            base: in_use.settings().policy.base.clone(),
            settings_of,
            version: in_use.version().to_owned(),
            digest: in_use.digest().to_owned(),
            look: None,
            was_there: false,
            untold: String::new(),
        };
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                promotions.look(&ready);
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

/// The folder of the promoted policies, and what is known of it.
struct Promotions {
    served: PathBuf,
    base: Option<PathBuf>,
    settings_of: Box<SettingsOf>,
    /// The policy that was loaded last.
    version: String,
    digest: String,
    /// How its files looked when that was found out; `None` before the first time.
    look: Option<Look>,
    was_there: bool,
    /// What was wrong last, which is not told twice.
    untold: String,
}

impl Promotions {
    /// Loads the policy in use, if it is another one than the last.
    fn look(&mut self, ready: &SyncSender<Fresh>) {
        match self.newer() {
            Ok(None) => {}
            Ok(Some(fresh)) => {
                self.untold.clear();
                (self.version, self.digest) =
                    (fresh.version().to_owned(), fresh.digest().to_owned());
                info!(version = self.version, digest = self.digest, "Loaded what was promoted.");
                // Nobody waits for it any more.
                let _taken = ready.send(fresh).is_ok();
            }
            Err(error) => {
                let why = error.to_string();
                if self.untold != why {
                    warn!(why, "The promoted policy cannot be used; the one in use stays.");
                    self.untold = why;
                }
            }
        }
    }

    fn newer(&mut self) -> Result<Option<Fresh>, AnswerError> {
        let Some(target) = promoted(&self.served)? else {
            if std::mem::take(&mut self.was_there) {
                let served = vrft_config::shown(&self.served);
                warn!(served, "Nothing is promoted there any more; the policy in use stays.");
            }
            self.look = None;
            return Ok(None);
        };
        self.was_there = true;
        let look = Look::of(&target.checkpoint)?;
        if self.look.as_ref() == Some(&look) {
            return Ok(None);
        }
        let settings = (self.settings_of)(&target)?;
        // Of other files by the same name, what they hold decides.
        if target.version == self.version
            && contents::digest(&target.checkpoint, self.base.as_deref())? == self.digest
        {
            self.look = Some(look);
            return Ok(None);
        }
        let loaded = Fresh::whole(&settings, &target);
        // What was written meanwhile is looked at again.
        let was_changed = matches!(&loaded, Err(AnswerError::Changed { .. }));
        self.look = Some(look).filter(|_| !was_changed);
        loaded.map(Some)
    }
}

/// Fetches the newest version that was told of; what a faster learner has overtaken is left out.
fn fetch(mut versions: Versions, told: &Receiver<PolicyAnnouncement>, ready: &SyncSender<Fresh>) {
    let mut has_warned = false;
    while let Ok(first) = told.recv() {
        let found = told.try_iter().last().unwrap_or(first);
        let name = format!("step-{:06}", found.version);
        let digest: String = found.checksum.chars().take(N_DIGITS).collect();
        match versions.fetch(&found) {
            Ok(tensors) => {
                if ready.send(Fresh::weights(name, digest, tensors)).is_err() {
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
