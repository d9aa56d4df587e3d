//! The reported numbers equal those of pycocotools and lvis-api on random hard cases (`make_detection.py`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;

use serde::Deserialize;
use vrft_score::detection::{Evaluation, Prediction, Protocol, Truth};

#[derive(Deserialize)]
struct Case {
    protocol: String,
    truth: serde_json::Value,
    predictions: serde_json::Value,
    expected: BTreeMap<String, f64>,
}

fn evaluate(case: &Case) -> Evaluation {
    let truth = Truth::from_json(&case.truth.to_string()).unwrap();
    let predictions = Prediction::list_from_json(&case.predictions.to_string()).unwrap();
    let protocol = if case.protocol == "lvis" { Protocol::Lvis } else { Protocol::Coco };
    Evaluation::new(&truth, &predictions, protocol).unwrap()
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("detection.json")).unwrap()
}

#[test]
fn every_number_equals_the_published_programs() {
    let cases = cases();
    assert_eq!(cases.len(), 100);
    for (idx, case) in cases.iter().enumerate() {
        let summary = evaluate(case).summary();
        assert_eq!(summary.0.len(), case.expected.len());
        for (name, value) in &summary.0 {
            // The programs print -1 where there is nothing to be found.
            let (value, expected) = (value.unwrap_or(-1.0), case.expected[name]);
            assert!((value - expected).abs() < 1e-9, "case {idx}, {name}: {value}, not {expected}");
        }
    }
}

/// As both programs have it: a part of a data set often keeps the annotations of the whole.
#[test]
fn annotations_of_images_that_are_not_listed_do_not_count() {
    for case in cases().iter_mut().step_by(7) {
        let expected = evaluate(case).summary();
        let category = case.truth["categories"][0]["id"].clone();
        let stray = serde_json::json!({"id": 987_654, "image_id": 987_654, "category_id": category,
            "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0});
        case.truth["annotations"].as_array_mut().unwrap().push(stray);
        assert_eq!(evaluate(case).summary().0, expected.0);
    }
}

/// lvis-api stops there too; without it, no wrong box of a category that is nowhere would count.
#[test]
fn annotations_of_coco_are_not_scored_by_lvis() {
    let mut cases = cases().into_iter();
    let coco = cases.find(|case| case.protocol == "coco").unwrap();
    let truth = Truth::from_json(&coco.truth.to_string()).unwrap();
    let error = Evaluation::new(&truth, &[], Protocol::Lvis).err().unwrap().to_string();
    assert!(error.contains("neg_category_ids") && error.contains("--coco"), "{error}");
}

#[test]
fn no_predictions_find_nothing() {
    let mut case = cases().swap_remove(0);
    case.predictions = serde_json::json!([]);
    assert_eq!(evaluate(&case).summary().get("AP"), Some(0.0));
}

#[test]
fn the_mean_over_categories_is_the_whole() {
    for case in cases() {
        let evaluation = evaluate(&case);
        let of_categories = evaluation.per_category().into_iter().filter_map(|(_, ap)| ap);
        let of_categories: Vec<f64> = of_categories.map(|(ap, _)| ap).collect();
        let mean = of_categories.iter().sum::<f64>() / of_categories.len() as f64;
        let whole = evaluation.summary().get("AP");
        assert!(whole.map_or(of_categories.is_empty(), |whole| (whole - mean).abs() < 1e-12));
    }
}

#[test]
fn an_interval_holds_the_number_that_it_is_of() {
    for case in cases().iter().take(10) {
        let evaluation = evaluate(case);
        let [ap, _] = evaluation.intervals(100);
        let value = evaluation.summary().get("AP");
        if let (Some((low, high)), Some(value)) = (ap, value) {
            assert!(low <= high && (0.0..=1.0).contains(&low) && high <= 1.0);
            assert!(case.truth["images"].as_array().unwrap().len() < 4 || low <= value + 0.5);
        }
    }
}

#[track_caller]
fn refused(truth: &str, predictions: &str, words: &str) {
    let error = Truth::from_json(truth)
        .and_then(|truth| {
            let predictions = Prediction::list_from_json(predictions)?;
            Evaluation::new(&truth, &predictions, Protocol::Coco)
        })
        .unwrap_err()
        .to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn files_that_make_no_sense_are_refused_by_name() {
    let truth = |annotation: &str| {
        format!(
            r#"{{"images": [{{"id": 1}}], "categories": [{{"id": 1, "name": "a"}}], "annotations": [{annotation}]}}"#
        )
    };
    refused("[]", "[]", "COCO or LVIS annotations");
    refused(r#"{"images": [], "categories": []}"#, "[]", "annotations");
    let boxless = r#"{"id": 5, "image_id": 1, "category_id": 1, "bbox": null}"#;
    refused(&truth(boxless), "[]", "annotation 5: its bbox should be [x, y, width, height]");
    let twice = r#"{"id": 5, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}"#;
    refused(&truth(&format!("{twice}, {twice}")), "[]", "two annotations have the id 5");
    refused(&truth(""), "{}", "COCO results, a list");
    let stray = r#"[{"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]"#;
    refused(&truth(""), stray, "prediction 0: its image 9 is not among");
    let quoted = stray.replace('9', "\"1\"");
    refused(
        &truth(""),
        &quoted,
        "its image \"1\" is not among the images of the truth; there it is 1",
    );
    let half = stray.replace('9', "1.5");
    refused(&truth(""), &half, "an id should be a whole number or a text, got 1.5");
    let wild = stray.replace("\"score\": 1", "\"score\": NaN");
    refused(&truth(""), &wild, "NaN and Infinity are no numbers of JSON, nor scores");
    let mask = r#"[{"image_id": 1, "category_id": 1, "segmentation": {"size": [1, 1], "counts": "01"}, "score": 1}]"#;
    refused(
        &truth(""),
        mask,
        "prediction 0: its bbox should be [x, y, width, height], got nothing; it has a mask alone",
    );
    let points = r#"[{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2], "score": 1}]"#;
    refused(&truth(""), points, "it has keypoints, which are not scored");
    let twice = r#"{"images": [{"id": 1}, {"id": 1.0}], "categories": [], "annotations": []}"#;
    refused(twice, "[]", "two images have the id 1");
}

#[test]
fn ids_may_be_texts_or_whole_numbers_with_a_point() {
    let truth = r#"{"images": [{"id": "a"}, {"id": 2}], "categories": [{"id": 1}], "annotations": [
        {"id": 1, "image_id": "a", "category_id": 1, "bbox": [0, 0, 9, 9]},
        {"id": 2, "image_id": 2.0, "category_id": 1.0, "bbox": [0, 0, 9, 9]}]}"#;
    let found = r#"[{"image_id": "a", "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5},
        {"image_id": 2.0, "category_id": 1.0, "bbox": [0, 0, 9, 9], "score": 0.5}]"#;
    let truth = Truth::from_json(truth).unwrap();
    let found = Prediction::list_from_json(found).unwrap();
    let evaluation = Evaluation::new(&truth, &found, Protocol::Coco).unwrap();
    assert_eq!(evaluation.summary().get("AP"), Some(1.0));
}
