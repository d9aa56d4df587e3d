//! What is proposed for answers of each kind, and for coordinates of each space.

use super::*;
use crate::answers::AnswerKind;
use crate::geometry::Space;

mod published;

fn try_infer(answers: &[&str], size: Option<[u32; 2]>) -> Result<Proposal, InferError> {
    let places: Vec<String> = (0..answers.len()).map(|row| format!("row {row}")).collect();
    let examples = places.iter().zip(answers);
    let examples =
        examples.map(|(place, solution)| Example { place, question: "When?", solution, size });
    infer(&examples.collect::<Vec<_>>())
}

#[track_caller]
fn check(answers: &[&str], kind: &str) -> RewardConfig {
    let proposal = try_infer(answers, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(proposal.config.answer.kind.name(), kind, "{}", proposal.reason);
    proposal.config.validate().unwrap();
    proposal.config
}

#[test]
fn numbers_with_a_typeset_minus_are_numbers() {
    check(&["\u{2212}5", "3", "\u{2212}2.5", "7"], "number");
}

#[test]
fn boxes_with_confidence_and_nothing() {
    let answers = [
        "<answer>[{'Position': [10, 20, 110, 140], 'Confidence': 1}]</answer>",
        "<answer>No Objects</answer>",
        "<answer>[{'Position': [310, 20, 410, 140], 'Confidence': 1}]</answer>",
    ];
    let config = check(&answers, "boxes");
    let AnswerKind::Boxes(boxes) = &config.answer.kind else { panic!("not boxes") };
    assert_eq!(config.answer.nothing, "No Objects");
    assert_eq!(
        (boxes.keys.place.as_str(), boxes.keys.confidence.as_str()),
        ("Position", "Confidence")
    );
}

fn labeled(x: u32, label: &str) -> String {
    format!("[{{\"bbox_2d\": [{x}, 20, {}, 140], \"label\": \"{label}\"}}]", x + 90)
}

#[test]
fn boxes_with_labels() {
    let answers = [labeled(10, "cat"), labeled(200, "dog"), labeled(1300, "cat")];
    let config = check(&answers.iter().map(String::as_str).collect::<Vec<_>>(), "boxes");
    let AnswerKind::Boxes(boxes) = &config.answer.kind else { panic!("not boxes") };
    assert_eq!((boxes.space, boxes.keys.label.as_str()), (Space::Pixels, "label"));
}
#[test]
fn boxes_within_an_object() {
    let wrapped = |x| format!("{{\"objects\": {}}}", labeled(x, "cat"));
    let answers = [wrapped(10), wrapped(200), wrapped(300)];
    let config = check(&answers.iter().map(String::as_str).collect::<Vec<_>>(), "boxes");
    assert_eq!(config.answer.place_key(), Some("bbox_2d"));
}
#[test]
fn the_sizes_of_images_tell_pixels_from_thousandths() {
    let answers = [labeled(10, "cat"), labeled(200, "dog"), labeled(500, "cat")];
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let small = try_infer(&answers, Some([640, 480])).unwrap();
    assert_eq!(small.config.answer.space(), Some(Space::Pixels));
    let guess = small.space.unwrap();
    assert!(guess.reason.contains("640 × 480") && !guess.is_doubtful, "{}", guess.reason);
    let large = try_infer(&answers, Some([4000, 3000])).unwrap();
    assert_eq!(large.config.answer.space(), Some(Space::Thousandths));
    let unknown = try_infer(&answers, None).unwrap();
    assert_eq!(unknown.config.answer.space(), Some(Space::Thousandths));
    assert!(unknown.space.unwrap().is_doubtful);
}
#[test]
fn width_and_height_are_no_corners() {
    let answers = ["[243, 17, 100, 102]", "[54, 160, 293, 178]", "[11, 18, 143, 145]"];
    let error = try_infer(&answers, Some([640, 480])).unwrap_err().to_string();
    assert!(error.contains("x1 < x2") && error.contains("[x, y, width, height]?"), "{error}");
    let keyed = answers.map(|sides| format!("[{{\"bbox_2d\": {sides}, \"label\": \"cat\"}}]"));
    let error = try_infer(&keyed.each_ref().map(String::as_str), Some([640, 480])).unwrap_err();
    assert!(error.to_string().contains("[x, y, width, height]?"), "{error}");
}
#[test]
fn single_values() {
    check(&["[10, 20, 110, 140]", "[210, 20, 310, 140]", "[10, 420, 110, 540]"], "box");
    check(&["3", "17", "8", "5"], "number");
    check(&["2, 1, 3, 4", "4, 3, 2, 1", "1, 3, 2, 4"], "permutation");
    check(&["[1.5, 3]", "[12, 20]", "[4, 9]"], "interval");
    check(&["rose", "tulip", "rose", "daisy"], "label");
    let texts = [
        "the train leaves at noon today",
        "mind the gap between the doors",
        "no smoking in this building",
    ];
    check(&texts, "text");
}
#[test]
fn of_several_texts_the_label_is_what_says_so() {
    let of = |more: &str, n: usize| format!("[{{\"bbox_2d\": [{n}0, 20, 300, 140], {more}}}]");
    let inferred = |more: &str| {
        let answers: Vec<String> = (1..9).map(|n| of(more, n)).collect();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let proposal = try_infer(&answers, Some([640, 480])).unwrap();
        let AnswerKind::Boxes(boxes) = proposal.config.answer.kind else { panic!("not boxes") };
        (boxes.keys.label, proposal.reason)
    };
    for (more, expected) in [
        ("\"label\": \"mug\", \"color\": \"red\"", "label"),
        ("\"attribute\": \"big\", \"label\": \"mug\"", "label"),
        ("\"id\": \"obj0\", \"label\": \"mug\"", "label"),
        ("\"caption\": \"a mug\", \"name\": \"mug\"", "name"),
        ("\"what\": \"mug\", \"hue\": \"red\"", "what"),
    ] {
        let (label, reason) = inferred(more);
        assert_eq!(label, expected);
        assert!(reason.contains("is not asked for; reward.answer.keys.label"), "{reason}");
    }
    // VisionReasoner's objects have a point beside their box.
    let (_, reason) = inferred("\"point_2d\": [90, 60]");
    assert!(reason.contains("what is under \"point_2d\" is not asked for"), "{reason}");
}

#[test]
fn letters_behind_numbers_that_differ_are_refused() {
    for answers in [
        ["5A", "5B", "7A", "12C"],
        ["5 am", "5 pm", "7 am", "9 am"],
        ["2 kW", "900 W", "3 kW", "7 W"],
    ] {
        let error = try_infer(&answers, None).unwrap_err().to_string();
        assert!(error.contains("one unit") && error.contains("\"label\""), "{error}");
    }
    check(&["5A", "7A", "3A", "12A"], "number");
    check(&["3 million", "2k", "7", "2\u{bd}"], "number");
    check(&["1\u{bc}", "2\u{bd}", "3", "1\u{bd}"], "number");
    check(&["minus 5", "3", "7", "2", "11", "-4"], "number");
}

fn labels(answers: &[&str]) -> Vec<String> {
    match check(answers, "label").answer.kind {
        AnswerKind::Label(label) => label.labels,
        other => panic!("{other:?}"),
    }
}

#[test]
fn few_names_are_a_list_to_choose_from() {
    assert_eq!(labels(&["yes", "no", "yes", "no", "yes", "yes"]), ["no", "yes"]);
    let animals = ["dog", "hot dog", "cat"].repeat(4);
    assert_eq!(labels(&animals), ["cat", "dog", "hot dog"]);
    let signs = ["no", "no parking", "yes"].repeat(4);
    assert_eq!(labels(&signs), ["no", "no parking", "yes"]);
}
#[test]
fn too_few_or_nothing_that_fits() {
    assert_eq!(try_infer(&["1", "2"], None), Err(InferError::Rows(2)));
    let mixed = ["[{'Position': [1, 2, 3, 4]}]", "{}", "[{'Position': [9, 2, 3, 4]}]"];
    assert!(matches!(try_infer(&mixed, None), Err(InferError::Unfit { .. })));
    let open = ["<answer>1</answer> or <answer>2</answer>", "2", "3"];
    assert!(matches!(try_infer(&open, None), Err(InferError::Unfit { .. })));
}

fn odd(answers: &[&str], size: Option<[u32; 2]>) -> (String, Vec<String>) {
    let proposal = try_infer(answers, size).unwrap_or_else(|error| panic!("{error}"));
    (proposal.config.answer.kind.name().to_owned(), proposal.odd)
}

#[test]
fn one_odd_answer_among_numbers_is_named_and_numbers_stay_numbers() {
    let counts = |other| [["3", "17", "8", "5"].repeat(10).as_slice(), &[other]].concat();
    for other in ["1,234", "twelve", "12 mugs"] {
        let proposal = try_infer(&counts(other), None).unwrap();
        assert_eq!((proposal.config.answer.kind.name(), proposal.odd.len()), ("number", 0));
        assert!(
            proposal.reason.contains(other) && proposal.reason.contains("row 40"),
            "{}",
            proposal.reason
        );
    }
    for other in ["50%", "1/2", "many"] {
        let (kind, odd) = odd(&counts(other), None);
        assert_eq!((kind.as_str(), odd.len()), ("number", 1), "{other}");
        assert!(odd[0].starts_with("row 40: ") && odd[0].contains(other), "{odd:?}");
    }
    let error =
        try_infer(&["3", "4", "5", "6", "7", "8", "9", "1/2"], None).unwrap_err().to_string();
    assert!(error.contains("1 of 8: row 7: ") && error.contains("1/2"), "{error}");
    // Where words are as usual as numbers, all are names.
    check(&["3", "red", "5", "blue", "3", "red", "5", "blue"], "label");
    check(&["iPhone 12", "iPhone 13", "Pixel 7", "Pixel 8"], "label");
}

#[test]
fn decimal_commas_are_neither_numbers_nor_names() {
    let refused = |answers: &[&str], n_odd: usize| {
        let error = try_infer(answers, None).unwrap_err().to_string();
        for words in [&*format!("fails on {n_odd} of"), "row 0: ", "Write 0.5 for 0,5"] {
            assert!(error.contains(words), "{words:?} is not in {error}");
        }
    };
    refused(&["1,5", "2,5", "3,5", "0,25"], 4);
    refused(&["1,5", "2", "3,5 kg", "4"], 2);
    // A few among many are odd, and are told so.
    let few = [["3", "17", "8", "5"].repeat(10).as_slice(), &["0,5"]].concat();
    let (kind, odd) = odd(&few, None);
    assert_eq!((kind.as_str(), odd.len()), ("number", 1));
    assert!(odd[0].starts_with("row 40: ") && odd[0].contains("Write 0.5 for 0,5"), "{odd:?}");
    // Thousands and names with commas stay what they are.
    check(&["1,234", "12", "7", "9"], "number");
    check(&["red,blue", "red", "blue", "red"], "label");
}

#[test]
fn codes_with_zeros_in_front_are_names() {
    check(&["00137", "00042", "12034", "90210", "00009"], "label");
    // One among many is a slip.
    check(&[["3", "17", "8", "5"].repeat(10).as_slice(), &["07"]].concat(), "number");
    // Equally long ones are codes with one zero in front, or where there are many digits.
    check(&["482913", "119284", "023457", "773920", "559201", "641003"], "label");
    check(&["4006381333931", "9780306406157", "5901234123457"], "label");
    check(&["5CD", "42EF", "79XK", "12AB"], "label");
}

#[test]
fn answers_that_all_say_nothing_are_refused_before_any_test() {
    for nothing in ["[]", "[ ]", "{}", "()"] {
        let error = try_infer(&[nothing; 12], None).unwrap_err();
        assert!(matches!(&error, InferError::Nothing { n: 12, .. }), "{error}");
        assert!(error.to_string().contains("all 12 true answers say that there is nothing"));
    }
}

#[test]
fn points_in_pixels_are_measured_by_the_size_of_the_pictures() {
    let point = |n: usize, [width, height]: [u32; 2]| {
        let (x, y) = (7 + (137 * n) % (width as usize - 10), 9 + (71 * n) % (height as usize - 10));
        [
            format!("[{{\"point_2d\": [{x}, {y}], \"label\": \"mug\"}}]"),
            format!("{{\"point\": [{x}, {y}]}}"),
            format!("[{x}, {y}]"),
        ]
    };
    for (size, scale) in [([640, 480], 28.0), ([320, 240], 14.0)] {
        for form in 0..3 {
            let answers: Vec<String> = (0..40).map(|n| point(n, size)[form].clone()).collect();
            let texts: Vec<&str> = answers.iter().map(String::as_str).collect();
            let proposal = try_infer(&texts, Some(size)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(proposal.config.answer.space(), Some(Space::Pixels));
            assert_eq!(proposal.config.matching.scale, scale);
            let other = proposed_in(proposal.config, Space::Thousandths, None);
            assert_eq!(other.matching.scale, 0.05);
            assert_eq!(proposed_in(other, Space::Pixels, Some(20.0)).matching.scale, 4.0);
        }
    }
}

#[test]
fn small_counts_are_numbers_and_a_constant_answer_earns_little() {
    for counts in
        [["0", "1", "2"].repeat(10), ["0", "0", "0", "1"].repeat(10), ["1", "2"].repeat(8)]
    {
        let proposal = try_infer(&counts, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(proposal.config.answer.kind.name(), "number");
    }
    check(&["0.5", "0.25", "0.75", "0.1", "0.9"], "number");
}

#[test]
fn one_bad_box_among_many_is_named_and_left_out() {
    let mut answers: Vec<String> = (0..40).map(|n| labeled(10 + 5 * n, "cat")).collect();
    for (bad, word) in
        [("[{\"bbox_2d\": [300, 20, 200, 140], \"label\": \"cat\"}]", "x1 < x2"), ("1/2", "braces")]
    {
        answers[7] = bad.to_owned();
        let texts: Vec<&str> = answers.iter().map(String::as_str).collect();
        let (kind, odd) = odd(&texts, Some([640, 480]));
        assert_eq!((kind.as_str(), odd.len()), ("boxes", 1), "{odd:?}");
        assert!(odd[0].starts_with("row 7: ") && odd[0].contains(word), "{odd:?}");
    }
    answers[7] = "see below".to_owned();
    let texts: Vec<&str> = answers.iter().map(String::as_str).collect();
    let reason = try_infer(&texts, Some([640, 480])).unwrap().reason;
    assert!(reason.contains("\"see below\" says that there is nothing"), "{reason}");
}

#[test]
fn boxes_in_two_units_are_refused_by_their_rows() {
    let share = "[0.1, 0.2, 0.5, 0.9]";
    let answers = [["[20, 30, 600, 440]"; 6], [share; 6]].concat();
    let error = try_infer(&answers, Some([640, 480])).unwrap_err().to_string();
    for words in [
        "6 answers have no coordinate above 1 (row 6, row 7, row 8, ...)",
        "(row 0, row 1",
        "data.space",
    ] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn places_are_never_learned_as_text() {
    let two = "[[10, 20, 110, 140], [200, 20, 300, 140]]";
    let one = "[[10, 20, 110, 140]]";
    assert_eq!(odd(&[two, one].repeat(10), Some([320, 240])).0, "boxes");
    let quoted = "[{\"bbox_2d\": [\"10\", \"20\", \"110\", \"140\"], \"label\": \"cat\"}]";
    let error = try_infer(&[quoted; 10], Some([320, 240])).unwrap_err().to_string();
    assert!(error.contains("row 0") && error.contains("boxes"), "{error}");
}

#[test]
fn boxes_without_a_width_are_not_taken_for_sides() {
    let flat = ["[391, 188, 391, 344]"; 8];
    assert_eq!(count_sides(&flat), 0);
    assert_eq!(count_sides(&["[391, 188, 20, 344]", "[1, 2, 30, 40]"]), 1);
}

#[test]
fn places_without_brackets_are_not_learned_by_their_letters() {
    for (name, of) in [
        ("commas", (|n| format!("{n}, {}.5, {}, 80", n + 1, n + 20)) as fn(u32) -> String),
        ("percent signs", |n| format!("{n}%, {}%, {}%, 80%", n + 1, n + 20)),
        ("spaces", |n| format!("0.{n} 0.5 0.1 0.2")),
        ("two", |n| format!("{n}, 30")),
    ] {
        let answers: Vec<String> = (10..30).map(of).collect();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let told = try_infer(&answers, Some([640, 480])).unwrap_err().to_string();
        assert!(told.contains("without brackets are not read"), "{name}: {told}");
    }
    // Four numbers and nothing else are no names, two with a space may be.
    check(&["12 34", "56 78", "90 12", "34 56"], "label");
}
#[test]
fn a_wrong_key_in_one_answer_does_not_decide_what_the_others_are_read_by() {
    let of = |n: u32| {
        let key = if n == 3 { "bbox" } else { "bbox_2d" };
        format!("[{{\"{key}\": [{}, 3.5, {}, 97.5], \"label\": \"mug\"}}]", 2 * n, 2 * n + 20)
    };
    let answers: Vec<String> = (0..38).map(of).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let proposal = try_infer(&answers, Some([640, 480])).unwrap();
    assert_eq!(proposal.config.answer.place_key(), Some("bbox_2d"));
    assert_eq!(proposal.space.unwrap().space, Space::Percent);
    assert_eq!(proposal.odd.len(), 1);
    assert!(
        proposal.odd[0].contains("under \"bbox_2d\", got an object with \"bbox\""),
        "{:?}",
        proposal.odd
    );
}
#[test]
fn coordinates_that_are_not_one_box_under_one_key_are_not_taken_for_it() {
    let of = |form: fn(u32) -> String| -> Vec<String> { (10..40).map(form).collect() };
    for (name, answers) in [
        (
            "a key for each category",
            of(|n| format!("{{\"mug\": [{n}, 5, 90, 80], \"jug\": [{n}, 1, 70, 60]}}")),
        ),
        (
            "lists of boxes for each",
            of(|n| format!("{{\"mug\": [[{n}, 5, 90, 80]], \"jug\": [[{n}, 1, 70, 60]]}}")),
        ),
        ("outlines", of(|n| format!("[{{\"points\": [[{n}, 10], [100, 10], [100, 90]]}}]"))),
    ] {
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let found = try_infer(&answers, Some([640, 480]));
        assert!(found.is_err(), "{name}: {}", found.unwrap().reason);
    }
    let corners = of(|n| format!("[{{\"box\": [[{n}, 10], [300, 400]], \"label\": \"mug\"}}]"));
    let corners: Vec<&str> = corners.iter().map(String::as_str).collect();
    assert_eq!(
        try_infer(&corners, Some([640, 480])).unwrap().config.answer.place_key(),
        Some("box")
    );
}
#[test]
fn percent_among_pixels_is_no_unit_and_where_it_cannot_be_told_it_is_said() {
    let of = |n: u32, percent: &dyn Fn(u32) -> String| {
        if n.is_multiple_of(2) {
            format!("[{}, {}, {}, {}]", 5 * n, 3 * n, 5 * n + 200, 3 * n + 190)
        } else {
            percent(n)
        }
    };
    let told = |percent: &dyn Fn(u32) -> String| {
        let answers: Vec<String> = (0..40).map(|n| of(n, percent)).collect();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        try_infer(&answers, Some([640, 480]))
    };
    let error = told(&|n| format!("[{n}.5, {n}.5, {}.5, 97.5]", n + 30)).unwrap_err().to_string();
    assert!(
        error.contains("20 answers have no coordinate above 100 and decimal places"),
        "{error}"
    );
    let whole = told(&|n| format!("[{n}, {n}, {}, 97]", n + 30)).unwrap().space.unwrap();
    assert_eq!(whole.space, Space::Pixels);
    assert!(whole.reason.contains("20 of 40 have no coordinate above 100"), "{}", whole.reason);
    // Half of the boxes elsewhere, as they come.
    let spread = told(&|n| format!("[{n}, {n}, {}, 397]", n + 130)).unwrap().space.unwrap();
    assert!(!spread.reason.contains("above 100"), "{}", spread.reason);
}

#[test]
fn points_in_space_are_told_from_colors_and_measured_by_how_far_they_are_spread() {
    let point = |x: f64| format!("[{{\"xyz\": [{x}, -0.5, 2.25], \"label\": \"cup\"}}]");
    let answers = [point(-3.0), point(0.0), point(3.0)];
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let config = check(&answers, "points3d");
    assert_eq!(config.answer.place_key(), Some("xyz"));
    // The deviation from the middle is the square root of 6: half of it is the unit, twice of it the reach.
    let spread = 6f64.sqrt();
    let Metric::Distance(distance) = &config.terms["distance"].metric else { panic!("distance") };
    assert!((distance.scale - spread / 2.0).abs() < 1e-12 && distance.label);
    assert!((config.matching.scale - 2.0 * spread).abs() < 1e-12);
    check(&["[0.5, 1, 2]", "[1, -1, 2]", "(3, 2, 1)"], "points3d");
    let colors = try_infer(&["[255, 0, 0]", "[0, 128, 0]", "[12, 34, 56]"], None);
    assert!(colors.is_err_and(|error| error.to_string().contains("no kind of answer fits")));
}
