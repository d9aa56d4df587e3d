//! From rows to prompts: what a policy is asked about a row, and the true answer in the declared form.
//!
//! The loader, the evaluator and `vrft check` ask through here, so that a row means the same everywhere: what is
//! checked before a run is what the rollout will encode.

mod asked;
mod category;
mod checker;
mod encode;
mod held_out;
mod percent;
mod prompter;
mod space;
mod unused;

pub use asked::{Asked, asked};
pub use category::category_in;
pub use checker::{Checker, fits, own_space, resized};
pub use encode::encode;
pub use held_out::{HELD_OUT_FILE, held_out, held_out_rows};
pub use prompter::{Prompter, Resize};
pub use space::Declared;
pub use unused::negatives as note_negatives;
