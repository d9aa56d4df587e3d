//! Puts together what comes apart: the frame, the words and the boxes of one answer.

use std::collections::VecDeque;

use tracing::warn;
use vrft_answer::{Found, Picture, Place};
use vrft_messages::hub::{Boxes2d, RawImage, Tag, Tags, frame_id, texts};
use vrft_node::Live;
use vrft_serve::LiveAnswer;
use vrft_stream::RawFrame;

use crate::ports::{BOXES2D, IMAGE, TEXT};

/// Frames, and answers, that wait for each other.
const KEPT: usize = 16;

/// What is not complete yet.
#[derive(Default)]
pub(crate) struct Table {
    frames: VecDeque<(String, Picture)>,
    words: VecDeque<(String, String)>,
    n_garbage: u64,
}

impl Table {
    /// Takes in a message; an answer that is complete by it. Boxes come last of an answer.
    pub(crate) fn take(&mut self, live: &Live) -> Option<LiveAnswer> {
        let taken = if live.is_of(&IMAGE) {
            self.frame(live).map(|()| None)
        } else if live.is_of(&TEXT) {
            self.text(live).map(|()| None)
        } else if live.is_of(&BOXES2D) {
            self.boxes(live)
        } else {
            Err("an input that is none of those of this node".to_owned())
        };
        taken.unwrap_or_else(|why| {
            if self.n_garbage == 0 {
                let input = &live.input;
                warn!(
                    input,
                    why,
                    "An input sent what cannot be shown; further such messages are only counted."
                );
            }
            self.n_garbage += 1;
            None
        })
    }

    /// Messages that could not be used.
    pub(crate) fn n_garbage(&self) -> u64 {
        self.n_garbage
    }

    fn frame(&mut self, live: &Live) -> Result<(), String> {
        let image = RawImage::from_hub(&live.tags, &live.data).map_err(|e| e.to_string())?;
        let RawImage { bytes, encoding, width, height, frame_id } = image;
        let id = frame_id.ok_or("a frame without a frame_id cannot be told from others")?;
        let picture = Picture::of_frame(&RawFrame { bytes, encoding, width, height }, 1.0)?;
        keep(&mut self.frames, (id.to_owned(), picture));
        Ok(())
    }

    fn text(&mut self, live: &Live) -> Result<(), String> {
        let words = texts(&live.data).map_err(|error| error.to_string())?;
        keep(&mut self.words, (tag(&live.tags, "answer_id")?.to_owned(), words.concat()));
        Ok(())
    }

    /// `None` for an answer whose words or frame did not come: these edges may drop.
    fn boxes(&mut self, live: &Live) -> Result<Option<LiveAnswer>, String> {
        let boxes = Boxes2d::from_hub(&live.tags, &live.data).map_err(|e| e.to_string())?;
        let answer_id = tag(&live.tags, "answer_id")?;
        let frame_id = frame_id(&live.tags).ok_or("an answer about no frame")?;
        let words = self.words.iter().find(|(id, _)| id == answer_id);
        let frame = self.frames.iter().find(|(id, _)| id == frame_id);
        let (Some((_, text)), Some((_, picture))) = (words, frame) else { return Ok(None) };
        let found = boxes.boxes.iter().enumerate().map(|(n, corners)| Found {
            place: Place::Box(*corners),
            label: boxes.labels.get(n).filter(|label| !label.is_empty()).cloned(),
            confidence: boxes.confidences.get(n).copied(),
        });
        Ok(Some(LiveAnswer {
            answer_id: answer_id.to_owned(),
            version: tag(&live.tags, "policy_version").unwrap_or_default().to_owned(),
            text: text.clone(),
            reading: tag(&live.tags, "reading").unwrap_or_default().to_owned(),
            kind: tag(&live.tags, "answer_kind").unwrap_or_default().to_owned(),
            found: found.collect(),
            picture: picture.clone(),
        }))
    }
}

fn tag<'a>(tags: &'a Tags, name: &str) -> Result<&'a str, String> {
    match tags.get(name) {
        Some(Tag::Text(text)) => Ok(text),
        other => Err(format!("{name} should be a text, got {other:?}")),
    }
}

fn keep<T>(kept: &mut VecDeque<T>, one: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(one);
}
