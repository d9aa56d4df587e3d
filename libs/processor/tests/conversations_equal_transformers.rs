//! Conversations against the Hugging Face processors of Qwen2-VL and Qwen2.5-VL (`golden/make_prompts.py`): text,
//! ids, positions and grids are equal, pixels to the last bit.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vrft_processor::{Conversation, EncodedPrompt, Processor, ProcessorError};
use vrft_vision::{Pixels, Video};

const FAMILIES: [&str; 2] = ["qwen2_vl", "qwen2_5_vl"];

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn read(path: &str) -> Value {
    let text = fs::read_to_string(golden(path)).expect("golden file");
    serde_json::from_str(&text).expect("json")
}

fn processor(family: &str) -> Processor {
    Processor::load(&golden("chat").join(family)).expect("processor")
}

/// A copy of a checkpoint with some files replaced.
fn changed(family: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("temporary folder");
    for entry in fs::read_dir(golden("chat").join(family)).expect("folder") {
        let entry = entry.expect("entry");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
    }
    for (file, text) in files {
        fs::write(copy.path().join(file), text).expect("writes");
    }
    copy
}

#[track_caller]
fn check(name: &str) {
    let cases = read("conversations.json");
    for family in FAMILIES {
        let case = &cases[family][name];
        let generate = case["add_generation_prompt"].as_bool().expect("a flag");
        let conversation =
            Conversation::read(&case["messages"], &golden("chat/images")).expect("files");
        let processor = processor(family);
        let rendered = processor.render_messages(&case["messages"], generate).expect("renders");
        assert_eq!(case["rendered"], rendered, "{family}");
        let prompt = processor.encode_conversation(&conversation, generate).expect("encodes");
        assert_eq!(case["input_ids"], json!(prompt.token_ids), "{family}");
        assert_eq!(case["positions"], json!(prompt.positions), "{family}");
        assert_eq!(case["next_position"], prompt.next_position(), "{family}");
        let grids = prompt.images.iter().map(|image| [image.grid.t, image.grid.h, image.grid.w]);
        assert_eq!(case["grids"], json!(grids.collect::<Vec<_>>()), "{family}");
        let sums = prompt.images.iter().map(|image| crc32(&image.pixels));
        assert_eq!(case["patches_crc32"], json!(sums.collect::<Vec<_>>()), "{family}");
    }
}

/// The checksum of zlib over the bytes of the numbers.
fn crc32(pixels: &[f32]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
    let byte = |crc: u32, byte: u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc));
    !pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).fold(!0, byte)
}

#[test]
fn text_alone() {
    check("text_only");
}

#[test]
fn a_system_turn() {
    check("system");
    check("system_of_parts");
}

#[test]
fn several_turns() {
    check("multi_turn");
    check("ends_with_the_assistant");
    check("other_role");
}

#[test]
fn several_images() {
    check("images_of_different_aspect");
    check("images_in_two_turns");
}

#[test]
fn an_image_of_extreme_aspect() {
    check("extreme_aspect");
}

#[test]
fn a_video() {
    check("video");
    check("video_odd");
    check("video_fast");
    check("video_of_unknown_rate");
}

#[test]
fn videos_among_images() {
    check("video_and_images");
}

#[test]
fn templates_render_as_in_jinja() {
    let golden = read("templates.json");
    for case in golden["made"].as_array().expect("cases") {
        let source = case["template"].as_str().expect("a template");
        let dir = changed("qwen2_vl", &[("chat_template.jinja", source)]);
        let processor = Processor::load(dir.path()).expect(source);
        let rendered = processor.render_messages(&golden["messages"], false);
        assert_eq!(case["text"], rendered.expect(source), "{source}");
    }
}

#[track_caller]
fn check_error(result: Result<EncodedPrompt, ProcessorError>, expected: &str) {
    assert_eq!(result.expect_err("refused").to_string(), expected);
}

fn parts(types: &[&str]) -> Value {
    let parts: Vec<Value> = types.iter().map(|kind| json!({"type": kind, "text": "?"})).collect();
    json!([{"role": "user", "content": parts}])
}

