//! The body of a chat completion's request, read as what it asks of the policy.
//!
//! What a key asks for is done, refused by its name, or changes nothing about the answer. A key that is not known is
//! refused as OpenAI's own API does: a misspelled one would be another question without a word.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use vrft_answer::Picture;
use vrft_messages::{Part, Role, Turn};
use vrft_rollout::Sampling;

use crate::keys::{IMAGE, IMAGE_URL, Keys, MESSAGE, REQUEST, STREAM_OPTIONS, TEXT};
use crate::stops::Stops;

/// Lowest temperature but 0: the logits divided by it are to be numbers in f32.
const MIN_TEMPERATURE: f64 = 1e-3;

/// What a request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pictures of one request.
    pub pictures: usize,
    /// Pixels of one picture.
    pub pixels: u64,
    /// Tokens of an answer.
    pub tokens: usize,
}

/// What a request asks of the policy.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) turns: Vec<Turn>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) sampling: Sampling,
    /// Texts that end the answer and are no part of it.
    pub(crate) stops: Stops,
    pub(crate) seed: u64,
    pub(crate) is_streamed: bool,
    /// Whether a stream ends with the numbers of tokens.
    pub(crate) has_usage: bool,
}

/// Reads a request; `usual` is how answers are sampled unless it says otherwise, `system` the turn before conversations
/// that have none of their own.
///
/// # Errors
/// What is wrong with the request, in the words of its keys.
pub(crate) fn read(
    body: &[u8],
    usual: Sampling,
    system: &str,
    limits: &Limits,
) -> Result<Asked, String> {
    let request: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    REQUEST.check(request.as_object().ok_or("expected a JSON object with \"messages\"")?)?;
    let messages = request["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or("messages: expected a list with at least one message")?;
    let mut pictures = Vec::new();
    let mut turns = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let turn = turn(message, &mut pictures, limits);
        turns.push(turn.map_err(|why| format!("messages[{n}].{why}"))?);
    }
    if turns.last().is_some_and(|turn| turn.role != Role::User) {
        return Err("messages: the last one should be the user's".into());
    }
    if !system.is_empty() && turns.iter().all(|turn| turn.role != Role::System) {
        turns.insert(0, Turn::system(system));
    }
    let (sampling, stops) = sampling(&request, usual, limits)?;
    let seed = seed(&request["seed"])?;
    let is_streamed = flag(&request, "stream")?;
    let has_usage = has_usage(&request["stream_options"])?;
    Ok(Asked { turns, pictures, sampling, stops, seed, is_streamed, has_usage })
}

/// The part of a turn that comes from one message. What it says beyond words and pictures may be empty.
fn turn(message: &Value, pictures: &mut Vec<Picture>, limits: &Limits) -> Result<Turn, String> {
    let keys = message.as_object();
    MESSAGE.check(keys.ok_or_else(|| format!("role: expected a message, got {message}"))?)?;
    let role = match message["role"].as_str() {
        // Newer models of OpenAI call by the second name what older ones call by the first.
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => {
            return Err(format!(
                "role: expected system (or developer, which means the same), user or assistant, got {}",
                message["role"]
            ));
        }
    };
    let parts = match &message["content"] {
        Value::String(text) => vec![Part::Text(text.clone())],
        Value::Array(parts) => parts
            .iter()
            .enumerate()
            .map(|(n, part)| {
                let part = self::part(part, role, pictures, limits);
                part.map_err(|why| format!("content[{n}].{why}"))
            })
            .collect::<Result<_, _>>()?,
        other => return Err(format!("content: expected a text or a list of parts, got {other}")),
    };
    Ok(Turn { role, parts })
}

fn part(
    part: &Value,
    role: Role,
    pictures: &mut Vec<Picture>,
    limits: &Limits,
) -> Result<Part, String> {
    match part["type"].as_str() {
        Some("text") => {
            check_part(part, &TEXT)?;
            let text = part["text"].as_str().ok_or("text: expected a text")?;
            Ok(Part::Text(text.to_owned()))
        }
        Some("image_url") if role == Role::User => {
            if pictures.len() == limits.pictures {
                return Err(format!("image_url: at most {} pictures are taken", limits.pictures));
            }
            check_part(part, &IMAGE)?;
            let given = part["image_url"].as_object();
            let given = given.ok_or("image_url: expected an object with \"url\"")?;
            IMAGE_URL.check(given).map_err(|why| format!("image_url.{why}"))?;
            let url = part["image_url"]["url"].as_str();
            let url = url.ok_or("image_url.url: expected a data URL")?;
            pictures.push(picture(url, limits).map_err(|why| format!("image_url.url: {why}"))?);
            Ok(Part::Image)
        }
        Some("image_url") => Err("type: only the user's messages have pictures".into()),
        _ => Err(format!("type: expected text or image_url, got {}", part["type"])),
    }
}

