//! The loader on a live stream: questions about a camera's frames, still sent only against credit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use vrft_messages::hub::{Boxes2d, RawImage, texts, tick};
use vrft_messages::{Credit, PromptBatch};
use vrft_node::{Arrival, Live, Node};
use vrft_stream::StreamConfig;

use crate::Config;
use crate::ports::{BOXES2D, CLOCK, CREDIT, FEEDBACK, HELD_OUT, IMAGE, PROMPTS, TICK};
use crate::session::Session;

/// How often the loader looks up when nothing happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time without frames after which a warning is logged; further warnings follow less and less often.
const SILENCE: Duration = Duration::from_secs(10);

/// Takes frames in, and answers each credit once there is enough to ask about.
pub(crate) fn run(mut node: Node, config: &Config, stream: &StreamConfig) -> eyre::Result<()> {
    let mut session = Session::open(config, stream, node.run_dir())?;
    let mut owed: VecDeque<Credit> = VecDeque::new();
    let mut silence = Silence::new();
    let mut waiting = Waiting::new();
    loop {
        match node.recv_live(&CREDIT, PATIENCE)? {
            Arrival::Message(credit) => {
                session.note_gradient(&mut node, &credit);
                owed.push_back(credit);
            }
            Arrival::Live(live) if live.is_of(&CLOCK) => {
                if node.has_live_output(&TICK) {
                    node.send_live(&TICK, tick(session.next_number()))?;
                }
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
        session.let_go();
        silence.check();
        waiting.check(&session);
        answer(&mut node, &mut session, &mut owed)?;
        session.check_patience(!owed.is_empty())?;
    }
    info!(counters = ?session.counters(), "The stream as it was.");
    node.finish()
}

/// What cannot be read is counted or told, and forgotten.
fn take(session: &mut Session, live: &Live) -> eyre::Result<()> {
    if live.is_of(&IMAGE) {
        match RawImage::from_hub(&live.tags, &live.data) {
            Ok(image) => session.take_image(&image),
            Err(error) => session.take_garbage(&error.to_string()),
        }
    } else if live.is_of(&BOXES2D) {
        match Boxes2d::from_hub(&live.tags, &live.data) {
            Ok(boxes) => session.take_boxes(&boxes),
            Err(error) => session.take_garbage(&error.to_string()),
        }
    } else if live.is_of(&FEEDBACK) {
        match texts(&live.data) {
            // What was said must be on the disk before it is used, so a full disk stops the run.
            Ok(texts) => texts.iter().try_for_each(|text| session.take_feedback(text))?,
            Err(error) => session.take_garbage(&error.to_string()),
        }
    }
    Ok(())
}

/// Sends the prompts of all credits that can be answered.
fn answer(node: &mut Node, session: &mut Session, owed: &mut VecDeque<Credit>) -> eyre::Result<()> {
    if owed.is_empty() || !session.is_ready() {
        return Ok(());
    }
    if let Some(held_out) = session.take_held_out()?
        && node.has_output(&HELD_OUT)
    {
        info!(questions = held_out.prompts.len(), "Set aside to be judged on.");
        node.send(&HELD_OUT, &held_out)?;
    }
    while let Some(credit) = owed.pop_front() {
        let step = session.step_of(&credit);
        let batch: eyre::Result<Option<PromptBatch>> =
            node.timed(step, "loader", |_| session.ask(&credit));
        let Some(batch) = batch? else {
            owed.push_front(credit);
            return Ok(());
        };
        node.send(&PROMPTS, &batch)?;
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
        if !live.is_of(&IMAGE) {
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

/// Tells what is waited for until there is enough to begin with, with pauses that double.
struct Waiting {
    next: Instant,
    pause: Duration,
    is_over: bool,
}

impl Waiting {
    fn new() -> Self {
        Self { next: Instant::now() + SILENCE, pause: SILENCE, is_over: false }
    }

    fn check(&mut self, session: &Session) {
        self.is_over |= session.is_ready();
        if self.is_over || Instant::now() < self.next {
            return;
        }
        warn!("Waiting for frames: {}.", session.progress());
        self.pause *= 2;
        self.next = Instant::now() + self.pause;
    }
}

#[cfg(test)]
mod tests;
