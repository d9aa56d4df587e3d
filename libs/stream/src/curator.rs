//! Chooses what to keep of a stream, and what to ask about next.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::{StreamConfig, Truth};
use image::RgbImage;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::frame::{jpeg, shrink};
use crate::{
    Counters, Fingerprint, Frame, Quality, RawFrame, Reason, Reservoir, Ring, StreamError, quality,
};

/// Frames that wait to be asked about for the first time; older ones remain in the reservoir.
const MAX_FRESH: usize = 32;

/// Frames that are not kept and are remembered for a while, and the bytes that they may take: a person may say of one what
/// is right.
const MAX_PASSING: usize = 512;
const MAX_PASSING_BYTES: usize = 32 << 20;

/// Frames come a little early now and then: so much of the pause between two may be missing.
const JITTER: f64 = 0.1;

/// Later frames whose boxes came: a detector that has answered about so many has passed over an earlier one. Several
/// workers of a detector may finish out of order, so that one is not enough.
const N_LATER: usize = 3;

/// A detector at work answers about a frame within this time or not at all; a large model may take half a minute.
const MAX_WAIT_MILLIS: u64 = 60_000;

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The frame may be asked about.
    Kept,
    /// The frame is set aside for evaluation.
    HeldOut,
    /// The frame is not kept.
    Dropped(Reason),
}

/// The frames of a session that are worth something.
#[derive(Debug)]
pub struct Curator {
    config: StreamConfig,
    rng: ChaCha8Rng,
    counters: Counters,
    ring: Ring,
    last_at: Option<f64>,
    last_error: Option<String>,
    last_size: Option<(u32, u32)>,
    fresh: VecDeque<Rc<Frame>>,
    reservoir: Reservoir<Rc<Frame>>,
    held_out: Vec<Rc<Frame>>,
    avoided: Vec<Fingerprint>,
    /// Frames that were too familiar to be kept, or that nobody has said what is right about; the newest last.
    passing: VecDeque<Frame>,
}

