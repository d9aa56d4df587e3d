//! Group sampling: several completions per prompt from one prefill, each with its own random stream.
//!
//! ```no_run
//! # fn sample(policy: &vrft_model::Policy, processor: &vrft_processor::Processor) -> Result<(), Box<dyn std::error::Error>> {
//! let prompt = processor.encode(None, "What is in the image?", &[&std::fs::read("cat.png")?])?;
//! let sampling = vrft_rollout::Sampling::from(&vrft_plan::RolloutConfig::default());
//! let seed = |_prompt, completion| vrft_rollout::completion_seed(0, 0, 0, completion as u16);
//! let groups = vrft_rollout::generate(policy, processor, &[&prompt], 8, &sampling, &seed)?;
//! assert_eq!(groups[0].len(), 8);
//! # Ok(()) }
//! ```

mod batch;
mod chooser;
mod encode;
mod error;
mod generate;
mod row;
mod sampler;
mod sampling;
mod seed;
mod shown;
mod stop;
mod turns;

pub use encode::{encode, image_sizes};
pub use error::RolloutError;
pub use generate::{Generator, Seeds, Watch, generate};
pub use sampling::Sampling;
pub use seed::completion_seed;
pub use shown::shown;
pub use turns::{Answer, Call, Partner, insertions};
pub use vrft_messages::{Completion, FinishReason, Reply};
