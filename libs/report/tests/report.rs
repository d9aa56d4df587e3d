//! The report of a small run folder: it holds the run's numbers, takes model text as text, and survives torn files.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does, by a panic")]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use vrft_report::{ReportError, write_report};

/// A PNG of one pixel.
const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55,
];

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("images")).unwrap();
    fs::write(dir.path().join("images/0000.png"), PIXEL).unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn page(dir: &Path) -> String {
    fs::read_to_string(write_report(dir).unwrap()).unwrap()
}

const EVALUATIONS: &str = concat!(
    r#"{"label":"base","policy_version":0,"n":2,"secs":1.0,"metrics":{"miou":0.4121,"miou_ci_low":0.3716,"miou_ci_high":0.4526,"ap50":0.375}}"#,
    "\n",
    r#"{"label":"rft","policy_version":60,"n":2,"secs":1.0,"metrics":{"miou":0.5612,"miou_ci_low":0.5211,"miou_ci_high":0.6013,"ap50":0.625}}"#,
    "\n"
);

fn metrics() -> String {
    let line = |step: u32, name: &str, value: f64| {
        format!(
            "{{\"step\":{step},\"name\":\"{name}\",\"value\":{value},\"at\":{step}.5,\"node\":\"learner\"}}\n"
        )
    };
    let names = ["reward/total/mean", "policy/kl", "time/rollout_secs", "time/step_secs"];
    (1..=60)
        .flat_map(|step| names.map(|name| line(step, name, 1.0 + f64::from(step) / 60.0)))
        .collect()
}

#[test]
fn the_report_holds_the_numbers_of_the_run() {
    let dir = folder(&[
        ("evaluations.jsonl", EVALUATIONS),
        (
            "metrics.jsonl",
            &(metrics() + "{\"step\":1,\"name\":\"data/used\",\"value\":64,\"node\":\"loader\"}\n"),
        ),
        ("config.toml", "[run]\nname = \"drones\"\n[learner]\nwindow = 2\n"),
        ("environment.json", r#"{"version":"0.1.0","cores":2,"command_line":"vrft run"}"#),
        (
            "spans.jsonl",
            "{\"node\":\"rollout\",\"name\":\"generate\",\"step\":3,\"start\":1.0,\"end\":2.0}\n",
        ),
    ]);
    let page = page(dir.path());
    for expected in [
        "raised held-out mIoU from 0.412 to 0.561",
        "<b>0.412</b>",
        "0.372\u{2013}0.453",
        "+0.149",
        "+0.250",
        "<title>drones",
        "KL to the reference policy",
        "Seconds of a step",
        "rollout generate, step 3: 1.0 s",
        "window = 2",
        "command line",
        "vrft run",
    ] {
        assert!(page.contains(expected), "{expected:?} is missing");
    }
    assert!(page.contains("training samples</dt><dd>64<"), "a number, not a word");
    // There is no such learner in this run.
    assert!(!page.contains("SFT is the supervised baseline"));
    for broken in ["NaN", "\"inf", ",inf", "Minf", ">inf"] {
        assert!(!page.contains(broken), "a coordinate is not a number: {broken}");
    }
}

#[test]
fn what_a_model_wrote_is_text() {
    let prediction = r#"{"sample_id":"<img src=x>","sample":0,"completion":"<script>alert(1)</script>","truth":[[100,100,500,500]],"predicted":[{"bbox":[100,100,500,450],"confidence":0.9}],"iou":0.86}"#;
    let dir = folder(&[
        ("evaluations.jsonl", EVALUATIONS),
        ("predictions-rft.jsonl", prediction),
        ("config.toml", "# </pre><script>alert(2)</script>"),
        ("environment.json", r#"{"<img src=x>":"<svg onload=y>"}"#),
        (
            "nodes.json",
            r#"[{"id":"<script>","is_learner":true,"learners":["<script>"]},{"id":"b","is_learner":true,"learners":["b"]}]"#,
        ),
        (
            "spans.jsonl",
            r#"{"node":"<script>","name":"\"><script>","start":0.0,"end":1.0,"step":1}"#,
        ),
    ]);
    let page = page(dir.path());
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("data:image/png;base64,") && page.contains("<b>0.86</b>"));
    for markup in ["<script", "<img src=x", "<svg onload"] {
        assert!(!page.contains(markup), "{markup} got through");
    }
}

#[test]
fn what_was_asked_and_whether_there_was_anything_stands_below_the_picture() {
    let line = |predicted: &str| {
        format!(
            r#"{{"sample_id":"a","sample":0,"question":"Where is the <larger> cup?\nAnswer so.","completion":"","truth":[],"predicted":[{predicted}],"iou":0.0}}"#
        )
    };
    let a_box = r#"{"bbox":[100,100,500,450],"confidence":0.9}"#;
    let dir = folder(&[
        ("evaluations.jsonl", EVALUATIONS),
        ("predictions-base.jsonl", &line(a_box)),
        ("predictions-rft.jsonl", &line("")),
    ]);
    let page = page(dir.path());
    for expected in [
        "Where is the &lt;larger&gt; cup?\u{2026}</p>",
        "\u{2717} <small>nothing there, 1 found</small>",
        "\u{2713} <small>nothing there</small>",
        "Open a sample's name",
    ] {
        assert!(page.contains(expected), "{expected:?} is missing");
    }
    assert!(!page.contains("IoU of single images"), "there is nothing to overlap with");
}

#[test]
fn a_question_that_all_samples_have_stands_there_once() {
    let line = |sample: usize, question: &str| {
        format!(
            r#"{{"sample_id":"{sample}","sample":{sample},"question":"{question}","completion":"","truth":"a","predicted":"a"}}"#
        )
    };
    let n_told = |questions: [&str; 2]| {
        let lines = format!("{}\n{}", line(0, questions[0]), line(1, questions[1]));
        let dir = folder(&[("predictions-rft.jsonl", &lines)]);
        fs::write(dir.path().join("images/0001.png"), PIXEL).unwrap();
        page(dir.path()).matches("<p class=question").count()
    };
    assert_eq!(n_told(["What is it?", "What is it?"]), 1);
    assert_eq!(n_told(["Is it a?", "Is it b?"]), 2);
}

#[test]
fn names_are_compared_as_names() {
    let line = |predicted: &str| {
        format!(
            r#"{{"sample_id":"a","sample":0,"completion":"","truth":"jasmine","predicted":"{predicted}"}}"#
        )
    };
    let dir = folder(&[
        ("predictions-base.jsonl", &line("rose")),
        ("predictions-rft.jsonl", &line("jasmine")),
    ]);
    let page = page(dir.path());
    assert!(page.contains("\u{2717} rose") && page.contains("\u{2713} jasmine"));
    assert!(page.contains("true name") && !page.contains("Numbers are IoU"));
}

#[test]
fn a_run_without_numbers_has_a_report_and_a_folder_without_a_run_has_none() {
    let page = page(folder(&[("config.toml", "")]).path());
    assert!(page.contains("This run has no evaluation yet."));
    assert!(page.contains("</html>"));
    let empty = folder(&[]);
    let error = write_report(empty.path()).unwrap_err();
    assert!(matches!(error, ReportError::EmptyFolder(_)), "{error}");
    assert!(!empty.path().join("report.html").exists());
}

/// Nothing is answered there, so that there is no evaluation by its nature.
#[test]
fn a_run_that_estimates_is_headed_by_its_estimate() {
    let estimate = r#"{"policy": "out/awr", "temperature": 1.0, "estimate": {"value": 1.591, "interval": [1.466, 1.702],
        "unbiased": 1.58, "logged": 1.514, "gain": [0.061, 0.094], "effective_share": 0.48, "n_questions": 16,
        "n_answers": 3200}}"#;
    let page = page(folder(&[("config.toml", ""), ("estimate.json", estimate)]).path());
    let words = "out/awr would earn 1.591 (1.466\u{2013}1.702) an answer, more than the 1.514 that these earned (a \
                 difference of 0.061 to 0.094); 3200 answers to 16 questions, which count as 48 %.";
    assert!(page.contains(words), "{page}");
    assert!(!page.contains("no evaluation yet"));
}

