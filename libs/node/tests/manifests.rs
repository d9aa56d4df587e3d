//! The nodes, their declarations, their manifests and the page of ports in the docs fit together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dora_core::manifest::NodeManifest;
use dora_core::types::TypeRegistry;

fn nodes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nodes")
}

#[test]
fn every_node_is_declared_and_every_declaration_has_its_node() {
    let folders = std::fs::read_dir(nodes()).unwrap().map(|entry| entry.unwrap().file_name());
    let folders: BTreeSet<String> =
        folders.map(|name| format!("vrft-{}", name.to_str().unwrap())).collect();
    let declared = vrft_node::nodes::ALL.iter().map(|ports| ports.executable.to_owned());
    assert_eq!(folders, declared.collect());
}

#[test]
fn manifests_are_those_of_the_declared_ports() {
    for ports in vrft_node::nodes::ALL {
        let folder = nodes().join(ports.executable.trim_start_matches("vrft-"));
        let written = std::fs::read_to_string(folder.join("dora-node.yml")).unwrap();
        let expected = vrft_node::manifest::manifest(ports);
        assert_eq!(
            written, expected,
            "{folder:?}: run `cargo run --release -p vrft-node --example manifests`"
        );
    }
}

/// A word that dora's hub does not know, as of a category, is found here and not by the one who publishes the node.
#[test]
fn dora_accepts_the_manifests() {
    let types = TypeRegistry::new();
    for ports in vrft_node::nodes::ALL {
        let manifest = vrft_node::manifest::manifest(ports);
        let read = NodeManifest::parse(&manifest).and_then(|read| read.validate_strict(&types));
        read.unwrap_or_else(|error| panic!("{}: {error:#}", ports.executable));
    }
}

#[test]
fn the_page_of_ports_is_that_of_the_declared_ports() {
    let written = std::fs::read_to_string(nodes().join("../docs/src/ports.md")).unwrap();
    assert_eq!(
        written,
        vrft_node::table::page(),
        "docs/src/ports.md: run `cargo run --release -p vrft-node --example manifests`"
    );
}
