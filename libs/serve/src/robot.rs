//! A robot in a graph whose answers are shown: the newest of them, and where remarks go.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vrft_answer::{Found, Picture};

/// An answer that a robot gave.
#[derive(Debug, Clone)]
pub struct LiveAnswer {
    /// By which remarks name it.
    pub answer_id: String,
    /// The version that gave it.
    pub version: String,
    /// What it says in words.
    pub text: String,
    /// What it says is in the frame, in pixels of that.
    pub found: Vec<Found>,
    /// The frame.
    pub picture: Picture,
}

/// The newest answer of a robot, for browsers, and what is said in them, for the robot.
pub struct Robot {
    newest: Mutex<Option<LiveAnswer>>,
    said: Mutex<Sender<String>>,
}

impl Robot {
    /// A robot that has not answered yet, and what will be said of its answers: remarks as the graph takes them.
    pub fn new() -> (Arc<Self>, Receiver<String>) {
        let (said, remarks) = channel();
        (Arc::new(Self { newest: Mutex::default(), said: Mutex::new(said) }), remarks)
    }

    /// Shows an answer in place of the one before.
    pub fn show(&self, answer: LiveAnswer) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// The newest answer as a browser shows it, with its picture; `None` before the first.
    pub fn newest(&self) -> Option<Value> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let LiveAnswer { answer_id, version, text, found, picture } = newest;
        let (file, end) = picture.upright().ok()?;
        let kind = if end == "jpg" { "jpeg" } else { end };
        let url = format!("data:image/{kind};base64,{}", STANDARD.encode(file));
        let (width, height) = picture.original;
        Some(json!({
            "answer_id": answer_id, "version": version, "text": text, "found": found,
            "picture": url, "width": width, "height": height,
        }))
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
