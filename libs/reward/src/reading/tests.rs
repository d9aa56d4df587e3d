//! What is read from well-formed, sloppy, cut and hostile answers.

use super::*;
use crate::answers::{
    AnswerKind, BoxesAnswer, IntervalAnswer, IntervalKeys, ItemKeys, JsonAnswer, JsonKeys,
    LabelAnswer, PermutationAnswer,
};
use crate::config::RewardConfig;
use crate::{BBox, Flaw, Item, Items, Place, Space};

const CAT: &str = "{'Position': [10, 20, 30, 40], 'Confidence': 0.9}";

fn cat() -> Item {
    let bbox = BBox::try_new([10., 20., 30., 40.]).unwrap();
    Item { confidence: Some(0.9), ..Item::at(Place::Box(bbox)) }
}
fn read_boxes(answer: &str) -> Option<Answer> {
    read_answer(answer, &RewardConfig::default().answer)
}
/// An answer of a kind, declared as shortly as it can be.
fn of_kind(name: &str) -> AnswerConfig {
    let kind = AnswerKind::each().into_iter().find(|kind| kind.name() == name).unwrap();
    AnswerConfig::of(kind)
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
    check_flaw("[{'Position': ['1', '2', '3', '4'], 'Confidence': 1}]", Flaw::QuotedNumbers);
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
    let n = |text: &str| read_answer(text, &of_kind("box")).map(|a| (a.items().len(), a.n_items()));
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
    let keys = IntervalKeys {
        start: "start_time".into(),
        end: "end_time".into(),
        ..IntervalKeys::default()
    };
    let kind = IntervalAnswer { keys, space: Space::Pixels, labels: Vec::new() };
    let keyed = AnswerConfig::of(AnswerKind::Interval(kind));
    assert_eq!(read("{\"start_time\": \"1.5\", \"end_time\": \"3.0\"}", &keyed), span);
    assert_eq!(read("{'start_time': 1.5, 'end_time': 3}", &keyed), span);
    assert_eq!(read("[1.5, 3]", &of_kind("interval")), span);
    assert_eq!(read("[3, 1.5]", &of_kind("interval")), Some(None));
}
#[test]
fn labels_of_boxes_are_those_that_are_declared() {
    let keys = ItemKeys { place: "box".into(), label: "name".into(), ..ItemKeys::default() };
    let labels = vec!["mug".to_owned(), "hot dog".to_owned()];
    let kind = AnswerKind::Boxes(BoxesAnswer { keys, labels, ..BoxesAnswer::default() });
    let answer = AnswerConfig::of(kind);
    let truth = |name: &str| {
        let text = format!(
            "[{{'box': [1, 2, 3, 4], 'name': 'Mug'}}, {{'box': [1, 2, 3, 4], 'name': '{name}'}}]"
        );
        read_truth(&text, &answer)
    };
    truth("hot_dog").unwrap();
    let error = truth("dog").unwrap_err().to_string();
    let words =
        "item 1 of the true answer has the label \"dog\", which is none of reward.answer.labels";
    assert_eq!(error, words);
    // They are said, and what a policy says is read all the same.
    assert!(answer.kind.kind().instruction().ends_with("A label is one of: mug, hot dog."));
    let said = read_answer("[{'box': [1, 2, 3, 4], 'name': 'dog'}]", &answer);
    assert_eq!(said.map(|answer| answer.items().len()), Some(1));
}
#[test]
fn numbers_of_one_value() {
    let number = |text: &str| read_answer(text, &of_kind("number"));
    assert_eq!(number("7"), Some(Answer::Number(7.0)));
    assert_eq!(number("There are 1,234 cats."), Some(Answer::Number(1234.0)));
    assert_eq!(number("-2.5"), Some(Answer::Number(-2.5)));
    assert_eq!(number("７"), Some(Answer::Number(7.0)));
    assert_eq!(number("1 or 2"), None);
    assert_eq!(number("1e400"), None);
    assert_eq!(number("many"), None);
}
#[test]
fn a_minus_sign_is_one_however_it_is_typed() {
    let minus = "\u{2212}5";
    for text in [minus, "\u{ff0d}5", "-5"] {
        assert_eq!(read_truth(text, &of_kind("number")), Ok(Answer::Number(-5.0)), "{text}");
    }
    let labels = vec![minus.to_owned(), "5".to_owned()];
    let names = AnswerConfig::of(AnswerKind::Label(LabelAnswer { labels }));
    for text in [minus, "-5"] {
        let name = Some(Answer::Words(minus.to_owned()));
        assert_eq!(
            (read_truth(text, &names).ok(), read_answer(text, &names)),
            (name.clone(), name)
        );
    }
    assert_eq!(read_answer("5", &names), Some(Answer::Words("5".to_owned())));
}
#[test]
fn a_box_that_is_not_read_is_refused_with_what_to_write() {
    let error = |text: &str| read_truth(text, &of_kind("number")).unwrap_err().to_string();
    assert!(
        error("\\boxed{\\frac{1}{2}}").ends_with("write what they mean, as 0.5 for \\frac{1}{2}")
    );
    assert!(error("\\boxed{1}, \\boxed{2}").ends_with("keep the one of the answer"));
    assert!(!error("half").contains("boxed"));
}
#[test]
fn permutations() {
    let order = |text: &str| {
        let kind = AnswerKind::Permutation(PermutationAnswer { length: 4 });
        read_answer(text, &AnswerConfig::of(kind))
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
    assert_eq!(area("[[0,0],[500,0],[500,1000],[0,1000]]", "mask"), half);
    assert_eq!(area("[0,0,500,0,500,1000,0,1000]", "mask"), half);
    assert_eq!(area("[[0,0,500,0,500,500,0,500], [0,500,500,500,500,1000,0,1000]]", "mask"), half);
    assert_eq!(area("{\"size\": [2, 2], \"counts\": [0, 2, 2]}", "mask"), half);
    assert_eq!(area("{'size': [2, 2], 'counts': '022'}", "mask"), half);
    // A letter that JSON writes with another backslash before it: a row of 88 pixels, half of them inside.
    assert_eq!(crate::compress(&[0, 44, 44]), r"0\1\1");
    assert_eq!(area(r#"{"size": [1, 88], "counts": "0\\1\\1"}"#, "mask"), half);
    assert_eq!(area(r"{'size': [1, 88], 'counts': '0\1\1'}", "mask"), half);
    assert_eq!(area("{\"size\": [2, 2], \"counts\": \"02\"}", "mask"), 0);
    assert_eq!(area("[[[0,0],[500,0],[500,1000],[0,1000]]]", "polygon"), half);
    assert_eq!(area("[[0,0],[1,1]]", "mask"), 0);
}
#[test]
fn a_target_among_objects() {
    let keys = JsonKeys {
        place: "bbox".into(),
        label: "label".into(),
        objects: "objects".into(),
        target: "target".into(),
    };
    let answer = AnswerConfig::of(AnswerKind::Json(JsonAnswer { keys, ..JsonAnswer::default() }));
    let text = "{\"objects\": [{\"bbox\": [9, 2, 3, 4], \"label\": \"a\"}, {\"bbox\": [1, 2, 3, 4], \"label\": \"b\"}], \"target\": 1}";
    let Some(Answer::Items(items)) = read_answer(text, &answer) else { panic!("unread") };
    // The first is not valid, so the second is the first valid one.
    assert_eq!((items.valid.len(), items.flaws.len(), items.target), (1, 1, Some(0)));
}

#[track_caller]
fn check_strictly(answer: AnswerConfig, text: &str, valid: bool) {
    let answer = AnswerConfig { nothing: "None".into(), ..answer };
    assert_eq!(read_strictly(text, &answer).is_some(), valid, "{text}");
}
#[track_caller]
fn check_boxes_strictly(text: &str, valid: bool) {
    check_strictly(AnswerConfig::visual_rft(), text, valid);
}

#[test]
fn boxes_to_the_letter() {
    check_boxes_strictly("[{\"Position\": [1, 2, 3, 4], \"Confidence\": 0.5}]", true);
    check_boxes_strictly("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5}]", true);
    check_boxes_strictly("None", true);
    check_boxes_strictly("[]", true);
    check_boxes_strictly("[ ]", true);
    check_boxes_strictly("[,]", false);
    check_boxes_strictly("[】]", false);
}
#[test]
fn sloppy_boxes_are_none_to_the_letter() {
    check_boxes_strictly("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5,}]", false);
    check_boxes_strictly("[{'position': [1, 2, 3, 4], 'Confidence': 0.5}]", false);
    check_boxes_strictly("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5, 'Color': 'red'}]", false);
    check_boxes_strictly("here: [{'Position': [1, 2, 3, 4], 'Confidence': 0.5}]", false);
    check_boxes_strictly("[{'Position': [1, 2, 3, 4], 'Confidence': 1.5}]", false);
    check_boxes_strictly("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5}", false);
    check_boxes_strictly("", false);
}
#[test]
fn one_box_to_the_letter() {
    check_strictly(of_kind("box"), "[1, 2, 3, 4]", true);
    check_strictly(of_kind("box"), "(1,2),(3,4)", true);
    check_strictly(of_kind("box"), "[1, 2, 3, 4, 5]", false);
    check_strictly(of_kind("box"), "[[1, 2, 3, 4], [1, 2, 3, 4]]", false);
}
#[test]
fn plain_values_to_the_letter() {
    check_strictly(of_kind("number"), "12.5", true);
    check_strictly(of_kind("number"), "12 cats", false);
    check_strictly(of_kind("permutation"), "2, 1, 3", true);
    check_strictly(of_kind("permutation"), "[2, 1, 3]", false);
    check_strictly(of_kind("label"), "a cat", true);
}

#[track_caller]
fn check_truth(solution: &str, expect: Result<usize, RewardError>) {
    let answer = read_truth(solution, &RewardConfig::default().answer);
    assert_eq!(answer.map(|answer| answer.n_items()), expect);
}

#[test]
fn as_the_datasets_have_it() {
    check_truth("<answer>[{'Position': [1, 364, 98, 649], 'Confidence': 1}]</answer>", Ok(1));
    check_truth("<answer>No Objects</answer>", Ok(0));
}
#[test]
fn without_tags_or_confidence() {
    check_truth("[{'Position': [1, 2, 3, 4]}, {'Position': [5, 6, 7, 8]}]", Ok(2));
}
#[test]
fn a_bad_box_is_named() {
    check_truth(
        "[{'Position': [1, 2, 3, 4]}, {'Position': [9, 2, 3, 4]}]",
        Err(RewardError::Item { index: 1, flaw: Flaw::Width { x1: 9.0, x2: 3.0 } }),
    );
}
#[test]
fn a_flaw_is_counted_where_it_stands() {
    check_truth(
        "[{'Position': [9, 2, 3, 4]}, {'Position': [1, 2, 3, 4]}, {'Position': [1, 2, 3, 4]}]",
        Err(RewardError::Item { index: 0, flaw: Flaw::Width { x1: 9.0, x2: 3.0 } }),
    );
}
#[test]
fn a_wrong_key_is_named_with_the_right_one() {
    let told = |kind: &str, solution: &str| {
        let declared =
            if kind == "visual-rft" { AnswerConfig::visual_rft() } else { of_kind(kind) };
        read_truth(solution, &declared).unwrap_err().to_string()
    };
    let start = "item 1 of the true answer: expected coordinates under \"Position\"";
    let two =
        told("visual-rft", "[{'Position': [1, 2, 3, 4]}, {'bbox': [1, 2, 3, 4], 'label': 'cat'}]");
    assert_eq!(two, format!("{start}, got an object with \"bbox\", \"label\""));
    let bare = told("box", "{'box': [1, 2, 3]}");
    assert!(
        bare.contains("expected [x1, y1, x2, y2] without keys, got an object with \"box\""),
        "{bare}"
    );
    let point = told("points", "[{'pt': [1, 2]}]");
    assert!(point.contains("[x, y] without keys, got an object with \"pt\""), "{point}");
    // The key is right, and what is under it is not.
    let short = told("visual-rft", "[{'Position': [1, 2, 3]}]");
    assert!(short.contains("expected as many numbers"), "{short}");
}
#[test]
fn one_box_without_keys_may_stand_in_an_object() {
    let of = |corners| BBox::try_new(corners).map(|bbox| vec![Item::at(Place::Box(bbox))]).unwrap();
    let expected = of([391., 188., 641., 344.]);
    for text in [
        "[{'Position': [391, 188, 641, 344], 'Confidence': 1}]",
        "{\"bbox_2d\": [391, 188, 641, 344], \"label\": \"mug\"}",
        "{'objects': [{'box': [391, 188, 641, 344]}]}",
    ] {
        let truth = read_truth(text, &of_kind("box")).unwrap();
        assert_eq!(truth.items(), expected, "{text}");
        // The policy is understood too, but that is not the form.
        assert_eq!(read_answer(text, &of_kind("box")).unwrap().items(), expected, "{text}");
        let is_native = text.contains("bbox_2d");
        assert_eq!(read_strictly(text, &of_kind("box")).is_some(), is_native, "{text}");
    }
    for (text, words) in [
        ("[{'a': [1, 2, 3, 4]}, {'a': [5, 6, 7, 8]}]", "expected one item"),
        ("{'a': [1, 2, 3, 4], 'b': [5, 6, 7, 8]}", "without keys, got an object with \"a\", \"b\""),
    ] {
        let told = read_truth(text, &of_kind("box")).unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
}
#[test]
fn a_cut_list_is_refused() {
    let got = "[{'Position': [1, 2, 3, 4]}, {'Position': [9, 2".to_owned();
    check_truth(&got.clone(), Err(RewardError::Partial { opened: 2, read: 1, got }));
}
#[test]
fn other_text_is_refused() {
    let error = read_truth("a cat", &RewardConfig::default().answer).unwrap_err().to_string();
    assert_eq!(
        error,
        "expected [{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...] or \"No Objects\" \
         as the true answer, got \"a cat\""
    );
}
#[test]
fn a_true_name() {
    let answer = of_kind("label");
    let parse = |solution| read_truth(solution, &answer);
    assert_eq!(parse("<answer>737-200</answer>"), Ok(Answer::Words("737-200".into())));
    assert_eq!(parse("<answer> </answer>"), Err(RewardError::EmptyLabel { got: "".into() }));
}
#[test]
fn one_true_box_is_one() {
    let answer = of_kind("box");
    assert!(read_truth("(1,2),(3,4)", &answer).is_ok());
    assert_eq!(read_truth("(1,2),(3,4),(1,2),(5,6)", &answer), Err(RewardError::NotOne(2)));
}
#[test]
fn errors_of_a_truth_say_where_and_what() {
    let answer = RewardConfig::default().answer;
    let error = read_truth("[{'Position': [1, 2, 3, 4000]}]", &answer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "item 0 of the true answer: expected coordinates between 0 and 1000, got 4000"
    );
}

#[test]
fn a_truth_with_several_answers_is_refused() {
    let one = "<answer>[{'Position': [1, 1, 9, 9]}]</answer>";
    let error = read_truth(&format!("{one} or {one}"), &AnswerConfig::visual_rft()).unwrap_err();
    assert_eq!(error.to_string(), "expected one <answer> block in the true answer, got 2");
}
#[test]
fn an_answer_within_the_thinking_is_not_the_truth() {
    let inner = "<answer>[{'Position': [1, 1, 9, 9]}]</answer>";
    let outer = "<answer>[{'Position': [391, 188, 641, 344], 'Confidence': 1}]</answer>";
    let truth =
        read_truth(&format!("<think>{inner}</think>{outer}"), &AnswerConfig::visual_rft()).unwrap();
    assert_eq!(truth.detections()[0].bbox.corners(), [391.0, 188.0, 641.0, 344.0]);
    let alone = format!("<think>{inner}</think>");
    assert!(read_truth(&alone, &AnswerConfig::visual_rft()).is_err());
}
#[test]
fn objects_and_lists_are_accepted_where_they_are_the_declared_type() {
    let n =
        |solution: &str, answer: &AnswerConfig| read_truth(solution, answer).map(|a| a.n_items());
    let boxes = AnswerConfig::visual_rft();
    // As a data set gives them that has objects in the column of solutions.
    assert_eq!(n("{\"Position\":[391,188,641,344]}", &boxes), Ok(1));
    assert_eq!(n("[{\"Position\":[391,188,641,344],\"Confidence\":1}]", &boxes), Ok(1));
    assert_eq!(n("[391,188,641,344]", &of_kind("box")), Ok(1));
    assert!(n("[391,188,641,344]", &boxes).is_err());
    let error = n("[{'Position': ['391', '188', '641', '344']}]", &boxes).unwrap_err().to_string();
    assert!(error.contains("as numbers, got them in quotes"), "{error}");
}

#[test]
fn megabytes_take_no_time() {
    let start = std::time::Instant::now();
    let all = ["boxes", "box", "polygon", "number", "permutation", "text"];
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
