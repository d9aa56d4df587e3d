//! Requests as OpenAI's clients and others write them.

use serde_json::json;

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

fn with(key: &str, value: Value) -> Result<Asked, String> {
    let mut request = user(json!("Who?"));
    request[key] = value;
    read(request)
}

#[test]
fn a_conversation_with_a_picture_is_read() {
    let picture = json!({"type": "image_url", "image_url": {"url": DOT, "detail": "high"}});
    let mut request = user(json!([{"type": "text", "text": "Who?"}, picture]));
    request["max_tokens"] = 7.into();
    request["temperature"] = 0.5.into();
    request["top_k"] = 3.into();
    request["stop"] = "\n".into();
    request["stream"] = true.into();
    let asked = read(request).unwrap();
    assert_eq!(asked.turns[0], Turn::system("Be brief."));
    assert_eq!(asked.turns[1].parts, [Part::Text("Who?".into()), Part::Image]);
    assert_eq!((asked.pictures[0].original, asked.is_streamed), ((1, 1), true));
    let Sampling { temperature, top_k, max_tokens, stop, .. } = asked.sampling;
    assert_eq!((temperature, top_k, max_tokens), (0.5, 3, 7));
    assert_eq!(stop, ["</answer>", "\n"]);
    assert_eq!(asked.stops.0, ["\n"], "the run's own stays in the answer");
}

#[test]
fn what_is_not_understood_is_refused_by_its_key() {
    for (key, value) in [
        ("tools", json!([{}])),
        ("tool_choice", json!("required")),
        ("n", json!(2)),
        ("logit_bias", json!({"7": 1})),
        ("response_format", json!({"type": "json_object"})),
        ("web_search_options", json!({})),
        ("temprature", json!(1)),
        ("temperature", json!(-1)),
        ("top_p", json!(0)),
        ("top_k", json!(-1)),
        ("max_tokens", json!(257)),
        ("max_completion_tokens", json!(0)),
        ("stop", json!([""])),
        ("stop", json!(7)),
        ("stream", json!("yes")),
        ("stream_options", json!(true)),
        ("stream_options", json!({"include_usage": 1})),
        ("messages", json!([])),
        ("messages", json!([{"role": "assistant", "content": "No."}])),
        ("messages", json!([{"role": "user", "content": "Who?", "tool_calls": [{}]}])),
        ("messages", json!([{"role": "user", "content": "Who?", "refusal": "no"}])),
        ("messages", json!([{"role": "user", "content": "Who?", "contents": "What?"}])),
        ("messages", json!(["Who?"])),
        ("stream_options", json!({"include_usages": true})),
        ("seed", json!(1.5)),
        ("seed", json!("7")),
    ] {
        let why = with(key, value.clone()).unwrap_err();
        assert!(why.starts_with(key), "{key} = {value}: {why}");
    }
    let why = with("top_p", json!(0)).unwrap_err();
    assert_eq!(why, "top_p: expected a number above 0 and up to 1, got 0");
    let expected = "messages: expected a list with at least one message";
    assert_eq!(read(json!({})).unwrap_err(), expected);
    assert!(read(json!([])).unwrap_err().contains("a JSON object"));
}

#[test]
fn what_changes_nothing_about_the_answer_is_ignored() {
    for (key, value) in [
        ("model", json!("gpt-5")),
        ("user", json!("ada")),
        ("metadata", json!({"a": "b"})),
        ("n", json!(1)),
        ("tools", json!([])),
        ("response_format", json!({"type": "text"})),
        ("temperature", Value::Null),
        ("anything", Value::Null),
    ] {
        with(key, value).unwrap();
    }
    // As OpenAI's client writes an answer back into the conversation.
    let said = json!({"role": "assistant", "content": "A cup.", "refusal": null, "annotations": [],
                      "audio": null, "function_call": null, "tool_calls": null});
    let turns =
        json!([{"role": "user", "content": "What?"}, said, {"role": "user", "content": "Where?"}]);
    assert_eq!(read(json!({"messages": turns})).unwrap().turns.len(), 4);
}

#[test]
fn an_unknown_key_is_named_wherever_it_stands() {
    let url = json!({"url": DOT});
    for (message, place) in [
        (json!({"role": "user", "content": "?", "temprature": 1}), "messages[0].temprature: "),
        (
            json!({"role": "user", "content": [{"type": "text", "text": "?", "language": "en"}]}),
            "messages[0].content[0].language: ",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url", "image_url": url, "crop": 1}]}),
            "messages[0].content[0].crop: ",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": DOT, "fit": 1}}]}),
            "messages[0].content[0].image_url.fit: ",
        ),
    ] {
        let why = read(json!({"messages": [message]})).unwrap_err();
        let expected = format!("{place}not known here; what can be set is ");
        assert!(why.starts_with(&expected), "{why}");
    }
    let named = json!([{"role": "user", "content": "?", "name": "ada"}]);
    read(json!({"messages": named})).unwrap();
}

#[test]
fn a_seed_is_any_whole_number() {
    let seed = |seed: Value| with("seed", seed).unwrap().seed;
    let seeds = [json!(-1), json!(i64::MIN), json!(0), json!(7), json!(u64::MAX - 1)].map(seed);
    assert_eq!(seeds, [u64::MAX, 1 << 63, 0, 7, u64::MAX - 1]);
}

#[test]
fn a_developer_speaks_as_the_system_does() {
    let turns =
        json!([{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "?"}]);
    let asked = read(json!({"messages": turns})).unwrap();
    assert_eq!(asked.turns[0], Turn::system("Be kind."));
    assert_eq!(asked.turns.len(), 2, "it takes the place of the run's own");
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
    let three = json!([0, 1, 2].map(|_| json!({"type": "image_url", "image_url": {"url": DOT}})));
    assert!(read(user(three)).unwrap_err().contains("at most 2 pictures"));
}
