//! The policy as a whole: against transformers, against itself, and as files.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may unwrap, as its functions may")]

mod abilities;
mod attack;
mod checkpoint;
mod composed;
mod encoded_images;
mod families;
mod features;
mod files;
mod fixture;
mod lora;
mod models;
mod nf4;
mod peft_names;
mod session;
mod sharing;
mod soft_prompt;
mod transformers;