fn check_part(part: &Value, keys: &Keys<'_>) -> Result<(), String> {
    part.as_object().map_or(Ok(()), |part| keys.check(part))
}

/// A picture of a data URL. Nothing is fetched for anybody.
fn picture(url: &str, limits: &Limits) -> Result<Picture, String> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(','));
    let data = data.filter(|(kind, _)| kind.ends_with(";base64")).map(|(_, data)| data);
    let data = data.ok_or("expected data:image/…;base64,… (no address is fetched)")?;
    let file = STANDARD.decode(data.trim()).map_err(|error| format!("as base64: {error}"))?;
    let picture = Picture::of_file(file)?;
    let (width, height) = picture.original;
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(format!(
            "{width} × {height} pixels, at most {} are taken: scale the picture down",
            limits.pixels
        ));
    }
    Ok(picture)
}

/// How the answer is sampled, and the texts that end it because the request says so.
fn sampling(
    request: &Value,
    usual: Sampling,
    limits: &Limits,
) -> Result<(Sampling, Stops), String> {
    let number = |key: &str, expected: &str, fits: &dyn Fn(f64) -> bool| match &request[key] {
        Value::Null => Ok(None),
        value => {
            let number = value.as_f64().filter(|number| fits(*number));
            number.map(Some).ok_or_else(|| format!("{key}: expected {expected}, got {value}"))
        }
    };
    let fits = |t: f64| t == 0.0 || (MIN_TEMPERATURE..=2.0).contains(&t);
    let temperature = number("temperature", "0, or 0.001 to 2", &fits)?;
    let top_p = number("top_p", "a number above 0 and up to 1", &|p| p > 0.0 && p <= 1.0)?;
    let top_k = whole(request, "top_k")?.map_or(usual.top_k, |k| k as usize);
    let key =
        ["max_completion_tokens", "max_tokens"].into_iter().find(|key| !request[*key].is_null());
    let key = key.unwrap_or("max_tokens");
    let max_tokens = whole(request, key)?.unwrap_or(usual.max_tokens as u64);
    let most = limits.tokens as u64;
    if !(1..=most).contains(&max_tokens) {
        return Err(format!("{key}: expected 1 to {most}, got {max_tokens}"));
    }
    let stops = stops(&request["stop"])?;
    let sampling = Sampling {
        temperature: temperature.unwrap_or(usual.temperature),
        top_p: top_p.unwrap_or(usual.top_p),
        top_k,
        max_tokens: max_tokens as usize,
        stop: usual.stop.iter().chain(&stops.0).cloned().collect(),
        ..usual
    };
    Ok((sampling, stops))
}

fn stops(given: &Value) -> Result<Stops, String> {
    let text = |value: &Value| match value.as_str() {
        Some("") => Err("stop: expected texts with at least one character".to_owned()),
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("stop: expected a text or a list of texts, got {value}")),
    };
    let texts = match given {
        Value::Null => Vec::new(),
        Value::Array(texts) => texts.iter().map(text).collect::<Result<_, _>>()?,
        one => vec![text(one)?],
    };
    Ok(Stops(texts))
}

fn whole(request: &Value, key: &str) -> Result<Option<u64>, String> {
    match &request[key] {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| format!("{key}: expected a whole number from 0 on, got {value}")),
    }
}

/// Any whole number: a negative one is another seed than its opposite.
fn seed(given: &Value) -> Result<u64, String> {
    let number = given.as_u64().or_else(|| given.as_i64().map(i64::cast_unsigned));
    match given {
        Value::Null => Ok(0),
        _ => number.ok_or_else(|| format!("seed: expected a whole number, got {given}")),
    }
}

fn flag(request: &Value, key: &str) -> Result<bool, String> {
    match &request[key] {
        Value::Null => Ok(false),
        Value::Bool(value) => Ok(*value),
        other => Err(format!("{key}: expected true or false, got {other}")),
    }
}

fn has_usage(options: &Value) -> Result<bool, String> {
    match options {
        Value::Null => Ok(false),
        Value::Object(keys) => {
            STREAM_OPTIONS.check(keys).map_err(|why| format!("stream_options.{why}"))?;
            flag(options, "include_usage").map_err(|why| format!("stream_options.{why}"))
        }
        other => Err(format!("stream_options: expected an object, got {other}")),
    }
}

#[cfg(test)]
mod tests;
