//! Answers in the forms of published data sets and models: read as they were meant, or refused.

use super::*;

#[test]
fn numbers_are_numbers_however_small_or_large() {
    for (numbers, metric) in [
        (["2.5e-6", "1e-7", "3e-6", "4.5e-7", "9e-7", "5e-6"], "closeness"),
        (["2.5e-6", "1e-7", "3e-2", "4.5e-7", "9e-7", "5e-5"], "ratio"),
        (["1e+18", "3e+20", "2e+19", "100000000000000000000", "5e+22", "7E+18"], "ratio"),
        (
            ["9223372036854775808", "18446744073709551615", "1e19", "12e18", "13e18", "9.5e18"],
            "closeness",
        ),
        // Over two powers of ten, 0 is as near to most of them; and what is one number to a computer is one.
        (["1e-7", "2.5e-6", "3e-5", "1e-6", "3e-7", "2.5e-7"], "ratio"),
        (
            [
                "9223372036854775808",
                "9223372036854775809",
                "9223372036854775810",
                "9223372036854775811",
                "9223372036854775812",
                "9223372036854775813",
            ],
            "closeness",
        ),
    ] {
        let proposal = try_infer(&numbers.repeat(4), None).unwrap_or_else(|e| panic!("{e}"));
        let reward = crate::Reward::new(&proposal.config);
        assert_eq!(proposal.config.answer.kind.name(), "number");
        assert!(proposal.config.terms.contains_key(metric), "{:?}", proposal.config.terms);
        // As a policy may write it, with all its digits.
        let truth = reward.parse_answer(numbers[0]).unwrap();
        let number: f64 = numbers[0].parse().unwrap();
        let said = format!("<think>So.</think><answer>{number}</answer>");
        assert_eq!(reward.score(&said, &truth).total, Some(2.0), "{said}");
        let wrong = format!("<think>So.</think><answer>{}</answer>", number * 1e6);
        assert_eq!(reward.score(&wrong, &truth).total, Some(1.0), "{wrong}");
    }
}
#[test]
fn answers_of_mathematics_are_what_their_marks_say() {
    let check = |of: fn(u32) -> String, kind: &str, words: &str| {
        let answers: Vec<String> = (0..40).map(of).collect();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let proposal = try_infer(&answers, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(proposal.config.answer.kind.name(), kind);
        assert!(proposal.reason.contains(words), "{}", proposal.reason);
        proposal.config
    };
    let marked = "40 of 40 are marked, by ";
    check(|n| format!("\\boxed{{{}}}", n % 7), "number", &format!("{marked}\\boxed{{}} in row 0"));
    check(|n| format!("#### {}", n % 7), "number", &format!("{marked}#### in row 0"));
    check(|n| format!("Add {n} and 1.\n#### {}", n + 1), "number", marked);
    let letters =
        check(|n| format!("So it is \\boxed{{{}}}.", ["A", "B"][n as usize % 2]), "label", marked);
    let AnswerKind::Label(label) = &letters.answer.kind else { panic!("no label") };
    assert_eq!(label.labels, ["A", "B"]);
    let reward = crate::Reward::new(&letters);
    let truth = reward.parse_answer("It is on the left. \\boxed{A}").unwrap();
    assert_eq!(
        reward.demonstration(&truth, ""),
        "<think>It is on the left.</think><answer>A</answer>"
    );
}
#[test]
fn a_name_that_spells_a_tag_is_left_out_by_its_row() {
    let names = ["mug", "jug", "cup"].repeat(13);
    let tag = |bad: &'static str| [names.as_slice(), &[bad]].concat();
    for bad in ["mug</answer>", "<think>"] {
        let all = tag(bad);
        let texts: Vec<Example> = all
            .iter()
            .map(|a| Example { place: "row 39", question: "", solution: a, size: None })
            .collect();
        let by_name = infer_names(&texts).unwrap_or_else(|error| panic!("{error}"));
        let found = try_infer(&all, None).unwrap_or_else(|error| panic!("{error}"));
        for proposal in [by_name, found] {
            let AnswerKind::Label(label) = &proposal.config.answer.kind else { panic!("no label") };
            assert_eq!(label.labels, ["cup", "jug", "mug"]);
            assert_eq!(proposal.odd.len(), 1, "{:?}", proposal.odd);
            assert!(proposal.odd[0].starts_with("row 39: the true answer"), "{:?}", proposal.odd);
        }
    }
    let many = ["mug</answer>", "jug", "cup", "mug</answer>"].repeat(5);
    let error = try_infer(&many, None).unwrap_err().to_string();
    assert!(
        error.contains("fails on 10 of 20: row 0: the true answer has \"</answer>\""),
        "{error}"
    );
}
#[test]
fn the_order_of_geminis_boxes_is_said_and_that_of_its_points_is_open() {
    let of = |n: u32| format!("[{{\"box_2d\": [{n}, 20, {}, 990], \"label\": \"mug\"}}]", n + 90);
    let answers: Vec<String> = (10..40).map(of).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    // The second number is x: up to 990 of 1000 on a picture that is wide.
    let proposal = try_infer(&answers, Some([1600, 300])).unwrap();
    let printed = toml::to_string(&proposal.config.answer).unwrap();
    assert!(printed.contains("order = \"yx\""), "{printed}");
    assert!(proposal.reason.contains("read as [y1, x1, y2, x2]"), "{}", proposal.reason);
    assert_eq!(proposal.space.unwrap().space, Space::Pixels);
    let points = ["{\"point\": [70, 20]}", "{\"point\": [30, 40]}", "{\"point\": [90, 60]}"];
    let reason = try_infer(&points, Some([640, 480])).unwrap().reason;
    assert!(reason.contains("reward.answer.order = \"yx\""), "{reason}");
}
#[test]
fn tokens_of_other_models_are_places_or_refused_and_never_names() {
    let check = |of: fn(u32) -> String| {
        let answers: Vec<String> = (10..40).map(of).collect();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        try_infer(&answers, Some([640, 480])).map_err(|error| error.to_string())
    };
    for refused in [
        check(|n| format!("<loc00{n}><loc0109><loc0796><loc0230> mug")),
        check(|n| format!("mug<loc_{n}><loc_20><loc_300><loc_400>")),
        check(|n| {
            format!("<phrase>mug</phrase><object><patch_index_00{n}><patch_index_0900></object>")
        }),
        check(|n| format!("<point x=\"{n}.5\" y=\"20.5\" alt=\"mug\">mug</point>")),
    ] {
        let error = refused.unwrap_err();
        assert!(error.contains("numbers in tags or tokens are not read"), "{error}");
    }
    for read in [
        check(|n| format!("<|box_start|>({n},820),(300,940)<|box_end|>")),
        check(|n| format!("<ref>mug</ref><box>[[{n}, 820, 300, 940]]</box>")),
        check(|n| format!("<|ref|>mug<|/ref|><|det|>[[{n}, 820, 300, 940]]<|/det|>")),
    ] {
        let proposal = read.unwrap();
        assert_eq!(proposal.config.answer.kind.name(), "box");
        assert!(proposal.reason.contains("beside the numbers is no part"), "{}", proposal.reason);
    }
    // A number in the name is no coordinate: thousandths leave this picture, and the year would leave any.
    let named = check(|n| format!("<ref>car of 1990</ref><box>[[{n}, 820, 300, 940]]</box>"));
    assert_eq!(named.unwrap().space.unwrap().space, Space::Thousandths);
    // Seg-Zero's points beside a box are no second box.
    let both =
        check(|n| format!("<box>({n},120),(300,240)</box><points>({n},140),(220,200)</points>"));
    assert!(both.unwrap_err().contains("a box and points in tags"), "both");
    // What is shown is what is asked for, without the tokens.
    let reward = crate::Reward::new(&usual_reward(AnswerConfig::of(AnswerKind::Box(
        crate::answers::BoxAnswer::default(),
    ))));
    let truth = reward.parse_answer("<ref>mug</ref><box>[[10, 20, 900, 940]]</box>").unwrap();
    assert_eq!(
        reward.demonstration(&truth, ""),
        "<think></think><answer>[10, 20, 900, 940]</answer>"
    );
}
