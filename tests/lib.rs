//! What the tests of whole runs share: the built executables, a run and what it left behind.

pub mod cluster;
pub mod harness;
pub mod robot;
pub mod squares;
pub mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use vrft_config::Document;

/// The root folder of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is a folder of the repository").to_owned()
}

/// All files below a folder, in the order of their names.
pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// All Rust sources with their texts.
pub fn sources() -> Vec<(PathBuf, String)> {
    let folders = ["libs", "nodes", "tests"];
    let files = folders.iter().flat_map(|folder| files_under(&root().join(folder)));
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a readable source");
        (path, text)
    };
    files.filter(is_source).map(read).collect()
}

/// The launcher, built together with all nodes.
pub fn vrft() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--workspace", "--bins"]).current_dir(root());
        // What cargo tells a test about itself would make it build dependencies again that read the environment.
        for (name, _) in std::env::vars_os() {
            let told = name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME";
            if told || name == "LD_LIBRARY_PATH" {
                cargo.env_remove(name);
            }
        }
        let status = cargo.status().expect("cargo runs");
        assert!(status.success(), "the executables do not build");
        root().join("target/release/vrft")
    });
    built.clone()
}

/// Environment variable with a Python that has dora-rs 1.1.0 and what the nodes in Python import, if the one on the path has not.
const PYTHON_VARIABLE: &str = "VRFT_PYTHON";

/// A Python that can run dora nodes.
///
/// # Errors
/// It is neither on the path nor named by `VRFT_PYTHON`.
pub fn python() -> Result<PathBuf, harness::Absent> {
    let python = std::env::var_os(PYTHON_VARIABLE).map_or_else(|| "python3".into(), PathBuf::from);
    let works = Command::new(&python).args(["-c", "import dora, pyarrow, numpy, PIL"]).output();
    if works.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    let remedy = "pip install --no-deps dora-rs==1.1.0 pyarrow numpy pillow";
    let variable = PYTHON_VARIABLE;
    Err(harness::Absent::new(format!(
        "needs a Python with dora: {remedy}, or name it in {variable}"
    )))
}

/// Chromium, and Node to drive it.
///
/// # Errors
/// One of them is not on the path.
pub fn browser() -> Result<(), harness::Absent> {
    for program in ["chromium", "node"] {
        let works = Command::new(program).arg("--version").output();
        if !works.is_ok_and(|output| output.status.success()) {
            return Err(harness::Absent::new(format!("needs {program} on the path")));
        }
    }
    Ok(())
}

/// Runs are tested one at a time: each starts nine processes.
pub fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A small run: few steps of few prompts, real images, the starter policy.
pub struct Run {
    graph: PathBuf,
    config: Option<PathBuf>,
    overrides: Vec<String>,
    env: Vec<(String, String)>,
    out: PathBuf,
    _guard: MutexGuard<'static, ()>,
    folder: tempfile::TempDir,
}

/// What these runs start from.
const DIGITS: &str = "tests/digits.toml";

/// How small the runs of the tests are.
const SMALL: &[&str] = &[
    "learner.steps=4",
    "learner.prompts_per_step=2",
    "learner.checkpoint_every=1",
    "rollout.group_size=4",
    "evaluation.limit=4",
    "data.shots=4",
];

impl Run {
    /// A run of the default graph on the digits, with the smallest policy there is.
    pub fn small() -> Run {
        Self::of(&root().join("dataflow.yml")).config(&root().join(DIGITS))
    }

    /// A run of two rollouts of so many steps, each long enough to see which rollout answers how much of it.
    pub fn of_two_rollouts(n_steps: u64) -> Run {
        Self::of(&root().join("configs/two-rollouts.yml"))
            .set("learner.prompts_per_step=32")
            .set("rollout.group_size=8")
            .set("data.shots=8")
            .set("evaluation.limit=1")
            .set(&format!("learner.checkpoint_every={n_steps}"))
            .set(&format!("learner.steps={n_steps}"))
    }

