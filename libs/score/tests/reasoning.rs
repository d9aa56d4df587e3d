//! ReasonSeg's gIoU and cIoU equal those of masks that OpenCV drew and pycocotools packed: `make_masks.py`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use serde_json::{Value, json};
use vrft_score::mask::Mask;
use vrft_score::reasoning::{ReasoningScore, Sample, predictions, score};

fn golden() -> Value {
    serde_json::from_str(include_str!("masks.json")).unwrap()
}

fn size(golden: &Value) -> (u32, u32) {
    let side = |idx: usize| golden["size"][idx].as_u64().unwrap() as u32;
    (side(0), side(1))
}

fn points(value: &Value) -> Vec<[f64; 2]> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn outlines_are_filled_as_opencv_does() {
    let golden = golden();
    let (width, height) = size(&golden);
    let (width, height) = (width as usize, height as usize);
    let mut n_compared = 0;
    for sample in golden["samples"].as_array().unwrap() {
        let shapes = sample["shapes"].as_array().unwrap();
        if let [only] = &shapes[..] {
            let counts = sample["target"]["counts"].as_str().unwrap();
            let expected = Mask::from_packed_runs(width, height, counts).unwrap();
            let got = Mask::polygon(width, height, &points(&only["points"]));
            assert_eq!(got, expected, "{only}");
            // And back, as pycocotools writes it.
            assert_eq!(got.packed_runs(), counts);
            n_compared += 1;
        }
    }
    assert!(n_compared > 5);
}

#[test]
fn both_numbers_are_those_of_the_program() {
    let golden = golden();
    let samples = golden["samples"].as_array().unwrap();
    let name = |idx: usize| format!("picture_{idx}");
    let truth = samples.iter().enumerate().map(|(idx, sample)| {
        let text = json!({"text": ["x"], "shapes": sample["shapes"]}).to_string();
        Sample::from_json(&name(idx), size(&golden), &text).unwrap()
    });
    let truth: Vec<Sample> = truth.collect();
    let found = samples.iter().enumerate().map(|(idx, sample)| {
        json!({"image": format!("images/{}.jpg", name(idx)), "mask": sample["answer"]}).to_string()
    });
    let found: Vec<String> = found.collect();
    let result = score(&truth, &predictions(&found.join("\n")).unwrap()).unwrap();
    check_both(&result, &golden);
    let (low, high) = result.giou_interval.unwrap();
    assert!(low < result.giou && result.giou < high);
}

#[track_caller]
fn check_both(result: &ReasoningScore, golden: &Value) {
    let close = |got: f64, key: &str, tolerance: f64| {
        let expected = golden[key].as_f64().unwrap();
        assert!((got - expected).abs() < tolerance, "{key}: {got} instead of {expected}");
    };
    close(result.giou, "giou", 1e-12);
    close(result.ciou, "ciou", 1e-12);
    // The program adds 1e-5 pixels to each denominator, which are dozens of pixels here.
    close(result.giou, "giou_program", 1e-7);
}

/// Several boxes of an answer, boxes beyond the picture, corners between pixels; no answer, and nothing to be found.
#[test]
fn both_numbers_of_boxes_are_those_of_the_program() {
    let golden = golden();
    let samples = golden["boxes"]["samples"].as_array().unwrap();
    let truth = samples.iter().enumerate().map(|(idx, sample)| {
        let text = json!({"text": ["x"], "shapes": sample["shapes"]}).to_string();
        Sample::from_json(&format!("p{idx}"), size(&golden), &text).unwrap()
    });
    let truth: Vec<Sample> = truth.collect();
    // As an evaluator writes them, in the unit in which the picture has the sides of `extent`.
    let found = samples.iter().enumerate().map(|(idx, sample)| {
        let boxes = sample["boxes"].as_array().unwrap().iter();
        let boxes: Vec<Value> = boxes.map(|corners| json!({"bbox": corners})).collect();
        json!({"sample_id": format!("p{idx}"), "predicted": boxes, "extent": golden["size"]})
            .to_string()
    });
    let found: Vec<String> = found.collect();
    let result = score(&truth, &predictions(&found.join("\n")).unwrap()).unwrap();
    assert_eq!(result.n, 40);
    check_both(&result, &golden["boxes"]);
    // A picture with one box or none is the same as a row of another program, or as no row at all.
    let rows = samples.iter().enumerate().filter_map(|(idx, sample)| {
        let boxes = sample["boxes"].as_array().unwrap();
        match &boxes[..] {
            [] => None,
            [one] => Some(json!({"image": format!("p{idx}"), "bbox": one}).to_string()),
            _ => Some(found[idx].clone()),
        }
    });
    let rows: Vec<String> = rows.collect();
    assert!(rows.len() < found.len());
    assert_eq!(score(&truth, &predictions(&rows.join("\n")).unwrap()).unwrap(), result);
}