#[test]
fn images_and_videos_are_as_many_as_the_parts() {
    let processor = processor("qwen2_vl");
    check_error(
        processor.encode_messages(&parts(&["image", "text"]), &[], &[], true),
        "images of the prompt should be 1, one for each part of the messages, got 0",
    );
    let frame = Pixels::try_new(16, 16, vec![0; 768]).expect("pixels");
    let video = Video::try_new(vec![frame], 1.0).expect("a video");
    check_error(
        processor.encode_messages(&parts(&["text"]), &[], &[video], true),
        "videos of the prompt should be 0, one for each part of the messages, got 1",
    );
    check_error(
        processor.encode_messages(&json!([]), &[], &[], true),
        "messages should be a list of at least one message, got []",
    );
}

#[test]
fn a_placeholder_in_a_text_stands_for_no_video() {
    let messages = json!([{"role": "user", "content": "what is <|video_pad|>?"}]);
    let prompt =
        processor("qwen2_5_vl").encode_messages(&messages, &[], &[], true).expect("encodes");
    assert!(prompt.images.is_empty());
}

#[test]
fn a_line_of_pixels_is_named_by_its_index() {
    let line = Pixels::try_new(10_000, 1, vec![0; 30_000]).expect("pixels");
    let video = Video::try_new(vec![line], 1.0).expect("a video");
    check_error(
        processor("qwen2_vl").encode_messages(&parts(&["video"]), &[], &[video], true),
        "video 0 of the prompt: the longer side should be at most 200 times the shorter one, \
         got 10000 × 1",
    );
    let header = b"BM\x42\x75\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\x27\0\0\x01\0\0\0\x01\0\x18\0";
    let mut bitmap = [header.as_slice(), &[0; 24]].concat();
    bitmap.resize(54 + 30_000, 0);
    check_error(
        processor("qwen2_vl").encode_messages(&parts(&["image"]), &[&bitmap], &[], true),
        "image 0 of the prompt: the longer side should be at most 200 times the shorter one, \
         got 10000 × 1",
    );
}

#[test]
fn a_tokenizer_without_the_image_token_is_refused() {
    let config = r#"{"model_type": "qwen2_vl", "image_token_id": 151655, "eos_token_id": 2}"#;
    let dir = changed("qwen2_vl", &[("config.json", config)]);
    let error = Processor::load(dir.path()).expect_err("refused").to_string();
    let expected = "config.json: image_token_id should be a token of tokenizer.json, got 151655";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_model_and_a_tokenizer_that_do_not_go_together_are_refused() {
    #[track_caller]
    fn check(config: &str, expected: &str) {
        let dir = changed("qwen2_vl", &[("config.json", config)]);
        let error = Processor::load(dir.path()).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
    let config = r#"{"model_type": "qwen2_vl", "image_token_id": 3, "video_token_id": 7, "eos_token_id": 2}"#;
    check(config, "image_token_id should be 6, <|image_pad|> of tokenizer.json, got 3, <|");
    let config = r#"{"model_type": "qwen2_vl", "image_token_id": 6, "video_token_id": 7, "eos_token_id": 2, "vocab_size": 9}"#;
    check(config, "vocab_size should be at least ");
}

#[test]
fn a_tokenizer_without_the_video_token_cannot_speak_of_videos() {
    let config = r#"{"model_type": "qwen2_vl", "image_token_id": 6, "video_token_id": 999, "eos_token_id": 2}"#;
    let dir = changed("qwen2_vl", &[("config.json", config)]);
    let processor = Processor::load(dir.path()).expect("images will do");
    let frame = Pixels::try_new(16, 16, vec![0; 768]).expect("pixels");
    let video = Video::try_new(vec![frame], 1.0).expect("a video");
    let error = processor.encode_messages(&parts(&["video"]), &[], &[video], true);
    let error = error.expect_err("no such token").to_string();
    let expected = "config.json: video_token_id should be a token of tokenizer.json, \
                    for prompts with a video, got 999";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_template_that_fails_names_its_line() {
    #[track_caller]
    fn check(template: &str, expected: &str) {
        let dir = changed("qwen2_vl", &[("chat_template.jinja", template)]);
        let render = |dir: &Path| Processor::load(dir)?.render_messages(&parts(&["text"]), true);
        let error = render(dir.path()).expect_err("fails").to_string();
        assert_eq!(error, format!("chat template: {expected}"));
    }
    check("\n{{ raise_exception('no images, please') }}", "line 2: no images, please");
    check("{{ messages | no_such_filter }}", "line 1: filter no_such_filter is unknown");
    check("{{ messages.nope.role }}", "line 1: undefined value");
    check("{% for %}", "line 1: unexpected end of block, expected in");
}
