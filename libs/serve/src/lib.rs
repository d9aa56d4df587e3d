//! A policy in use behind the OpenAI-compatible chat completions endpoint, with a page to try it in a browser.
//!
//! A page may show a robot's answers as well, or alone ([`Robot`]): what is said of them goes back to the robot.
//!
//! One thread owns the model and answers one question after the other; requests wait in a queue that is bounded, and
//! are turned away when it is full. It listens on this machine alone unless a token is set.

mod ask;
mod body;
mod chat;
mod corrections;
mod keys;
mod patient;
mod queue;
mod request;
mod robot;
mod routes;
mod server;
mod stops;

pub use request::Limits;
pub use robot::{LiveAnswer, Robot};
pub use server::{Options, ServeError, Server};
