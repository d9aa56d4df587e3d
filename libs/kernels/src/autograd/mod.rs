//! Automatic differentiation: values with a gradient, the tape that remembers how they were made, and the gradients.

mod activation;
mod checkpoint;
mod gradients;
#[cfg(feature = "cuda")]
mod narrow;
mod tape;
#[cfg(test)]
mod tests;
mod weight;

pub use activation::Activation;
pub use checkpoint::checkpoint;
pub use gradients::Gradients;
#[cfg(feature = "cuda")]
pub use narrow::NarrowWeights;
pub use tape::Tape;
pub(crate) use tape::{BackwardPass, Node};
pub use weight::Weight;
