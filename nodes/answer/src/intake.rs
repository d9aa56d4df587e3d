//! What comes in: of frames the newest, of questions each in its turn, true boxes, remarks and versions as they come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tracing::warn;
use vrft_messages::hub::{Tag, Tags, texts};
use vrft_node::{Arrival, Live, Node};

use crate::desk::Desk;
use crate::ports::{FEEDBACK, IMAGE, POLICY, TEXT, TICK, TRUTH};

/// How often a newer version is looked for while nothing comes.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long a camera may be gone before there is nothing more to wait for: dora restarts one that failed.
const GONE: Duration = Duration::from_secs(3);

/// Questions that wait; of more, the newest are kept.
const MAX_TEXTS: usize = 16;

/// What makes the node answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Texts, and ticks if there are any.
    Texts,
    /// Ticks alone: the default question.
    Ticks,
    /// Every frame that comes while no answer is under way: the default question.
    Frames,
}

/// A question that is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    /// The default question of the configuration.
    Default,
    /// A text message: one question, or turns, with what came beside it.
    Texts(Vec<String>, Tags),
}

impl Asked {
    /// What came beside the question, and goes along with its answer.
    pub(crate) fn tags(&self) -> Tags {
        match self {
            Self::Default => Tags::new(),
            Self::Texts(_, tags) => tags.clone(),
        }
    }

    /// The input whose frame is asked about; `None` for those of all.
    pub(crate) fn image_id(&self) -> Option<&str> {
        match self {
            Self::Texts(_, tags) => match tags.get(IMAGE_ID) {
                Some(Tag::Text(id)) if id != ALL => Some(id),
                _ => None,
            },
            Self::Default => None,
        }
    }
}

/// What the hub's language nodes call the input of the frame that a question or an answer is about, and what they write
/// there for the frames of all inputs.
pub(crate) const IMAGE_ID: &str = "image_id";
const ALL: &str = "all";

/// What waits for its turn.
pub(crate) struct Intake {
    pub(crate) trigger: Trigger,
    /// The newest frame of each camera, by the name of its input.
    pub(crate) frames: BTreeMap<String, Live>,
    /// Number of frames that came.
    pub(crate) n_frames: u64,
    texts: VecDeque<(Vec<String>, Tags)>,
    /// The text message that came last: one without texts asks it again.
    last_texts: Vec<String>,
    is_ticked: bool,
    has_new_frame: bool,
    /// Inputs without which nothing is left to answer, and since when they are all gone.
    sources: BTreeSet<String>,
    gone_since: Option<Instant>,
    has_policy: bool,
    is_over: bool,
    /// Inputs that sent what cannot be used, and how often.
    garbage: BTreeMap<String, u64>,
}

impl Intake {
    /// For the inputs that the graph connects.
    pub(crate) fn of(node: &Node) -> Self {
        let inputs: Vec<String> = node.inputs().into_iter().map(|(input, _)| input).collect();
        Self::new(&inputs)
    }

    pub(crate) fn new(inputs: &[String]) -> Self {
        let has = |name: &str| inputs.iter().any(|input| input == name);
        let trigger = match (has(TEXT.name()), has(TICK.name())) {
            (true, _) => Trigger::Texts,
            (false, true) => Trigger::Ticks,
            (false, false) => Trigger::Frames,
        };
        let cameras = inputs.iter().filter(|input| input.contains(IMAGE));
        let mut sources: BTreeSet<String> = cameras.cloned().collect();
        if sources.is_empty() {
            sources.extend(inputs.iter().filter(|input| *input == TEXT.name()).cloned());
        }
        Self {
            trigger,
            frames: BTreeMap::new(),
            n_frames: 0,
            texts: VecDeque::new(),
            last_texts: Vec::new(),
            is_ticked: false,
            has_new_frame: false,
            sources,
            gone_since: None,
            has_policy: has(POLICY.name()),
            is_over: false,
            garbage: BTreeMap::new(),
        }
    }

    /// Waits a little for the first thing to come and takes in all that is there; `false` when nothing more will come.
    pub(crate) fn take(&mut self, node: &mut Node, desk: &mut Desk) -> eyre::Result<bool> {
        let mut patience = if self.is_due() { Duration::ZERO } else { PATIENCE };
        while !self.is_over {
            match self.next(node, desk, patience)? {
                Next::Something => patience = Duration::ZERO,
                Next::Nothing => break,
                Next::Over if node.stop_requested()? => return Ok(false),
                // What came before the end is answered still.
                Next::Over => self.is_over = true,
            }
        }
        self.is_over |= self.gone_since.is_some_and(|since| since.elapsed() > GONE);
        Ok(!self.is_over || self.is_due())
    }

