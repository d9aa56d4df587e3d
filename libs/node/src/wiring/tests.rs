//! Sound graphs pass, wrong ones are refused with node, edge and remedy.

use super::*;

const SFT: &str = "
nodes:
  - id: loader
    path: target/release/vrft-loader
    inputs: {credit: {source: sft/credit, queue_size: 16, queue_policy: backpressure}}
    outputs: [prompts]
  - id: sft
    path: target/release/vrft-learner
    args: --objective sft
    inputs: {prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}}
    outputs: [credit, checkpoint, metrics]
";

const POOL: &str = "
nodes:
  - id: loader
    path: vrft-loader
    inputs: {credit: {source: learner/credit, queue_size: 16, queue_policy: backpressure}}
    outputs: [prompts]
  - id: pool
    path: vrft-pool
    inputs:
      prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}
      a: {source: rollout_a/groups, queue_size: 16, queue_policy: backpressure}
    outputs: [groups, a]
  - id: rollout_a
    path: vrft-rollout
    inputs:
      prompts: {source: pool/a, queue_size: 16, queue_policy: backpressure}
      policy: {source: learner/policy, queue_size: 16, queue_policy: backpressure}
    outputs: [groups]
  - id: learner
    path: vrft-learner
    inputs:
      prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}
      groups: {source: pool/groups, queue_size: 16, queue_policy: backpressure}
      advantages: {source: judge/advantages, queue_size: 16, queue_policy: backpressure}
    outputs: [policy, credit, checkpoint]
  - id: judge
    path: judge.py
    inputs: {groups: {source: pool/groups, queue_size: 16, queue_policy: backpressure}}
    outputs: [advantages]
  - id: monitor
    path: dynamic
    inputs: {learner: {source: sft/metrics}}
  - id: sft
    path: other
    outputs: [metrics]
";

fn graph(text: &str) -> Descriptor {
    yaml_serde::from_str(text).unwrap()
}

