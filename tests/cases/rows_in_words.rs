//! Rows that ask in words: marks, turns, ids, labels, solutions, lengths.

use super::*;

const QUESTION: &str = "Where is the square?";

#[test]
fn marks_are_places_of_images_in_every_form_of_row() {
    let folder = folder();
    let conversation = |role: [&str; 3], text: &'static str| {
        let [from, user, model] = role.map(ToOwned::to_owned);
        move |idx: usize, row: &mut Value| {
            let (key, value) =
                if from == "role" { ("messages", "content") } else { ("conversations", "value") };
            let turns = json!([{from.as_str(): user, value: text},
                {from.as_str(): model, value: squares::solution(idx)}]);
            *row = json!({"images": [row["image"].clone()], key: turns});
        }
    };
    let marked = |_: usize, row: &mut Value| row["problem"] = format!("<image>\n{QUESTION}").into();
    for data in [
        rows(folder.path(), 8, marked),
        rows(folder.path(), 8, |_, row| row["problem"] = format!("{QUESTION}\n<image>").into()),
        rows(
            folder.path(),
            8,
            conversation(["from", "human", "gpt"], "<image>Where is the square?"),
        ),
        rows(
            folder.path(),
            8,
            conversation(["from", "user", "assistant"], "<image>\nWhere is the square?"),
        ),
        rows(folder.path(), 8, conversation(["role", "user", "assistant"], "Where is the square?")),
    ] {
        let said = proposed(&data, &["8 rows, 8 usable, 0 skipped", QUESTION]);
        assert!(!said.contains("<image>"), "{said}");
    }
    for text in ["<image><image>Compare both.", "<image>\nFirst <image>, then <image>."] {
        let data = rows(folder.path(), 8, |_, row| row["problem"] = text.into());
        refused(&data, &[], &["row 0", "places for an image", "the row has 1"]);
    }
}

#[test]
fn what_is_no_mark_here_is_told_and_a_video_that_is_not_there_is_refused() {
    let folder = folder();
    for mark in ["<img>", "<image 1>", "<|image|>"] {
        let data =
            rows(folder.path(), 8, |_, row| row["problem"] = format!("{mark} Where?").into());
        proposed(&data, &["8 of 8 rows have", mark, "only <image> is the place of an image"]);
    }
    let data = rows(folder.path(), 8, |_, row| row["problem"] = "<video>Where?".into());
    refused(&data, &[], &["row 0", "1 places for a video", "the row has 0 videos"]);
}

#[test]
fn all_turns_before_the_last_answer_are_asked() {
    let folder = folder();
    let data = rows(folder.path(), 8, |idx, row| {
        *row = json!({"image": row["image"].clone(), "conversations": [
            {"from": "system", "value": "You are a careful inspector."},
            {"from": "human", "value": "<image>\nWhich colour is it?"},
            {"from": "gpt", "value": "It is white."},
            {"from": "human", "value": QUESTION},
            {"from": "gpt", "value": squares::solution(idx)},
        ]});
    });
    let words = ["You are a careful inspector.", "Which colour is it?", "It is white.", QUESTION];
    proposed(&data, &words);
    let unanswered = rows(folder.path(), 8, |_, row| {
        *row = json!({"image": row["image"].clone(),
            "conversations": [{"from": "human", "value": QUESTION}]});
    });
    refused(&unanswered, &[], &["row 0", "without an answer"]);
}