    fn next(&mut self, node: &mut Node, desk: &mut Desk, patience: Duration) -> eyre::Result<Next> {
        if !self.has_policy {
            return match node.recv_only_live(patience)? {
                Arrival::Live(live) => self.take_live(live, node, desk),
                Arrival::Gone(input) => Ok(self.lose(&input)),
                Arrival::Nothing => Ok(Next::Nothing),
                Arrival::End | Arrival::Message(_) => Ok(Next::Over),
            };
        }
        match node.recv_live(&POLICY, patience)? {
            Arrival::Message(version) => {
                desk.announce(version);
                Ok(Next::Something)
            }
            Arrival::Live(live) => self.take_live(live, node, desk),
            Arrival::Gone(input) => Ok(self.lose(&input)),
            Arrival::Nothing => Ok(Next::Nothing),
            // The learner is done, or the run was asked to stop.
            Arrival::End if node.stop_requested()? => Ok(Next::Over),
            Arrival::End => {
                self.has_policy = false;
                Ok(Next::Something)
            }
        }
    }

    fn take_live(&mut self, live: Live, node: &mut Node, desk: &mut Desk) -> eyre::Result<Next> {
        if live.is_of(&TICK) {
            self.is_ticked = true;
        } else if live.is_of(&TEXT) {
            match texts(&live.data) {
                Ok(texts) => self.take_texts(texts, live.tags, desk),
                Err(error) => self.take_garbage(&live.input, &error.to_string()),
            }
        } else if live.is_of(&TRUTH) {
            if let Err(why) = desk.take_truth(&live)? {
                self.take_garbage(&live.input, &why);
            }
        } else if live.is_of(&FEEDBACK) {
            match texts(&live.data) {
                Ok(texts) => {
                    for text in texts {
                        if let Err(why) = desk.take_feedback(node, &text)? {
                            self.take_garbage(&live.input, &why);
                        }
                    }
                }
                Err(error) => self.take_garbage(&live.input, &error.to_string()),
            }
        } else if live.input.contains(IMAGE) {
            self.n_frames += 1;
            self.has_new_frame = true;
            self.gone_since = None;
            self.frames.insert(live.input.clone(), live);
        } else {
            self.take_garbage(&live.input, "an input that is none of those of this node");
        }
        Ok(Next::Something)
    }

    fn take_texts(&mut self, texts: Vec<String>, tags: Tags, desk: &Desk) {
        let texts = if texts.is_empty() { self.last_texts.clone() } else { texts };
        if texts.is_empty() {
            // Nothing was asked before: the default question, as by a tick.
            self.is_ticked = true;
            return;
        }
        if !desk.is_meant(&texts) {
            return;
        }
        self.last_texts.clone_from(&texts);
        if self.texts.len() == MAX_TEXTS {
            warn!("{MAX_TEXTS} questions wait already; the oldest is left out.");
            self.texts.pop_front();
        }
        self.texts.push_back((texts, tags));
    }

    fn lose(&mut self, input: &str) -> Next {
        self.sources.remove(input);
        if self.sources.is_empty() && self.gone_since.is_none() {
            self.gone_since = Some(Instant::now());
        }
        Next::Something
    }

    /// Told the first time of each input, counted always. People remark seldom, and want to know each time.
    fn take_garbage(&mut self, input: &str, why: &str) {
        let n = self.garbage.entry(input.to_owned()).or_default();
        *n += 1;
        if input == FEEDBACK.name() {
            warn!(why, "A remark cannot be used.");
        } else if *n == 1 {
            warn!(
                input,
                why, "An input sent what cannot be used; further such messages are only counted."
            );
        }
    }

    fn is_due(&self) -> bool {
        match self.trigger {
            _ if self.frames.is_empty() => false,
            Trigger::Texts => !self.texts.is_empty() || self.is_ticked,
            Trigger::Ticks => self.is_ticked,
            Trigger::Frames => self.has_new_frame,
        }
    }

    /// The question to answer next, if there is one and something to answer it about.
    pub(crate) fn due(&mut self, desk: &Desk) -> Option<Asked> {
        if !self.is_due() {
            return None;
        }
        if let Some((texts, tags)) = self.texts.pop_front() {
            return Some(Asked::Texts(texts, tags));
        }
        (self.is_ticked, self.has_new_frame) = (false, false);
        desk.has_default().then_some(Asked::Default)
    }
}

enum Next {
    Something,
    Nothing,
    Over,
}
