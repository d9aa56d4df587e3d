//! `vrft serve`, asked by OpenAI's own Python client and by a person's browser.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use vrft_dataset::Dataset;
use vrft_tests::harness::Absent;
use vrft_tests::{Run, alone, browser, python, root, vrft};

/// A server that ends with it.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(arguments: &[&str]) -> Self {
        let config = ["--config", "tests/digits.toml"];
        Self::of("data/starter", &[&config[..], arguments].concat())
    }

    /// Of this checkpoint.
    fn of(checkpoint: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(vrft());
        command.args(["serve", "--checkpoint", checkpoint]);
        command.args(["--port", "0"]).args(arguments).current_dir(root());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://"));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { child, address }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn picture(folder: &Path) -> PathBuf {
    let photos = Dataset::open(&root().join("data/digits/test.parquet")).unwrap();
    let path = folder.join("photo.png");
    std::fs::write(&path, photos.get(0).pictures[0].bytes().unwrap()).unwrap();
    path
}

/// What a script said; it must end well.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out
}

fn the_official_client_asks_whole_and_streamed() -> Result<(), Absent> {
    let python = python()?;
    let has_client = Command::new(&python).args(["-c", "import openai"]).output();
    if !has_client.is_ok_and(|output| output.status.success()) {
        return Err(Absent::new("needs the Python package: pip install openai"));
    }
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&["--token", "secret"]);
    let script = root().join("tests/serve_client.py");
    let mut command = Command::new(python);
    command.arg(script).arg(&served.address).arg("secret").arg(picture(folder.path()));
    let out = said(&mut command);
    for expected in [
        "whole and streamed agree",
        "a developer and a negative seed are heard",
        "a wrong token is refused",
        "tools are refused",
        "an unknown key of a message is refused",
    ] {
        assert!(out.contains(expected), "{expected:?} is not in {out}");
    }
    Ok(())
}

/// What a person sees on the page who drops a picture, asks for digits, and draws a box instead of those that were found.
fn on_the_page(served: &Served, folder: &Path) -> Value {
    let mut command = Command::new("node");
    command.arg("--experimental-websocket").arg(root().join("tests/serve_page.mjs"));
    command.arg(&served.address).arg(picture(folder)).arg("handwritten digit");
    command.arg(folder.join("profile"));
    let out = said(&mut command);
    let line = out.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("{out}"))
}

fn a_person_drops_a_picture_sees_boxes_corrects_them_and_the_next_run_learns_from_that()
-> Result<(), Absent> {
    browser()?;
    vrft();
    let run = Run::small();
    let folder = run.folder().to_owned();
    let corrections = folder.join("corrections");
    let written = corrections.display().to_string();
    let seen = {
        let served = Served::start(&["--corrections", &written]);
        on_the_page(&served, &folder)
    };
    assert_eq!(seen["version"], "starter");
    assert!(seen["answer"].as_str().unwrap().ends_with("</answer>"), "{seen}");
    let cells = seen["cells"].as_array().unwrap();
    let number = |n: usize| cells[n].as_str().unwrap().parse::<f64>().unwrap();
    assert!(number(0) < number(2) && number(1) < number(3) && number(2) <= 64.0, "{seen}");
    assert!(seen["red"].as_u64().unwrap() > 20, "the box is drawn: {seen}");
    assert!(seen["remarked"].as_str().unwrap().starts_with("Written: 1 row in "), "{seen}");
    assert_eq!(seen["report"], Value::Null, "the starter is of no run");

    // What was drawn is what the run learns from and is judged by.
    let rows = format!("\"{written}/rows.jsonl\"");
    let run = run
        .set(&format!("data.train={rows}"))
        .set(&format!("evaluation.test={rows}"))
        .set("data.space=thousandths")
        .set("data.shots=0")
        .set("learner.steps=1");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 1);
    let judged = run.lines("predictions-base.jsonl");
    let truth = judged[0]["truth"][0].as_array().unwrap_or_else(|| panic!("{}", judged[0]));
    // To within a pixel of the screen.
    for (got, drawn) in truth.iter().zip([100.0, 200.0, 600.0, 800.0]) {
        assert!((got.as_f64().unwrap() - drawn).abs() < 10.0, "{}", judged[0]);
    }

    // The page of what came of it shows its report too.
    let out = run.out().display().to_string();
    let served = Served::of(&out, &["--corrections", &written]);
    let seen = on_the_page(&served, &folder);
    assert_eq!(seen["version"], "step-000001");
    assert!(seen["report"].as_str().is_some_and(|title| !title.is_empty()), "{seen}");
    Ok(())
}

