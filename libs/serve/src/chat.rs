//! The chat completions of OpenAI's API: a request to what the policy is asked, an answer to a response.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vrft_answer::{Answered, Picture};
use vrft_messages::{FinishReason, Part, Role, Turn};
use vrft_rollout::Sampling;

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
    pub(crate) seed: u64,
    pub(crate) is_streamed: bool,
    /// Whether a stream ends with the numbers of tokens.
    pub(crate) has_usage: bool,
}

/// Keys that ask for what a policy here does not do, and the values that ask for nothing.
const NOT_DONE: [(&str, &[&str]); 10] = [
    ("tools", &["null", "[]"]),
    ("functions", &["null", "[]"]),
    ("logit_bias", &["null", "{}"]),
    ("logprobs", &["null", "false"]),
    ("top_logprobs", &["null", "0"]),
    ("n", &["null", "1"]),
    ("presence_penalty", &["null", "0", "0.0"]),
    ("frequency_penalty", &["null", "0", "0.0"]),
    ("response_format", &["null", "{\"type\":\"text\"}"]),
    ("modalities", &["null", "[\"text\"]"]),
];

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
    for (key, nothing) in NOT_DONE {
        let got = request[key].to_string();
        if !nothing.contains(&got.as_str()) {
            return Err(format!("{key}: not supported here, got {got}"));
        }
    }
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
    let sampling = sampling(&request, usual, limits)?;
    let seed = whole(&request, "seed")?.unwrap_or(0);
    let is_streamed = flag(&request, "stream")?;
    let has_usage = flag(&request["stream_options"], "include_usage")?;
    Ok(Asked { turns, pictures, sampling, seed, is_streamed, has_usage })
}

fn turn(message: &Value, pictures: &mut Vec<Picture>, limits: &Limits) -> Result<Turn, String> {
    let role = match message["role"].as_str() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => {
            return Err(format!(
                "role: expected system, user or assistant, got {}",
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
            let text = part["text"].as_str().ok_or("text: expected a text")?;
            Ok(Part::Text(text.to_owned()))
        }
        Some("image_url") if role == Role::User => {
            if pictures.len() == limits.pictures {
                return Err(format!("image_url: at most {} pictures are taken", limits.pictures));
            }
            let url = part["image_url"]["url"].as_str();
            let url = url.ok_or("image_url.url: expected a data URL")?;
            pictures.push(picture(url, limits).map_err(|why| format!("image_url.url: {why}"))?);
            Ok(Part::Image)
        }
        Some("image_url") => Err("type: only the user's messages have pictures".into()),
        _ => Err(format!("type: expected text or image_url, got {}", part["type"])),
    }
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

fn sampling(request: &Value, usual: Sampling, limits: &Limits) -> Result<Sampling, String> {
    let number = |key: &str, low: f64, high: f64| match &request[key] {
        Value::Null => Ok(None),
        value => {
            let number = value.as_f64().filter(|number| (low..=high).contains(number));
            number.map(Some).ok_or_else(|| format!("{key}: expected {low} to {high}, got {value}"))
        }
    };
    let temperature = number("temperature", 0.0, 2.0)?.unwrap_or(usual.temperature);
    let top_p = number("top_p", f64::MIN_POSITIVE, 1.0)?.unwrap_or(usual.top_p);
    let asked = match whole(request, "max_completion_tokens")? {
        Some(tokens) => Some(tokens),
        None => whole(request, "max_tokens")?,
    };
    let max_tokens = asked.map_or(usual.max_tokens, |tokens| tokens as usize);
    if max_tokens == 0 || max_tokens > limits.tokens {
        let most = limits.tokens;
        return Err(format!("max_tokens: expected 1 to {most}, got {max_tokens}"));
    }
    let mut stop = usual.stop.clone();
    match &request["stop"] {
        Value::Null => {}
        Value::String(text) => stop.push(text.clone()),
        Value::Array(texts) => {
            for text in texts {
                stop.push(text.as_str().ok_or("stop: expected texts")?.to_owned());
            }
        }
        other => return Err(format!("stop: expected a text or a list of texts, got {other}")),
    }
    if stop.iter().any(String::is_empty) {
        return Err("stop: expected texts with at least one character".into());
    }
    Ok(Sampling { temperature, top_p, max_tokens, stop, ..usual })
}

fn whole(request: &Value, key: &str) -> Result<Option<u64>, String> {
    match &request[key] {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| format!("{key}: expected a whole number, got {value}")),
    }
}

fn flag(request: &Value, key: &str) -> Result<bool, String> {
    match &request[key] {
        Value::Null => Ok(false),
        Value::Bool(value) => Ok(*value),
        other => Err(format!("{key}: expected true or false, got {other}")),
    }
}

/// Why an answer ended, in the words of the API.
fn finish_reason(answered: &Answered) -> &'static str {
    match answered.finish_reason {
        FinishReason::Length => "length",
        FinishReason::Stop | FinishReason::EndOfTurn => "stop",
    }
}

