//! What the keys of a request are worth: each is read, changes nothing about the answer, or is refused by its name, wherever
//! in the request it stands.

use serde_json::{Map, Value};

/// The keys of one part of a request.
pub(crate) struct Keys<'a> {
    /// Those that are read.
    read: &'a [&'a str],
    /// Those that change nothing about the answer.
    harmless: &'a [&'a str],
    /// Those that ask for what a policy here does not do, and the values that ask for nothing.
    not_done: &'a [(&'a str, &'a [&'a str])],
}

/// The request as a whole.
pub(crate) const REQUEST: Keys<'_> = Keys { read: &READ, harmless: &HARMLESS, not_done: &NOT_DONE };

/// A message, as people write it and as OpenAI's client writes an answer back into a conversation.
pub(crate) const MESSAGE: Keys<'_> = Keys {
    read: &["role", "content"],
    // Who speaks among several of one role is for the reader.
    harmless: &["name"],
    not_done: &[
        ("tool_calls", &["[]"]),
        ("function_call", &[]),
        ("audio", &[]),
        ("refusal", &["\"\""]),
        ("annotations", &["[]"]),
    ],
};

/// A part of a message in words.
pub(crate) const TEXT: Keys<'_> = Keys { read: &["type", "text"], harmless: &[], not_done: &[] };
/// A part of a message that is a picture.
pub(crate) const IMAGE: Keys<'_> =
    Keys { read: &["type", "image_url"], harmless: &[], not_done: &[] };
/// How closely a picture is looked at is the same for all: as the run has it (`policy.max_pixels`).
pub(crate) const IMAGE_URL: Keys<'_> =
    Keys { read: &["url"], harmless: &["detail"], not_done: &[] };
/// How a stream is told.
pub(crate) const STREAM_OPTIONS: Keys<'_> =
    Keys { read: &["include_usage"], harmless: &["include_obfuscation"], not_done: &[] };

/// Keys that are read.
const READ: [&str; 10] = [
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "stream",
    "stream_options",
];

/// Keys that change nothing about the answer: whoever is named as the model, one policy is in use.
const HARMLESS: [&str; 11] = [
    "model",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",
    "prediction",
    "skip_special_tokens",
];

/// Keys that ask for what a policy here does not do, and the values that ask for nothing.
const NOT_DONE: [(&str, &[&str]); 17] = [
    ("tools", &["[]"]),
    ("tool_choice", &["\"none\"", "\"auto\""]),
    ("functions", &["[]"]),
    ("function_call", &["\"none\"", "\"auto\""]),
    ("logit_bias", &["{}"]),
    ("logprobs", &["false"]),
    ("top_logprobs", &["0"]),
    ("n", &["1", "1.0"]),
    ("best_of", &["1"]),
    ("presence_penalty", &["0", "0.0"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("repetition_penalty", &["1", "1.0"]),
    ("min_p", &["0", "0.0"]),
    ("min_tokens", &["0"]),
    ("ignore_eos", &["false"]),
    ("response_format", &["{\"type\":\"text\"}"]),
    ("modalities", &["[\"text\"]"]),
];

impl Keys<'_> {
    /// Refuses a key that is not known, and one that asks for what is not done. A value of null stands for a key that is not
    /// given.
    pub(crate) fn check(&self, object: &Map<String, Value>) -> Result<(), String> {
        for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let key = key.as_str();
            if self.read.contains(&key) || self.harmless.contains(&key) {
                continue;
            }
            let Some((_, nothing)) = self.not_done.iter().find(|(known, _)| *known == key) else {
                let known = self.read.join(", ");
                return Err(format!("{key}: not known here; what can be set is {known}"));
            };
            let got = value.to_string();
            if !nothing.contains(&got.as_str()) {
                return Err(format!("{key}: not supported here, got {got}"));
            }
        }
        Ok(())
    }
}
