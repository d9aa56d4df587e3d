//! Versioned policy weights: published by the learner, fetched by the nodes that run the policy.
//!
//! Weights never travel on an edge of the graph. The learner writes each version to a file ([`Store`]) and
//! announces where it is ([`PolicyAnnouncement`]); the others read that file ([`fetch`]). Where the file is not
//! visible, on another machine, [`Client`] pulls it from the learner's [`Server`] first.

mod checksum;
mod client;
mod config;
mod error;
mod fetch;
mod file;
mod in_place;
mod link;
mod server;
mod store;
mod version;
mod versions;

pub use checksum::{sum_of, sum_of_file};
pub use client::Client;
pub use config::WeightsConfig;
pub use error::WeightsError;
pub use fetch::{fetch, fetch_into};
pub use link::DEFAULT_ENDPOINT;
pub use server::Server;
pub use store::Store;
pub use versions::Versions;
pub use vrft_messages::PolicyAnnouncement;
