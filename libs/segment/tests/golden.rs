//! Pixels, features, logits and masks equal those of transformers' SAM on a tiny random checkpoint: `golden/make_sam.py`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use vrft_score::mask::Mask;
use vrft_segment::{Segment, SegmentConfig, Segmenter};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sam")
}

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("golden/sam/expected.json")).unwrap()
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// What a model makes of the boxes of a case.
fn segments(model: &Path, best_of_three: bool, case: &Value) -> Vec<Segment> {
    let config = SegmentConfig { model: model.to_owned(), best_of_three };
    let segmenter = Segmenter::load(&config).unwrap();
    let picture = std::fs::read(folder().join(case["picture"].as_str().unwrap())).unwrap();
    let seen = segmenter.look(&vrft_vision::decode(&picture).unwrap()).unwrap();
    segmenter.segment(&seen, &numbers::<Vec<[f64; 4]>>(&case["boxes"])).unwrap()
}

#[track_caller]
fn check_masks(got: &[Segment], expected: &Value, case: &Value) {
    let [width, height]: [usize; 2] = numbers(&case["size"]);
    let expected: Vec<Vec<usize>> = numbers(expected);
    assert_eq!(got.len(), expected.len());
    for (got, runs) in got.iter().zip(expected) {
        let expected = Mask::from_runs(width, height, &runs).unwrap();
        assert!(got.mask == expected, "{} pixels, not {}", got.mask.area(), expected.area());
        assert_eq!(got.mask.runs(), runs);
    }
}

#[track_caller]
fn check_iou(got: &[Segment], expected: impl Iterator<Item = f64>) {
    for (got, expected) in got.iter().zip(expected) {
        assert!((got.iou - expected).abs() < 1e-4, "{} instead of {expected}", got.iou);
    }
}

#[test]
fn masks_and_estimates_are_those_of_transformers() {
    for case in cases() {
        let got = segments(&folder(), false, &case);
        check_masks(&got, &case["masks"], &case);
        check_iou(&got, numbers::<Vec<f64>>(&case["iou"]).into_iter());
    }
}

#[test]
fn the_best_of_three_is_the_one_of_the_highest_estimate() {
    let mut chosen = std::collections::BTreeSet::new();
    for case in cases() {
        let got = segments(&folder(), true, &case);
        check_masks(&got, &case["best_masks"], &case);
        let best: Vec<usize> = numbers(&case["best"]);
        let three: Vec<f64> = numbers(&case["three_iou"]);
        check_iou(&got, best.iter().enumerate().map(|(n, best)| three[3 * n + best]));
        chosen.extend(best);
    }
    assert!(!chosen.is_empty());
}

#[test]
fn a_box_gives_the_same_mask_alone_and_among_many() {
    let case = &cases()[0];
    let segmenter =
        Segmenter::load(&SegmentConfig { model: folder(), best_of_three: false }).unwrap();
    let picture = std::fs::read(folder().join("wide.png")).unwrap();
    let seen = segmenter.look(&vrft_vision::decode(&picture).unwrap()).unwrap();
    let boxes: Vec<[f64; 4]> = numbers(&case["boxes"]);
    // More than go through the decoder together.
    let many: Vec<[f64; 4]> = boxes.iter().copied().cycle().take(40).collect();
    let all = segmenter.segment(&seen, &many).unwrap();
    for (n, segment) in all.iter().enumerate() {
        let alone = segmenter.segment(&seen, &[many[n]]).unwrap();
        assert!(alone[0].mask == segment.mask, "box {n}");
    }
    assert!(segmenter.segment(&seen, &[]).unwrap().is_empty());
}