#[track_caller]
fn refused(text: &str, from: &str, to: &str, words: &str) {
    assert!(text.contains(from));
    let error = check(&graph(&text.replacen(from, to, 1))).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn sound_graphs_pass() {
    check(&graph(SFT)).unwrap();
    check(&graph(POOL)).unwrap();
}

#[test]
fn a_missing_edge_is_named() {
    refused(
        SFT,
        "inputs: {credit: {source: sft/credit, queue_size: 16, queue_policy: backpressure}}",
        "inputs: {}",
        "\"loader\" (vrft-loader) needs an input \"credit\"",
    );
    refused(SFT, "--objective sft", "", "\"sft\" (vrft-learner) needs an input \"groups\"");
    refused(POOL, "[groups, a]", "[groups]", "add it, it carries the share of the prompts that is");
    refused(
        POOL,
        "\n      a: {source: rollout_a/groups, queue_size: 16, queue_policy: backpressure}",
        "",
        "\"pool\" (vrft-pool) needs an input that carries groups, by any name",
    );
}

#[test]
fn a_timer_is_no_message() {
    let edge = "prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}";
    let timer = "prompts: {source: dora/timer/millis/100}";
    refused(
        SFT,
        edge,
        timer,
        "node \"sft\": its input \"prompts\" takes prompts, which neither a timer",
    );
}

#[test]
fn a_port_that_the_node_does_not_know_is_named() {
    let words =
        "\"loader\" (vrft-loader) has no input \"credits\"; it takes [\"credit\", \"image\"";
    refused(
        SFT,
        "inputs: {credit:",
        "inputs: {credit: {source: sft/credit, queue_size: 16, \
         queue_policy: backpressure}, credits:",
        words,
    );
    let words = "\"sft\" (vrft-learner) has no output \"policy\"; it gives [\"credit\"";
    refused(SFT, "outputs: [credit, checkpoint", "outputs: [policy, credit, checkpoint", words);
    // Lines of the log may go by any name.
    let logs =
        SFT.replace("outputs: [prompts]", "outputs: [prompts, lines]\n    send_logs_as: lines");
    check(&graph(&logs)).unwrap();
}

/// Frames come by any name that has `image` in it, and a node that answers about them needs one.
#[test]
fn an_input_that_an_answering_node_would_make_nothing_of_is_named() {
    let answer = |inputs: &str| {
        let text = format!(
            "nodes:\n  - {{id: eyes, path: eyes.py, outputs: [left, words]}}\n  - id: answer\n    path: vrft-answer\n    \
             inputs: {{{inputs}}}\n    outputs: [text]\n"
        );
        check(&graph(&text)).map_err(|error| error.to_string())
    };
    answer("left_image: eyes/left").unwrap();
    answer("image: eyes/left, text: eyes/words").unwrap();
    let error = answer("image: eyes/left, words: eyes/words").unwrap_err();
    assert!(error.contains("\"answer\" (vrft-answer) has no input \"words\"; it takes"), "{error}");
    assert!(error.contains("\"text\"") && error.contains("any name with `image` in it"), "{error}");
    let error = answer("text: eyes/words").unwrap_err();
    assert!(
        error.contains("needs an input that carries image, by any name with `image`"),
        "{error}"
    );
}

/// A rollout that samples from it would need the output `policy`, which a learner from a journal does not have.
#[test]
fn nothing_can_sample_from_what_is_learned_offline() {
    let words = "\"learner\" (vrft-learner) has no output \"policy\"; it gives [\"credit\"";
    let offline = "path: vrft-learner\n    args: --objective offline\n";
    refused(POOL, "path: vrft-learner\n", offline, words);
}

#[test]
fn an_edge_from_nowhere_is_named() {
    refused(SFT, "sft/credit", "learner/credit", "there is no node \"learner\"");
    refused(SFT, "sft/credit", "sft/credits", "has no output \"credits\"; it has");
}

#[test]
fn an_edge_with_the_wrong_messages_is_named() {
    let words = "edge sft/metrics -> loader/credit carries metrics, but credit is expected there";
    refused(SFT, "sft/credit", "sft/metrics", words);
    let words = "edge loader/prompts -> pool/a carries prompts, but groups is expected there";
    refused(POOL, "a: {source: rollout_a/groups", "a: {source: loader/prompts", words);
}

#[test]
fn a_window_without_credit_is_named() {
    let another = "
  - {id: third, path: vrft-learner, args: --objective sft, outputs: [credit, checkpoint],
     inputs: {prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}}}";
    let error = check(&graph(&format!("{}{another}", SFT.trim_end()))).unwrap_err().to_string();
    assert!(error.contains("\"third\" (vrft-learner): no node receives its credit"), "{error}");
    assert!(
        error.contains("give its vrft-loader an input `credit: {source: third/credit"),
        "{error}"
    );
}

#[test]
fn credit_without_prompts_is_named() {
    refused(
        POOL,
        "prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}\n      groups",
        "prompts: {source: pool/a, queue_size: 16, queue_policy: backpressure}\n      groups",
        "\"learner\" gives credit but does not get the prompts: give it an input `prompts` from loader/prompts",
    );
}

#[test]
fn a_default_queue_on_a_training_edge_is_named() {
    let words = "edge sft/credit -> loader/credit may lose messages: give it `queue_policy";
    refused(SFT, ", queue_policy: backpressure", "", words);
    refused(SFT, "queue_size: 16", "queue_size: 2", "queue_size is 2, give it 16 or more");
    // Also where the receiver is somebody else's node.
    let judge =
        "inputs: {groups: {source: pool/groups, queue_size: 16, queue_policy: backpressure}}";
    refused(POOL, judge, "inputs: {groups: pool/groups}", "edge pool/groups -> judge/groups may");
}

#[test]
fn rollouts_of_a_pool_are_replicas() {
    assert_eq!(replicas(&graph(POOL)), BTreeSet::from(["rollout_a".to_owned()]));
    assert!(replicas(&graph(SFT)).is_empty());
    let pool = graph(POOL);
    let node = |id: &str| pool.nodes.iter().find(|node| node.id.to_string() == id).unwrap();
    assert!(may_drop(node("monitor"), "learner"));
    assert!(!may_drop(node("learner"), "groups"));
}

