//! The tool, driven without dora.

use std::io::Cursor;

use vrft_messages::{EncodedImage, ToolCall, ToolCallBatch, ToolResultBatch};
use vrft_node::testing::Script;

use crate::ports::PORTS;

fn picture() -> EncodedImage {
    let mut file = Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(100, 60, |x, _| image::Rgb([x as u8, 0, 0]));
    pixels.write_to(&mut file, image::ImageFormat::Png).unwrap();
    EncodedImage { bytes: file.into_inner(), encoding: "png".into(), width: 100, height: 60 }
}

fn call(completion_idx: u16, arguments: &str) -> ToolCall {
    ToolCall {
        prompt_id: 4,
        completion_idx,
        call_idx: 0,
        arguments: arguments.into(),
        images: vec![picture()],
        extents: vec![[1000, 1000]],
    }
}

#[test]
fn each_call_is_answered_in_its_place_with_a_picture_or_what_is_wrong() {
    let calls = vec![call(0, "[500, 0, 1000, 1000]"), call(2, "[0, 0, 2000, 10]"), call(3, "?")];
    let batch = ToolCallBatch { calls };
    let (node, sent) = Script::new(&PORTS).message("calls", &batch).end("calls").node();
    super::run(node).unwrap();
    let [results] = &sent.all::<ToolResultBatch>("results")[..] else { panic!("one batch") };
    let results = &results.results;
    let keys: Vec<_> = results.iter().map(|row| (row.prompt_id, row.completion_idx)).collect();
    assert_eq!(keys, [(4, 0), (4, 2), (4, 3)]);
    let [image] = &results[0].images[..] else { panic!("one picture") };
    assert_eq!((image.width, image.height), (50, 60));
    let pixels = image::load_from_memory(&image.bytes).unwrap().into_rgb8();
    assert_eq!(pixels.get_pixel(0, 0).0, [50, 0, 0]);
    for (row, why) in results[1..].iter().zip(["expected 0 <= x1 < x2 <= 1000", "got \"?\""]) {
        assert!(row.images.is_empty() && row.text.starts_with("Error: "), "{row:?}");
        assert!(row.text.contains(why), "{row:?}");
    }
    assert!(sent.ended("results"));
}
