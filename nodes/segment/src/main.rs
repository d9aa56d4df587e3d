//! The segmenting node: masks of the boxes that a detector or a policy finds on frames.

mod desk;
mod frames;
mod ports;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use eyre::WrapErr;
use tracing::{info, warn};
use vrft_node::{Arrival, Live, Node};
use vrft_segment::{SegmentConfig, Segmenter};

use crate::desk::Desk;
use crate::frames::{Frames, Wanted};
use crate::ports::{BOXES2D, IMAGE, PORTS};

/// How often the node looks whether its inputs are gone.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long boxes wait for their frame: two edges may be differently fast.
const LATE: Duration = Duration::from_secs(2);

/// Messages of boxes that wait for their frame; of more, the newest are kept.
const MAX_WAITING: usize = 16;

/// How long the sender of boxes may be gone before there is nothing more to wait for: dora restarts one that failed.
const GONE: Duration = Duration::from_secs(3);

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let document = vrft_node::load_document_if_named()?;
    let mut config: SegmentConfig = document.section()?;
    if let Some(model) = std::env::var_os("SAM_MODEL_ID").filter(|model| !model.is_empty()) {
        config.model = PathBuf::from(model);
    }
    let segmenter = Segmenter::load(&config).wrap_err("segment.model")?;
    let node = Node::join(&PORTS, &document)?;
    info!(model = %config.model.display(), "Ready to make masks.");
    let desk = Desk::open(segmenter, node.run_dir())?;
    run(node, desk)
}

/// Boxes, and when they came.
struct Waiting {
    boxes: Live,
    since: Instant,
}

/// Everything that is under way.
struct Table {
    frames: Frames,
    waiting: VecDeque<Waiting>,
    n_unusable: u64,
}

/// Takes in frames and boxes and makes masks, until nothing more can come.
fn run(mut node: Node, mut desk: Desk) -> eyre::Result<()> {
    let mut table = Table { frames: Frames::new(), waiting: VecDeque::new(), n_unusable: 0 };
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let mut gone_since: Option<Instant> = None;
    loop {
        match node.recv_only_live(PATIENCE)? {
            Arrival::Live(live) => {
                gone.remove(&live.input);
                if live.is_of(&BOXES2D) {
                    table.wait(live);
                } else if live.input.contains(IMAGE) {
                    table.frames.keep(live);
                }
            }
            Arrival::Gone(input) => _ = gone.insert(input),
            Arrival::End => break,
            Arrival::Nothing | Arrival::Message(_) => {}
        }
        table.serve(&mut node, &mut desk, false)?;
        if !gone.contains(BOXES2D.name()) {
            gone_since = None;
        } else if gone_since.get_or_insert_with(Instant::now).elapsed() > GONE {
            break;
        }
    }
    table.serve(&mut node, &mut desk, true)?;
    info!(masks = desk.n_masks, unusable = table.n_unusable, "Masks made.");
    node.finish()
}

impl Table {
    fn wait(&mut self, boxes: Live) {
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
            self.tell("boxes came faster than masks are made; the oldest are left out");
        }
        self.waiting.push_back(Waiting { boxes, since: Instant::now() });
    }

    /// Makes masks of all boxes whose frame is there; gives up on those that have waited long enough.
    fn serve(&mut self, node: &mut Node, desk: &mut Desk, is_over: bool) -> eyre::Result<()> {
        let mut kept = VecDeque::new();
        while let Some(waiting) = self.waiting.pop_front() {
            let wanted = Wanted::of(&waiting.boxes);
            match self.frames.find(&wanted) {
                Some(frame) => {
                    if let Err(why) = desk.serve(node, &waiting.boxes, &frame)? {
                        self.tell(&why);
                    }
                }
                None if is_over || waiting.since.elapsed() > LATE => {
                    let name = wanted.frame_id.unwrap_or_default();
                    self.tell(&format!(
                        "boxes of frame {name:?}, which is not among those that are kept"
                    ));
                }
                None => kept.push_back(waiting),
            }
        }
        self.waiting = kept;
        Ok(())
    }

    /// Told the first time, counted always.
    fn tell(&mut self, why: &str) {
        if self.n_unusable == 0 {
            warn!(why, "No masks were made of a message; further such messages are only counted.");
        }
        self.n_unusable += 1;
    }
}