/// A picture of this size in a file.
fn of_size(folder: &Path, width: u32, height: u32) -> PathBuf {
    let path = folder.join(format!("{width}x{height}.png"));
    let color =
        |x: u32, y: u32| image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 90]);
    image::RgbImage::from_fn(width, height, color).save(&path).unwrap();
    path
}

fn a_page_asks_for_its_token_shows_whole_pictures_and_takes_right_words() -> Result<(), Absent> {
    browser()?;
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let corrections = folder.path().join("corrections");
    let served = Served::of(
        "data/reasoner",
        &[
            "--config",
            "configs/scenes/color.toml",
            "--token",
            "secret",
            "--corrections",
            corrections.to_str().unwrap(),
        ],
    );
    let screenshots =
        std::env::var_os("VRFT_SCREENSHOTS").map_or(folder.path().to_owned(), PathBuf::from);
    let mut command = Command::new("node");
    command.arg("--experimental-websocket").arg(root().join("tests/words_page.mjs"));
    command.arg(&served.address).args(["secret", "Which color is the bag?", "green"]);
    command.arg(folder.path().join("profile")).arg(screenshots);
    for (width, height) in [(3000, 60), (60, 3000), (1600, 1200), (24, 16)] {
        command.arg(of_size(folder.path(), width, height));
    }
    command.arg(root().join("data/scenes/pictures/home-test-001.jpg"));
    let out = said(&mut command);
    let seen: Value = serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap();
    assert_eq!(seen["without"], "The server asks for its token.");
    assert_eq!(seen["wrong"], "The server does not take this token.");
    assert_eq!(seen["right"], "");
    let shapes = seen["shapes"].as_array().unwrap();
    assert_eq!(shapes.len(), 5);
    for shape in shapes {
        let number = |value: &Value| value.as_f64().unwrap();
        let (width, height) = (number(&shape["width"]), number(&shape["height"]));
        let (pixels, room) = (&shape["pixels"], &shape["room"]);
        // All of it is seen, as it is.
        assert!(width <= number(&room[0]) && height <= number(&room[1]), "{shape}");
        let stretched = width * number(&pixels[1]) / (height * number(&pixels[0]));
        assert!((stretched - 1.0).abs() < 0.05, "{shape}");
    }
    assert!(seen["answer"].as_str().unwrap().contains("<answer>"), "{seen}");
    assert_eq!(seen["hidden"], serde_json::json!([true, false]), "words are written: {seen}");
    assert!(!seen["proposed"].as_str().unwrap().contains('<'), "{seen}");
    assert!(seen["remarked"].as_str().unwrap().starts_with("Written: 1 row in "), "{seen}");
    let rows = std::fs::read_to_string(corrections.join("rows.jsonl")).unwrap();
    let row: Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(row["problem"], "Which color is the bag?");
    assert_eq!(row["solution"], "<answer>green</answer>");
    Ok(())
}

fn a_policy_is_asked_from_the_command_line() -> Result<(), Absent> {
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(vrft());
        command.args(["ask", "--checkpoint", "data/starter", "--config", "tests/digits.toml"]);
        command.arg("--image").arg(picture(folder.path())).args(arguments);
        command.current_dir(root());
        command
    };
    let drawn = folder.path().join("drawn.png");
    let category = ["--category", "handwritten digit"];
    let text = said(&mut ask(&[&category[..], &["--draw", drawn.to_str().unwrap()]].concat()));
    assert!(text.contains("</answer>\nbox ") && text.contains("confidence"), "{text}");
    assert!(std::fs::read(&drawn).unwrap().starts_with(b"\x89PNG"));
    let json = said(&mut ask(&[&category[..], &["--json"]].concat()));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["version"].as_str(), json["reading"].as_str()),
        (Some("starter"), Some("something"))
    );
    assert!(json["found"][0]["box"].is_array(), "{json}");
    let output = ask(&[]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("--category"), "{error}");
    Ok(())
}

vrft_tests::tests_that_need_tools!(
    the_official_client_asks_whole_and_streamed,
    a_person_drops_a_picture_sees_boxes_corrects_them_and_the_next_run_learns_from_that,
    a_page_asks_for_its_token_shows_whole_pictures_and_takes_right_words,
    a_policy_is_asked_from_the_command_line,
);
