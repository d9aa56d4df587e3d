//! Stages on several machines: what is learned is what one machine learns, whatever the network does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use vrft_tests::cluster::{Cluster, MACHINES, dora, wait};
use vrft_tests::harness::Absent;
use vrft_tests::wire::{Weather, Wire};
use vrft_tests::{Run, root};

/// Longest time that a run may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// Weights after the same run on one machine.
fn one_machine() -> &'static Vec<u8> {
    static WEIGHTS: OnceLock<Vec<u8>> = OnceLock::new();
    WEIGHTS.get_or_init(|| {
        let run = Run::of(&root().join("configs/two-rollouts.yml"));
        run.finish().ok();
        run.final_weights("learner")
    })
}

/// The cluster's graph in a folder of its own: few steps, and each machine's name from `places`.
fn graph(run: &Run, endpoint: &str, places: &[(&str, &str)]) -> PathBuf {
    let absolute = |path: PathBuf| path.display().to_string();
    let data = |path: &str| format!("{:?}", absolute(root().join(path)));
    let mut overrides: Vec<String> = run.overrides().to_vec();
    overrides.push(format!("policy.path={}", data("data/starter")));
    overrides.push(format!("data.train={}", data("data/digits/shots.parquet")));
    overrides.push(format!("evaluation.test={}", data("data/digits/test.parquet")));
    overrides.push(format!("weights.endpoint={endpoint:?}"));
    overrides.push("weights.always_pull=true".to_owned());
    let config =
        vrft_config::Document::load(&root().join("configs/cluster.toml"), &overrides).unwrap();
    std::fs::write(run.folder().join("cluster.toml"), config.to_toml()).unwrap();
    let text = std::fs::read_to_string(root().join("configs/dataflow.cluster.yml")).unwrap();
    let text = text.replace("../target", &absolute(root().join("target")));
    let text = text.replace("VRFT_CONFIG: ", &format!("VRFT_CONFIG: {}/", run.folder().display()));
    let text = places.iter().fold(text, |text, (from, to)| {
        text.replace(&format!("machine: {from}}}"), &format!("machine: {to}}}"))
    });
    let file = run.folder().join("graph.yml");
    std::fs::write(&file, text).unwrap();
    file
}

/// Nothing lost, nothing repeated: every step once, and the weights of one machine.
fn same_as_one_machine(run: &Run, logs: &str) {
    let steps: Vec<u64> = run
        .lines("metrics.jsonl")
        .iter()
        .filter(|line| line["node"] == "learner" && line["name"] == "policy/loss")
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [1, 2, 3, 4], "{logs}");
    assert!(*one_machine() == run.final_weights("learner"), "other weights\n{logs}");
}

fn through_the_cli(machines: &[&str], places: &[(&str, &str)], port: u16) -> Result<(), Absent> {
    let dora = dora()?;
    one_machine();
    let run = Run::of(&root().join("configs/two-rollouts.yml"));
    let graph = graph(&run, &format!("tcp/127.0.0.1:{}", port + 50), places);
    let cluster = Cluster::start(&dora, machines, port, None, run.folder());
    let mut child = cluster.run(&graph, run.out());
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", cluster.logs());
    same_as_one_machine(&run, &cluster.logs());
    Ok(())
}

fn three_daemons_learn_what_one_machine_learns() -> Result<(), Absent> {
    through_the_cli(&MACHINES, &[], 17100)
}

fn two_daemons_learn_what_one_machine_learns() -> Result<(), Absent> {
    through_the_cli(&MACHINES[..2], &[("loader", "rollout")], 17200)
}

fn over_the_wire(
    weather: Weather,
    port: u16,
    disturb: impl FnOnce(&Wire, &Path),
) -> Result<(), Absent> {
    let dora = dora()?;
    one_machine();
    let run = Run::of(&root().join("configs/two-rollouts.yml"));
    let wire = Wire::between(MACHINES.len(), weather)?;
    let graph = graph(&run, &format!("tcp/{}:7547", Wire::address(0)), &[]);
    let cluster = Cluster::start(&dora, &MACHINES, port, Some(&wire), run.folder());
    let mut child = cluster.run(&graph, run.out());
    disturb(&wire, run.out());
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", cluster.logs());
    let (passed, lost) = wire.counts();
    assert!(lost > 0 && passed > 1000, "{passed} packets passed, {lost} lost");
    same_as_one_machine(&run, &cluster.logs());
    Ok(())
}

fn await_step(out: &Path, step: u64) {
    let loss = format!("\"step\":{step},\"name\":\"policy/loss\"");
    for _ in 0..1200 {
        let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
        if text.contains(&loss) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn latency_and_loss_change_nothing() -> Result<(), Absent> {
    let weather = Weather { delay: Duration::from_millis(20), lost_per_mille: 10 };
    over_the_wire(weather, 17300, |_, _| {})
}

fn a_cut_wire_is_waited_for() -> Result<(), Absent> {
    let weather = Weather { delay: Duration::from_millis(5), lost_per_mille: 1 };
    over_the_wire(weather, 17400, |wire, out| {
        await_step(out, 2);
        wire.cut();
        // TCP asks again after 12.6 and then after 25.4 seconds; dora gives a silent daemon up after 30.
        std::thread::sleep(Duration::from_secs(10));
        wire.mend();
    })
}

vrft_tests::tests_that_need_tools!(
    three_daemons_learn_what_one_machine_learns,
    two_daemons_learn_what_one_machine_learns,
    latency_and_loss_change_nothing,
    a_cut_wire_is_waited_for,
);
