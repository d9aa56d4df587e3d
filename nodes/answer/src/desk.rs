//! Where questions are answered: the policy in use, its journal, its scores, and what is remembered of its answers.

use std::time::{Duration, Instant};

use eyre::eyre;
use serde_json::json;
use tracing::{error, info, warn};
use vrft_answer::{Answered, Answerer, Follow, Follower, Found, Picture, Place, Reading};
use vrft_messages::hub::{Boxes2d, RawImage, Tag, Tags, text_message};
use vrft_messages::{PolicyAnnouncement, Role, Turn};
use vrft_node::{Live as Arrived, Node};
use vrft_reward::{BBox, Detection, same_label};
use vrft_stream::{AnswerRemark, RawFrame};

use crate::conversation::{self, History};
use crate::environment::Environment;
use crate::intake::{Asked, IMAGE_ID, Intake};
use crate::journal::Journal;
use crate::live::{Live, Scored, Waiting};
use crate::ports::{ANSWER, BOXES2D, CORRECTIONS};
use crate::remarks::{Remarks, Remembered, said_in_boxes};

/// How often numbers are sent while one version is in use.
const REPORT: Duration = Duration::from_secs(5);

/// The policy in use and all that belongs to it.
pub(crate) struct Desk {
    answerer: Answerer,
    follower: Option<Follower>,
    environment: Environment,
    history: History,
    journal: Journal,
    live: Live,
    remarks: Remarks,
    /// Tells the answers of this process from those of another.
    prefix: String,
    n_answers: u64,
    n_unanswered: u64,
    /// Why a frame could not be answered about last, which is not told twice in a row.
    untold: String,
    tally: Tally,
}

/// What happened since numbers were sent last.
struct Tally {
    since: Instant,
    n_answers: u64,
    secs: f64,
    n_frames_before: u64,
}

/// The frame that an answer is about.
struct About<'a> {
    input: &'a str,
    frame_id: Option<String>,
    size: (u32, u32),
    /// What came beside the question, for whoever waits for the answer.
    beside: Tags,
}

impl Desk {
    /// `prefix` begins the name of every answer.
    pub(crate) fn open(
        node: &Node,
        answerer: Answerer,
        follower: Option<Follower>,
        environment: Environment,
        prefix: String,
    ) -> eyre::Result<Self> {
        let history = History::new(answerer.settings().answer.history);
        let remarks = Remarks::new(answerer.truths());
        Ok(Self {
            answerer,
            follower,
            environment,
            history,
            journal: Journal::open(node.run_dir(), node.id())?,
            live: Live::default(),
            remarks,
            prefix,
            n_answers: 0,
            n_unanswered: 0,
            untold: String::new(),
            tally: Tally::new(0),
        })
    }

    /// Whether there is a question to ask where nobody asks.
    pub(crate) fn has_default(&self) -> bool {
        let answer = &self.answerer.settings().answer;
        !answer.question.is_empty() || !answer.category.is_empty()
    }

    /// Whether a text is meant for this node.
    pub(crate) fn is_meant(&self, texts: &[String]) -> bool {
        self.environment.activates(conversation::question_of(texts))
    }

    /// The learner has a new version.
    pub(crate) fn announce(&self, version: PolicyAnnouncement) {
        if self.answerer.settings().answer.follow == Follow::Learner
            && let Some(follower) = &self.follower
        {
            follower.announce(version);
        }
    }

    /// Puts a newer version into use, if one is ready. No answer is under way here.
    pub(crate) fn swap(&mut self, node: &mut Node) -> eyre::Result<()> {
        let Some(fresh) = self.follower.as_ref().and_then(Follower::newest) else { return Ok(()) };
        self.note_metrics(node);
        let start = Instant::now();
        let (version, digest) = (fresh.version().to_owned(), fresh.digest().to_owned());
        if let Err(error) = self.answerer.take(fresh) {
            let why = error.to_string();
            warn!(version, why, "A version is of another policy; the one in use stays.");
            return Ok(());
        }
        let secs = start.elapsed().as_secs_f64();
        info!(version, digest, secs, "Swapped in a version.");
        let event = json!({"event": "swap", "version": version, "digest": digest, "secs": secs});
        self.journal.note(event)
    }

