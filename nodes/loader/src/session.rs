//! All that the loader knows of a stream: frames, labels, and who waits for a gradient.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use eyre::ensure;
use tracing::{info, warn};
use vrft_messages::hub::{Boxes2d, RawImage};
use vrft_messages::{Credit, Prompt, PromptBatch};
use vrft_node::Node;
use vrft_reward::Space;
use vrft_stream::{
    Counters, Curator, Effect, Feedback, Frame, Journal, Labels, RawFrame, Reason, StreamConfig,
    Truth, Verdict,
};

use crate::Config;
use crate::corrected;
use crate::held_out::HeldOut;
use crate::question::Questions;

/// Frames drawn for a prompt before it is put off: some make no puzzle.
const MAX_DRAWS: usize = 32;

/// Steps whose frames are remembered until their gradient was taken.
const MAX_WINDOW: usize = 16;

/// Frames that are told apart when those asked about are counted: days of a camera, in a few megabytes.
const MAX_COUNTED: usize = 100_000;

/// A stream, from the first frame on.
pub(crate) struct Session {
    config: Config,
    stream: StreamConfig,
    start: Instant,
    curator: Curator,
    labels: Labels,
    journal: Option<Journal>,
    questions: Questions,
    /// The frame that came last, by name: boxes without a name are about it.
    last_frame: Option<String>,
    /// Number of the next frame that has no name of its own, and of the next tick.
    next_number: u64,
    n_garbage: u64,
    n_remarks: u64,
    /// First prompt of a batch and the time of the newest frame that it asks about for the first time.
    asked: VecDeque<(u64, u64)>,
    frames_asked: BTreeSet<String>,
    n_prompts: u64,
    run_dir: PathBuf,
    /// What a run that is resumed was judged on before.
    held_out: Option<PromptBatch>,
    held_out_sent: bool,
}

impl Session {
    pub(crate) fn open(config: &Config, stream: &StreamConfig, dir: &Path) -> eyre::Result<Self> {
        check_space(config, stream)?;
        let mut labels = Labels::new(4 * (stream.reservoir + stream.held_out));
        let (mut next_number, mut known) = (0, Vec::new());
        let journal = match stream.truth {
            Truth::Puzzles => None,
            Truth::Teacher | Truth::Person => {
                let (journal, said) = Journal::open(&dir.join("feedback.jsonl"))?;
                known = said;
                known.iter().for_each(|feedback| labels.remark(feedback));
                next_number = first_free_number(&known);
                Some(journal)
            }
        };
        let mut curator = Curator::new(stream, config.run.seed);
        let held_out = HeldOut::of_before(config, stream, dir)?.map(|held_out| {
            curator.avoid(held_out.fingerprints);
            held_out.questions
        });
        corrected::restore(dir, &known, stream, &mut labels, &mut curator)?;
        Ok(Self {
            config: config.clone(),
            stream: stream.clone(),
            start: Instant::now(),
            curator,
            labels,
            journal,
            questions: Questions::new(config, stream),
            last_frame: None,
            next_number,
            n_garbage: 0,
            n_remarks: 0,
            asked: VecDeque::new(),
            frames_asked: BTreeSet::new(),
            n_prompts: 0,
            run_dir: dir.to_owned(),
            held_out,
            held_out_sent: false,
        })
    }

