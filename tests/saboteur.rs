//! A node that passes messages on, but loses one or takes its time: `vrft-saboteur [--lose N] [--delay MILLIS]`.

use std::time::Duration;

use dora_node_api::{DoraNode, Event};
use eyre::eyre;

fn main() -> eyre::Result<()> {
    let option = |name: &str| {
        let mut words = std::env::args().skip_while(|word| word != name).skip(1);
        words.next().and_then(|word| word.parse::<u64>().ok())
    };
    let lose = option("--lose");
    let delay = option("--delay").unwrap_or(0);
    let (mut node, mut events) = DoraNode::init_from_env().map_err(|error| eyre!("{error}"))?;
    let mut n_seen = 0;
    while let Some(event) = events.recv() {
        let Event::Input { metadata, data, .. } = event else { continue };
        n_seen += 1;
        std::thread::sleep(Duration::from_millis(delay));
        if lose != Some(n_seen) {
            node.send_output("out".to_owned().into(), metadata.parameters, data)?;
        }
    }
    Ok(())
}
