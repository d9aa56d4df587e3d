//! Conversations in the form of Hugging Face chat messages, and the files that it names.

use std::path::Path;

use serde_json::Value;
use vrft_vision::Video;

use crate::ProcessorError;

/// Messages with the images and videos that they speak of.
///
/// A message has a `role` and a `content`: a text, or a list of parts of the types `text`, `image` and `video`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// The list of messages.
    pub messages: Value,
    /// Image files (PNG, JPEG, WebP, BMP, GIF, TIFF or PNM), in the order of the parts.
    pub images: Vec<Vec<u8>>,
    /// Videos, in the order of the parts.
    pub videos: Vec<Video>,
}

/// Keys under which transformers looks for a file; the part's own type is one more.
const FILE_KEYS: [&str; 2] = ["path", "url"];

impl Conversation {
    /// Reads the files that the messages name; relative paths start at `folder`.
    ///
    /// An image part has its file under `path`, `image` or `url`. A video part has a list of files there, one
    /// image for each frame, and frames a second under `fps` ([`Video::DEFAULT_RATE`] without).
    ///
    /// # Errors
    /// Messages of another form, a part without a file, a file that cannot be read, frames that make no video;
    /// each by the message and the part.
    pub fn read(messages: &Value, folder: &Path) -> Result<Self, ProcessorError> {
        let (mut images, mut videos) = (Vec::new(), Vec::new());
        for part in parts(messages)? {
            match part.kind {
                Kind::Text => {}
                Kind::Image => images.push(part.image(folder)?),
                Kind::Video => {
                    let video = part.video(folder, videos.len())?;
                    videos.push(video);
                }
            }
        }
        Ok(Self { messages: messages.clone(), images, videos })
    }
}

/// How many images and videos a conversation speaks of.
///
/// # Errors
/// Messages that are no conversation.
pub(crate) fn count_media(messages: &Value) -> Result<(usize, usize), ProcessorError> {
    let parts = parts(messages)?;
    let count = |kind| parts.iter().filter(|part| part.kind == kind).count();
    Ok((count(Kind::Image), count(Kind::Video)))
}

/// Whether any part of any message is a video; messages of another form have none.
pub(crate) fn has_video(messages: &Value) -> bool {
    count_media(messages).is_ok_and(|(_, n_videos)| n_videos > 0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Image,
    Video,
}

/// One part of a message's content.
struct Part<'a> {
    kind: Kind,
    value: &'a Value,
    /// Where it stands, as in `messages[0].content[1]`.
    place: String,
}

/// All parts of all messages; a content that is a text has none.
fn parts(messages: &Value) -> Result<Vec<Part<'_>>, ProcessorError> {
    let list = messages.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| input("messages", "a list of at least one message", messages))?;
    let mut parts = Vec::new();
    for (i, message) in list.iter().enumerate() {
        let place = format!("messages[{i}]");
        if !message["role"].is_string() {
            return Err(input(&format!("{place}.role"), "a text", &message["role"]));
        }
        match &message["content"] {
            // A turn that only calls tools has no content.
            Value::String(_) | Value::Null => {}
            Value::Array(content) => {
                for (j, value) in content.iter().enumerate() {
                    parts.push(Part::new(value, format!("{place}.content[{j}]"))?);
                }
            }
            other => {
                let expected = "a text or a list of parts";
                return Err(input(&format!("{place}.content"), expected, other));
            }
        }
    }
    Ok(parts)
}

impl<'a> Part<'a> {
    fn new(value: &'a Value, place: String) -> Result<Self, ProcessorError> {
        let kind = match value["type"].as_str() {
            Some("text") => Kind::Text,
            Some("image") => Kind::Image,
            Some("video") => Kind::Video,
            _ => {
                let what = format!("{place}.type");
                return Err(input(&what, "text, image or video", &value["type"]));
            }
        };
        if kind == Kind::Text && !value["text"].is_string() {
            return Err(input(&format!("{place}.text"), "a text", &value["text"]));
        }
        Ok(Self { kind, value, place })
    }

    fn image(&self, folder: &Path) -> Result<Vec<u8>, ProcessorError> {
        let value = self.source("image")?;
        self.file(value, folder, "the path of an image file")
    }

    fn video(&self, folder: &Path, video_idx: usize) -> Result<Video, ProcessorError> {
        let value = self.source("video")?;
        let expected = "a list of image files, one for each frame";
        let frames = value.as_array().ok_or_else(|| input(&self.place, expected, value))?;
        let read = |frame| self.file(frame, folder, expected);
        let frames = frames.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let rate = match &self.value["fps"] {
            Value::Null => Video::DEFAULT_RATE,
            value => value.as_f64().ok_or_else(|| {
                input(&format!("{}.fps", self.place), "a number of frames a second", value)
            })?,
        };
        let video = Video::decode(&frames, rate);
        video.map_err(|source| ProcessorError::Video { video_idx, source })
    }

