//! A policy in use in a dora graph: swaps while it answers, live scores while it learns, a node in Python behind it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vrft_tests::cluster::{Cluster, MACHINES, dora, wait};
use vrft_tests::harness::Absent;
use vrft_tests::robot::{PATIENCE, Robot};
use vrft_tests::{alone, browser, python, root, vrft};

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_else(|| panic!("{key} of {event}"))
}

fn at(event: &Value) -> f64 {
    event["at"].as_f64().unwrap()
}

/// The number of a version of the learner; 0 for what the run began with.
fn number(event: &Value) -> u64 {
    text(event, "version").strip_prefix("step-").map_or(0, |digits| digits.parse().unwrap())
}

/// The starter policy under another name in the folder of the promoted ones.
fn promote(served: &Path, name: &str) {
    let folder = served.join(name);
    if !folder.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        for file in std::fs::read_dir(root().join("data/starter")).unwrap() {
            let file = file.unwrap().path();
            std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    let next = served.join("next");
    std::os::unix::fs::symlink(name, &next).unwrap();
    std::fs::rename(next, served.join("current")).unwrap();
}

fn what_is_promoted_and_taken_back_is_used_without_a_gap() -> Result<(), Absent> {
    let robot = Robot::of("answer")?.with_scene(40, 100_000).in_graph("millis/200", "millis/50");
    let _guard = alone();
    let mut child = robot.start();
    robot.until(&mut child, "ten answers", |robot| robot.events("answer").len() >= 10);
    let mut moments = Vec::new();
    for name in ["policy-0001", "policy-0002", "policy-0001"] {
        promote(&robot.path("served"), name);
        let asked = Instant::now();
        robot.until(&mut child, "it was used", |robot| {
            robot.events("answer").last().is_some_and(|answer| text(answer, "version") == name)
        });
        moments.push(asked.elapsed());
        std::thread::sleep(Duration::from_secs(1));
    }
    vrft_tests::signal(child.id(), libc::SIGINT);
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());
    // The way back included; the machine may be busy with other tests.
    assert!(moments.iter().all(|moment| *moment < Duration::from_secs(3)), "{moments:?}");
    let swaps = robot.events("swap");
    assert_eq!(swaps.len(), 3, "{swaps:?}");
    let answers = robot.events("answer");
    for swap in &swaps {
        let within = |from: f64, to: f64| {
            let since = |answer: &&Value| (from..to).contains(&(at(answer) - at(swap)));
            answers.iter().filter(since).count()
        };
        // A second before and a second after: no gap in which nothing is answered.
        let (before, after) = (within(-1.0, 0.0), within(0.0, 1.0));
        assert!(before > 0 && after > 0, "{before} answers before, {after} after");
    }
    Ok(())
}

