//! `vrft serve`, asked by OpenAI's own Python client and by a person's browser.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vrft_dataset::Dataset;
use vrft_tests::harness::Absent;
use vrft_tests::{alone, python, root, vrft};

/// A server that ends with it.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(vrft());
        command.args(["serve", "--checkpoint", "data/starter", "--config", "configs/default.toml"]);
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
    for expected in ["whole and streamed agree", "a wrong token is refused", "tools are refused"] {
        assert!(out.contains(expected), "{expected:?} is not in {out}");
    }
    Ok(())
}

fn a_person_drops_a_picture_on_the_page_and_sees_boxes() -> Result<(), Absent> {
    for (program, arguments) in [("chromium", &["--version"]), ("node", &["--version"])] {
        let works = Command::new(program).args(arguments).output();
        if !works.is_ok_and(|output| output.status.success()) {
            return Err(Absent::new(format!("needs {program} on the path")));
        }
    }
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&[]);
    let mut command = Command::new("node");
    command.arg("--experimental-websocket").arg(root().join("tests/serve_page.mjs"));
    command.arg(&served.address).arg(picture(folder.path())).arg("handwritten digit");
    command.arg(folder.path().join("profile"));
    let out = said(&mut command);
    let line = out.lines().last().unwrap_or_default();
    let seen: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{out}"));
    assert_eq!(seen["version"], "starter");
    assert!(seen["answer"].as_str().unwrap().ends_with("</answer>"), "{seen}");
    let cells = seen["cells"].as_array().unwrap();
    let number = |n: usize| cells[n].as_str().unwrap().parse::<f64>().unwrap();
    assert!(number(0) < number(2) && number(1) < number(3) && number(2) <= 64.0, "{seen}");
    assert!(seen["red"].as_u64().unwrap() > 20, "the box is drawn: {seen}");
    Ok(())
}

fn a_policy_is_asked_from_the_command_line() -> Result<(), Absent> {
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(vrft());
        command.args(["ask", "--checkpoint", "data/starter", "--config", "configs/default.toml"]);
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
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
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
    a_person_drops_a_picture_on_the_page_and_sees_boxes,
    a_policy_is_asked_from_the_command_line,
);
