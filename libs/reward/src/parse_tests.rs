//! What is read from well-formed, sloppy, cut and hostile answers.

use super::*;

const CAT: &str = "{'Position': [10, 20, 30, 40], 'Confidence': 0.9}";

fn cat() -> Detection {
    Detection { bbox: BBox::try_new([10., 20., 30., 40.]).unwrap(), confidence: 0.9 }
}

#[track_caller]
fn check(answer: &str, expect: Reading) {
    assert_eq!(read_detections(answer), expect);
}
#[track_caller]
fn check_cats(answer: &str, n: usize) {
    check(answer, Reading::Predictions(vec![Ok(cat()); n]));
}
#[track_caller]
fn check_flaw(answer: &str, flaw: Flaw) {
    check(answer, Reading::Predictions(vec![Err(flaw)]));
}

#[test]
fn python_quotes() {
    check_cats(&format!("[{CAT}]"), 1);
}
#[test]
fn json_quotes_and_lower_case() {
    check_cats(&format!("[{CAT}]").replace('\'', "\"").to_lowercase(), 1);
}
#[test]
fn trailing_commas_and_new_lines() {
    check_cats("[\n{'Position': [10, 20, 30, 40,],\n 'Confidence': 0.9,},\n]", 1);
}
#[test]
fn doubled_brackets() {
    check_cats(&format!("[[{CAT}, {CAT}]]"), 2);
}
#[test]
fn a_code_fence() {
    check_cats(&format!("```json\n[{CAT}]\n```"), 1);
}
#[test]
fn prose_around() {
    check_cats(&format!("There is {CAT}, I think"), 1);
}
#[test]
fn a_wrapper() {
    check_cats(&format!("{{'objects': [{CAT}, {CAT}]}}"), 2);
}
#[test]
fn a_cut_list_keeps_what_is_whole() {
    check_cats(&format!("[{CAT}, {{'Position': [1, 2"), 1);
    check_cats(&format!("[{CAT}, {{'Position': [1, 2, 3, 4], 'Confidence': 0.9"), 1);
}

#[test]
fn nothing() {
    for answer in ["No Objects", "no objects.", "'No Object'", "[]", " [ ] ", "```json\n[]\n```"] {
        check(answer, Reading::Nothing);
    }
}
#[test]
fn unreadable() {
    for answer in ["", "cat", "[10, 20, 30, 40]", "{", "[{'Position'", "No Objects of interest"] {
        check(answer, Reading::Unreadable);
    }
}

#[test]
fn flaws() {
    check_flaw("[{'Label': 'cat'}]", Flaw::NoPosition);
    check_flaw("[{}]", Flaw::NoPosition);
    check_flaw("[{'Position': [1, 2, 3], 'Confidence': 1}]", Flaw::Arity);
    check_flaw("[{'Position': '1234', 'Confidence': 1}]", Flaw::Arity);
    check_flaw("[{'Position': [1, 2, 3, 'x'], 'Confidence': 1}]", Flaw::Arity);
    check_flaw(
        "[{'Position': [1, 2, 3, 1e400], 'Confidence': 1}]",
        Flaw::Coordinate(f64::INFINITY),
    );
    check_flaw("[{'Position': [3, 2, 1, 4], 'Confidence': 1}]", Flaw::Width { x1: 3., x2: 1. });
    check_flaw("[{'Position': [1, 2, 3, 4]}]", Flaw::NoConfidence);
    check_flaw("[{'Position': [1, 2, 3, 4], 'Confidence': 'high'}]", Flaw::NoConfidence);
    check_flaw("[{'Position': [1, 2, 3, 4], 'Confidence': 1.01}]", Flaw::Confidence(1.01));
    check_flaw(
        "[{'Position': [1, 2, 3, 4], 'Confidence': -Infinity}]",
        Flaw::Confidence(f64::NEG_INFINITY),
    );
    let nan = read_detections("[{'Position': [1, 2, 3, 4], 'Confidence': NaN}]");
    let Reading::Predictions(predictions) = nan else { panic!("{nan:?}") };
    assert!(matches!(predictions[..], [Err(Flaw::Confidence(c))] if c.is_nan()));
}

#[test]
fn a_whole_completion() {
    assert_eq!(parse_detections(&format!("<think>x</think><answer>[{CAT}]</answer>")), [cat()]);
    assert_eq!(parse_detections(&format!("<think>{CAT}</think><answer>No Objects</answer>")), []);
    assert_eq!(parse_detections(&format!("<think>{CAT}")), []);
}

#[test]
fn megabytes_of_openers_take_no_time() {
    for hostile in ["{", "[", "{'a':", "{'a':[", "{'", "{'a':{'a':1},"] {
        check(
            &hostile.repeat(1_000_000 / hostile.len()),
            match hostile {
                "{'a':{'a':1}," => continue,
                _ => Reading::Unreadable,
            },
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,400}") {
        parse_detections(&text);
    }

    #[test]
    fn nor_does_text_of_its_own_alphabet(text in r#"[\[\]{}'":,.0-9eE+\-PositnCfdNa <>/wrhk]{0,400}"#) {
        for detection in parse_detections(&text) {
            proptest::prop_assert!((0.0..=1.0).contains(&detection.confidence));
            proptest::prop_assert!(detection.bbox.area() > 0.0);
        }
    }

    #[test]
    fn what_is_printed_is_read(
        x1 in 0u32..999, y1 in 0u32..999, width in 1u32..1000, height in 1u32..1000, percent in 0u32..=100,
    ) {
        let corners = [x1, y1, (x1 + width).min(1000), (y1 + height).min(1000)];
        let confidence = f64::from(percent) / 100.0;
        let text = format!("[{{'Position': {corners:?}, 'Confidence': {confidence}}}]");
        let bbox = BBox::try_new(corners.map(f64::from)).unwrap();
        proptest::prop_assert_eq!(parse_detections(&text), vec![Detection { bbox, confidence }]);
    }
}