/// A package of the hub as `dora` finds it once it was built: the manifest of the node without its build line, and the
/// executable where the manifest says it is.
fn package(folder: &Path, node: &str) -> PathBuf {
    let executable = format!("target/release/vrft-{node}");
    let package = folder.join(node);
    let manifest = root().join("nodes").join(node).join("dora-node.yml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(manifest.contains(&format!("entrypoint: {executable}\n")), "{manifest}");
    let lines = manifest.lines().filter(|line| !line.starts_with("build:"));
    // dora 1.1 looks for it beside the graph too.
    for place in [&package, folder] {
        std::fs::create_dir_all(place.join("target/release")).unwrap();
        std::fs::copy(root().join(&executable), place.join(&executable)).unwrap();
    }
    std::fs::write(package.join("dora-node.yml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    package
}

fn the_graph_of_the_docs_runs_with_packages_of_the_hub() -> Result<(), Absent> {
    let dora = dora()?;
    vrft();
    let folder = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(root().join("docs/src/robot.md")).unwrap();
    let from = page.find("# after: the same robot").unwrap();
    let graph = page[from..].split("```").next().unwrap();
    let model = "Qwen/Qwen2.5-VL-3B-Instruct";
    assert!(graph.contains(model) && graph.contains("hub: vrft/vrft-answer@^0.1"), "{graph}");
    let starter = root().join("data/starter").display().to_string();
    std::fs::write(folder.path().join("robot.yml"), graph.replace(model, &starter)).unwrap();
    let _guard = alone();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut command = Command::new(dora);
    command.args(["run", "robot.yml"]).current_dir(folder.path());
    for node in ["camera", "answer"] {
        let package = package(folder.path(), node);
        let package = format!("vrft/vrft-{node}={}", package.display());
        command.args(["--hub-override", &package]);
    }
    let run = folder.path().join("run");
    command.env("VRFT_RUN_DIR", &run).env_remove("VRFT_CONFIG");
    command.env("CAPTURE_PATH", root().join("libs/model/tests/golden/images"));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = command.spawn().unwrap();
    let said = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let answers = || std::fs::read_to_string(run.join("answers.jsonl")).unwrap_or_default();
    let start = Instant::now();
    while answers().lines().count() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended\n{}", said());
        assert!(start.elapsed() < PATIENCE, "no answers\n{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    vrft_tests::signal(child.id(), libc::SIGINT);
    wait(&mut child, PATIENCE);
    let answer: Value = serde_json::from_str(answers().lines().next().unwrap()).unwrap();
    assert_eq!(answer["question"], "Where is the cup?");
    assert_eq!(answer["version"], "starter");
    Ok(())
}

fn a_rollback_reaches_the_node_within_a_second() -> Result<(), Absent> {
    let robot = Robot::of("answer")?.with_scene(40, 100_000).in_graph("millis/200", "millis/50");
    let _guard = alone();
    let served = robot.path("served");
    promote(&served, "policy-0001");
    let mut child = robot.start();
    robot.until(&mut child, "an answer", |robot| !robot.events("answer").is_empty());
    let uses = |robot: &Robot, name: &str| {
        robot.events("answer").last().is_some_and(|answer| text(answer, "version") == name)
    };
    let mut secs = Vec::new();
    for _ in 0..5 {
        promote(&served, "policy-0002");
        robot.until(&mut child, "it was used", |robot| uses(robot, "policy-0002"));
        let n_swaps = robot.events("swap").len();
        let asked = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let rolled = Command::new(vrft()).args(["rollback", "--served"]).arg(&served).output();
        assert!(rolled.unwrap().status.success());
        robot.until(&mut child, "it was taken back", |robot| uses(robot, "policy-0001"));
        // From the moment at which the command was called to that at which the version was in use.
        secs.push(at(&robot.events("swap")[n_swaps]) - asked.as_secs_f64());
    }
    vrft_tests::signal(child.id(), libc::SIGINT);
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());
    secs.sort_by(f64::total_cmp);
    eprintln!("seconds from `vrft rollback` to the answers of the earlier policy: {secs:.2?}");
    // The median: the machine may be busy with other tests.
    assert!(secs[2] < 1.0, "{secs:?}");
    Ok(())
}

fn a_robot_on_another_machine_pulls_versions_over_zenoh_and_swaps_them_in() -> Result<(), Absent> {
    let robot = Robot::of("robot")?.with_scene(10, 1_000_000).without_detector();
    let robot = robot
        .in_graph("millis/200", "millis/100")
        .on_machines(&["camera", "answer"])
        .in_config("max_fps = 5.0", "max_fps = 0.0")
        .in_config("steps = 200", "steps = 60")
        .in_config("every = 50\nbatch", "every = 0\nbatch");
    let weights = "\n[weights]\nendpoint = \"tcp/127.0.0.1:17650\"\nalways_pull = true\n";
    let robot = Robot { config: robot.config.clone() + weights, ..robot };
    let _guard = alone();
    std::fs::write(robot.path("config.toml"), &robot.config).unwrap();
    std::fs::write(robot.path("graph.yml"), &robot.graph).unwrap();
    let cluster = Cluster::start(&robot.dora, &MACHINES[..2], 17600, None, robot.folder.path());
    let mut child = cluster.run(&robot.path("graph.yml"), &robot.path("run"));
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", cluster.logs());

    let answers = robot.events("answer");
    let swaps = robot.events("swap");
    let used: BTreeSet<u64> = answers.iter().map(number).collect();
    assert!(answers.windows(2).all(|pair| number(&pair[0]) <= number(&pair[1])));
    assert!(used.len() > 10 && used.last() >= Some(&50), "{used:?}\n{}", cluster.logs());
    let gaps: Vec<f64> = answers.windows(2).map(|pair| at(&pair[1]) - at(&pair[0])).collect();
    let over = |swap: &&Value| {
        let after = answers.iter().position(|answer| at(answer) > at(swap));
        after.is_some_and(|after| after > 0)
    };
    let over_swaps = swaps.iter().filter(over).map(|swap| {
        let after = answers.iter().position(|answer| at(answer) > at(swap)).unwrap_or(1);
        at(&answers[after]) - at(&answers[after - 1])
    });
    let over_swaps: Vec<f64> = over_swaps.collect();
    eprintln!(
        "{} answers of {} versions, {} swaps; from one answer to the next {:.2} s, over a swap {:.2} s (medians)",
        answers.len(),
        used.len(),
        swaps.len(),
        median(gaps),
        median(over_swaps)
    );
    let pulled = robot.path("run/pulled/answer");
    assert!(pulled.is_dir(), "nothing came over the wire: {pulled:?}");
    assert!(!cluster.logs().contains("was lost"), "{}", cluster.logs());
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn what_a_person_draws_on_the_page_of_a_robot_reaches_what_it_learns_from() -> Result<(), Absent> {
    browser()?;
    let robot = Robot::of("robot")?.with_scene(10, 1_000_000).without_detector();
    let robot = robot
        .in_config("steps = 200", "steps = 100000")
        .in_config("every = 50\nbatch", "every = 0\nbatch");
    let _guard = alone();
    let mut child = robot.start();
    robot.until(&mut child, "ten answers", |robot| robot.events("answer").len() >= 10);
    let log = robot.log();
    let address =
        log.split("The page is at ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let mut command = Command::new("node");
    command.arg("--experimental-websocket").arg(root().join("tests/robot_page.mjs"));
    command.arg(address.unwrap_or_else(|| panic!("{log}"))).arg(robot.path("profile"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let answer_id = out.trim();
    // The loader writes down what it was told before it uses it.
    let told = || std::fs::read_to_string(robot.path("run/feedback.jsonl")).unwrap_or_default();
    robot.until(&mut child, "the loader was told", |_| told().contains("edit"));
    vrft_tests::signal(child.id(), libc::SIGINT);
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());
    let answers = robot.events("answer");
    let answer = answers.iter().find(|answer| text(answer, "answer_id") == answer_id).unwrap();
    let told: Value = serde_json::from_str(told().lines().next().unwrap()).unwrap();
    assert_eq!(told["frame_id"], answer["frame_id"]);
    let boxes = told["remark"]["edit"].as_array().unwrap();
    assert_eq!(boxes.len(), 1, "{told}");
    for (got, drawn) in boxes[0].as_array().unwrap().iter().zip([100.0, 200.0, 600.0, 800.0]) {
        assert!((got.as_f64().unwrap() - drawn).abs() < 10.0, "{told}");
    }
    let said = robot.events("feedback");
    assert_eq!(said[0]["feedback"]["answer_id"].as_str(), Some(answer_id));
    Ok(())
}

fn a_robot_gets_better_while_it_learns_and_no_answer_mixes_versions() -> Result<(), Absent> {
    let robot = Robot::of("robot")?.with_scene(10, 1_000_000).without_detector();
    let robot = robot
        .in_graph("millis/200", "millis/50")
        .in_config("max_fps = 5.0", "max_fps = 0.0")
        .in_config("steps = 200", "steps = 250")
        .in_config("learning_rate = 1e-4", "learning_rate = 2e-4")
        .in_config("every = 50\nbatch", "every = 0\nbatch");
    let _guard = alone();
    let mut child = robot.start();
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());

    let answers = robot.events("answer");
    let newest = answers.iter().map(number).max().unwrap();
    assert!(newest >= 240, "{newest}");
    // Versions only grow: each answer is of the one that was in use when it began.
    assert!(answers.windows(2).all(|pair| number(&pair[0]) <= number(&pair[1])));
    // Of the second scene alone, so that one is not compared with the other. Ticks are numbered, and none is without a
    // frame.
    let is_later = |answer: &&Value| text(answer, "frame_id").parse::<u64>().unwrap() > 15;
    let later: BTreeSet<&str> =
        answers.iter().filter(is_later).map(|answer| text(answer, "answer_id")).collect();
    let scores = robot.events("score");
    let of = |is_wanted: &dyn Fn(u64) -> bool| -> Vec<f64> {
        let scores = scores.iter().filter(|score| later.contains(text(score, "answer_id")));
        let wanted = scores.filter(|score| is_wanted(number(score)));
        wanted.map(|score| score["overlap"].as_f64().unwrap()).collect()
    };
    let (early, late) = (of(&|version| version <= 15), of(&|version| version >= 190));
    let (before, before_error) = mean(&early);
    let (after, after_error) = mean(&late);
    let error = 1.96 * before_error.hypot(after_error);
    eprintln!(
        "live overlap {before:.3} over {} answers of versions 0 to 15, {after:.3} over {} of versions 190 on: \
         {:+.3} ± {error:.3}; {} swaps",
        early.len(),
        late.len(),
        after - before,
        robot.events("swap").len()
    );
    assert!(after - before > error, "{before} {after} ± {error}");
    let metrics = std::fs::read_to_string(robot.path("run/metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"live/overlap_low\""), "the interval is among the metrics");
    // Nothing of the training was lost: a gap would have stopped the run.
    assert!(!robot.log().contains("lost"), "{}", robot.log());
    Ok(())
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// The box of each shipped frame, in pixels.
fn true_boxes() -> Vec<[f64; 4]> {
    let text = std::fs::read_to_string(root().join("data/digits/frames/boxes.json")).unwrap();
    let boxes: std::collections::BTreeMap<String, [f64; 4]> = serde_json::from_str(&text).unwrap();
    boxes.into_values().collect()
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |x: [f64; 4]| (x[2] - x[0]).max(0.0) * (x[3] - x[1]).max(0.0);
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both)
}

/// As it stands in the repository, with the frames that its first lines name.
fn the_shipped_graph_finds_what_is_in_the_shipped_frames() -> Result<(), Absent> {
    let robot = Robot::of("answer")?.in_graph("millis/200", "millis/50");
    let _guard = alone();
    let mut child = robot.start();
    robot.until(&mut child, "sixty answers", |robot| robot.events("answer").len() >= 60);
    vrft_tests::signal(child.id(), libc::SIGINT);
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());
    let truths = true_boxes();
    let of = |answer: &Value| {
        // Frames are numbered from 0 and come in the order of their names, over and over.
        let frame: usize = text(answer, "frame_id").parse().unwrap();
        let found = answer["found"].as_array().unwrap();
        let corners = found.first().map(|one| serde_json::from_value(one["box"].clone()).unwrap());
        corners.map_or(0.0, |corners| iou(corners, truths[frame % truths.len()]))
    };
    let ious: Vec<f64> = robot.events("answer").iter().map(of).collect();
    let (mean, error) = mean(&ious);
    eprintln!("IoU of the shipped policy on the shipped frames: {mean:.3} ± {:.3}", 1.96 * error);
    assert!(mean > 0.3, "{mean}\n{ious:?}");
    Ok(())
}

/// The robot's graph as it stands in the repository, its detector in Python included.
fn the_shipped_robot_is_measured_and_learns_while_its_answers_are_lost_and_come_again()
-> Result<(), Absent> {
    python()?;
    let robot = Robot::of("robot")?
        .in_graph("millis/200", "millis/50")
        .in_config("max_fps = 5.0", "max_fps = 0.0")
        .in_config("steps = 200", "steps = 60")
        .in_config("every = 50\nbatch", "every = 0\nbatch");
    let _guard = alone();
    let mut child = robot.start();
    robot.until(&mut child, "five scores", |robot| robot.events("score").len() >= 5);
    let first = robot.node_pid(child.id(), "vrft-answer");
    vrft_tests::signal(first, libc::SIGKILL);
    let n_before = robot.events("answer").len();
    robot.until(&mut child, "answers came again", |robot| {
        robot.events("answer").len() > n_before + 20
    });
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());
    // By another process, and with the versions that came meanwhile.
    let answers = robot.events("answer");
    let processes: BTreeSet<&str> =
        answers.iter().map(|answer| text(answer, "answer_id").split('-').next().unwrap()).collect();
    assert_eq!(processes.len(), 2, "{processes:?}");
    assert!(number(answers.last().unwrap()) > 0, "{}", answers.last().unwrap());
    let metrics = std::fs::read_to_string(robot.path("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"name\":\"policy/loss\"").count(), 60);
    let log = robot.log();
    // A gap in what is learned from would be told as so many messages that are lost.
    assert!(log.contains("its metrics begin anew") && !log.contains(" lost; "), "{log}");
    let scores = robot.events("score");
    let scores: Vec<f64> = scores.iter().map(|score| score["overlap"].as_f64().unwrap()).collect();
    assert!(mean(&scores).0 > 0.35, "{:?}", mean(&scores));
    let report = std::fs::read_to_string(robot.path("run/report.html")).unwrap();
    assert!(report.contains("Overlap of live answers"), "the report shows no live answers");
    Ok(())
}

fn a_robot_whose_answers_are_lost_for_good_ends_with_the_reason() -> Result<(), Absent> {
    let robot = Robot::of("robot")?.with_scene(10, 1_000_000).without_detector();
    let robot = robot
        .in_graph("    restart_policy: on-failure   # answers are not what is learned from, so learning goes on without them for a while\n    max_restarts: 3\n    restart_delay: 1.0\n", "")
        .in_config("steps = 200", "steps = 100000")
        .in_config("every = 50\nbatch", "every = 0\nbatch");
    let _guard = alone();
    let mut child = robot.start();
    robot.until(&mut child, "five answers", |robot| robot.events("answer").len() >= 5);
    let start = Instant::now();
    vrft_tests::signal(robot.node_pid(child.id(), "vrft-answer"), libc::SIGKILL);
    assert!(wait(&mut child, PATIENCE) != Some(0), "{}", robot.log());
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    let log = robot.log();
    assert!(log.contains("node \"answer\" failed, so \"monitor\" stops"), "{log}");
    // Nothing says that the run goes on.
    assert!(
        log.contains("this one goes on without what it sent") && !log.contains("the run goes on"),
        "{log}"
    );
    Ok(())
}

fn a_short_node_in_python_uses_what_is_answered() -> Result<(), Absent> {
    python()?;
    let consumer = root().join("nodes/answer/python/consumer.py");
    let lines = std::fs::read_to_string(&consumer).unwrap();
    let code = lines.lines().filter(|line| !line.trim().is_empty());
    assert!(code.count() <= 16, "the example grew beyond 15 lines and its title");
    let robot = Robot::of("answer")?.with_scene(3, 100_000);
    let node = format!(
        "\n  - id: arm\n    path: {}\n    inputs: {{text: answer/text, boxes2d: answer/boxes2d}}\n",
        consumer.display()
    );
    let robot = Robot { graph: robot.graph.clone() + &node, ..robot };
    let _guard = alone();
    let mut child = robot.start();
    robot.until(&mut child, "boxes reached it", |robot| {
        let log = robot.log();
        log.contains("boxes ") && log.contains("<answer>")
    });
    vrft_tests::signal(child.id(), libc::SIGINT);
    wait(&mut child, PATIENCE);
    let log = robot.log();
    assert!(
        log.lines().any(|line| line.contains("starter ") && line.contains("<answer>")),
        "{log}"
    );
    assert!(!log.contains("Traceback"), "{log}");
    Ok(())
}

vrft_tests::tests_that_need_tools!(
    what_is_promoted_and_taken_back_is_used_without_a_gap,
    the_graph_of_the_docs_runs_with_packages_of_the_hub,
    a_rollback_reaches_the_node_within_a_second,
    a_robot_on_another_machine_pulls_versions_over_zenoh_and_swaps_them_in,
    what_a_person_draws_on_the_page_of_a_robot_reaches_what_it_learns_from,
    a_robot_gets_better_while_it_learns_and_no_answer_mixes_versions,
    the_shipped_graph_finds_what_is_in_the_shipped_frames,
    the_shipped_robot_is_measured_and_learns_while_its_answers_are_lost_and_come_again,
    a_robot_whose_answers_are_lost_for_good_ends_with_the_reason,
    a_short_node_in_python_uses_what_is_answered,
);