/// In the reward that is declared for boxes with a confidence.
#[test]
fn solutions_are_read_as_what_they_say_or_refused_by_their_row() {
    let folder = folder();
    let bbox = json!({"Position": [391, 188, 641, 344], "Confidence": 1});
    let text = "[{'Position': [391, 188, 641, 344], 'Confidence': 1}]";
    let fenced = format!("<answer>```json\n[{bbox}]\n```</answer>");
    for solution in [
        json!([bbox]),
        json!({"Position": [391, 188, 641, 344]}),
        json!({"objects": [bbox]}),
        json!(text),
        json!(fenced),
        json!(format!("<ANSWER>{text}</ANSWER>")),
        json!(format!("<think>Bright.</think>\n<answer>{text}</answer>")),
        json!(format!("<think>First <answer>[1]</answer></think><answer>{text}</answer>")),
        json!("<answer>No Objects</answer>"),
    ] {
        let data = rows(folder.path(), 4, |_, row| row["solution"] = solution.clone());
        let said = accepted(&data, &[], &[]);
        assert!(said.contains("4 rows, 4 usable, 0 skipped"), "{solution}: {said}");
    }
    for (solution, words) in [
        (json!(format!("<answer>{text}</answer> or <answer>{text}</answer>")), "got 2"),
        (json!("[{'Position': [391, 188, 391, 344]}]"), "expected x1 < x2, got x1 = 391"),
        (json!("[{'Position': ['391', '188', '641', '344']}]"), "got them in quotes"),
        (json!("[{'Position': [391, 188, 641, 344]}, {'Pos"), "opens 2 objects"),
        (
            json!("[{'box': [391, 188, 641, 344]}]"),
            "under \"Position\", got an object with \"box\"",
        ),
        (json!([391, 188, 641, 344]), "expected [{'Position'"),
        (json!("the left one"), "expected [{'Position'"),
        (json!(null), "row 0"),
    ] {
        let data = rows(folder.path(), 4, |_, row| row["solution"] = solution.clone());
        refused(&data, &[], &["rows.jsonl", "row 0", words]);
    }
}

/// The default task is one box without keys; rows of Visual-RFT name its coordinates.
#[test]
fn rows_with_keys_serve_a_task_without_any() {
    let folder = folder();
    let data = rows(folder.path(), 12, |_, _| ());
    let train = format!("data.train={}", data.display());
    let (is_accepted, said) = told(&["check", "--set", &train, "--set", "evaluation.limit=2"]);
    assert!(is_accepted, "{said}");
    for words in ["12 rows, 12 usable, 0 skipped", "12 of 12 true answers are objects"] {
        assert!(said.contains(words), "{said}");
    }
    // As they are judged on: what the file says of its own rows does not hold for others.
    let path = data.display().to_string();
    let (is_judged, said) = told(&["eval", "--data", &path, "--set", "evaluation.limit=2"]);
    assert!(is_judged && said.contains("\"n\": 2"), "{said}");
    let two = rows(folder.path(), 12, |_, row| {
        row["solution"] = "[{'Position': [1, 2, 30, 40]}, {'Position': [50, 60, 70, 80]}]".into();
    });
    let train = format!("data.train={}", two.display());
    let (is_accepted, said) = told(&["check", "--set", &train]);
    assert!(!is_accepted && said.contains("expected one item in the true answer, got 2"), "{said}");
}

#[test]
fn a_reward_from_the_command_line_replaces_the_declared_one_or_says_what_clashes() {
    let preset = ["--set", "reward.preset=rewards/visual-rft/classification.toml"];
    let (is_accepted, said) = told(&[&["check"][..], &preset].concat());
    assert!(!is_accepted, "{said}");
    for words in ["true answers are places", "reward.answer.type = \"label\""] {
        assert!(said.contains(words), "{said}");
    }
    let folder = folder();
    let data = rows(folder.path(), 12, |idx, row| row["solution"] = ["cat", "dog"][idx % 2].into());
    let train = format!("data.train={}", data.display());
    let test = format!("evaluation.test={}", data.display());
    let (is_accepted, said) =
        told(&[&["check", "--set", &train, "--set", &test][..], &preset].concat());
    assert!(is_accepted, "{said}");
    let answer = said.split("[reward.answer]").nth(1).unwrap();
    let answer = answer.split("\n[").next().unwrap();
    assert!(answer.contains("type = \"label\"") && !answer.contains("space"), "{answer}");
    assert!(said.contains("evaluation.test: 12 of 12 rows are also learned from"), "{said}");
}

#[test]
fn a_question_that_has_no_room_is_told_with_both_numbers() {
    let folder = folder();
    let long = "Please look carefully at everything. ".repeat(900);
    let data = rows(folder.path(), 4, |_, row| row["problem"] = long.clone().into());
    refused(&data, &[], &["row 0", "the question takes", "the model has"]);
    let data = rows(folder.path(), 40, |idx, row| {
        if idx == 17 {
            row["problem"] = long.clone().into();
        }
    });
    accepted(&data, &[], &["40 rows, 39 usable, 1 skipped", "skipped row 17: the question takes"]);
}