impl Curator {
    /// Nothing was seen yet.
    pub fn new(config: &StreamConfig, seed: u64) -> Self {
        Self {
            config: config.clone(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            counters: Counters::default(),
            ring: Ring::new(config.novelty_ring),
            last_at: None,
            last_error: None,
            last_size: None,
            fresh: VecDeque::new(),
            reservoir: Reservoir::new(config.reservoir),
            held_out: Vec::new(),
            avoided: Vec::new(),
            passing: VecDeque::new(),
        }
    }

    /// Goes on with a session whose held-out frames looked like these: no others are set aside, and none that look
    /// like them are kept.
    pub fn avoid(&mut self, held_out: Vec<Fingerprint>) {
        self.avoided = held_out;
        self.config.held_out = 0;
    }

    /// Looks at a frame that came at a time, in seconds on any clock.
    pub fn offer(&mut self, id: &str, raw: &RawFrame<'_>, at_secs: f64) -> Verdict {
        self.counters.offered += 1;
        let verdict = self.judge(id, raw, at_secs).unwrap_or_else(Verdict::Dropped);
        self.count(&verdict);
        verdict
    }

    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Kept => self.counters.kept += 1,
            Verdict::HeldOut => self.counters.held_out += 1,
            Verdict::Dropped(reason) => self.counters.drop(*reason),
        }
    }

    /// The cheapest question first.
    fn judge(&mut self, id: &str, raw: &RawFrame<'_>, at_secs: f64) -> Result<Verdict, Reason> {
        self.check_rate(at_secs)?;
        let image = raw.decode().map_err(|error| self.note(&error))?;
        let source_size = image.dimensions();
        if self.last_size.replace(source_size).is_some_and(|last| last != source_size) {
            self.counters.resolution_changes += 1;
        }
        let image = shrink(image, self.config.max_side);
        self.check_quality(quality(&image))?;
        let fingerprint = Fingerprint::of(&image);
        let frame = self.frame(id, &image, source_size, fingerprint, at_secs)?;
        if let Some(reason) = self.passes_by(fingerprint) {
            self.remember(frame);
            return Err(reason);
        }
        if self.is_twin_of_held_out(fingerprint) {
            return Err(Reason::HeldOutTwin);
        }
        self.ring.push(fingerprint);
        Ok(self.place(Rc::new(frame)))
    }

    fn check_rate(&mut self, at_secs: f64) -> Result<(), Reason> {
        let pause =
            if self.config.max_fps > 0.0 { (1.0 - JITTER) / self.config.max_fps } else { 0.0 };
        // A clock that was set back counts as a pause.
        let too_soon = |last: f64| (0.0..pause).contains(&(at_secs - last));
        if self.last_at.is_some_and(too_soon) {
            return Err(Reason::Rate);
        }
        self.last_at = Some(at_secs);
        Ok(())
    }

    fn check_quality(&self, quality: Quality) -> Result<(), Reason> {
        let exposure = self.config.min_brightness..=self.config.max_brightness;
        if !exposure.contains(&quality.brightness) {
            return Err(Reason::Exposure);
        }
        if quality.sharpness < self.config.min_sharpness { Err(Reason::Blur) } else { Ok(()) }
    }

    fn note(&mut self, error: &StreamError) -> Reason {
        self.last_error = Some(error.to_string());
        Reason::Undecodable
    }

    /// What was wrong with the newest frame that is no picture.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn frame(
        &mut self,
        id: &str,
        image: &RgbImage,
        source_size: (u32, u32),
        fingerprint: Fingerprint,
        at_secs: f64,
    ) -> Result<Frame, Reason> {
        Ok(Frame {
            id: id.to_owned(),
            at_millis: millis(at_secs),
            jpeg: jpeg(image).map_err(|error| self.note(&error))?,
            width: image.width(),
            height: image.height(),
            source_size,
            fingerprint,
        })
    }

    /// Why a frame is not kept unless a person says something of it.
    fn passes_by(&self, fingerprint: Fingerprint) -> Option<Reason> {
        if self.config.truth == Truth::Person {
            return Some(Reason::Unanswered);
        }
        let is_familiar = self.ring.has_near(fingerprint, self.config.novelty_bits);
        is_familiar.then_some(Reason::Familiar)
    }

    /// Neighbors in time look alike: what is judged on must not have been learned from, nor its neighbors.
    fn is_twin_of_held_out(&self, fingerprint: Fingerprint) -> bool {
        let held_out = self.held_out.iter().map(|frame| &frame.fingerprint);
        held_out.chain(&self.avoided).any(|held_out| self.are_twins(*held_out, fingerprint))
    }

    fn are_twins(&self, a: Fingerprint, b: Fingerprint) -> bool {
        a.distance(b) <= 2 * self.config.novelty_bits
    }

    fn remember(&mut self, frame: Frame) {
        self.passing.push_back(frame);
        let n_bytes = |kept: &VecDeque<Frame>| kept.iter().map(|f| f.jpeg.len()).sum::<usize>();
        while self.passing.len() > MAX_PASSING || n_bytes(&self.passing) > MAX_PASSING_BYTES {
            self.passing.pop_front();
        }
    }

    /// What becomes of a frame that passed by, now that somebody says what is right about it; `None` if it is not
    /// remembered. Where people alone say that, every so many of such frames are set aside, until there are enough.
    pub fn keep(&mut self, id: &str) -> Option<Verdict> {
        let at = self.passing.iter().position(|frame| frame.id == id)?;
        let frame = Rc::new(self.passing.remove(at)?);
        let are_people_alone = self.config.truth == Truth::Person;
        self.counters.recall(if are_people_alone { Reason::Unanswered } else { Reason::Familiar });
        Some(self.settle(frame))
    }

    /// Takes in a frame about which somebody said what is right before this session began, as [`Curator::keep`] does.
    pub fn restore(&mut self, frame: Frame) -> Verdict {
        self.counters.offered += 1;
        self.settle(Rc::new(frame))
    }

    /// What becomes of a frame that somebody said what is right about.
    fn settle(&mut self, frame: Rc<Frame>) -> Verdict {
        let verdict = if self.is_twin_of_held_out(frame.fingerprint) {
            Verdict::Dropped(Reason::HeldOutTwin)
        } else if self.config.truth == Truth::Person {
            self.place(frame)
        } else {
            self.ask_about(frame);
            Verdict::Kept
        };
        self.count(&verdict);
        verdict
    }

    fn place(&mut self, frame: Rc<Frame>) -> Verdict {
        let nth = self.counters.kept + self.counters.held_out + 1;
        let wanted = self.held_out.len() < self.config.held_out;
        if wanted && nth.is_multiple_of(self.config.held_out_every as u64) {
            let twins = |other: &Rc<Frame>| self.are_twins(other.fingerprint, frame.fingerprint);
            let (fresh, reservoir): (Vec<bool>, Vec<bool>) = (
                self.fresh.iter().map(twins).collect(),
                self.reservoir.items().iter().map(twins).collect(),
            );
            remove(&fresh, |keep| self.fresh.retain(keep));
            remove(&reservoir, |keep| self.reservoir.retain(keep));
            self.held_out.push(frame);
            return Verdict::HeldOut;
        }
        self.ask_about(frame);
        Verdict::Kept
    }

    fn ask_about(&mut self, frame: Rc<Frame>) {
        if self.fresh.len() == MAX_FRESH {
            self.fresh.pop_front();
        }
        self.fresh.push_back(Rc::clone(&frame));
        self.reservoir.offer(frame, &mut self.rng);
    }

    /// Whether there is enough to ask about, and all to be judged on.
    ///
    /// A frame that was set aside and then ruled out, by a person for example, is not waited for.
    pub fn is_ready(
        &self,
        is_usable: impl Fn(&Frame) -> bool,
        is_ruled_out: impl Fn(&Frame) -> bool,
    ) -> bool {
        let (usable, judged) = self.n_usable(is_usable);
        let ruled_out = self.held_out.iter().filter(|frame| is_ruled_out(frame)).count();
        let is_settled = judged + ruled_out >= self.config.held_out;
        usable >= self.config.min_frames && is_settled && judged >= self.config.held_out.min(1)
    }

    /// Lets go of frames that were set aside and whose boxes can come no more: the detector has answered about later
    /// ones, or it is at work and their time has passed. Others are set aside in their place. Gives their number.
    ///
    /// `has_boxes` says whether a detector's boxes of a frame came, `is_settled` whether a frame is judged on or ruled
    /// out without them. A detector that has answered about no frame yet is waited for: it may still be loading.
    pub fn let_go(
        &mut self,
        now_secs: f64,
        has_boxes: impl Fn(&Frame) -> bool,
        is_settled: impl Fn(&Frame) -> bool,
    ) -> usize {
        if self.held_out.iter().all(|frame| is_settled(frame)) {
            return 0;
        }
        let kept = self.reservoir.items().iter().chain(&self.held_out);
        let answered: Vec<u64> =
            kept.filter(|frame| has_boxes(frame)).map(|frame| frame.at_millis).collect();
        let now = millis(now_secs);
        let is_lost = |frame: &Frame| {
            let n_later = answered.iter().filter(|at| **at > frame.at_millis).count();
            let is_late = now.saturating_sub(frame.at_millis) > MAX_WAIT_MILLIS;
            n_later >= N_LATER || is_late && !answered.is_empty()
        };
        let before = self.held_out.len();
        self.held_out.retain(|frame| is_settled(frame) || !is_lost(frame));
        let n_lost = before - self.held_out.len();
        (0..n_lost).for_each(|_| self.counters.let_go(Reason::Unlabelled));
        n_lost
    }

    /// Frames that can be asked about, and frames that can be judged on.
    pub fn n_usable(&self, is_usable: impl Fn(&Frame) -> bool) -> (usize, usize) {
        let n = |frames: &[Rc<Frame>]| frames.iter().filter(|frame| is_usable(frame)).count();
        (n(self.reservoir.items()), n(&self.held_out))
    }

    /// So many frames to ask about: some never asked about before, the rest from all over the session. Fewer, or
    /// none, if none are usable.
    pub fn draw(&mut self, n: usize, is_usable: impl Fn(&Frame) -> bool) -> Vec<Rc<Frame>> {
        let mut drawn = Vec::with_capacity(n);
        for _ in 0..n {
            let wants_fresh = self.rng.random_bool(self.config.fresh);
            let newest = self.fresh.iter().rposition(|frame| is_usable(frame));
            let frame = match newest.filter(|_| wants_fresh) {
                Some(idx) => self.fresh.remove(idx),
                None => self.draw_any(&is_usable),
            };
            drawn.extend(frame);
        }
        drawn
    }

    fn draw_any(&mut self, is_usable: impl Fn(&Frame) -> bool) -> Option<Rc<Frame>> {
        let usable: Vec<&Rc<Frame>> =
            self.reservoir.items().iter().filter(|frame| is_usable(frame)).collect();
        let frame = Rc::clone(usable.choose(&mut self.rng)?);
        self.fresh.retain(|fresh| !Rc::ptr_eq(fresh, &frame));
        Some(frame)
    }

    /// Another frame than this one, if there is one: decoys come from it.
    pub fn other(&mut self, frame: &Frame) -> Option<Rc<Frame>> {
        self.draw_any_keeping_fresh(|other| other.id != frame.id)
    }

    fn draw_any_keeping_fresh(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Rc<Frame>> {
        let fitting: Vec<&Rc<Frame>> =
            self.reservoir.items().iter().filter(|frame| fits(frame)).collect();
        fitting.choose(&mut self.rng).map(|frame| Rc::clone(frame))
    }

    /// The frames that are judged on.
    pub fn held_out(&self) -> &[Rc<Frame>] {
        &self.held_out
    }

    /// What became of all frames so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A frame that is still kept, by its name: labels of others need not be.
    pub fn get(&self, id: &str) -> Option<&Frame> {
        let mut kept = self.reservoir.items().iter().chain(&self.fresh).chain(&self.held_out);
        kept.find(|frame| frame.id == id).map(Rc::as_ref)
    }

    /// Bytes of all pictures held.
    pub fn n_bytes(&self) -> usize {
        let kept = self.reservoir.items().iter().chain(&self.fresh).chain(&self.held_out);
        kept.map(|frame| frame.jpeg.len()).sum()
    }
}

/// Time since the start, which is never before it.
fn millis(secs: f64) -> u64 {
    (secs.max(0.0) * 1e3) as u64
}

/// Calls `retain` with a predicate that drops the places which are marked.
fn remove(marked: &[bool], retain: impl FnOnce(&mut dyn FnMut(&Rc<Frame>) -> bool)) {
    let mut marks = marked.iter();
    retain(&mut |_| !marks.next().copied().unwrap_or(false));
}

#[cfg(test)]
mod tests;
