//! The chat completions of OpenAI's API: an answer to a response, whole or in pieces.

use serde_json::{Value, json};
use vrft_answer::Answered;
use vrft_messages::FinishReason;

use crate::stops::Stops;

/// Why a request is not answered: the status in HTTP's numbers, and the reason.
pub(crate) type Refused = (u16, String);

/// Why an answer ended, in the words of the API.
fn finish_reason(answered: &Answered) -> &'static str {
    match answered.finish_reason {
        FinishReason::Length => "length",
        FinishReason::Stop | FinishReason::EndOfTurn | FinishReason::Call | FinishReason::Shown => {
            "stop"
        }
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
        "digest": answered.digest,
        "reading": answered.reading,
        "kind": answered.kind,
        "found": answered.found,
        "secs": answered.took.as_secs_f64(),
    })
}

/// A whole response: what the policy said up to the first stop that the request names.
pub(crate) fn response(id: &str, created: u64, answered: &Answered, stops: &Stops) -> Value {
    let content = stops.cut(&answered.text);
    json!({
        "id": id, "object": "chat.completion", "created": created,
        "model": answered.version, "system_fingerprint": answered.digest,
        "choices": [{
            "index": 0, "finish_reason": finish_reason(answered), "logprobs": null,
            "message": {"role": "assistant", "content": content, "refusal": null},
        }],
        "usage": usage(answered), "vrft": found(answered),
    })
}

/// A part of a streamed response of a version with this digest: its next words, if there are any.
pub(crate) fn chunk(
    id: &str,
    created: u64,
    (version, digest): (&str, &str),
    words: &str,
    is_first: bool,
) -> Value {
    let mut delta = json!({"content": words});
    if is_first {
        delta["role"] = "assistant".into();
    }
    json!({
        "id": id, "object": "chat.completion.chunk", "created": created,
        "model": version, "system_fingerprint": digest,
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
    let by = (answered.version.as_str(), answered.digest.as_str());
    let mut last = chunk(id, created, by, "", false);
    last["choices"][0]["delta"] = json!({});
    last["choices"][0]["finish_reason"] = finish_reason(answered).into();
    last["vrft"] = found(answered);
    let mut chunks = vec![last];
    if has_usage {
        let mut of_usage = chunk(id, created, by, "", false);
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
