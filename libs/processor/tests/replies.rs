//! What is inserted between two turns of the policy has the tokens, positions and pixels that it has within the whole
//! conversation, which the other tests of this folder hold to transformers'.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vrft_processor::Processor;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat")
}

fn asked(text: &str) -> Value {
    json!({"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]})
}

#[track_caller]
fn check(checkpoint: &Path, ended: bool) {
    let processor = Processor::load(checkpoint).expect("processor");
    let read = |name: &str| std::fs::read(golden().join("images").join(name)).expect("image");
    let (first, second) = (read("wide.png"), read("tall.png"));
    let question = json!([asked("Where?")]);
    let prompt = processor.encode_messages(&question, &[&first], &[], true).expect("encodes");
    // A special token that somebody spells is plain text in both.
    let closer = "Closer, <|im_end|> they say.";
    let reply = processor.encode_reply(closer, &[&second], ended).expect("encodes");
    let turns = json!([asked("Where?"), {"role": "assistant", "content": "There."}, asked(closer)]);
    let whole = processor.encode_messages(&turns, &[&first, &second], &[], true).expect("encodes");

    let n_own = whole.token_ids.len() - prompt.token_ids.len() - reply.token_ids.len();
    let own = &whole.token_ids[prompt.token_ids.len()..][..n_own];
    let said = processor.decode(own).expect("decodes");
    assert_eq!(said.trim(), "There.", "{checkpoint:?}");
    assert_eq!(processor.end_ids().contains(&own[n_own - 1]), ended, "{checkpoint:?}");
    let mut joined = prompt.followed_by(own);
    let next = joined.next_position();
    joined.token_ids.extend(&reply.token_ids);
    joined.positions.extend(reply.positions.iter().map(|place| place.map(|axis| axis + next)));
    joined.images.extend(reply.images);
    assert_eq!(joined, whole, "{checkpoint:?}");
}

#[test]
fn a_reply_stands_where_the_conversation_has_it() {
    let entries = std::fs::read_dir(golden()).expect("folder");
    let folders = entries.map(|entry| entry.expect("entry").path());
    let checkpoints: Vec<PathBuf> =
        folders.filter(|path| path.join("config.json").exists()).collect();
    assert!(checkpoints.len() > 5, "{checkpoints:?}");
    for checkpoint in checkpoints {
        // After a text that merely paused, the end of the turn is a part of the reply; else the policy has said it.
        check(&checkpoint, false);
        check(&checkpoint, true);
    }
}
