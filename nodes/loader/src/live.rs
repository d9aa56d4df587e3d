//! The loader on a live stream: questions about a camera's frames, still sent only against credit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use vrft_messages::hub::{Boxes2d, RawImage, texts, tick};
use vrft_messages::{Credit, PromptBatch};
use vrft_node::{Arrival, Live, Node};
use vrft_stream::StreamConfig;

use crate::Config;
use crate::session::Session;

/// Ticks come in here, from dora's timer; each is passed on to the camera, so that a camera ends with the run.
const CLOCK: &str = "clock";

/// All inputs that are not ours.
pub(crate) const LIVE: &[&str] = &["image", "boxes2d", CLOCK, "feedback"];

/// How often the loader looks up when nothing happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// A camera is called silent after so long.
const SILENCE: Duration = Duration::from_secs(10);

/// Takes frames in, and answers each credit once there is enough to ask about.
pub(crate) fn run(mut node: Node, config: &Config, stream: &StreamConfig) -> eyre::Result<()> {
    let mut session = Session::open(config, stream, node.run_dir())?;
    let mut owed: VecDeque<Credit> = VecDeque::new();
    let mut silence = Silence::new();
    let mut n_ticks = 0;
    loop {
        match node.recv_live::<Credit>(Some("credit"), PATIENCE)? {
            Arrival::Message(credit) => {
                session.note_gradient(&mut node, &credit);
                owed.push_back(credit);
            }
            Arrival::Live(live) if live.input == CLOCK => {
                if node.has_output("tick") {
                    node.send_live("tick", tick(n_ticks))?;
                }
                n_ticks += 1;
            }
            Arrival::Live(live) => {
                silence.end(&live);
                take(&mut session, &live)?;
            }
            Arrival::Gone(input) => {
                warn!(input, "A live source is gone; going on with what there is.")
            }
            Arrival::Nothing => {}
            Arrival::End => break,
        }
        silence.check();
        answer(&mut node, &mut session, &mut owed)?;
        session.check_patience(!owed.is_empty())?;
    }
    info!(counters = ?session.counters(), "The stream as it was.");
    node.finish()
}

/// What cannot be read is counted or told, and forgotten.
fn take(session: &mut Session, live: &Live) -> eyre::Result<()> {
    match live.input.as_str() {
        "image" => match RawImage::from_hub(&live.tags, &live.data) {
            Ok(image) => session.take_image(&image),
            Err(error) => session.take_garbage(&error.to_string()),
        },
        "boxes2d" => match Boxes2d::from_hub(&live.tags, &live.data) {
            Ok(boxes) => session.take_boxes(&boxes),
            Err(error) => session.take_garbage(&error.to_string()),
        },
        "feedback" => match texts(&live.data) {
            // What was said must be on the disk before it is used, so a full disk stops the run.
            Ok(texts) => texts.iter().try_for_each(|text| session.take_feedback(text))?,
            Err(error) => session.take_garbage(&error.to_string()),
        },
        _ => {}
    }
    Ok(())
}

/// Sends the prompts of all credits that can be answered.
fn answer(node: &mut Node, session: &mut Session, owed: &mut VecDeque<Credit>) -> eyre::Result<()> {
    if owed.is_empty() || !session.is_ready() {
        return Ok(());
    }
    if let Some(held_out) = session.take_held_out()?
        && node.has_output("held_out")
    {
        info!(questions = held_out.prompts.len(), "Set aside to be judged on.");
        node.send("held_out", &held_out)?;
    }
    while let Some(credit) = owed.pop_front() {
        let step = session.step_of(&credit);
        let batch: eyre::Result<Option<PromptBatch>> =
            node.timed(step, "loader", |_| session.ask(&credit));
        let Some(batch) = batch? else {
            owed.push_front(credit);
            return Ok(());
        };
        node.send("prompts", &batch)?;
        session.note_metrics(node, step);
        node.send_metrics()?;
    }
    Ok(())
}

/// Tells once when no frame comes any more, and once when they come again.
struct Silence {
    last: Instant,
    told: bool,
}

impl Silence {
    fn new() -> Self {
        Self { last: Instant::now(), told: false }
    }

    fn end(&mut self, live: &Live) {
        if live.input != "image" {
            return;
        }
        if self.told {
            info!(secs = self.last.elapsed().as_secs(), "Frames come again.");
        }
        (self.last, self.told) = (Instant::now(), false);
    }

    fn check(&mut self) {
        if !self.told && self.last.elapsed() > SILENCE {
            warn!("No frames; going on with those there are.");
            self.told = true;
        }
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
