//! Conversations against the Hugging Face processors of the families whose fixtures `golden/make_prompts_by_family.py`
//! writes: text, ids, positions and grids are equal, pixels to the last bit. A folder is a checkpoint; a family may have
//! several with other settings.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may unwrap, as its functions may")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use vrft_processor::{Conversation, Processor};
use vrft_vision::{Header, Pixels, Video};

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn processor(folder: &str) -> Processor {
    Processor::load(&golden("chat").join(folder)).expect("processor")
}

/// All conversations of a checkpoint, of which there must be so many.
#[track_caller]
fn check(folder: &str, n_cases: usize) {
    let text = fs::read_to_string(golden(&format!("conversations_{folder}.json"))).expect("golden");
    let cases: Value = serde_json::from_str(&text).expect("json");
    let cases = cases.as_object().expect("cases");
    assert_eq!(cases.len(), n_cases);
    let processor = processor(folder);
    for (name, case) in cases {
        let generate = case["add_generation_prompt"].as_bool().expect("a flag");
        let messages = &case["messages"];
        let conversation = Conversation::read(messages, &golden("chat/images")).expect("files");
        let rendered = processor.render_messages(messages, generate).expect("renders");
        assert_eq!(case["rendered"], rendered, "{name}");
        let prompt = processor.encode_conversation(&conversation, generate).expect("encodes");
        assert_eq!(case["input_ids"], json!(prompt.token_ids), "{name}");
        assert_eq!(case["positions"], json!(prompt.positions), "{name}");
        assert_eq!(case["next_position"], prompt.next_position(), "{name}");
        let grids = prompt.images.iter().map(|image| [image.grid.t, image.grid.h, image.grid.w]);
        assert_eq!(case["grids"], json!(grids.collect::<Vec<_>>()), "{name}");
        let sums = prompt.images.iter().map(|image| crc32(&image.pixels));
        assert_eq!(case["patches_crc32"], json!(sums.collect::<Vec<_>>()), "{name}");
        if conversation.videos.is_empty() && generate {
            let sizes =
                conversation.images.iter().map(|bytes| Header::of(bytes).unwrap().displayed());
            let n_tokens =
                processor.count_tokens(messages, &sizes.collect::<Vec<_>>()).expect("counts");
            assert_eq!(n_tokens, prompt.token_ids.len(), "{name}");
        }
    }
}

/// The checksum of zlib over the bytes of the numbers.
fn crc32(pixels: &[f32]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
    let byte = |crc: u32, byte: u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc));
    !pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).fold(!0, byte)
}

#[test]
fn qwen3_vl_with_frames_that_are_picked() {
    check("qwen3_vl", 15);
}

#[test]
fn qwen3_vl_with_all_frames_and_a_bound_on_each() {
    check("qwen3_vl_all_frames", 14);
}

#[test]
fn smolvlm_in_tiles() {
    check("smolvlm", 14);
}

#[test]
fn smolvlm_in_one_piece() {
    check("smolvlm_whole", 14);
}

#[test]
fn idefics3_in_tiles() {
    check("idefics3", 10);
}

fn user(kinds: &[&str]) -> Value {
    let parts: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind, "text": "?"})).collect();
    json!([{"role": "user", "content": parts}])
}

#[track_caller]
fn check_error(folder: &str, messages: &Value, videos: &[Video], expected: &str) {
    let error = processor(folder).encode_messages(messages, &[], videos, true).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

/// The id of an added token of a fixture's tokenizer.
fn added_token(folder: &str, content: &str) -> u32 {
    let file = golden("chat").join(folder).join("tokenizer.json");
    let tokenizer: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let tokens = tokenizer["added_tokens"].as_array().unwrap();
    let token = tokens.iter().find(|token| token["content"] == content).unwrap();
    u32::try_from(token["id"].as_u64().unwrap()).unwrap()
}

/// As with `split_special_tokens` of transformers: what a user writes never becomes a picture's token.
#[test]
fn a_placeholder_in_a_text_is_plain_text() {
    for (folder, placeholder) in [("smolvlm", "<image>"), ("qwen3_vl", "<|video_pad|>")] {
        let text = format!("a {placeholder}?");
        let messages = json!([{"role": "user", "content": [{"type": "text", "text": text}]}]);
        let prompt = processor(folder).encode_messages(&messages, &[], &[], true).unwrap();
        let id = added_token(folder, placeholder);
        assert!(!prompt.token_ids.contains(&id), "{folder}: {:?}", prompt.token_ids);
        assert!(prompt.images.is_empty());
    }
}

fn video(width: usize, height: usize, n_frames: usize) -> Video {
    let frame = Pixels::try_new(width, height, vec![9; width * height * 3]).unwrap();
    Video::try_new(vec![frame; n_frames], 1.0).unwrap()
}

#[test]
fn a_video_that_a_family_cannot_take_is_refused() {
    let expected = "videos should be none: this family has no videos, got 1";
    check_error("idefics3", &user(&["video"]), &[video(30, 20, 2)], expected);
    let expected =
        "video 0 of the prompt: a video should have at least 2 frames to sample from, got 1";
    check_error("qwen3_vl", &user(&["video"]), &[video(30, 20, 1)], expected);
    let expected = "video 0 of the prompt: the longer side should be at most 200 times the shorter \
                    one, got 9600 × 16";
    check_error("qwen3_vl", &user(&["video"]), &[video(600, 1, 2)], expected);
}

/// A copy of a checkpoint with one file replaced.
fn changed(folder: &str, file: &str, text: &str) -> Result<Processor, String> {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("chat").join(folder)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    fs::write(copy.path().join(file), text).unwrap();
    Processor::load(copy.path()).map_err(|error| error.to_string())
}

#[test]
fn tokens_that_are_not_those_of_the_model_are_refused() {
    let config =
        r#"{"model_type": "smolvlm", "image_token_id": 3, "vision_config": {"patch_size": 6}}"#;
    let error = changed("smolvlm", "config.json", config).unwrap_err();
    let expected =
        "config.json: image_token_id should be <image> of tokenizer.json, Some(4), got 3";
    assert!(error.ends_with(expected), "{error}");
    let processor = changed("smolvlm", "processor_config.json", "{}").unwrap();
    let bytes = fs::read(golden("chat/images/near.png")).unwrap();
    let error = processor.encode(None, "?", &[&bytes]).unwrap_err().to_string();
    assert_eq!(
        error,
        "image_seq_len of processor_config.json should be 4, the tokens that the model makes of a \
         tile, got 169"
    );
}

#[test]
fn a_system_turn_is_not_left_out() {
    let processor = processor("smolvlm");
    let rendered = processor.render(Some("Be brief."), "Hm?", 0).unwrap();
    assert_eq!(
        rendered,
        "<|im_start|>System: Be brief.<end_of_utterance>\nUser: Hm?<end_of_utterance>\nAssistant:"
    );
}
