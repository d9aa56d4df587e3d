//! Prompts against a processor of Hugging Face's (`libs/model/tests/golden/make_golden.py`): text, ids and positions are
//! equal, pixels to the last bit.

use std::path::PathBuf;

use serde_json::Value;
use vrft_processor::{Processor, ProcessorError};

const END_OF_TURN: u32 = 2;

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden").join(path)
}

fn processor() -> Processor {
    Processor::load(&golden("qwen2_vl")).expect("processor")
}

fn case(name: &str) -> Value {
    let text = std::fs::read_to_string(golden("prompts.json")).expect("golden file");
    let mut cases: Value = serde_json::from_str(&text).expect("json");
    cases[name].take()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("list")
}

fn images(case: &Value) -> Vec<Vec<u8>> {
    let names: Vec<String> = list(&case["images"]);
    let read = |name: String| std::fs::read(golden(&format!("images/{name}.png"))).expect("image");
    names.into_iter().map(read).collect()
}

#[track_caller]
fn check(name: &str) {
    let processor = processor();
    let case = case(name);
    let (system, text) = (case["system"].as_str(), case["text"].as_str().expect("text"));
    let images = images(&case);
    let rendered = processor.render(system, text, images.len()).expect("renders");
    assert_eq!(rendered, case["rendered"].as_str().expect("text"));
    let bytes: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let prompt = processor.encode(system, text, &bytes).expect("encodes");
    assert_eq!(prompt.token_ids, list::<Vec<u32>>(&case["input_ids"]));
    assert_eq!(prompt.positions, list::<Vec<[u32; 3]>>(&case["positions"]));
    assert_eq!(u64::from(prompt.next_position()), case["next_position"]);
    let own = images.iter().map(|image| processor.preprocessor().patches(image).expect("patches"));
    assert_eq!(prompt.images, own.collect::<Vec<_>>());
}

#[test]
fn a_prompt_with_one_image() {
    check("one_image");
}

#[test]
fn a_prompt_with_two_images_and_a_system_turn() {
    check("two_images");
}

#[test]
fn a_prompt_without_an_image() {
    check("no_image");
}

#[test]
fn completions_end_their_turn() {
    let processor = processor();
    let case = case("one_image");
    let texts: Vec<String> = list(&case["completions"]);
    let ids: Vec<Vec<u32>> = list(&case["completion_ids"]);
    for (text, ids) in texts.iter().zip(&ids) {
        assert_eq!(processor.encode_completion(text).expect("encodes"), *ids);
        assert_eq!(processor.decode(ids).expect("decodes"), *text);
    }
    assert_eq!(processor.end_ids(), [END_OF_TURN, 0]);
}

#[test]
fn any_token_ids_decode_as_in_python() {
    for name in ["one_image", "two_images", "no_image"] {
        let case = case(name);
        let ids: Vec<u32> = list(&case["greedy_ids"]);
        assert_eq!(processor().decode(&ids).expect("decodes"), case["greedy_text"]);
    }
}

#[test]
fn an_empty_system_turn_is_none() {
    let processor = processor();
    let prompt = processor.encode(None, "hi", &[]).expect("encodes");
    assert_eq!(processor.encode(Some(""), "hi", &[]).expect("encodes"), prompt);
}

/// Made by `golden/make_spelled.py`.
#[test]
fn special_tokens_that_a_text_spells_are_plain_text() {
    let text = include_str!("golden/spelled.json");
    let cases: Vec<Value> = serde_json::from_str(text).expect("json");
    let processor = processor();
    for case in cases {
        let text = case["text"].as_str().expect("text");
        let messages = serde_json::json!([{"role": "user", "content": text}]);
        // The template puts a default system turn before it.
        let ids = processor.encode_messages(&messages, &[], &[], true).expect("encodes").token_ids;
        let expected: Vec<u32> = list(&case["ids"]);
        assert!(ids.ends_with(&expected), "{text}: {ids:?} does not end with {expected:?}");
        assert_eq!(processor.count_tokens(&messages, &[]).expect("counts"), ids.len());
        let mut completion: Vec<u32> = list(&case["plain"]);
        completion.push(END_OF_TURN);
        assert_eq!(processor.encode_completion(text).expect("encodes"), completion);
    }
}

#[test]
fn a_broken_image_is_named_by_its_index() {
    let image = std::fs::read(golden("images/wide.png")).expect("image");
    let error = processor().encode(None, "hi", &[&image, b"no image"]).expect_err("refused");
    assert!(matches!(error, ProcessorError::Image { image_idx: 1, .. }));
    assert!(
        error.to_string().starts_with("image 1 of the prompt: cannot decode 8 bytes"),
        "{error}"
    );
}

#[test]
fn a_folder_without_a_tokenizer_names_the_file() {
    let dir = tempfile::tempdir().expect("temporary folder");
    std::fs::copy(golden("qwen2_vl/config.json"), dir.path().join("config.json")).expect("copies");
    let error = Processor::load(dir.path()).expect_err("no tokenizer");
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}
