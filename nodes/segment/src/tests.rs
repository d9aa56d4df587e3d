//! The segmenting node, driven without dora, with the tiny SAM of `libs/segment`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vrft_messages::hub::{Boxes2d, Masks, RawImage, Tag, Tags};
use vrft_node::testing::Script;
use vrft_score::mask::Mask;
use vrft_segment::{SegmentConfig, Segmenter};

use crate::desk::Desk;
use crate::ports::PORTS;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../libs/segment/tests/golden/sam")
}

fn picture() -> Vec<u8> {
    std::fs::read(model().join("wide.png")).unwrap()
}

/// The boxes of the first golden picture, and the masks that transformers makes of them.
fn golden() -> (Vec<[f64; 4]>, Vec<Vec<bool>>) {
    let text = std::fs::read_to_string(model().join("expected.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let boxes = serde_json::from_value(cases[0]["boxes"].clone()).unwrap();
    let runs: Vec<Vec<usize>> = serde_json::from_value(cases[0]["masks"].clone()).unwrap();
    let masks = runs.iter().map(|runs| Mask::from_runs(50, 37, runs).unwrap().pixels().to_vec());
    (boxes, masks.collect())
}

/// A script with a frame more.
fn frame(script: Script, id: &str, bytes: &[u8], encoding: &str) -> Script {
    let image = RawImage { bytes, encoding, width: 50, height: 37, frame_id: Some(id) };
    script.live_data("image", image.to_hub())
}

/// A script with boxes of a frame more.
fn boxes(script: Script, id: &str, boxes: &[[f64; 4]]) -> Script {
    let boxes = boxes.to_vec();
    let labels = boxes.iter().map(|_| "cup".to_owned()).collect();
    let found = Boxes2d { boxes, confidences: vec![], labels, frame_id: Some(id.to_owned()) };
    let (mut tags, data) = found.to_hub();
    tags.insert("answer_id".to_owned(), Tag::Text("a-1".to_owned()));
    script.live_data("boxes2d", (tags, data))
}

/// Masks that were sent, and the lines of the journal.
fn run(script: Script) -> (Vec<(Tags, Masks)>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let (node, sent) = script.close("boxes2d").node();
    let config = SegmentConfig { model: model(), ..SegmentConfig::default() };
    let desk = Desk::open(Segmenter::load(&config).unwrap(), folder.path()).unwrap();
    super::run(node, desk).unwrap();
    let sent = sent.live_data().into_iter();
    let masks = sent.map(|(_, tags, data)| (tags.clone(), Masks::from_hub(&tags, &data).unwrap()));
    let journal = std::fs::read_to_string(folder.path().join("masks.jsonl")).unwrap();
    let lines = journal.lines().map(|line| serde_json::from_str(line).unwrap());
    (masks.collect(), lines.collect())
}

#[test]
fn boxes_become_the_masks_of_their_frame() {
    let (corners, expected) = golden();
    let other = vec![90; 50 * 37 * 3];
    let script = frame(Script::new(&PORTS), "6", &picture(), "png");
    let script = boxes(frame(script, "7", &other, "rgb8"), "6", &corners);
    let (masks, lines) = run(script);
    let [(tags, masks)] = &masks[..] else { panic!("one message, got {}", masks.len()) };
    assert_eq!((masks.width, masks.height, masks.frame_id.as_deref()), (50, 37, Some("6")));
    assert!(masks.masks == expected, "other masks than transformers'");
    // What is known of the answer goes on; what held of the boxes alone does not.
    assert_eq!(
        (&tags["answer_id"], &tags["primitive"]),
        (&Tag::Text("a-1".into()), &Tag::Text("masks".into()))
    );
    assert_eq!((&tags["image_id"], tags.get("format")), (&Tag::Text("image".into()), None));
    let found = lines[0]["found"].as_array().unwrap();
    assert_eq!(
        (found.len(), &found[1]["label"], &lines[0]["frame_id"]),
        (3, &"cup".into(), &"6".into())
    );
    let counts = found[1]["mask"]["counts"].as_str().unwrap();
    assert_eq!(Mask::from_packed_runs(50, 37, counts).unwrap().pixels(), expected[1]);
    assert_eq!(serde_json::from_value::<[f64; 4]>(found[1]["bbox"].clone()).unwrap(), corners[1]);
}

#[test]
fn a_frame_may_come_after_its_boxes_and_no_boxes_are_no_masks() {
    let (corners, expected) = golden();
    let script = boxes(Script::new(&PORTS), "6", &corners);
    let script = boxes(frame(script, "6", &picture(), "png"), "6", &[]);
    let (masks, lines) = run(script);
    assert_eq!(masks.len(), 2);
    assert!(masks[0].1.masks == expected);
    assert_eq!((masks[1].1.masks.len(), masks[1].1.width), (0, 50));
    assert_eq!(lines[1]["found"], Value::Array(vec![]));
}

#[test]
fn what_cannot_be_used_ends_nothing() {
    let (corners, expected) = golden();
    let script = frame(Script::new(&PORTS), "5", b"no picture", "png");
    let script = boxes(frame(script, "6", &picture(), "png"), "5", &corners);
    let script = boxes(script, "6", &[[400.0, 1.0, 500.0, 9.0]]);
    let script = script.live_data("boxes2d", vrft_messages::hub::message_of_texts(&["no boxes"]));
    let script = boxes(boxes(script, "nowhere", &corners), "6", &corners);
    let (masks, lines) = run(script);
    assert_eq!((masks.len(), lines.len()), (1, 1));
    assert!(masks[0].1.masks == expected);
}
