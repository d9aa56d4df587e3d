//! Several dora daemons through the stock CLI: on this machine, or each in a namespace of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::Absent;
use crate::root;
use crate::wire::Wire;

/// Machine names of `configs/dataflow.cluster.yml`, the learner's first.
pub const MACHINES: [&str; 3] = ["learner", "rollout", "loader"];

/// Environment variable with the stock dora CLI, if it is not on the path.
const DORA_VARIABLE: &str = "VRFT_DORA";

/// A coordinator and its daemons; they end with it.
pub struct Cluster<'a> {
    dora: PathBuf,
    wire: Option<&'a Wire>,
    port: u16,
    folder: PathBuf,
    children: Vec<Child>,
}

/// The stock dora CLI.
///
/// # Errors
/// It is neither on the path nor named by `VRFT_DORA`.
pub fn dora() -> Result<PathBuf, Absent> {
    let dora = std::env::var_os(DORA_VARIABLE).map_or_else(|| "dora".into(), PathBuf::from);
    let works = Command::new(&dora).arg("--version").output().is_ok_and(|o| o.status.success());
    if works {
        Ok(dora)
    } else {
        let remedy = "pip install dora-rs-cli==1.1.0";
        Err(Absent::new(format!(
            "needs the stock dora CLI: {remedy}, or name it in {DORA_VARIABLE}"
        )))
    }
}

impl<'a> Cluster<'a> {
    /// Starts a coordinator and one daemon for each machine name; with a wire, each in its namespace.
    pub fn start(
        dora: &Path,
        machines: &[&str],
        port: u16,
        wire: Option<&'a Wire>,
        folder: &Path,
    ) -> Self {
        let dora = dora.to_owned();
        let folder = folder.to_owned();
        let mut cluster = Cluster { dora, wire, port, folder, children: vec![] };
        let address = cluster.coordinator();
        let port = port.to_string();
        let coordinator =
            ["coordinator", "--store", "memory", "--port", &port, "--interface", &address];
        cluster.spawn(0, "coordinator", &coordinator);
        std::thread::sleep(Duration::from_millis(700));
        for (k, machine) in machines.iter().enumerate() {
            let local = (cluster.port + 1 + k as u16).to_string();
            let overlay = root().join("configs/cluster.json5").display().to_string();
            let daemon = [
                "daemon",
                "--machine-id",
                machine,
                "--coordinator-addr",
                &address,
                "--coordinator-port",
                &port,
                "--local-listen-port",
                &local,
                "--zenoh-config-overlay",
                &overlay,
            ];
            cluster.spawn(k, machine, &daemon);
        }
        std::thread::sleep(Duration::from_secs(2));
        cluster
    }

    fn coordinator(&self) -> String {
        self.wire.map_or("127.0.0.1".to_owned(), |_| Wire::address(0))
    }

    fn command(&self, machine: usize, arguments: &[&str]) -> Command {
        let mut command = match self.wire {
            Some(wire) => wire.on(machine, &self.dora),
            None => Command::new(&self.dora),
        };
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    fn spawn(&mut self, machine: usize, name: &str, arguments: &[&str]) {
        let log = std::fs::File::create(self.folder.join(format!("{name}.log")));
        let log = log.expect("a log file can be made");
        let mut command = self.command(machine, arguments);
        let copy = log.try_clone().expect("a file can be cloned");
        self.children.push(command.stdout(copy).stderr(log).spawn().expect("dora starts"));
    }

    /// Starts a graph; its output goes to `start.log`.
    pub fn run(&self, graph: &Path, run_dir: &Path) -> Child {
        let address = self.coordinator();
        let port = self.port.to_string();
        let env = format!("VRFT_RUN_DIR={}", run_dir.display());
        let mut command = self.command(0, &["start"]);
        command.arg(graph).args(["--attach", "--env", &env]);
        command.args(["--coordinator-addr", &address, "--coordinator-port", &port]);
        let log =
            std::fs::File::create(self.folder.join("start.log")).expect("a log file can be made");
        let copy = log.try_clone().expect("a file can be cloned");
        command.stdout(copy).stderr(log).spawn().expect("dora starts")
    }

    /// Everything that coordinator, daemons and nodes said.
    pub fn logs(&self) -> String {
        let names = MACHINES.iter().copied().chain(["coordinator", "start"]);
        let logs = names.map(|name| {
            let text = std::fs::read_to_string(self.folder.join(format!("{name}.log")));
            format!("--- {name}\n{}\n", text.unwrap_or_default())
        });
        logs.collect()
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        // The daemons first: their nodes end with them.
        for child in self.children.iter_mut().rev() {
            crate::signal(child.id(), libc::SIGINT);
            let patience = Instant::now() + Duration::from_secs(5);
            while child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(50));
            }
            // Gone already, or not to be had in a friendly way.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Runs a graph by the stock dora CLI in the graph's own folder, with these environment variables, and a Python first on the
/// path where nodes need one. Gives the exit code, or nothing after so long, and what was printed.
pub fn dora_run(
    dora: &Path,
    graph: &Path,
    python: Option<&Path>,
    variables: &[(&str, &Path)],
    patience: Duration,
) -> (Option<i32>, String) {
    let folder = graph.parent().expect("a graph is in a folder");
    let log = folder.join("log");
    let file = std::fs::File::create(&log).expect("a file for the log");
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = python.and_then(Path::parent);
    let path = bin.map_or(path.clone(), |bin| format!("{}:{path}", bin.display()));
    let mut child = Command::new(dora)
        .arg("run")
        .arg(graph)
        .current_dir(folder)
        .env("PATH", path)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("the file for the log"))
        .stderr(file)
        .spawn()
        .expect("dora starts");
    let code = wait(&mut child, patience);
    (code, std::fs::read_to_string(log).expect("the log"))
}

/// The graph of a run with the configuration that the run was made of, for the stock CLI: no build lines, and no path
/// depends on where it is. `folder` is made for it.
pub fn stock_graph(graph: &Path, config: &Path, folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder for the graph");
    let text = std::fs::read_to_string(graph).expect("a graph");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("build:"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.replace("../", "").replace("path: ", &format!("path: {}/", root().display()));
    let named = text.split("VRFT_CONFIG: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let named = named.expect("the graph names its configuration").to_owned();
    let config = config.display().to_string();
    let text = text.replace(&format!("VRFT_CONFIG: {named}"), &format!("VRFT_CONFIG: {config}"));
    let path = folder.join("graph.yml");
    std::fs::write(&path, text).expect("the graph is written");
    path
}

/// Waits for the end of a process; its exit code, or nothing after so long.
pub fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(child.kill());
    drop(child.wait());
    None
}