#[test]
fn rows_that_are_judged_on_and_learned_from_are_told() {
    let folder = folder();
    let data = rows(folder.path(), 24, |_, _| ());
    let test = format!("evaluation.test={}", data.display());
    accepted(&data, &[&test], &["warning", "evaluation.test"]);
    let copied = folder.path().join("copied");
    let other = rows(&copied, 24, |_, row| row["problem"] = "Where is it?".into());
    let test = format!("evaluation.test={}", other.display());
    accepted(&data, &[&test], &["warning", "evaluation.test"]);
}

#[test]
fn bad_rows_are_named_and_counted_and_too_many_are_refused() {
    let folder = folder();
    let data = rows(folder.path(), 60, |idx, row| match idx {
        11 => row["image"] = "gone.png".into(),
        29 => row["solution"] = "[{'Position': [100, 100, 1500, 300], 'Confidence': 1}]".into(),
        47 => row["solution"] = "<answer></answer>".into(),
        _ => {}
    });
    let words =
        ["57 usable, 3 skipped, 57 used", "row 11: ", "gone.png", "row 29: ", "1500", "row 47: "];
    accepted(&data, &[], &words);
    refused(&data, &["data.max_bad_fraction=0"], &["row 11: ", "row 29: ", "row 47: "]);
}

#[test]
fn pixels_are_told_from_thousandths_by_the_pictures() {
    let folder = folder();
    let names: Vec<String> = (0..12).map(|k| format!("{k}.png")).collect();
    names.iter().enumerate().for_each(|(k, name)| picture(folder.path(), name, (640, 480), k));
    let row = |k: usize, name: &String| {
        let corners = [10 + 20 * k, 5 + 10 * k, 300 + 20 * k, 300 + 10 * k];
        let solution = format!("[{{\"bbox_2d\": {corners:?}, \"label\": \"mug\"}}]");
        json!({"image": name, "problem": "Where is the mug?", "solution": solution}).to_string()
    };
    let text: Vec<String> = names.iter().enumerate().map(|(k, name)| row(k, name)).collect();
    let data = write(folder.path(), "rows.jsonl", text.join("\n"));
    let (is_made, said) = told(&["reward", "infer", data.to_str().unwrap()]);
    assert!(is_made && said.contains("taken for pixels, since") && said.contains("640"), "{said}");
    assert!(said.contains("space = \"pixels\""), "{said}");
    // The same for a run: 10 of 640 are 16 thousandths.
    let said = proposed(&data, &["taken for pixels, since"]);
    assert!(said.contains("[16, 10, 469, 625]"), "{said}");
}

#[test]
fn names_are_read_exactly_before_they_are_read_as_parts_of_others() {
    let folder = folder();
    let reward = "[reward]\nanswer = { type = \"label\", labels = [\"dog\", \"hot dog\", \"bear\", \"teddy bear\"] }\n[reward.terms.accuracy]\nmetric = \"accuracy\"\nweight = 1.0\n";
    let spec = write(folder.path(), "reward.toml", reward);
    let pairs = [
        ("hot dog", "hot dog", 1.0),
        ("hot dog", "a hot dog", 1.0),
        ("dog", "hot dog", 0.0),
        ("teddy bear", "It is a Teddy Bear.", 1.0),
        ("bear", "teddy bear", 0.0),
        ("Hot_Dog", "hot dog", 1.0),
    ];
    let line = |(truth, said, _): &(&str, &str, f64)| {
        let completion = format!("<think>x</think><answer>{said}</answer>");
        json!({"completion": completion, "solution": format!("<answer>{truth}</answer>")})
            .to_string()
    };
    let file =
        write(folder.path(), "c.jsonl", pairs.iter().map(line).collect::<Vec<_>>().join("\n"));
    let score = ["reward", "score", spec.to_str().unwrap(), file.to_str().unwrap()];
    let (is_scored, said) = told(&score);
    assert!(is_scored, "{said}");
    let scored = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let accuracy: Vec<f64> = scored.filter_map(|line| line["terms"]["accuracy"].as_f64()).collect();
    assert_eq!(accuracy, pairs.map(|(.., accuracy)| accuracy));
}
