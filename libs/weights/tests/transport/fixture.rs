//! A published version, and how it looks from elsewhere.

use std::collections::BTreeMap;
use std::net::TcpListener;

use candle_core::{Device, Tensor};
use tempfile::{TempDir, tempdir};
use vrft_weights::{PolicyAnnouncement, Store};

pub(crate) const RUN: &str = "toy";

/// A free port of this machine; nothing else is likely to take it in the next second.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An endpoint that is not encrypted.
pub(crate) fn endpoint() -> String {
    format!("tcp/127.0.0.1:{}", free_port())
}

/// A store with version 3: 400 kB of weights.
pub(crate) fn published() -> (TempDir, Store, PolicyAnnouncement) {
    let dir = tempdir().unwrap();
    let store = Store::new(dir.path()).unwrap();
    let tensor = Tensor::arange(0f32, 100_000., &Device::Cpu).unwrap();
    let version = store.publish(3, &BTreeMap::from([("w".to_owned(), tensor)])).unwrap();
    (dir, store, version)
}
