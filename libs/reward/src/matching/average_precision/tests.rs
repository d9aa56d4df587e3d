//! Average precision by hand, and against `pycocotools` (tests/golden/coco.py).

use serde_json::Value;

use super::*;

fn bbox(corners: [f64; 4]) -> BBox {
    BBox::try_new(corners).unwrap()
}
fn detection(corners: [f64; 4], confidence: f64) -> Detection {
    Detection { bbox: bbox(corners), confidence }
}

const A: [f64; 4] = [0., 0., 100., 100.];
const B: [f64; 4] = [500., 500., 700., 600.];
const NOWHERE: [f64; 4] = [900., 900., 950., 950.];

#[track_caller]
fn check(images: &[(Vec<Detection>, Vec<BBox>)], ap50: Option<f64>) {
    let ranked: Vec<_> =
        images.iter().map(|(d, t)| RankedImage::new(d.clone(), t.clone())).collect();
    let got = at_threshold(&ranked, 0.5);
    let near = got.zip(ap50).map_or(got == ap50, |(a, b)| (a - b).abs() < 1e-12);
    assert!(near, "{got:?}, not {ap50:?}");
}

#[test]
fn all_found() {
    check(&[(vec![detection(A, 0.3), detection(B, 0.9)], vec![bbox(A), bbox(B)])], Some(1.0));
}
#[test]
fn nothing_found() {
    check(&[(vec![], vec![bbox(A)])], Some(0.0));
}
#[test]
fn no_truth() {
    check(&[(vec![detection(A, 0.3)], vec![])], None);
    check(&[], None);
}
#[test]
fn half_found() {
    // Precision 1 up to recall 0.5: 51 of the 101 recalls.
    check(&[(vec![detection(A, 0.9)], vec![bbox(A), bbox(B)])], Some(51. / 101.));
}
#[test]
fn a_wrong_box_above_a_right_one() {
    check(&[(vec![detection(NOWHERE, 0.9), detection(A, 0.1)], vec![bbox(A)])], Some(0.5));
}
#[test]
fn a_wrong_box_below_all_right_ones_costs_nothing() {
    check(&[(vec![detection(NOWHERE, 0.1), detection(A, 0.9)], vec![bbox(A)])], Some(1.0));
}
#[test]
fn a_wrong_box_on_an_image_without_truth() {
    let images =
        [(vec![detection(A, 0.5)], vec![bbox(A)]), (vec![detection(NOWHERE, 0.9)], vec![])];
    check(&images, Some(0.5));
}
#[test]
fn a_box_found_twice() {
    // Ranks: hit, miss, hit. Recall 0.5 at precision 1, recall 1 at 2/3.
    let found = vec![detection(A, 0.9), detection(A, 0.8), detection(B, 0.7)];
    check(&[(found, vec![bbox(A), bbox(B)])], Some((51. + 50. * 2. / 3.) / 101.));
}
#[test]
fn equal_confidences_keep_the_order_of_images() {
    let hit = (vec![detection(A, 0.5)], vec![bbox(A)]);
    let miss = (vec![detection(NOWHERE, 0.5)], vec![]);
    check(&[hit.clone(), miss.clone()], Some(1.0));
    check(&[miss, hit], Some(0.5));
}
#[test]
fn only_the_hundred_most_confident_count() {
    let mut found = vec![detection(NOWHERE, 0.9); 100];
    found.push(detection(A, 0.1));
    check(&[(found, vec![bbox(A)])], Some(0.0));
}

#[test]
fn as_pycocotools_has_it() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../tests/golden/coco.json")).unwrap();
    let cases = golden.as_object().unwrap();
    assert!(cases.len() >= 8);
    for (name, case) in cases {
        let images: Vec<_> = case["images"].as_array().unwrap().iter().map(image).collect();
        let near = |got: Option<f64>, key: &str| {
            // pycocotools gives -1 where there is no true box.
            let (got, expect) = (got.unwrap_or(-1.0), case[key].as_f64().unwrap());
            assert!((got - expect).abs() < 1e-12, "{name}: {key} {got}, not {expect}");
        };
        near(over_thresholds(&images), "ap");
        near(at_threshold(&images, 0.5), "ap50");
        near(at_threshold(&images, 0.75), "ap75");
    }
}

fn image(json: &Value) -> RankedImage {
    let numbers = |json: &Value| -> Vec<f64> { serde_json::from_value(json.clone()).unwrap() };
    let rows = |key: &str| json[key].as_array().unwrap().iter().map(numbers).collect::<Vec<_>>();
    RankedImage::new(
        rows("detections").iter().map(|d| detection([d[0], d[1], d[2], d[3]], d[4])).collect(),
        rows("truth").iter().map(|t| bbox([t[0], t[1], t[2], t[3]])).collect(),
    )
}
