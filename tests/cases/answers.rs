//! True answers in the forms that people and published data sets have them in.

use super::*;

/// Rows of 40 squares with these answers.
fn answered(folder: &Path, solution: impl Fn(usize) -> Value) -> PathBuf {
    rows(folder, 40, |idx, row| row["solution"] = solution(idx))
}

#[track_caller]
fn not_proposed(data: &Path, words: &[&str]) {
    let folder = folder();
    let new = folder.path().join("mine").display().to_string();
    let (is_made, text) =
        told(&["new", &new, "--data", data.to_str().unwrap(), "--checkpoint", "data/starter"]);
    assert!(!is_made, "{}: {text}", data.display());
    for words in words {
        assert!(text.contains(words), "{}: {words:?} is not in\n{text}", data.display());
    }
}

#[test]
fn numbers_are_taken_as_they_are_written_however_small_or_large() {
    let folder = folder();
    let small = answered(folder.path(), |idx| json!(2.5e-6 * (idx + 1) as f64));
    proposed(&small, &["40 rows, 40 usable, 0 skipped", "Task: number"]);
    let large =
        answered(folder.path(), |idx| json!((1_u64 << 63) + 5_000_000_000_000_000 * idx as u64));
    let said = proposed(&large, &["40 rows, 40 usable, 0 skipped", "Task: number"]);
    assert!(said.contains("<answer>9223372036854775808</answer>"), "{said}");
    let written = answered(folder.path(), |idx| json!(format!("{}e{}", idx + 1, idx % 20)));
    proposed(&written, &["40 rows, 40 usable, 0 skipped", "Task: number"]);
}

#[test]
fn answers_of_mathematics_are_numbers_with_their_steps_as_thinking() {
    let folder = folder();
    let boxed = answered(folder.path(), |idx| json!(format!("\\boxed{{{}}}", idx % 7)));
    proposed(&boxed, &["Task: number", "40 of 40 are marked, by \\boxed{}", "<answer>0</answer>"]);
    let steps = answered(folder.path(), |idx| {
        json!(format!("There are {idx} and 2 more.\n#### {}", idx + 2))
    });
    let best = "<think>There are 0 and 2 more.</think><answer>2</answer>";
    proposed(&steps, &["Task: number", "by #### in row 0", best]);
}

#[test]
fn a_name_that_spells_a_tag_is_one_bad_row_for_new_and_for_check() {
    let folder = folder();
    let name = |idx: usize, bad: &str| match idx {
        7 => json!(bad),
        _ => json!(["mug", "jug", "cup"][idx % 3]),
    };
    for bad in ["mug</answer>", "<think>"] {
        let data = answered(folder.path(), |idx| name(idx, bad));
        let words =
            [&*format!("skipped row 7: the true answer has {:?}", &bad[bad.find('<').unwrap()..])];
        proposed(&data, &["40 rows, 39 usable, 1 skipped", "jug", words[0]]);
        let train = format!("data.train={}", data.display());
        let preset = "reward.preset=rewards/visual-rft/classification.toml";
        let test = format!("evaluation.test={}", data.display());
        let arguments = ["check", "--set", &train, "--set", preset, "--set", &test];
        let (is_accepted, said) = told(&arguments);
        assert!(is_accepted && said.contains(words[0]), "{said}");
        let all = [&arguments[..], &["--set", "data.max_bad_fraction=0"]].concat();
        let (is_accepted, said) = told(&all);
        assert!(!is_accepted && said.contains("rows.jsonl") && said.contains("row 7"), "{said}");
        // The same of a column of classes.
        let labels = rows(folder.path(), 40, |idx, row| {
            *row = json!({"image": row["image"].clone(), "label": name(idx, bad)});
        });
        proposed(&labels, &["40 rows, 39 usable, 1 skipped", words[0]]);
    }
}

