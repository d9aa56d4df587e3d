//! A robot in a graph whose answers are shown: the newest of them, and where remarks go.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vrft_answer::{Found, Picture};
use vrft_stream::{AnswerRemark, Said};

use crate::chat::Refused;

/// Answers that can still be remarked on, as many as the answering node remembers.
const REMEMBERED: usize = 512;

/// An answer that a robot gave.
#[derive(Debug, Clone)]
pub struct LiveAnswer {
    /// By which remarks name it.
    pub answer_id: String,
    /// The version that gave it.
    pub version: String,
    /// What it says in words.
    pub text: String,
    /// What became of the words, `unread`, `nothing` or `something`; empty where the robot does not say.
    pub reading: String,
    /// The kind of answer that it was read as, `boxes` for example; empty where the robot does not say.
    pub kind: String,
    /// What it says is in the frame, in pixels of that.
    pub found: Vec<Found>,
    /// The frame.
    pub picture: Picture,
}

/// The newest answer of a robot, for browsers, and what is said in them, for the robot.
pub struct Robot {
    newest: Mutex<Option<LiveAnswer>>,
    shown: Mutex<VecDeque<Shown>>,
    said: Mutex<Sender<String>>,
    /// Whether it learns right answers of any kind, and not boxes alone.
    learns_all: bool,
}

/// What is remembered of an answer that was shown.
struct Shown {
    answer_id: String,
    /// Whether it could be read.
    is_read: bool,
    /// Whether it says in boxes what is in the frame, be it nothing.
    has_boxes: bool,
}

impl Robot {
    /// A robot that has not answered yet, and what will be said of its answers: remarks as the graph takes them. One that
    /// `learns_all` learns right answers of any kind (`data.stream.truth = "person"`), another one boxes alone.
    pub fn new(learns_all: bool) -> (Arc<Self>, Receiver<String>) {
        let (said, remarks) = channel();
        let (newest, shown) = (Mutex::default(), Mutex::default());
        let robot = Self { newest, shown, said: Mutex::new(said), learns_all };
        (Arc::new(robot), remarks)
    }

    /// Shows an answer in place of the one before.
    pub fn show(&self, answer: LiveAnswer) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() == REMEMBERED {
            shown.pop_front();
        }
        shown.push_back(Shown {
            answer_id: answer.answer_id.clone(),
            is_read: answer.reading != "unread",
            has_boxes: answer.reading == "nothing" || !answer.found.is_empty(),
        });
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// The newest answer as a browser shows it, with its picture; `None` before the first.
    pub fn newest(&self) -> Option<Value> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let LiveAnswer { answer_id, version, text, reading, kind, found, picture } = newest;
        let (file, end) = picture.upright().ok()?;
        let format = if end == "jpg" { "jpeg" } else { end };
        let url = format!("data:image/{format};base64,{}", STANDARD.encode(file));
        let (width, height) = picture.original;
        Some(json!({
            "answer_id": answer_id, "version": version, "text": text, "found": found,
            "reading": reading, "kind": kind,
            "picture": url, "width": width, "height": height,
        }))
    }

    /// Passes a remark on to the robot, and says whether the robot can learn from it.
    pub(crate) fn take(&self, body: &[u8]) -> Result<Value, Refused> {
        let mut body: Value =
            serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
        // The robot asks about one category.
        body.as_object_mut().and_then(|body| body.remove("labels"));
        let text = body.to_string();
        let remark = AnswerRemark::parse(&text).map_err(|error| (400, error.to_string()))?;
        let is_learned = self.is_learned(&remark)?;
        self.say(&text).map_err(|why| (503, why))?;
        Ok(json!({"sent": true, "learned": is_learned}))
    }

    fn is_learned(&self, remark: &AnswerRemark) -> Result<bool, Refused> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let about = shown.iter().rfind(|shown| shown.answer_id == remark.answer_id);
        let about = about.ok_or_else(|| {
            let id = &remark.answer_id;
            (404, format!("answer {id:?} is none of the last {REMEMBERED} that were shown here"))
        })?;
        match &remark.remark {
            Said::Accept if !about.is_read => {
                let why = "this answer could not be read, so that nothing in it can be accepted: draw what is right";
                Err((400, why.to_owned()))
            }
            Said::Accept => Ok(about.has_boxes || self.learns_all),
            Said::Edit(_) | Said::Reject => Ok(true),
            Said::Points(_) | Said::Text(_) => Ok(self.learns_all),
            Said::Rate(_) => Ok(false),
        }
    }

    /// Passes a remark on.
    ///
    /// # Errors
    /// A robot that is gone.
    pub fn say(&self, remark: &str) -> Result<(), String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.send(remark.to_owned()).map_err(|_gone| "the robot's graph has ended".to_owned())
    }
}
