//! The page's node, driven without dora.

use std::io::Cursor;

use vrft_messages::hub::{Boxes2d, RawImage, Tag, Tags, text_message, texts};
use vrft_node::testing::Script;
use vrft_serve::Robot;

use crate::ports::PORTS;

fn frame(script: Script, id: &str) -> Script {
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::new(8, 4).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let bytes = png.into_inner();
    let image =
        RawImage { bytes: &bytes, encoding: "png", width: 8, height: 4, frame_id: Some(id) };
    script.live_data("image", image.to_hub())
}

fn tags(answer: &str, frame: &str) -> Tags {
    [("answer_id", answer), ("frame_id", frame), ("policy_version", "step-7")]
        .map(|(name, value)| (name.to_owned(), Tag::Text(value.to_owned())))
        .into()
}

fn answer(script: Script, answer: &str, frame: &str) -> Script {
    let boxes = Boxes2d {
        boxes: vec![[1.0, 1.0, 4.0, 3.0]],
        confidences: vec![0.5],
        labels: vec![],
        frame_id: Some(frame.to_owned()),
    };
    let (of_boxes, data) = boxes.to_hub();
    let script = script.live_data("text", text_message(tags(answer, frame), "There."));
    script.live_data("boxes2d", (tags(answer, frame).into_iter().chain(of_boxes).collect(), data))
}

#[test]
fn an_answer_is_shown_once_its_frame_words_and_boxes_are_there() {
    let script = frame(Script::new(&PORTS), "f1");
    // Of the second answer the frame never came.
    let script = answer(answer(script, "a1", "f1"), "a2", "f2");
    let (robot, said) = Robot::new(false);
    let (node, _sent) = script.node();
    super::run(node, &robot, &said).unwrap();
    let shown = robot.newest().unwrap();
    assert_eq!(
        (shown["answer_id"].as_str(), shown["version"].as_str()),
        (Some("a1"), Some("step-7"))
    );
    assert_eq!(shown["found"][0]["box"], serde_json::json!([1.0, 1.0, 4.0, 3.0]));
    assert_eq!((shown["width"].as_u64(), shown["height"].as_u64()), (Some(8), Some(4)));
    assert!(shown["picture"].as_str().unwrap().starts_with("data:image/png;base64,"));
}

#[test]
fn what_a_person_says_goes_into_the_graph() {
    let (robot, said) = Robot::new(false);
    let remark = "{\"answer_id\":\"a1\",\"remark\":\"accept\"}";
    robot.say(remark).unwrap();
    let (node, sent) = frame(Script::new(&PORTS), "f1").node();
    super::run(node, &robot, &said).unwrap();
    let sent = sent.live_data();
    let [(output, _, data)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((output.as_str(), texts(data).unwrap()), ("feedback", vec![remark.to_owned()]));
}

#[test]
fn what_cannot_be_shown_stops_nothing() {
    let script = Script::new(&PORTS).live_data("image", text_message(Tags::new(), "no picture"));
    let script = script.live_data("boxes2d", text_message(Tags::new(), "no boxes"));
    let script = answer(frame(script, "f1"), "a1", "f1");
    let (robot, said) = Robot::new(false);
    let (node, _sent) = script.node();
    super::run(node, &robot, &said).unwrap();
    assert!(robot.newest().is_some());
}