#[test]
fn torn_files_cost_their_lines_only() {
    let torn = format!("{}{{\"step\":61,\"name\":\"pol", metrics());
    let dir = folder(&[
        ("metrics.jsonl", &torn),
        ("evaluations.jsonl", "{\"label\":\"base\",\"metr"),
        (
            "predictions-base.jsonl",
            "\n\n{\"sample_id\":\"a\",\"truth\":null,\"predicted\":7}\n[]\nnot json",
        ),
        ("spans.jsonl", "{\"node\":\"rollout\",\"name\":\"g\",\"start\":5.0,\"end\":1.0}\n"),
        ("environment.json", "{\"version\":"),
        ("config.toml", "[learner\nsteps ="),
        ("images/b.png", "not an image"),
    ]);
    let page = page(dir.path());
    assert!(page.contains("KL to the reference policy"));
    assert!(page.contains("1 line of metrics.jsonl could not be read"));
    assert!(page.contains("This run has no evaluation yet."));
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let error = write_report(Path::new("no/such/run")).unwrap_err();
    assert!(matches!(error, ReportError::NoRunFolder(_)));
    assert!(error.to_string().contains("no/such/run"));
}

#[test]
fn what_was_said_about_the_data_is_in_the_page() {
    let log = "loader:  INFO Data: skipped row 7: <b>\n\
               loader:  WARN Data: 2 of 9 test rows are also learned from\n";
    let dir = folder(&[("evaluations.jsonl", EVALUATIONS), ("run.log", log)]);
    let page = page(dir.path());
    for expected in
        ["skipped row 7: &lt;b&gt;", "Warning: 2 of 9 test rows are also learned from.", "id=data"]
    {
        assert!(page.contains(expected), "{expected:?} is missing");
    }
}