fn usage(answered: &Answered) -> Value {
    json!({
        "prompt_tokens": answered.n_prompt_tokens,
        "completion_tokens": answered.n_tokens,
        "total_tokens": answered.n_prompt_tokens + answered.n_tokens,
    })
}

/// What the API has no field for: what was found, in pixels of the first picture.
fn found(answered: &Answered) -> Value {
    json!({
        "version": answered.version,
        "reading": answered.reading,
        "found": answered.found,
        "secs": answered.took.as_secs_f64(),
    })
}

/// A whole response.
pub(crate) fn response(id: &str, created: u64, answered: &Answered) -> Value {
    json!({
        "id": id, "object": "chat.completion", "created": created, "model": answered.version,
        "choices": [{
            "index": 0, "finish_reason": finish_reason(answered), "logprobs": null,
            "message": {"role": "assistant", "content": answered.text, "refusal": null},
        }],
        "usage": usage(answered), "vrft": found(answered),
    })
}

/// A part of a streamed response: its next words, if there are any.
pub(crate) fn chunk(id: &str, created: u64, model: &str, words: &str, is_first: bool) -> Value {
    let mut delta = json!({"content": words});
    if is_first {
        delta["role"] = "assistant".into();
    }
    json!({
        "id": id, "object": "chat.completion.chunk", "created": created, "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}],
    })
}

/// The last parts of a streamed response.
pub(crate) fn last_chunks(
    id: &str,
    created: u64,
    answered: &Answered,
    has_usage: bool,
) -> Vec<Value> {
    let mut last = chunk(id, created, &answered.version, "", false);
    last["choices"][0]["delta"] = json!({});
    last["choices"][0]["finish_reason"] = finish_reason(answered).into();
    last["vrft"] = found(answered);
    let mut chunks = vec![last];
    if has_usage {
        let mut of_usage = chunk(id, created, &answered.version, "", false);
        of_usage["choices"] = json!([]);
        of_usage["usage"] = usage(answered);
        chunks.push(of_usage);
    }
    chunks
}

/// An error as the API's clients read it.
pub(crate) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        401 | 403 => "authentication_error",
        429 | 503 => "overloaded_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { pictures: 2, pixels: 10_000, tokens: 256 };
    /// A PNG of one pixel.
    const DOT: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    fn read(request: Value) -> Result<Asked, String> {
        let usual = Sampling::greedy(128, vec!["</answer>".into()]);
        super::read(request.to_string().as_bytes(), usual, "Be brief.", &LIMITS)
    }

    fn user(content: Value) -> Value {
        json!({"messages": [{"role": "user", "content": content}]})
    }

    #[test]
    fn a_conversation_with_a_picture_is_read() {
        let picture = json!({"type": "image_url", "image_url": {"url": DOT}});
        let mut request = user(json!([{"type": "text", "text": "Who?"}, picture]));
        request["max_tokens"] = 7.into();
        request["temperature"] = 0.5.into();
        request["stop"] = "\n".into();
        request["stream"] = true.into();
        let asked = read(request).unwrap();
        assert_eq!(asked.turns[0], Turn::system("Be brief."));
        assert_eq!(asked.turns[1].parts, [Part::Text("Who?".into()), Part::Image]);
        assert_eq!((asked.pictures[0].original, asked.is_streamed), ((1, 1), true));
        let Sampling { temperature, max_tokens, stop, .. } = asked.sampling;
        assert_eq!((temperature, max_tokens, stop.len()), (0.5, 7, 2));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_key() {
        let refused = |key: &str, value: Value| {
            let mut request = user(json!("Who?"));
            request[key] = value;
            read(request).unwrap_err()
        };
        for (key, value) in [
            ("tools", json!([{}])),
            ("n", json!(2)),
            ("response_format", json!({"type": "json_object"})),
            ("temperature", json!(-1)),
            ("top_p", json!(0)),
            ("max_tokens", json!(257)),
            ("stop", json!([""])),
            ("stream", json!("yes")),
            ("messages", json!([])),
            ("messages", json!([{"role": "assistant", "content": "No."}])),
        ] {
            assert!(refused(key, value).starts_with(key), "{key}");
        }
        assert_eq!(
            read(json!({})).unwrap_err(),
            "messages: expected a list with at least one message"
        );
    }

    #[test]
    fn a_picture_that_cannot_be_shown_is_refused_by_its_place() {
        let of = |url: &str| {
            let part = json!({"type": "image_url", "image_url": {"url": url}});
            read(user(json!([part]))).unwrap_err()
        };
        let place = "messages[0].content[0].image_url.url: ";
        assert!(of("https://example.org/a.png").starts_with(&format!("{place}expected data:")));
        assert!(of("data:image/png;base64,!!").starts_with(&format!("{place}as base64")));
        assert!(of("data:image/png;base64,AAAA").starts_with(place));
        let three =
            json!([0, 1, 2].map(|_| json!({"type": "image_url", "image_url": {"url": DOT}})));
        assert!(read(user(three)).unwrap_err().contains("at most 2 pictures"));
    }
}
