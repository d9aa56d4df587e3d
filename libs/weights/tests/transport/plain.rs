//! Over plain TCP.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::tempdir;
use vrft_weights::{Client, PolicyAnnouncement, Server, Store, WeightsError};

use crate::fixture::{RUN, endpoint, published};

/// The same version as a machine sees it that does not have the file.
fn elsewhere(version: &PolicyAnnouncement) -> PolicyAnnouncement {
    PolicyAnnouncement { location: "/not/on/this/machine".into(), ..version.clone() }
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_version_crosses_and_is_fetched() {
    let (_dir, store, version) = published();
    let endpoint = endpoint();
    let server = Server::start(&store, RUN, &endpoint).unwrap();
    let client = Client::connect(RUN, &endpoint).unwrap().with_chunk_bytes(30_000);
    let remote = elsewhere(&version);
    let here = tempdir().unwrap();
    assert!(!remote.is_local());
    let pulled = client.pull(&remote, here.path()).unwrap();
    assert_eq!(vrft_weights::fetch(&pulled).unwrap()["w"].dims(), [100_000]);
    assert_eq!(server.bytes_served(), version.bytes);
    assert_eq!(files(here.path()), ["v3.safetensors"]);
}

#[test]
fn a_broken_off_transfer_goes_on_where_it_stopped() {
    let (_dir, store, version) = published();
    let half_dir = tempdir().unwrap();
    let half_store = Store::new(half_dir.path()).unwrap();
    let bytes = fs::read(&version.location).unwrap();
    fs::write(half_dir.path().join("v3.safetensors"), &bytes[..200_000]).unwrap();
    let here = tempdir().unwrap();

    let first = endpoint();
    let server = Server::start(&half_store, RUN, &first).unwrap();
    let client = Client::connect(RUN, &first).unwrap().with_chunk_bytes(30_000);
    let error = client.pull(&version, here.path()).unwrap_err();
    assert!(matches!(error, WeightsError::Refused { version: 3, .. }), "{error}");
    drop((client, server));

    let second = endpoint();
    let server = Server::start(&store, RUN, &second).unwrap();
    let client = Client::connect(RUN, &second).unwrap().with_chunk_bytes(30_000);
    let pulled = client.pull(&version, here.path()).unwrap();
    assert_eq!(server.bytes_served(), version.bytes - 200_000);
    assert_eq!(fs::read(pulled.location).unwrap(), bytes);
}

#[test]
fn a_learner_that_restarts_during_a_transfer_is_waited_for() {
    let (_dir, store, version) = published();
    let endpoint = endpoint();
    let server = Server::start(&store, RUN, &endpoint).unwrap();
    let client = Client::connect(RUN, &endpoint).unwrap().with_chunk_bytes(500);
    let here = tempdir().unwrap();
    std::thread::scope(|scope| {
        let pull = scope.spawn(|| client.pull(&version, here.path()));
        while server.bytes_served() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(server);
        let server = Server::start(&store, RUN, &endpoint).unwrap();
        vrft_weights::fetch(&pull.join().unwrap().unwrap()).unwrap();
        assert!(server.bytes_served() < version.bytes);
    });
}

#[test]
fn several_rollouts_are_served_at_once() {
    let (_dir, store, version) = published();
    let endpoint = endpoint();
    let server = Server::start(&store, RUN, &endpoint).unwrap();
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let client = Client::connect(RUN, &endpoint).unwrap().with_chunk_bytes(10_000);
                    let here = tempdir().unwrap();
                    let pulled = client.pull(&elsewhere(&version), here.path()).unwrap();
                    vrft_weights::fetch(&pulled).unwrap();
                })
            })
            .collect();
        pulls.into_iter().for_each(|pull| pull.join().unwrap());
    });
    assert_eq!(server.bytes_served(), 4 * version.bytes);
}

#[test]
fn settings_that_are_not_there_are_named() {
    let (_dir, store, _) = published();
    let missing = Server::start_with(&store, RUN, &endpoint(), Path::new("/nowhere.json5"));
    assert!(missing.unwrap_err().to_string().contains("nowhere.json5"));
}

#[test]
fn a_version_that_was_removed_is_refused_at_once() {
    let (_dir, store, version) = published();
    store.remove_below(4).unwrap();
    let endpoint = endpoint();
    let _server = Server::start(&store, RUN, &endpoint).unwrap();
    let client = Client::connect(RUN, &endpoint).unwrap();
    let error = client.pull(&version, tempdir().unwrap().path()).unwrap_err().to_string();
    assert!(
        error.starts_with("the learner does not serve policy version 3: cannot read"),
        "{error}"
    );
}

#[test]
fn what_arrives_damaged_is_thrown_away() {
    let (_dir, store, version) = published();
    let endpoint = endpoint();
    let _server = Server::start(&store, RUN, &endpoint).unwrap();
    let client = Client::connect(RUN, &endpoint).unwrap();
    let here = tempdir().unwrap();
    let other = PolicyAnnouncement { checksum: "00".repeat(32), ..version };
    let error = client.pull(&other, here.path()).unwrap_err();
    assert!(matches!(error, WeightsError::Checksum { version: 3, .. }), "{error}");
    assert!(files(here.path()).is_empty());
}

#[test]
fn another_run_gets_no_answer() {
    let (_dir, store, version) = published();
    let endpoint = endpoint();
    let _server = Server::start(&store, RUN, &endpoint).unwrap();
    let client = Client::connect("another", &endpoint).unwrap().with_attempts(2);
    let error = client.pull(&version, tempdir().unwrap().path()).unwrap_err().to_string();
    assert!(error.contains("stopped at 0 of 400"), "{error}");
    assert!(error.ends_with("in 2 attempts"), "{error}");
}