    /// Answers a question about the newest frames. What is wrong with a question or a frame is told, and forgotten.
    pub(crate) fn answer(
        &mut self,
        node: &mut Node,
        intake: &Intake,
        asked: &Asked,
    ) -> eyre::Result<()> {
        let ratio = self.answerer.settings().answer.image_resize_ratio;
        let meant = asked_about(intake, asked);
        let pictures = meant.and_then(|frames| {
            let pictures = frames.iter().map(|frame| picture(frame, ratio));
            Ok((frames.clone(), pictures.collect::<eyre::Result<Vec<Picture>>>()?))
        });
        let answered = pictures.and_then(|(frames, pictures)| {
            let turns = self.turns(asked, pictures.len())?;
            let answered = self.answerer.answer(&turns, &pictures, self.n_answers)?;
            Ok((frames, pictures, turns, answered))
        });
        let (frames, pictures, turns, answered) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                self.tell(asked, &vrft_node::in_words(&error));
                return Ok(());
            }
        };
        self.untold.clear();
        let Some((frame, first)) = frames.first().zip(pictures.first()) else { return Ok(()) };
        let frame_id = vrft_messages::hub::frame_id(&frame.tags).map(str::to_owned);
        let (input, beside) = (frame.input.as_str(), asked.tags());
        let about = About { input, frame_id, size: first.original, beside };
        let question = turns.last().map(Turn::text).unwrap_or_default();
        let n_said = turns.iter().filter(|turn| turn.role != Role::System).count();
        let is_all = n_said == 1 && frames.len() == 1;
        self.history.add(&question, &answered.text);
        self.give(node, &about, &question, is_all, &answered)
    }

    /// What is wrong with a question of somebody is always told; with a frame that is answered unasked, when it is something
    /// new: a camera sends many.
    fn tell(&mut self, asked: &Asked, why: &str) {
        self.n_unanswered += 1;
        if matches!(asked, Asked::Default) && self.untold == why {
            return;
        }
        error!(why, "A question could not be answered.");
        if matches!(asked, Asked::Default) {
            why.clone_into(&mut self.untold);
        }
    }

    fn turns(&self, asked: &Asked, n_pictures: usize) -> eyre::Result<Vec<Turn>> {
        let answer = &self.answerer.settings().answer;
        let default = match asked {
            Asked::Texts(texts, _) => {
                return conversation::conversation(
                    &self.answerer,
                    &self.history,
                    texts,
                    n_pictures,
                );
            }
            Asked::Default if answer.category.is_empty() => {
                self.answerer.question(&answer.question, n_pictures)
            }
            Asked::Default => self.answerer.category(&answer.category, n_pictures),
        };
        Ok(conversation::after(&self.history, default))
    }

    /// Sends an answer, writes it down and remembers it. `is_all` of a question that was asked with one frame and nothing else.
    fn give(
        &mut self,
        node: &mut Node,
        about: &About<'_>,
        question: &str,
        is_all: bool,
        answered: &Answered,
    ) -> eyre::Result<()> {
        let answer_id = format!("{}-{}", self.prefix, self.n_answers);
        self.n_answers += 1;
        self.tally.n_answers += 1;
        self.tally.secs += answered.took.as_secs_f64();
        let tags = tags(about, answered, &answer_id);
        if node.has_live_output(&ANSWER) {
            node.send_live(&ANSWER, text_message(tags.clone(), &answered.text))?;
        }
        if node.has_live_output(&BOXES2D) {
            let (of_boxes, data) = boxes(about, &answered.found).to_hub();
            node.send_live(&BOXES2D, (tags.into_iter().chain(of_boxes).collect(), data))?;
        }
        self.journal.note(json!({
            "event": "answer", "answer_id": answer_id,
            "version": answered.version, "digest": answered.digest,
            "image_id": about.input, "frame_id": about.frame_id, "question": question,
            "text": answered.text, "reading": answered.reading, "found": answered.found,
            "width": about.size.0, "height": about.size.1, "secs": answered.took.as_secs_f64(),
        }))?;
        self.remarks.remember(Remembered {
            answer_id: answer_id.clone(),
            frame_id: about.frame_id.clone(),
            question: is_all.then(|| question.to_owned()),
            boxes: said_in_boxes(answered.reading, &answered.found, about.size),
            answered: answered.clone(),
        });
        if let Some(frame_id) = &about.frame_id {
            let found: Vec<Detection> = answered.found.iter().filter_map(detection).collect();
            // Only who says that there is nothing has said so.
            let is_said = answered.reading == Reading::Nothing || !found.is_empty();
            let boxes = is_said.then_some(found);
            let waiting = Waiting { answer_id, version: answered.version.clone(), boxes };
            let scored = self.live.answered(frame_id, waiting);
            self.note_score(scored)?;
        }
        Ok(())
    }

    /// True boxes of a frame; what is wrong with them is told.
    pub(crate) fn take_truth(&mut self, live: &Arrived) -> eyre::Result<Result<(), String>> {
        let boxes = match Boxes2d::from_hub(&live.tags, &live.data) {
            Ok(boxes) => boxes,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let Some(frame_id) = &boxes.frame_id else {
            return Ok(Err("boxes without a frame_id cannot be held against an answer".to_owned()));
        };
        let category = &self.answerer.settings().answer.category;
        let is_meant = |n: usize| {
            let label = boxes.labels.get(n);
            category.is_empty() || label.is_none_or(|label| same_label(label, category))
        };
        let meant = boxes.boxes.iter().enumerate().filter(|(n, _)| is_meant(*n));
        let truth = meant.filter_map(|(_, corners)| BBox::try_new(*corners).ok()).collect();
        let scored = self.live.truth(frame_id, truth);
        self.note_score(scored)?;
        Ok(Ok(()))
    }

    fn note_score(&mut self, scored: Option<Scored>) -> eyre::Result<()> {
        let Some(Scored { answer_id, version, overlap }) = scored else { return Ok(()) };
        let event = json!({"event": "score", "answer_id": answer_id, "version": version, "overlap": overlap});
        self.journal.note(event)
    }

    /// A remark on an answer: written down, and told to a loader where it says what is right. What is wrong with it is
    /// told.
    pub(crate) fn take_feedback(
        &mut self,
        node: &mut Node,
        text: &str,
    ) -> eyre::Result<Result<(), String>> {
        let remark = match AnswerRemark::parse(text) {
            Ok(remark) => remark,
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.journal.note(json!({"event": "feedback", "feedback": remark}))?;
        let (told, taken) = self.remarks.follow(&remark);
        if let Some(told) = told
            && node.has_live_output(&CORRECTIONS)
        {
            let text = serde_json::to_string(&told)?;
            node.send_live(&CORRECTIONS, text_message(Tags::new(), &text))?;
        }
        Ok(taken)
    }

    /// Sends numbers now and then.
    pub(crate) fn report(&mut self, node: &mut Node, n_frames: u64) -> eyre::Result<()> {
        if self.tally.since.elapsed() < REPORT {
            return Ok(());
        }
        self.note_metrics(node);
        self.note_rates(node, n_frames);
        node.send_metrics()
    }

    /// Says how it went, at the end.
    pub(crate) fn close(&mut self, node: &mut Node, n_frames: u64) -> eyre::Result<()> {
        self.note_metrics(node);
        // Of a moment there is no rate.
        if self.tally.since.elapsed() > REPORT / 5 {
            self.note_rates(node, n_frames);
        }
        let live = self.live.mean().map(|(mean, interval, n)| {
            let (low, high) = interval;
            if low < high {
                format!("overlap of the last {n}: {mean:.3} [{low:.3}, {high:.3}]")
            } else {
                format!("overlap of the last {n}: {mean:.3}, the same for each")
            }
        });
        let live = live.unwrap_or_else(|| "no true boxes to measure by".to_owned());
        info!(
            n_answers = self.n_answers,
            n_unanswered = self.n_unanswered,
            n_frames,
            version = self.answerer.version(),
            "Answers: {live}."
        );
        Ok(())
    }

    /// What is known of the version in use.
    fn note_metrics(&mut self, node: &mut Node) {
        let step = step_of(self.answerer.version());
        if let Some((mean, interval, n)) = self.live.mean() {
            node.metric(step, "live/overlap", mean);
            node.metric(step, "live/overlap_low", interval.0);
            node.metric(step, "live/overlap_high", interval.1);
            node.metric(step, "live/scored", n as f64);
        }
    }

    fn note_rates(&mut self, node: &mut Node, n_frames: u64) {
        let step = step_of(self.answerer.version());
        let secs = self.tally.since.elapsed().as_secs_f64().max(1e-3);
        let n = self.tally.n_answers as f64;
        let n_new = n_frames.saturating_sub(self.tally.n_frames_before) as f64;
        node.metric(step, "live/answers_per_sec", n / secs);
        node.metric(step, "live/frames_per_sec", n_new / secs);
        if n > 0.0 {
            node.metric(step, "live/latency_secs", self.tally.secs / n);
        }
        self.tally = Tally::new(n_frames);
    }
}

impl Tally {
    fn new(n_frames_before: u64) -> Self {
        Self { since: Instant::now(), n_answers: 0, secs: 0.0, n_frames_before }
    }
}

/// The number at the end of a version's name: learner steps, or how often was promoted; 0 without one.
fn step_of(version: &str) -> u64 {
    let digits = version.rsplit('-').next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// The newest frames of all cameras, or that of the one which the question names.
fn asked_about<'a>(intake: &'a Intake, asked: &Asked) -> eyre::Result<Vec<&'a Arrived>> {
    let Some(input) = asked.image_id() else { return Ok(intake.frames.values().collect()) };
    let frame = intake.frames.get(input).ok_or_else(|| {
        let known: Vec<&String> = intake.frames.keys().collect();
        eyre!("the question is about image_id {input:?}, frames came by {known:?}")
    })?;
    Ok(vec![frame])
}

