//! What can go wrong while a policy is judged.

use std::path::PathBuf;

use vrft_dataset::DatasetError;
use vrft_model::ModelError;
use vrft_processor::ProcessorError;
use vrft_rollout::RolloutError;

/// Why a policy could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The held-out data.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The policy could not be loaded or failed.
    #[error(transparent)]
    Policy(#[from] ModelError),
    /// The processor of the checkpoint refuses something.
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    /// The file of `evaluation.exist`.
    #[error("evaluation.exist = {path:?}: {why}")]
    Exist {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A question that the policy could be asked when the data was opened, and cannot be asked any more.
    #[error("held-out sample {sample_id:?}: {why}")]
    Prompt {
        /// The sample.
        sample_id: String,
        /// What is wrong with it.
        why: String,
    },
    /// The policy could not decode answers.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}
