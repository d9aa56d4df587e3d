//! A graph of a robot through the stock dora CLI: frames, answers, swaps of versions, masks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{MACHINES, dora};
use crate::harness::Absent;
use crate::{python, root, vrft};

/// Longer than a run takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(570);

/// A graph of `configs/` through the stock CLI, with changes, in a folder of its own.
pub struct Robot {
    /// The stock CLI.
    pub dora: PathBuf,
    /// Where it runs.
    pub folder: tempfile::TempDir,
    /// The graph, as YAML.
    pub graph: String,
    /// The configuration, as TOML.
    pub config: String,
}

impl Robot {
    /// The graph `configs/dataflow.NAME.yml` with its configuration.
    ///
    /// # Errors
    /// No dora CLI on this machine.
    pub fn of(name: &str) -> Result<Self, Absent> {
        let dora = dora()?;
        vrft();
        let read = |file: &str| std::fs::read_to_string(root().join("configs").join(file)).unwrap();
        let anchored = |text: String| {
            text.replace("../", &format!("{}/", root().display()))
                .replace("\"rewards/", &format!("\"{}/configs/rewards/", root().display()))
        };
        let graph = anchored(read(&format!("dataflow.{name}.yml")));
        let lines = graph.lines().filter(|line| !line.trim_start().starts_with("build:"));
        let graph = lines.collect::<Vec<_>>().join("\n");
        let config = anchored(read(&format!("{name}.toml")));
        let folder = tempfile::tempdir().unwrap();
        let mut robot = Self { dora, folder, graph, config };
        let config = robot.path("config.toml").display().to_string();
        robot =
            robot.in_graph(&format!("VRFT_CONFIG: {name}.toml"), &format!("VRFT_CONFIG: {config}"));
        let served = robot.path("served").display().to_string();
        Ok(robot.in_config(&format!("{}/out/served", root().display()), &served))
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// With a change to the graph.
    pub fn in_graph(mut self, from: &str, to: &str) -> Self {
        assert!(self.graph.contains(from), "{from:?} is not in the graph");
        self.graph = self.graph.replace(from, to);
        self
    }

    /// With a change to the configuration.
    pub fn in_config(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from:?} is not in the configuration");
        self.config = self.config.replace(from, to);
        self
    }

    /// A camera whose scene changes, and that knows where things are, in place of camera and detector.
    pub fn with_scene(mut self, change: usize, n_frames: usize) -> Self {
        let data = root().join("data/digits").display().to_string();
        let scene = root().join("target/release/vrft-scene").display().to_string();
        let args = format!("{data}/shots.parquet {data}/test.parquet {change} {n_frames}");
        let camera = root().join("target/release/vrft-camera").display().to_string();
        let camera = format!("path: {camera}");
        self = self.in_graph(&camera, &format!("path: {scene}\n    args: {args}"));
        self.in_graph("outputs: [image]", "outputs: [image, boxes2d]")
    }

    /// The camera's own boxes in place of the detector's.
    pub fn without_detector(self) -> Self {
        let from = self.graph.find("  - id: detector").unwrap();
        let to = from + self.graph[from..].find("\n\n").unwrap();
        let part = self.graph[from..to].to_owned();
        self.in_graph(&part, "").in_graph("detector/boxes2d", "camera/boxes2d")
    }

    /// These nodes on the second machine of a cluster, the others on the first.
    pub fn on_machines(mut self, second: &[&str]) -> Self {
        let mut machine = MACHINES[0];
        let mut lines = Vec::new();
        for line in self.graph.lines() {
            lines.push(line.to_owned());
            if let Some(id) = line.strip_prefix("  - id: ") {
                machine = MACHINES[usize::from(second.contains(&id))];
            } else if line.starts_with("    path: ") {
                lines.push(format!("    deploy: {{machine: {machine}}}"));
            }
        }
        self.graph = lines.join("\n");
        self
    }

    /// Starts it.
    pub fn start(&self) -> Child {
        std::fs::write(self.path("config.toml"), &self.config).unwrap();
        std::fs::write(self.path("graph.yml"), &self.graph).unwrap();
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = Command::new(&self.dora);
        command.arg("run").arg(self.path("graph.yml")).current_dir(self.folder.path());
        if let Ok(python) = python() {
            let path = std::env::var("PATH").unwrap_or_default();
            let bin = python.parent().unwrap_or(Path::new("")).display().to_string();
            command.env("PATH", format!("{bin}:{path}"));
        }
        command.env("VRFT_RUN_DIR", self.path("run"));
        // Those that the graph names.
        command.env("CAPTURE_PATH", root().join("data/digits/frames"));
        // Any port that is free.
        command.env("PAGE_ADDRESS", "127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    /// Process id of the node with this executable.
    pub fn node_pid(&self, dora: u32, executable: &str) -> u32 {
        let found = crate::child_with(dora, |line| {
            line.split('\0').next().unwrap_or_default().ends_with(executable)
        });
        found.unwrap_or_else(|| panic!("no {executable} runs\n{}", self.log()))
    }

    /// What its nodes have said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Lines of the journal that are of this kind.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("run/answers.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == kind).collect()
    }

    /// Waits until something is so.
    pub fn until(&self, child: &mut Child, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            let is_alive = child.try_wait().unwrap().is_none();
            assert!(is_alive, "the graph ended before {what}\n{}", self.log());
            assert!(start.elapsed() < PATIENCE, "never {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
