//! Writes the `dora-node.yml` of every node, and the page of ports in the docs, from the ports that the nodes declare:
//!
//! ```sh
//! cargo run --release -p vrft-node --example manifests
//! ```

use std::path::Path;

fn main() -> std::io::Result<()> {
    let nodes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nodes");
    for ports in vrft_node::nodes::ALL {
        let folder = ports.executable.trim_start_matches("vrft-");
        let path = nodes.join(folder).join("dora-node.yml");
        std::fs::write(path, vrft_node::manifest::manifest(ports))?;
    }
    std::fs::write(nodes.join("../docs/src/ports.md"), vrft_node::table::page())
}