    /// A number that no frame of this run has had, nor any that a person remarked on before a resume.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn secs(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub(crate) fn take_image(&mut self, image: &RawImage<'_>) {
        let (RawImage { bytes, encoding, width, height, frame_id }, at) = (*image, self.secs());
        let id = match frame_id {
            Some(id) => id.to_owned(),
            None => format!("frame-{}", self.next_number()),
        };
        let verdict = self.curator.offer(&id, &RawFrame { bytes, encoding, width, height }, at);
        if verdict != Verdict::Dropped(Reason::Rate) {
            self.last_frame = Some(id);
        }
        if self.counters().dropped(Reason::Undecodable) == 1
            && verdict == Verdict::Dropped(Reason::Undecodable)
        {
            let why = self.curator.last_error().unwrap_or_default();
            warn!(why, "A frame is no picture; further such frames are only counted.");
        }
    }

    /// Boxes of frames that were not kept are of no use.
    pub(crate) fn take_boxes(&mut self, boxes: &Boxes2d) {
        let Some(id) = boxes.frame_id.clone().or_else(|| self.last_frame.clone()) else { return };
        let Some(size) = self.curator.get(&id).map(|frame| frame.source_size) else { return };
        let is_sure =
            |n: usize| boxes.confidences.get(n).is_none_or(|c| *c >= self.stream.min_confidence);
        let is_meant = |n: usize| {
            boxes
                .labels
                .get(n)
                .is_none_or(|name| vrft_reward::same_label(name, &self.stream.category))
        };
        let wanted = |(n, b): (usize, &[f64; 4])| (is_sure(n) && is_meant(n)).then_some(*b);
        let wanted: Vec<[f64; 4]> = boxes.boxes.iter().enumerate().filter_map(wanted).collect();
        self.labels.teach(&id, &wanted, size);
    }

    /// Written down first, used then.
    pub(crate) fn take_feedback(&mut self, text: &str) -> eyre::Result<()> {
        match (Feedback::parse(text), &mut self.journal) {
            (Ok(feedback), Some(journal)) => {
                journal.append(&feedback)?;
                self.labels.remark(&feedback);
                self.n_remarks += 1;
                self.keep(&feedback)?;
            }
            (Ok(_), None) => self
                .take_garbage("feedback, but data.stream.truth is not \"teacher\" or \"person\""),
            (Err(error), _) => self.refuse_remark(&error.to_string()),
        }
        Ok(())
    }

    /// A frame that was passed over is kept once somebody says what is right about it, on the disk too: a run that is
    /// resumed learns from it again.
    fn keep(&mut self, feedback: &Feedback) -> eyre::Result<()> {
        let id = &feedback.frame_id;
        let are_people_alone = self.stream.truth == Truth::Person;
        let has_boxes = matches!(feedback.effect(), Effect::Boxes(_));
        if are_people_alone && has_boxes && feedback.right.is_none() {
            let why = format!("of frame {id:?} boxes are said, which are no answer to a question");
            self.refuse_remark(&why);
            return Ok(());
        }
        let is_right = if are_people_alone { feedback.right.is_some() } else { has_boxes };
        if !is_right {
            return Ok(());
        }
        let is_known = self.curator.get(id).is_some() || self.curator.keep(id).is_some();
        if !is_known && are_people_alone {
            self.refuse_remark(&format!(
                "frame {id:?} is not remembered, so what is right about it cannot be learned: it came faster than \
                 data.stream.max_fps, was too dark, bright or blurred, or is too old"
            ));
        }
        self.curator.get(id).map_or(Ok(()), |frame| corrected::save(&self.run_dir, frame))
    }

    /// People remark seldom, and want to know each time.
    fn refuse_remark(&mut self, why: &str) {
        warn!(why, "A remark cannot be learned from.");
        self.n_garbage += 1;
    }

    /// Told the first time, counted always.
    pub(crate) fn take_garbage(&mut self, why: &str) {
        if self.n_garbage == 0 {
            warn!(
                why,
                "A live input sent what cannot be read; further such messages are only counted."
            );
        }
        self.n_garbage += 1;
    }

    /// Frames that were set aside and whose boxes were lost on the way are not waited for.
    pub(crate) fn let_go(&mut self) {
        if self.held_out_sent || self.stream.truth != Truth::Teacher {
            return;
        }
        let (now, labels) = (self.secs(), &self.labels);
        let has_boxes = |frame: &Frame| labels.is_taught(&frame.id);
        let is_settled = |frame: &Frame| labels.can_ask(&frame.id) || labels.is_rejected(&frame.id);
        let n = self.curator.let_go(now, has_boxes, is_settled);
        if n > 0 {
            info!(
                frames = n,
                "Set aside, but their boxes were lost: others are set aside instead."
            );
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        let is_ruled_out = |frame: &Frame| match self.stream.truth {
            // A person has taken back what was right.
            Truth::Person => self.labels.right(&frame.id).is_none(),
            Truth::Teacher | Truth::Puzzles => self.labels.is_rejected(&frame.id),
        };
        self.held_out_sent
            || self.curator.is_ready(is_usable(&self.stream, &self.labels), is_ruled_out)
    }

    /// What there must be before the first question, and what there is.
    pub(crate) fn progress(&self) -> String {
        let (usable, judged) = self.curator.n_usable(is_usable(&self.stream, &self.labels));
        let StreamConfig { min_frames, held_out, .. } = &self.stream;
        let boxes = match self.stream.truth {
            Truth::Teacher => " with a detector's or a person's boxes",
            Truth::Person => " about which a person has said the right answer",
            Truth::Puzzles => "",
        };
        format!(
            "{usable} of {min_frames} frames{boxes} to ask about (data.stream.min_frames), {judged} of {held_out} to be \
             judged on (data.stream.held_out); {}",
            self.counters().summary()
        )
    }

    /// Gives up on a camera that never sends enough to begin with.
    pub(crate) fn check_patience(&self, is_waiting: bool) -> eyre::Result<()> {
        let patience = self.stream.patience_secs;
        let is_over = is_waiting && patience > 0.0 && self.secs() > patience;
        ensure!(
            !is_over || self.is_ready(),
            "after {patience} s (data.stream.patience_secs) there is too little to begin with: {}; show it more, or ask \
             for less",
            self.progress()
        );
        Ok(())
    }

    /// What is judged on, once.
    pub(crate) fn take_held_out(&mut self) -> eyre::Result<Option<PromptBatch>> {
        if std::mem::replace(&mut self.held_out_sent, true) {
            return Ok(None);
        }
        if self.held_out.is_some() || self.curator.held_out().is_empty() {
            return Ok(self.held_out.take());
        }
        let frames: Vec<Rc<Frame>> = self.curator.held_out().to_vec();
        let mut prompts = Vec::new();
        let n_questions = self.stream.held_out_questions;
        // Round by round, so that the first questions are about as many frames as there are.
        for round in 0..n_questions {
            for (n, frame) in frames.iter().enumerate() {
                // Numbered frame by frame: each frame has all answers as often.
                let id = (n * n_questions + round) as u64;
                // Its decoys come from the other frames that were set aside.
                let step = 1 + round % frames.len().saturating_sub(1).max(1);
                let other = &frames[(n + step) % frames.len()];
                let prompt = self.questions.held_out(id, frame, other, &self.labels)?;
                let prompt_id = prompts.len() as u64;
                prompts.extend(prompt.map(|prompt| Prompt { prompt_id, ..prompt }));
            }
        }
        let fingerprints = frames.iter().map(|frame| frame.fingerprint).collect();
        let held_out = HeldOut { questions: PromptBatch { prompts }, fingerprints };
        held_out.save(&self.run_dir)?;
        Ok(Some(held_out.questions))
    }

    /// The prompts that a credit names; `None` if too few frames make a question for now.
    pub(crate) fn ask(&mut self, credit: &Credit) -> eyre::Result<Option<PromptBatch>> {
        let is_usable = is_usable(&self.stream, &self.labels);
        let mut prompts = Vec::new();
        let mut newest = None;
        for prompt_id in (credit.first_prompt_id..).take(credit.prompts as usize) {
            let mut prompt = None;
            for _ in 0..MAX_DRAWS {
                let Some(frame) = self.curator.draw(1, &is_usable).pop() else { return Ok(None) };
                let Some(other) = self.curator.other(&frame) else { return Ok(None) };
                prompt = self.questions.ask(prompt_id, &frame, &other, &self.labels)?;
                if prompt.is_some() {
                    if self.frames_asked.len() < MAX_COUNTED
                        && self.frames_asked.insert(frame.id.clone())
                    {
                        newest = newest.max(Some(frame.at_millis));
                    }
                    break;
                }
            }
            let Some(mut prompt) = prompt else { return Ok(None) };
            prompt.policy_version = credit.policy_version;
            prompts.push(prompt);
        }
        self.n_prompts += prompts.len() as u64;
        if self.asked.len() == MAX_WINDOW {
            self.asked.pop_front();
        }
        self.asked.extend(newest.map(|at_millis| (credit.first_prompt_id, at_millis)));
        Ok(Some(PromptBatch { prompts }))
    }

    pub(crate) fn step_of(&self, credit: &Credit) -> u64 {
        self.config.learner.step_of(credit.first_prompt_id)
    }

    /// A credit says that an earlier batch was learned from; it is `learner.window` batches before this one.
    pub(crate) fn note_gradient(&mut self, node: &mut Node, credit: &Credit) {
        let window = self.config.learner.window as u64 * u64::from(credit.prompts);
        let Some(learned) = credit.first_prompt_id.checked_sub(window) else { return };
        while let Some((first, newest)) = self.asked.pop_front_if(|(first, _)| *first <= learned) {
            if first == learned {
                let step = self.config.learner.step_of(learned);
                node.metric(
                    step,
                    "stream/frame_to_gradient_secs",
                    self.secs() - newest as f64 / 1e3,
                );
            }
        }
    }

    pub(crate) fn note_metrics(&self, node: &mut Node, step: u64) {
        for (name, n) in self.curator.counters().named() {
            node.metric(step, name, n as f64);
        }
        node.metric(step, "stream/garbage", self.n_garbage as f64);
        node.metric(step, "stream/remarks", self.n_remarks as f64);
        node.metric(step, "stream/frames_asked", self.frames_asked.len() as f64);
        node.metric(step, "stream/prompts", self.n_prompts as f64);
        node.metric(step, "stream/held_bytes", self.curator.n_bytes() as f64);
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.curator.counters()
    }
}