    /// Two steps whose reward has a term by meaning, by a small sentence model. The policy of the tests speaks of boxes: taken
    /// as text, its answers are more or less like the true ones.
    pub fn by_meaning() -> Run {
        let digits = root().join("data/digits/shots.parquet");
        Self::of(&root().join("configs/semantic.yml"))
            .set(&format!("semantic.model={:?}", root().join("libs/embedding/tests/golden/bert")))
            .set("semantic.floor=0.0")
            .set("reward.preset=rewards/vlm-r1/ocr.toml")
            .set("learner.steps=2")
            .set(&format!("data.train={digits:?}"))
            .set(&format!("evaluation.test={digits:?}"))
    }

    /// A run of this graph.
    pub fn of(graph: &Path) -> Run {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Run {
            graph: graph.to_owned(),
            config: None,
            overrides: SMALL.iter().map(ToString::to_string).collect(),
            env: Vec::new(),
            out: folder.path().join("run"),
            _guard: alone(),
            folder,
        }
    }

    /// Overrides a value of the configuration.
    #[must_use]
    pub fn set(mut self, assignment: &str) -> Run {
        self.overrides.push(assignment.to_owned());
        self
    }

    /// Leaves a value as the configuration has it.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Run {
        self.overrides.retain(|assignment| !assignment.starts_with(&format!("{key}=")));
        self
    }

    /// The same with another configuration than the graph's.
    #[must_use]
    pub fn config(mut self, file: &Path) -> Run {
        self.config = Some(file.to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another graph; its relative data paths still start at the repository.
    #[must_use]
    pub fn with_graph(mut self, graph: &Path) -> Run {
        self.graph = graph.to_owned();
        let config = Document::load(&root().join(DIGITS), &[]);
        let config = config.expect("the configuration of the tests loads");
        for key in ["policy.path", "data.train", "evaluation.test"] {
            let path = config.get(key).and_then(|path| path.as_str()).expect("a path");
            self.overrides.push(format!("{key}={:?}", root().join(path)));
        }
        self
    }

    /// The same with another example of `configs/`.
    #[must_use]
    pub fn with_example(mut self, name: &str) -> Run {
        self.graph = root().join(format!("configs/{name}.yml"));
        self.config = None;
        self
    }

    /// A folder for this test's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Values that differ from the graph's configuration.
    pub fn overrides(&self) -> &[String] {
        &self.overrides
    }

    /// The folder that the run writes to.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Forgets what was run, so that the same can be run again.
    pub fn again(&mut self, name: &str) {
        self.out = self.folder.path().join(name);
    }

    fn command(&self, resume: bool) -> Command {
        let mut command = Command::new(vrft());
        command.arg("run").arg(&self.graph).arg("--no-build").current_dir(root());
        command.arg(if resume { "--resume" } else { "--out" }).arg(&self.out);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        for assignment in &self.overrides {
            command.args(["--set", assignment]);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end.
    pub fn finish(&self) -> Outcome {
        Outcome::of(self.command(false).output().expect("the launcher starts"))
    }

    /// Continues to the end.
    pub fn resume(&self) -> Outcome {
        Outcome::of(self.command(true).output().expect("the launcher starts"))
    }

    /// Starts, to be disturbed.
    pub fn start(&self) -> Running {
        Running {
            child: self.command(false).spawn().expect("the launcher starts"),
            out: self.out.clone(),
        }
    }

    /// Continues, to be disturbed.
    pub fn start_again(&self) -> Running {
        Running {
            child: self.command(true).spawn().expect("the launcher starts"),
            out: self.out.clone(),
        }
    }

    /// Starts, and is told to stop, as Ctrl-C does, once the learner has done so many steps; the run must end well.
    pub fn interrupt_after(&self, step: u64) {
        self.interrupt_a_moment_after(step, Duration::ZERO);
    }

    /// [`Run::interrupt_after`] a step and a moment, in which the next step gets under way.
    pub fn interrupt_a_moment_after(&self, step: u64, moment: Duration) {
        let mut running = self.start();
        running.await_step(step);
        std::thread::sleep(moment);
        signal(running.pid(), libc::SIGINT);
        running.wait().ok();
    }

    /// Lines of a file of the run folder, as JSON.
    pub fn lines(&self, file: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.out.join(file)).expect("the run wrote it");
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
    }

    /// Values of a metric of one node by its steps. A step that was done again after a resume counts once, as it was last.
    pub fn metric(&self, node: &str, name: &str) -> Vec<f64> {
        let lines = self.lines("metrics.jsonl").into_iter();
        let of_node = lines.filter(|line| line["node"] == node && line["name"] == name);
        let value = |line: serde_json::Value| {
            (line["step"].as_u64(), line["value"].as_f64().unwrap_or(f64::NAN))
        };
        of_node.map(value).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Bytes of the weights that a learner ended with.
    pub fn final_weights(&self, node: &str) -> Vec<u8> {
        let folder = self.out.join("checkpoints").join(node);
        let mut steps: Vec<PathBuf> = std::fs::read_dir(&folder)
            .expect("checkpoints were saved")
            .map(|entry| entry.expect("a readable folder").path())
            .collect();
        steps.sort();
        let newest = steps.last().expect("one checkpoint or more");
        std::fs::read(newest.join("model.safetensors")).expect("a checkpoint has weights")
    }
}

/// A run under way.
pub struct Running {
    child: Child,
    out: PathBuf,
}

impl Running {
    /// Waits until the learner has done so many steps; 0 waits for the nodes to be there.
    pub fn await_step(&mut self, step: u64) {
        match step {
            0 => self.await_text("run.log", "sft:  INFO Joined"),
            _ => {
                let loss = format!("\"step\":{step},\"name\":\"policy/loss\"");
                self.await_text("metrics.jsonl", &loss);
            }
        }
    }

    /// Waits until a file of the run folder contains a text.
    pub fn await_text(&mut self, file: &str, text: &str) {
        let patience = Instant::now() + Duration::from_secs(120);
        while !std::fs::read_to_string(self.out.join(file)).is_ok_and(|found| found.contains(text))
        {
            assert!(Instant::now() < patience, "{file} never contained {text}");
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the run ended before {file} contained {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Process id of the launcher.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Process id of a node: the child of the launcher that runs this executable with these arguments.
    pub fn node_pid(&self, executable: &str, argument: Option<&str>) -> Option<u32> {
        child_with(self.child.id(), |line| {
            let program = line.split('\0').next().unwrap_or_default();
            program.ends_with(executable) && line.contains("sft") == argument.is_some()
        })
    }

    /// Waits for the end.
    pub fn wait(self) -> Outcome {
        Outcome::of(self.child.wait_with_output().expect("the launcher ends"))
    }
}

/// Sends a signal to one process.
#[expect(unsafe_code, reason = "there is no safe call for signals")]
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: kill takes two integers and touches no memory of ours.
    let sent = unsafe { libc::kill(pid.cast_signed(), signal) };
    assert_eq!(sent, 0, "process {pid} is gone");
}

/// Lets a process run for a quarter of the time, until it is told to end.
pub fn slow_down(pid: u32, is_over: &AtomicBool) {
    let is_there = || Path::new(&format!("/proc/{pid}/stat")).exists();
    while !is_over.load(Ordering::Relaxed) && is_there() {
        signal(pid, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(30));
        if is_there() {
            signal(pid, libc::SIGCONT);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first process below another whose command line, with zeros between its words, is one of these.
pub fn child_with(pid: u32, is_meant: impl Fn(&str) -> bool) -> Option<u32> {
    descendants(pid).into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_meant(&String::from_utf8_lossy(&line))
    })
}

fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![];
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
        for task in tasks.filter_map(Result::ok) {
            let children =
                std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok());
            for child in children {
                found.push(child);
                parents.push(child);
            }
        }
    }
    found
}

/// How a run ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What the command wrote to standard output.
    pub stdout: String,
    /// What the command wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    fn of(output: Output) -> Outcome {
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The run must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Outcome {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The run must have failed, with these words in its error.
    #[track_caller]
    pub fn failed(self, words: &[&str]) -> Outcome {
        assert!(self.code != Some(0), "the run succeeded\n{}", self.stdout);
        for words in words {
            assert!(
                self.stderr.contains(words),
                "{words:?} is not in\n{}\n{}",
                self.stdout,
                self.stderr
            );
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}