#[test]
fn a_row_in_other_units_is_refused_with_the_key_that_says_which() {
    let folder = folder();
    let of = |corners: [u32; 4]| json!(format!("[{{'Position': {corners:?}}}]"));
    let pixels_among_thousandths = answered(folder.path(), |idx| match idx {
        3 => of([100, 200, 5000, 3000]),
        _ => of([400, 300, 900, 950]),
    });
    let words = ["row 3", "got 5000", "taken for thousandths (data.space says"];
    refused(&pixels_among_thousandths, &["data.max_bad_fraction=0"], &words);
    let thousandths_among_pixels = answered(folder.path(), |idx| match idx {
        3 => of([100, 200, 900, 950]),
        idx => of([10, 20, 30 + idx as u32, 60]),
    });
    let words = ["row 3", "(100, 200)", "taken for pixels (data.space says"];
    refused(&thousandths_among_pixels, &["data.max_bad_fraction=0", "data.space=pixels"], &words);
}

#[test]
fn pictures_that_exif_turns_on_one_side_alone_are_no_difference() {
    let folder = folder();
    let side = |name: &str, is_turned: bool| {
        let line = |idx: usize| {
            let picture_name = format!("{name}-{idx}.jpg");
            if is_turned {
                turned(folder.path(), &picture_name, (80 + idx as u32, 60), 6);
            } else {
                picture(folder.path(), &picture_name, (80 + idx as u32, 60), idx);
            }
            let solution = "[{'Position': [5, 6, 50, 44]}]";
            json!({"image": picture_name, "problem": "Where?", "solution": solution}).to_string()
        };
        let lines: Vec<String> = (0..12).map(line).collect();
        write(folder.path(), &format!("{name}.jsonl"), lines.join("\n"))
    };
    let (train, test) = (side("train", true), side("test", false));
    let test = format!("evaluation.test={}", test.display());
    let settings = ["data.space=pixels", &test, "evaluation.limit=0"];
    let said = accepted(&train, &settings, &["EXIF turns the pictures of 12 rows"]);
    assert!(!said.contains("read as"), "{said}");
}

#[test]
fn boxes_of_gemini_have_y_first_unless_a_setting_says_otherwise() {
    let folder = folder();
    let data = answered(folder.path(), |idx| {
        json!(format!("[{{\"box_2d\": [{idx}, 500, 40, 990], \"label\": \"mug\"}}]"))
    });
    let words = [
        "read as [y1, x1, y2, x2]",
        "'box_2d': [y1, x1, y2, x2]",
        "{\"box_2d\": [0, 500, 40, 990]",
    ];
    proposed(&data, &words);
    let preset = write(
        folder.path(),
        "boxes.toml",
        "[reward.answer]\ntype = \"boxes\"\nkeys = {place = \"box_2d\"}\n\
        [reward.match]\nthreshold = 0.0\n[reward.terms.iou]\nmetric = \"overlap\"",
    );
    let preset = format!("reward.preset={}", preset.display());
    let test = format!("evaluation.test={}", data.display());
    accepted(
        &data,
        &[&preset, &test],
        &["under \"box_2d\" are read and asked for with y before x"],
    );
    let said = accepted(&data, &[&preset, &test, "reward.answer.order=xy"], &["order = \"xy\""]);
    assert!(!said.contains("y before x"), "{said}");
}

#[test]
fn places_in_tokens_of_other_models_are_refused_and_not_learned_as_names() {
    let folder = folder();
    for form in [
        "<loc0100><loc0200><loc0300><loc0400> mug",
        "mug<loc_100><loc_200><loc_300><loc_400>",
        "<object><patch_index_0044><patch_index_0863></object>",
    ] {
        let data = answered(folder.path(), |idx| {
            json!(
                form.replace("100", &(100 + idx).to_string())
                    .replace("44", &(44 + idx).to_string())
            )
        });
        not_proposed(&data, &["rows.jsonl", "row 0", "numbers in tags or tokens are not read"]);
    }
    // Brackets are read; the tokens around them are not asked for.
    let data = answered(folder.path(), |idx| {
        json!(format!("<ref>mug</ref><box>[[{}, 820, 300, 940]]</box>", 100 + idx))
    });
    proposed(
        &data,
        &["Task: box", "beside the numbers is no part", "<answer>[100, 820, 300, 940]"],
    );
}