#[test]
fn boxes_and_outlines_count_as_masks() {
    let square = json!([[10, 10], [19, 10], [19, 19], [10, 19]]);
    let text = json!({"text": "x", "shapes": [{"label": "target", "points": square}]}).to_string();
    let truth = [Sample::from_json("a", (40, 30), &text).unwrap()];
    let of = |found: Value| {
        let found = predictions(&json!([found]).to_string())?;
        score(&truth, &found).map(|score| score.giou)
    };
    assert_eq!(of(json!({"image": "a.jpg", "bbox": [10, 10, 20, 20]})).unwrap(), 1.0);
    assert_eq!(of(json!({"image": "a", "bbox": [10, 10, 20, 15]})).unwrap(), 0.5);
    assert_eq!(of(json!({"image": "a", "polygon": square})).unwrap(), 1.0);
    assert_eq!(of(json!({"image": "a", "polygon": [square]})).unwrap(), 1.0);
    // Nothing said is nothing found.
    assert_eq!(of(json!({"image": "a"})).unwrap(), 0.0);
    assert_eq!(score(&truth, &[]).unwrap().giou, 0.0);
    let refused = |found: Value, words: &str| {
        let error = of(found).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(json!({"image": "b"}), "no picture \"b\" among the 1");

    refused(json!({"image": "a", "bbox": [0, 0, 1, 1], "polygon": square}), "one of mask");
    let wrong_size = json!({"size": [40, 30], "counts": [1200]});
    refused(json!({"image": "a", "mask": wrong_size}), "30 x 40 pixels, the picture has 40 x 30");
    let cut = json!({"size": [30, 40], "counts": [5, 7]});
    refused(json!({"image": "a", "mask": cut}), "its runs are 12 pixels");
    let broken = json!({"size": [30, 40], "counts": "P"});
    refused(json!({"image": "a", "mask": broken}), "no run lengths in COCO's text, or break off");
    let unreadable = |text: &str, words: &str| {
        let error = predictions(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    unreadable("[{\"image\": \"a\", \"masks\": 1}]", "row 0: unknown field `masks`");
    unreadable("{\"image\": \"a\"}\n\n{\"image\": 1}", "line 3: invalid type: integer `1`");
    unreadable("{\"image\": \"a\"}\n{\"image\"", "line 2: ");
}

#[test]
fn a_name_may_have_points_in_it() {
    let text = json!({"text": "x", "shapes": []}).to_string();
    let truth =
        ["2012.05.01", "2012.05"].map(|name| Sample::from_json(name, (4, 3), &text).unwrap());
    let of = |image: &str| {
        let found = predictions(&json!([{"image": image, "bbox": [0, 0, 4, 3]}]).to_string());
        score(&truth, &found.unwrap()).map(|score| score.giou).map_err(|error| error.to_string())
    };
    assert_eq!(
        [of("2012.05.01"), of("b/2012.05.01.jpg"), of("2012.05.jpg")],
        [Ok(0.5), Ok(0.5), Ok(0.5)]
    );
    assert!(of("2012.jpg").unwrap_err().contains("no picture \"2012\""));
}

#[test]
fn answers_of_an_evaluator_are_scaled_to_the_picture() {
    let square = json!([[10, 10], [19, 10], [19, 19], [10, 19]]);
    let text = json!({"text": "x", "shapes": [{"label": "target", "points": square}]}).to_string();
    let truth = [Sample::from_json("a", (40, 30), &text).unwrap()];
    // A quarter of the width, a third of the height, in thousandths.
    let line = |corners: Value| {
        json!({"sample_id": "a", "completion": "(", "iou": 0.5, "truth": [], "sample": 0,
               "predicted": corners, "extent": [1000.0, 1000.0]})
        .to_string()
    };
    let found =
        predictions(&line(json!([{"bbox": [250, 333.4, 500, 666.7], "confidence": 1}]))).unwrap();
    assert_eq!(score(&truth, &found).unwrap().giou, 1.0);
    assert_eq!(found[0].boxes(40, 30).unwrap()[0].map(f64::round), [10.0, 10.0, 20.0, 20.0]);
    assert_eq!(score(&truth, &predictions(&line(json!([]))).unwrap()).unwrap().giou, 0.0);
    let words = json!({"sample_id": "a", "predicted": "a cat", "extent": null}).to_string();
    let error = predictions(&words).unwrap_err().to_string();
    assert!(
        error.contains("line 1: ") && error.contains("expected an answer with boxes"),
        "{error}"
    );
}
