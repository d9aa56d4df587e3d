//! Tables of data that the policies were not tuned for.

use std::process::Command;

use serde_json::Value;
use vrft_tests::{alone, root, vrft};

#[test]
fn policies_are_judged_on_other_data_than_they_were_tuned_for() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("untouched.toml");
    let preset = root().join("configs/rewards/scenes/classify.toml");
    let text = format!(
        "[run]\nname = \"untouched\"\n[table]\nmetrics = [\"accuracy\"]\n[reward]\npreset = {preset:?}\n\
         [evaluation]\ntest = \"data/scenes/home-classify-test.jsonl\"\nlimit = 3\n\
         [rollout]\nmax_completion_tokens = 60\n"
    );
    std::fs::write(&other, text).unwrap();
    let out = folder.path().join("out");
    let small = [
        "learner.steps=1",
        "learner.prompts_per_step=2",
        "evaluation.limit=3",
        "rollout.group_size=2",
    ];
    let run = |more: &[&str]| {
        let mut command = Command::new(vrft());
        command.current_dir(root()).args([
            "table",
            "configs/scenes/shifted/color.toml",
            "--no-build",
        ]);
        command.args(["--shots", "2", "--seeds", "2", "--out"]).arg(&out);
        for value in small.iter().chain(more) {
            command.args(["--set", value]);
        }
        let also = format!("table.also=[{:?}]", other.display().to_string());
        let output = command.args(["--set", &also]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let (is_ok, said) = run(&[]);
    assert!(is_ok, "{said}");
    let tables = std::fs::read_to_string(out.join("table.json")).unwrap();
    let tables: Value = serde_json::from_str(&tables).unwrap();
    let labels = |table: &Value| {
        let rows = table["rows"].as_array().unwrap().iter();
        rows.map(|row| row["label"].as_str().unwrap().to_owned()).collect::<Vec<String>>()
    };
    assert_eq!(
        tables[1]["title"],
        "Shifted scenes: tell the color of a thing, judged by: untouched"
    );
    assert_eq!(labels(&tables[1]), ["base", "sft", "rft"]);
    assert!(tables[1]["rows"][2]["metrics"]["accuracy"]["mean"].is_number());
    let pairs = tables[1]["differences"].as_array().unwrap().iter();
    assert_eq!(pairs.filter(|pair| pair["n"] == 2).count(), 3);
    // What is known is not asked again, and not mixed with what another reward says.
    let (is_ok, again) = run(&[]);
    assert!(is_ok && !again.contains("judged by: untouched: rft"), "{again}");
    let text = std::fs::read_to_string(&other).unwrap();
    std::fs::write(
        &other,
        text.replace("max_completion_tokens = 60", "max_completion_tokens = 50"),
    )
    .unwrap();
    let (is_ok, refused) = run(&[]);
    assert!(!is_ok && refused.contains("was made with other settings"), "{refused}");
}
