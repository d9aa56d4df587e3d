//! Tables of made-up runs.

use super::*;

fn run(label: &str, shots: usize, seed: u64, ap: f64) -> ResultRun {
    let metrics = BTreeMap::from([("ap".to_owned(), ap)]);
    let is_trained = label != "base";
    ResultRun {
        label: label.to_owned(),
        shots: Some(shots),
        is_trained,
        seed,
        n_questions: Some(200),
        metrics,
    }
}

fn published(label: &str, shots: Option<usize>, value: f64) -> PublishedNumber {
    PublishedNumber { label: label.to_owned(), shots, value }
}

fn table() -> Results {
    let runs = [
        run("rft", 16, 0, 0.50),
        run("rft", 16, 1, 0.54),
        run("rft", 16, 2, 0.58),
        run("sft", 16, 0, 0.40),
        run("sft", 16, 1, 0.45),
        run("sft", 16, 2, 0.47),
        run("rft", 4, 0, 0.45),
        run("base", 16, 0, 0.40),
        run("base", 4, 0, 0.40),
    ];
    let head = ResultsHead {
        title: "COCO | 8".to_owned(),
        metrics: vec!["ap".to_owned(), "miou".to_owned()],
        is_percent: true,
        shots_per: "class".to_owned(),
        published: vec![
            published("base", None, 19.6),
            published("sft", Some(16), 31.3),
            published("rft", Some(16), 46.8),
        ],
        remarks: vec!["Ours.".to_owned()],
        ..ResultsHead::default()
    };
    Results::new(head, &runs)
}

/* Half width of 0.50, 0.54, 0.58: 4.302653 * 0.04 / sqrt(3) = 0.099366.
Paired differences 0.10, 0.09, 0.11: mean 0.1, 4.302653 * 0.01 / sqrt(3) = 0.024841. */
#[test]
fn rows_have_mean_and_interval_over_seeds_beside_the_paper_s() {
    let text = table().to_markdown();
    let expected = [
        "## COCO | 8",
        "| method | shots a class | seeds | questions | AP | paper | mIoU |",
        "|---|---:|---:|---:|---:|---:|---:|",
        "| base | \u{2013} | 1 | 200 | 40.0 | 19.6 | \u{2013} |",
        "| SFT | 16 | 3 | 200 | 44.0 \u{b1} 9.0 | 31.3 | \u{2013} |",
        "| RFT | 4 | 1 | 200 | 45.0 | \u{2013} | \u{2013} |",
        "| RFT | 16 | 3 | 200 | 54.0 \u{b1} 9.9 | 46.8 | \u{2013} |",
        "| RFT \u{2212} SFT | 16 | +10.0 | +7.5 to +12.5 | 3 seeds | +15.5 |",
        "| RFT \u{2212} base | 4 | +5.0 | \u{2013} | 1 seed | \u{2013} |",
        "- Ours.",
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn equal_seeds_are_told_as_equal_and_not_as_certain() {
    let runs = [
        run("rft", 4, 0, 0.5),
        run("rft", 4, 1, 0.5),
        run("sft", 4, 0, 0.4),
        run("sft", 4, 1, 0.4),
    ];
    let head = ResultsHead { metrics: vec!["ap".to_owned()], ..ResultsHead::default() };
    let results = Results::new(head, &runs);
    let text = results.to_markdown();
    for line in [
        "| RFT | 4 | 2 | 200 | 0.500 (all equal) |",
        "| RFT \u{2212} SFT | 4 | +0.100 | none: all equal | 2 seeds |",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("\u{b1}"), "{text}");
}

#[test]
fn files_hold_the_same_table_and_load_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_results(&[table()], folder.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("table.json")).unwrap();
    assert_eq!(json[0]["rows"][3]["metrics"]["ap"]["n"], 3);
    assert_eq!(json[0]["rows"][0]["metrics"]["ap"]["half_width"], serde_json::Value::Null);
    assert_eq!(json[0]["differences"][0]["over"], "seeds");
    let page = read("table.html");
    assert!(page.contains("COCO | 8") && page.contains("<svg"), "{page}");
    assert!(!page.contains("http://") || !page.contains("<script"), "{page}");
    assert!(read("table.md").contains("| RFT | 16 | 3 | 200 |"));
}

#[test]
fn a_single_seed_is_compared_over_its_questions() {
    let folder = tempfile::tempdir().unwrap();
    let evaluation = |label: &str, version: u64, miou: f64| {
        format!(
            "{{\"label\":\"{label}\",\"policy_version\":{version},\"n\":3,\"metrics\":{{\"miou\":{miou}}}}}\n"
        )
    };
    let answers = |ious: [f64; 3]| -> String {
        let line =
            |(i, iou)| format!("{{\"sample_id\":\"s{i}\",\"truth\":[[0,0,9,9]],\"iou\":{iou}}}\n");
        ious.iter().enumerate().map(line).collect()
    };
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("evaluations.jsonl", evaluation("base", 0, 0.4) + &evaluation("rft", 9, 0.6));
    write("predictions-base.jsonl", answers([0.3, 0.4, 0.5]));
    write("predictions-rft.jsonl", answers([0.4, 0.6, 0.8]));
    let of = |label: &str, miou: f64| {
        let metrics = BTreeMap::from([("miou".to_owned(), miou)]);
        ResultRun { metrics, ..run(label, 4, 0, 0.0) }
    };
    let head = ResultsHead { metrics: vec!["miou".to_owned()], ..ResultsHead::default() };
    let mut results = Results::new(head, &[of("base", 0.4), of("rft", 0.6)]);
    results.compare_answers(Some(4), folder.path()).unwrap();
    let [one] = &results.differences[..] else { panic!("{:?}", results.differences) };
    /* scipy: d = [.1, .2, .3]; t.interval(.95, 2, mean(d), sem(d)) = (-0.048414, 0.448414) */
    let (low, high) = one.interval.unwrap();
    assert!((low + 0.048_414).abs() < 1e-5 && (high - 0.448_414).abs() < 1e-5, "{low} {high}");
    assert_eq!((one.n, one.over), (3, "questions"));
}