const CAMERA: &str = "
env: {VRFT_CONFIG: camera.toml}
nodes:
  - id: camera
    path: target/release/vrft-camera
    inputs: {tick: loader/tick}
    outputs: [image]
  - id: loader
    path: target/release/vrft-loader
    inputs:
      image: camera/image
      credit: {source: sft/credit, queue_size: 16, queue_policy: backpressure}
    outputs: [tick, prompts]
  - id: sft
    path: target/release/vrft-learner
    args: --objective=sft
    inputs: {prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}}
    outputs: [credit, checkpoint]
";

#[test]
fn frames_may_be_dropped_and_remarks_may_not() {
    check(&graph(CAMERA)).unwrap();
    let words = "edge camera/image -> loader/boxes2d carries image, but boxes2d is expected there";
    refused(CAMERA, "image: camera/image", "boxes2d: camera/image", words);
    let text =
        CAMERA.replace("image: camera/image", "image: camera/image\n      feedback: person/said");
    let text = format!("{text}  - {{id: person, path: dynamic, outputs: [said]}}\n");
    let error = check(&graph(&text)).unwrap_err().to_string();
    assert!(error.contains("edge person/said -> loader/feedback may lose messages"), "{error}");
}

#[test]
fn a_camera_without_a_source_is_named_before_the_run() {
    let plain = graph(CAMERA);
    let error = check_environment(&plain, |_| false).unwrap_err().to_string();
    let words = "node \"camera\" (vrft-camera) needs the environment variable CAPTURE_PATH: a folder, a video";
    assert!(error.starts_with(words), "{error}");
    check_environment(&plain, |name| name == "CAPTURE_PATH").unwrap();
    for (from, to) in [
        ("outputs: [image]", "outputs: [image]\n    env: {CAPTURE_PATH: frames}"),
        ("outputs: [image]", "outputs: [image]\n    args: --path frames"),
        ("env: {VRFT_CONFIG: camera.toml}", "env: {CAPTURE_PATH: frames}"),
    ] {
        check_environment(&graph(&CAMERA.replacen(from, to, 1)), |_| false).unwrap();
    }
}

#[test]
fn a_node_with_a_configuration_of_its_own_is_named() {
    let own = |env: &str, value: &str| {
        let node = format!("outputs: [prompts]\n    env: {{VRFT_CONFIG: {value}}}");
        let text = format!("env: {{{env}}}{}", SFT.replacen("outputs: [prompts]", &node, 1));
        check(&graph(&text)).map_err(|error| error.to_string())
    };
    own("", "a.toml").unwrap();
    own("VRFT_CONFIG: a.toml", "./a.toml").unwrap();
    let error = own("VRFT_CONFIG: a.toml", "b.toml").unwrap_err();
    let words = "node \"loader\": its `env` sets VRFT_CONFIG to \"b.toml\", and the `env` of the graph to \"a.toml\"";
    assert!(error.starts_with(words), "{error}");
    let two = SFT
        .replacen("outputs: [prompts]", "outputs: [prompts]\n    env: {VRFT_RUN_DIR: a}", 1)
        .replacen("--objective sft", "--objective sft\n    env: {VRFT_RUN_DIR: b}", 1);
    let error = check(&graph(&two)).unwrap_err().to_string();
    let words = "node \"sft\": its `env` sets VRFT_RUN_DIR to \"b\", and node \"loader\" to \"a\"";
    assert!(error.starts_with(words), "{error}");
}

#[test]
fn a_package_of_the_hub_is_checked_as_the_executable_of_its_name() {
    let packaged = SFT.replace("path: target/release/vrft-learner", "hub: vrft/vrft-learner@^0.1");
    check(&graph(&packaged)).unwrap();
    refused(
        &packaged,
        "prompts: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}",
        "",
        "node \"sft\" (vrft-learner) needs an input \"prompts\"",
    );
    refused(
        &packaged,
        "vrft-learner@^0.1",
        "vrft-lerner@^0.1",
        "there is no package \"vrft/vrft-lerner@^0.1\"",
    );
    // Somebody else's package of the same name is nobody that we know.
    check(&graph(&packaged.replace("vrft/vrft-learner", "other/vrft-learner"))).unwrap();
}
