//! What can go wrong in a step or with a checkpoint.

use std::io;
use std::path::{Path, PathBuf};

use vrft_checkpoint::CheckpointError;
use vrft_model::ModelError;

/// A step that was not made, or a checkpoint that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    /// A batch or a setting that does not fit.
    #[error("{what} should be {expected}, got {got}")]
    Input {
        /// Which one, by prompt id or index where there are several.
        what: String,
        /// What would be accepted.
        expected: String,
        /// What came.
        got: String,
    },
    /// A loss or gradient that is not a number any more; the weights are those of the step before.
    #[error("{what} of step {step} is {value}; the weights were left as they were")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// The step that was not made, counted from 1.
        step: u64,
        /// What it came to.
        value: f64,
    },
    /// More steps than are allowed whose completions were too far from the policy; the weights are those of the step
    /// before.
    #[error(
        "step {step}: its completions count as {share:.4} of their number, below loss.effective_samples.min = {min}, and \
         {n_refused} steps were refused for that, more than loss.effective_samples.max_refused allows: learn from \
         completions of a policy that is nearer, or with a smaller optimizer.learning_rate or a larger loss.kl_coef"
    )]
    TooFar {
        /// The step that was not made, counted from 1.
        step: u64,
        /// Effective number of its completions as a share.
        share: f64,
        /// The smallest share allowed.
        min: f64,
        /// Steps refused, this one included.
        n_refused: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {path:?}: {source}")]
    Io {
        /// What was tried, as in "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A checkpoint whose content contradicts its manifest or the policy.
    #[error("{path:?} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder of checkpoints of which none can be used.
    #[error(
        "none of the {n} checkpoints in {dir:?} is intact; of the newest: {newest}. Restore one, or begin again at step 1 \
         with `vrft run --resume DIR --start-over`, which sets them aside"
    )]
    NoneIntact {
        /// The folder.
        dir: PathBuf,
        /// How many there are.
        n: usize,
        /// What is wrong with the newest.
        newest: Box<LearnerError>,
    },
    /// A file of a checkpoint that is absent, or is not what the manifest says.
    #[error(transparent)]
    Files(#[from] CheckpointError),
    /// The policy failed.
    #[error(transparent)]
    Policy(#[from] ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl LearnerError {
    pub(crate) fn input(
        what: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self::Input { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }

    /// Turns an error of the operating system into ours, with what was tried and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }
}