    /// Where the part says that its file or files are.
    fn source(&self, own_key: &str) -> Result<&'a Value, ProcessorError> {
        let keys = FILE_KEYS.iter().copied().chain([own_key]);
        let mut found = keys.filter_map(|key| self.value.get(key)).filter(|v| !v.is_null());
        found.next().ok_or_else(|| {
            let what = format!("{} of type {own_key}", self.place);
            ProcessorError::input(
                what,
                format!("one with a path, a url or an {own_key}"),
                self.value,
            )
        })
    }

    fn file(
        &self,
        value: &Value,
        folder: &Path,
        expected: &str,
    ) -> Result<Vec<u8>, ProcessorError> {
        let text = value.as_str().filter(|text| !text.contains("://") || is_file_url(text));
        let text = text.ok_or_else(|| input(&self.place, expected, value))?;
        let path = folder.join(text.strip_prefix(FILE_SCHEME).unwrap_or(text));
        std::fs::read(&path).map_err(|source| ProcessorError::Read { path, source })
    }
}

const FILE_SCHEME: &str = "file://";

fn is_file_url(text: &str) -> bool {
    text.starts_with(FILE_SCHEME)
}

fn input(what: &str, expected: &str, got: &Value) -> ProcessorError {
    let got = if got.is_null() { "nothing".to_owned() } else { got.to_string() };
    ProcessorError::input(what, expected, got)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(part: Value) -> Value {
        json!([{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}])
    }

    #[track_caller]
    fn check_error(messages: &Value, expected: &str) {
        let dir = tempfile::tempdir().expect("temporary folder");
        let error = Conversation::read(messages, dir.path()).expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn messages_that_are_no_conversation_are_refused_where_they_are_wrong() {
        check_error(&json!([]), "messages should be a list of at least one message, got []");
        check_error(&json!("hi"), "messages should be a list of at least one message, got \"hi\"");
        check_error(&json!([{"content": "hi"}]), "messages[0].role should be a text, got nothing");
        check_error(
            &json!([{"role": "user", "content": "hi"}, {"role": "user", "content": 3}]),
            "messages[1].content should be a text or a list of parts, got 3",
        );
        check_error(
            &user(json!({"type": "sound"})),
            "messages[0].content[1].type should be text, image or video, got \"sound\"",
        );
        check_error(
            &user(json!({"type": "text"})),
            "messages[0].content[1].text should be a text, got nothing",
        );
    }

    #[test]
    fn a_part_without_its_file_is_refused() {
        check_error(
            &user(json!({"type": "image"})),
            "messages[0].content[1] of type image should be one with a path, a url or an image, \
             got {\"type\":\"image\"}",
        );
        check_error(
            &user(json!({"type": "image", "url": "https://example.org/cat.png"})),
            "messages[0].content[1] should be the path of an image file, \
             got \"https://example.org/cat.png\"",
        );
        check_error(
            &user(json!({"type": "video", "path": "cat.mp4"})),
            "messages[0].content[1] should be a list of image files, one for each frame, \
             got \"cat.mp4\"",
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let messages = user(json!({"type": "image", "path": "cat.png"}));
        let error = Conversation::read(&messages, Path::new("nowhere")).expect_err("absent");
        assert!(error.to_string().starts_with("cannot read \"nowhere/cat.png\""), "{error}");
    }

    #[test]
    fn files_are_read_in_the_order_of_the_parts() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), name).expect("writes");
        }
        let full = format!("file://{}", dir.path().join("c").display());
        let messages = json!([
            {"role": "user", "content": [{"type": "image", "image": "b"}, {"type": "image", "path": "a"}]},
            {"role": "assistant", "content": "Both."},
            {"role": "user", "content": [{"type": "image", "url": full}]},
        ]);
        let conversation = Conversation::read(&messages, dir.path()).expect("reads");
        assert_eq!(conversation.images, [b"b", b"a", b"c"]);
    }

    #[test]
    fn a_broken_video_is_named_by_its_number() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("frame.png"), "no image").expect("writes");
        let messages = user(json!({"type": "video", "video": ["frame.png"], "fps": 2}));
        let error = Conversation::read(&messages, dir.path()).expect_err("broken").to_string();
        assert!(
            error.starts_with("video 0 of the prompt: frame 0 of the video: cannot decode"),
            "{error}"
        );
        let none = user(json!({"type": "video", "video": []}));
        check_error(
            &none,
            "video 0 of the prompt: a video should have at least one frame, got none",
        );
    }
}