/// The first number above those of the frames that were remarked on: a resumed run sees other frames, and what a person
/// said of one must not be taken for another.
fn first_free_number(known: &[Feedback]) -> u64 {
    let number = |feedback: &Feedback| {
        let id = &feedback.frame_id;
        id.strip_prefix("frame-").unwrap_or(id).parse::<u64>().ok()
    };
    known.iter().filter_map(number).max().map_or(0, |last| last.saturating_add(1))
}

/// A teacher's frames need their boxes first, and a person's their answer.
fn is_usable(stream: &StreamConfig, labels: &Labels) -> impl Fn(&Frame) -> bool {
    let truth = stream.truth;
    move |frame| match truth {
        Truth::Puzzles => true,
        Truth::Teacher => labels.can_ask(&frame.id),
        Truth::Person => labels.right(&frame.id).is_some(),
    }
}

/// Places that people draw or write count thousandths of the frame, which is all that a live question can be told in.
fn check_space(config: &Config, stream: &StreamConfig) -> eyre::Result<()> {
    let mut spaces = config.rewards.iter().filter_map(|reward| reward.answer.space());
    let other = spaces.find(|space| *space != Space::Thousandths);
    let got = other.map_or("", Space::name);
    ensure!(
        stream.truth != Truth::Person || other.is_none(),
        "reward.answer.space: expected \"thousandths\" with data.stream.truth = \"person\", got {got:?}: what people say is \
         right counts thousandths of the frame"
    );
    Ok(())
}