fn picture(frame: &Arrived, ratio: f64) -> eyre::Result<Picture> {
    let named = |why: String| eyre!("input {:?}: {why}", frame.input);
    let RawImage { bytes, encoding, width, height, .. } =
        RawImage::from_hub(&frame.tags, &frame.data).map_err(|error| named(error.to_string()))?;
    Picture::of_frame(&RawFrame { bytes, encoding, width, height }, ratio).map_err(named)
}

fn tags(about: &About<'_>, answered: &Answered, answer_id: &str) -> Tags {
    let text = |text: &str| Tag::Text(text.to_owned());
    let mut tags = about.beside.clone();
    // What the question says of a frame is not what the camera says of this one.
    tags.remove("frame_id");
    tags.extend([
        (IMAGE_ID.to_owned(), text(about.input)),
        ("answer_id".to_owned(), text(answer_id)),
        ("policy_version".to_owned(), text(&answered.version)),
        ("policy_digest".to_owned(), text(&answered.digest)),
        ("width".to_owned(), Tag::Integer(about.size.0.into())),
        ("height".to_owned(), Tag::Integer(about.size.1.into())),
        ("latency_secs".to_owned(), Tag::Float(answered.took.as_secs_f64())),
    ]);
    tags.insert("reading".to_owned(), text(answered.reading.name()));
    tags.extend(answered.kind.map(|kind| ("answer_kind".to_owned(), text(kind))));
    tags.extend(about.frame_id.as_ref().map(|id| ("frame_id".to_owned(), text(id))));
    tags
}

/// The boxes of an answer as a detector sends its own.
fn boxes(about: &About<'_>, found: &[Found]) -> Boxes2d {
    let is_box = |one: &&Found| matches!(one.place, Place::Box(_));
    let found: Vec<&Found> = found.iter().filter(is_box).collect();
    let corners = found.iter().filter_map(|one| corners(one)).collect();
    // Lists are as long as that of the boxes, or empty.
    let confidences: Option<Vec<f64>> = found.iter().map(|one| one.confidence).collect();
    let has_labels = found.iter().any(|one| one.label.is_some());
    let labels = found.iter().filter(|_| has_labels);
    Boxes2d {
        boxes: corners,
        confidences: confidences.unwrap_or_default(),
        labels: labels.map(|one| one.label.clone().unwrap_or_default()).collect(),
        frame_id: about.frame_id.clone(),
    }
}

fn corners(found: &Found) -> Option<[f64; 4]> {
    match found.place {
        Place::Box(corners) => Some(corners),
        Place::Point(_) => None,
    }
}

fn detection(found: &Found) -> Option<Detection> {
    let bbox = BBox::try_new(corners(found)?).ok()?;
    Some(Detection { bbox, confidence: found.confidence.unwrap_or(1.0) })
}
