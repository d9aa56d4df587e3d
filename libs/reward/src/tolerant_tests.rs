//! What is read from well-formed, sloppy, cut and hostile answers.

use crate::config::{Keys, RewardConfig};

use super::*;
use crate::{BBox, Place};

const CAT: &str = "{'Position': [10, 20, 30, 40], 'Confidence': 0.9}";

fn cat() -> Item {
    let bbox = BBox::try_new([10., 20., 30., 40.]).unwrap();
    Item { confidence: Some(0.9), ..Item::at(Place::Box(bbox)) }
}
fn read_boxes(answer: &str) -> Option<Answer> {
    read_answer(answer, &RewardConfig::default().answer)
}
fn of_kind(kind: AnswerType) -> AnswerConfig {
    AnswerConfig { kind, ..AnswerConfig::default() }
}

#[track_caller]
fn check(answer: &str, expect: Option<Answer>) {
    assert_eq!(read_boxes(answer), expect);
}
#[track_caller]
fn check_cats(answer: &str, n: usize) {
    check(answer, Some(Answer::Items(Items { valid: vec![cat(); n], ..Items::default() })));
}
#[track_caller]
fn check_flaw(answer: &str, flaw: Flaw) {
    check(answer, Some(Answer::Items(Items { flaws: vec![flaw], ..Items::default() })));
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
fn digits_and_brackets_of_other_scripts() {
    check_cats("［｛“Position”： ［１０， ２０， ３０， ４０］， “Confidence”： ０．９｝］", 1);
}
#[test]
fn a_cut_list_keeps_what_is_whole() {
    check_cats(&format!("[{CAT}, {{'Position': [1, 2"), 1);
    check_cats(&format!("[{CAT}, {{'Position': [1, 2, 3, 4], 'Confidence': 0.9"), 1);
}

#[test]
fn nothing() {
    for answer in ["No Objects", "no objects.", "'No Object'", "[]", " [ ] ", "```json\n[]\n```"] {
        check(answer, Some(Answer::Nothing));
    }
}
#[test]
fn unreadable() {
    for answer in ["", "cat", "[10, 20, 30, 40]", "{", "[{'Position'", "No Objects of interest"] {
        check(answer, None);
    }
}

#[test]
fn flaws() {
    check_flaw("[{'Label': 'cat'}]", Flaw::NoPlace);
    check_flaw("[{}]", Flaw::NoPlace);
    check_flaw("[{'Position': [1, 2, 3], 'Confidence': 1}]", Flaw::Arity);
    check_flaw("[{'Position': '1234', 'Confidence': 1}]", Flaw::Arity);
    check_flaw("[{'Position': [1, 2, 3, 'x'], 'Confidence': 1}]", Flaw::Arity);
    let outside = Flaw::Coordinate { got: f64::INFINITY, extent: 1000.0 };
    check_flaw("[{'Position': [1, 2, 3, 1e400], 'Confidence': 1}]", outside);
    check_flaw("[{'Position': [3, 2, 1, 4], 'Confidence': 1}]", Flaw::Width { x1: 3., x2: 1. });
    check_flaw("[{'Position': [1, 2, 3, 4]}]", Flaw::NoConfidence);
    check_flaw("[{'Position': [1, 2, 3, 4], 'Confidence': 'high'}]", Flaw::NoConfidence);
    check_flaw("[{'Position': [1, 2, 3, 4], 'Confidence': 1.01}]", Flaw::Confidence(1.01));
    check_flaw(
        "[{'Position': [1, 2, 3, 4], 'Confidence': -Infinity}]",
        Flaw::Confidence(f64::NEG_INFINITY),
    );
    let nan = read_boxes("[{'Position': [1, 2, 3, 4], 'Confidence': NaN}]");
    let Some(Answer::Items(items)) = nan else { panic!("{nan:?}") };
    assert!(matches!(items.flaws[..], [Flaw::Confidence(c)] if c.is_nan()));
}

#[test]
fn bare_boxes() {
    let n = |text: &str| {
        read_answer(text, &of_kind(AnswerType::Box)).map(|a| (a.items().len(), a.n_items()))
    };
    assert_eq!(n("[10, 20, 30, 40]"), Some((1, 1)));
    assert_eq!(n("(10,20),(30,40)"), Some((1, 1)));
    assert_eq!(n("10, 20, 30, 40"), Some((1, 1)));
    assert_eq!(n("It is at [10, 20, 30, 40]."), Some((1, 1)));
    assert_eq!(n("[10, 20, 30, 40], [50, 60, 70, 80]"), Some((2, 2)));
    assert_eq!(n("[10, 20, 30]"), Some((0, 1)));
    assert_eq!(n("1, 2, 3"), None);
}
#[test]
fn intervals() {
    let read = |text: &str, answer: &AnswerConfig| {
        read_answer(text, answer).map(|a| a.items().first().map(|item| item.place.clone()))
    };
    let span = Some(Some(Place::Span(crate::Span { start: 1.5, end: 3.0 })));
    let keys = Keys { start: "start_time".into(), end: "end_time".into(), ..Keys::default() };
    let keyed =
        AnswerConfig { keys, space: crate::config::Space::Pixels, ..of_kind(AnswerType::Interval) };
    assert_eq!(read("{\"start_time\": \"1.5\", \"end_time\": \"3.0\"}", &keyed), span);
    assert_eq!(read("{'start_time': 1.5, 'end_time': 3}", &keyed), span);
    assert_eq!(read("[1.5, 3]", &of_kind(AnswerType::Interval)), span);
    assert_eq!(read("[3, 1.5]", &of_kind(AnswerType::Interval)), Some(None));
}
#[test]
fn numbers_of_one_value() {
    let number = |text: &str| read_answer(text, &of_kind(AnswerType::Number));
    assert_eq!(number("7"), Some(Answer::Number(7.0)));
    assert_eq!(number("There are 1,234 cats."), Some(Answer::Number(1234.0)));
    assert_eq!(number("-2.5"), Some(Answer::Number(-2.5)));
    assert_eq!(number("７"), Some(Answer::Number(7.0)));
    assert_eq!(number("1 or 2"), None);
    assert_eq!(number("1e400"), None);
    assert_eq!(number("many"), None);
}
#[test]
fn permutations() {
    let order = |text: &str| {
        read_answer(text, &AnswerConfig { length: 4, ..of_kind(AnswerType::Permutation) })
    };
    assert_eq!(order("1,3,4,2"), Some(Answer::Order(vec![1, 3, 4, 2])));
    assert_eq!(order("[1, 3, 4, 2]"), Some(Answer::Order(vec![1, 3, 4, 2])));
    for wrong in ["1,3,4", "1,1,1,1", "0,1,2,3", "1,2,3,5", "", "1,2,3,4,5"] {
        assert_eq!(order(wrong), None, "{wrong}");
    }
}
#[test]
fn outlines_and_runs() {
    let area = |text: &str, kind| match read_answer(text, &of_kind(kind))
        .map(|a| a.items().to_vec())
        .as_deref()
    {
        Some([Item { place: Place::Region(mask), .. }]) => mask.area(),
        _ => 0,
    };
    let half = 128 * 256;
    assert_eq!(area("[[0,0],[500,0],[500,1000],[0,1000]]", AnswerType::Mask), half);
    assert_eq!(area("[0,0,500,0,500,1000,0,1000]", AnswerType::Mask), half);
    assert_eq!(
        area("[[0,0,500,0,500,500,0,500], [0,500,500,500,500,1000,0,1000]]", AnswerType::Mask),
        half
    );
    assert_eq!(area("{\"size\": [2, 2], \"counts\": [0, 2, 2]}", AnswerType::Mask), half);
    assert_eq!(area("{'size': [2, 2], 'counts': '022'}", AnswerType::Mask), half);
    // A letter that JSON writes with another backslash before it: a row of 88 pixels, half of them inside.
    assert_eq!(crate::compress(&[0, 44, 44]), r"0\1\1");
    assert_eq!(area(r#"{"size": [1, 88], "counts": "0\\1\\1"}"#, AnswerType::Mask), half);
    assert_eq!(area(r"{'size': [1, 88], 'counts': '0\1\1'}", AnswerType::Mask), half);
    assert_eq!(area("{\"size\": [2, 2], \"counts\": \"02\"}", AnswerType::Mask), 0);
    assert_eq!(area("[[[0,0],[500,0],[500,1000],[0,1000]]]", AnswerType::Polygon), half);
    assert_eq!(area("[[0,0],[1,1]]", AnswerType::Mask), 0);
}
#[test]
fn a_target_among_objects() {
    let keys = Keys {
        place: "bbox".into(),
        label: "label".into(),
        objects: "objects".into(),
        target: "target".into(),
        ..Keys::default()
    };
    let answer = AnswerConfig { keys, ..of_kind(AnswerType::Json) };
    let text = "{\"objects\": [{\"bbox\": [9, 2, 3, 4], \"label\": \"a\"}, {\"bbox\": [1, 2, 3, 4], \"label\": \"b\"}], \"target\": 1}";
    let Some(Answer::Items(items)) = read_answer(text, &answer) else { panic!("unread") };
    // The first is not valid, so the second is the first valid one.
    assert_eq!((items.valid.len(), items.flaws.len(), items.target), (1, 1, Some(0)));
}

#[test]
fn megabytes_take_no_time() {
    let start = std::time::Instant::now();
    let all = [
        AnswerType::Boxes,
        AnswerType::Box,
        AnswerType::Polygon,
        AnswerType::Number,
        AnswerType::Permutation,
        AnswerType::Text,
    ];
    for hostile in [
        "{",
        "[",
        "(",
        "{'a':",
        "{'a':[",
        "{'",
        "{\"{'",
        "{'a':{'a':1},",
        "[[1,2],",
        "1,",
        "'",
        "é",
        "1e400 ",
    ] {
        for kind in all {
            read_answer(&hostile.repeat(4_000_000 / hostile.len()), &of_kind(kind));
        }
        read_boxes(&hostile.repeat(4_000_000 / hostile.len()));
    }
    assert!(start.elapsed().as_secs_f64() < 5.0, "{:?} for 91 texts", start.elapsed());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,400}") {
        read_boxes(&text);
    }

    #[test]
    fn nor_does_text_of_its_own_alphabet(text in r#"[\[\]{}'":,.0-9eE+\-PositnCfdNa <>/wrhk]{0,400}"#) {
        if let Some(Answer::Items(items)) = read_boxes(&text) {
            for item in items.valid {
                proptest::prop_assert!((0.0..=1.0).contains(&item.confidence.unwrap()));
            }
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
        let item = Item { confidence: Some(confidence), ..Item::at(Place::Box(bbox)) };
        let answer = Answer::Items(Items { valid: vec![item], ..Items::default() });
        proptest::prop_assert_eq!(read_boxes(&text), Some(answer));
    }
}
