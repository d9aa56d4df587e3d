//! A policy in use behind the OpenAI-compatible chat completions endpoint, with a page to try it in a browser.
//!
//! One thread owns the model and answers one question after the other; requests wait in a queue that is bounded, and
//! are turned away when it is full. It listens on this machine alone unless a token is set.

mod chat;
mod corrections;
mod http;
mod queue;
mod server;

pub use chat::Limits;
pub use server::{Options, ServeError, Server};
