//! A node, driven without dora: what it waits for, and what stops it.

use vrft_messages::Credit;

use super::*;
use crate::ports::{HubInput, HubOutput, Input, METRICS, Output, Port, Role};
use crate::{Arrival, Waited};

const PORTS: Ports = Ports {
    roles: &[Role {
        inputs: &[
            Port::of::<Credit>("credit", ""),
            Port::of::<Credit>("a", ""),
            Port::of::<Credit>("b", ""),
            Port::hub("image", "image", ""),
        ],
        outputs: &[Port::of::<Credit>("credit", ""), Port::hub("tick", "tick", ""), METRICS],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};
const IN: Input<Credit> = PORTS.input("credit");
const A: Input<Credit> = PORTS.input("a");
const B: Input<Credit> = PORTS.input("b");
const IMAGE: HubInput = PORTS.hub_input("image", "image");
const OUT: Output<Credit> = PORTS.output("credit");
const TICK: HubOutput = PORTS.hub_output("tick", "tick");

const CREDIT: Credit = Credit { prompts: 1, policy_version: 0, first_prompt_id: 0 };

#[track_caller]
fn fails(script: Script, words: &str) {
    let (mut node, _sent) = script.node();
    let error = loop {
        match node.recv(&IN) {
            Ok(Some(_)) => continue,
            Ok(None) => panic!("ended without an error"),
            Err(error) => break format!("{error:#}"),
        }
    };
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_lost_message_stops_the_node_and_names_the_edge() {
    let script =
        Script::new(&PORTS).message("credit", &CREDIT).lose("credit").message("credit", &CREDIT);
    fails(script, "edge script/credit -> tested/credit: expected message 1, got 2: 1 lost");
}

#[test]
fn a_failed_neighbor_is_named() {
    fails(Script::new(&PORTS).failure("rollout"), "node \"rollout\" failed");
}

#[test]
fn an_input_that_breaks_off_is_an_error() {
    fails(Script::new(&PORTS).close("credit"), "script/credit ended without an end marker");
}

#[test]
fn a_closing_event_may_overtake_the_end_marker() {
    let script = Script::new(&PORTS).close("a").end("a").message("b", &CREDIT).end("b");
    let (mut node, _sent) = script.node();
    let found = node.recv_any(&[A, B]).unwrap();
    assert_eq!(found, Some(("b".to_owned(), CREDIT)));
    assert_eq!(node.recv_any(&[A, B]).unwrap(), None);
}

#[test]
fn a_replica_that_fails_is_told_once_and_the_others_go_on() {
    let script = Script::new(&PORTS).replica("a").replica("b").failure("a");
    let (mut node, _sent) = script.message("b", &CREDIT).end("b").node();
    assert_eq!(node.wait(&[&A, &B], None).unwrap(), Waited::Lost("a".to_owned()));
    assert_eq!(node.wait(&[&A, &B], None).unwrap(), Waited::Message("b".to_owned()));
    assert_eq!(node.recv(&B).unwrap(), Some(CREDIT));
    assert_eq!(node.wait(&[&A, &B], None).unwrap(), Waited::Ended("b".to_owned()));
    assert_eq!(node.wait(&[&A, &B], None).unwrap(), Waited::Over);
}

#[test]
fn a_replica_whose_messages_get_lost_counts_as_failed() {
    let script = Script::new(&PORTS).replica("a").lose("a").message("a", &CREDIT).end("b");
    let (mut node, _sent) = script.node();
    assert_eq!(node.wait(&[&A, &B], None).unwrap(), Waited::Lost("a".to_owned()));
}

#[test]
fn waiting_has_an_end() {
    let (mut node, _sent) = Script::new(&PORTS).pause().end("a").node();
    let until = std::time::Instant::now();
    assert_eq!(node.wait(&[&A], Some(until)).unwrap(), Waited::Nothing);
}

#[test]
fn a_live_input_may_begin_in_the_middle() {
    let script =
        Script::new(&PORTS).live().lose("credit").lose("credit").message("credit", &CREDIT);
    let (mut node, _sent) = script.end("credit").node();
    assert_eq!(node.recv(&IN).unwrap(), Some(CREDIT));
    assert_eq!(node.recv(&IN).unwrap(), None);
}

#[test]
fn another_message_type_is_refused() {
    let version = vrft_messages::Checkpoint { version: 0, location: String::new(), last: false };
    fails(Script::new(&PORTS).message("credit", &version), "expected \"credit\" messages");
}

#[test]
fn messages_of_other_inputs_wait_for_their_turn() {
    let other = Credit { prompts: 5, ..CREDIT };
    let script = Script::new(&PORTS).message("b", &other).message("a", &CREDIT).end("a").end("b");
    let (mut node, _sent) = script.node();
    assert_eq!(node.recv(&A).unwrap(), Some(CREDIT));
    assert_eq!(node.recv(&A).unwrap(), None);
    assert_eq!(node.recv(&B).unwrap(), Some(other));
}

#[test]
fn a_requested_stop_ends_the_messages() {
    let (mut node, _sent) = Script::new(&PORTS).stop().message("credit", &CREDIT).node();
    assert_eq!(node.recv(&IN).unwrap(), None);
    assert!(node.stop_requested().unwrap());
}

#[test]
fn what_is_not_ours_needs_no_header_and_its_source_may_go() {
    let script = Script::new(&PORTS).live_data("image", vrft_messages::hub::tick(3)).close("image");
    let (mut node, sent) = script.message("credit", &CREDIT).end("credit").node();
    let patience = std::time::Duration::from_secs(5);
    let mut next = || node.recv_live(&IN, patience).unwrap();
    assert!(
        matches!(next(), Arrival::Live(live) if live.is_of(&IMAGE) && vrft_messages::hub::frame_id(&live.tags) == Some("3"))
    );
    assert!(matches!(next(), Arrival::Gone(input) if input == "image"));
    assert!(matches!(next(), Arrival::Message(CREDIT)));
    assert!(matches!(next(), Arrival::End));
    node.send_live(&TICK, vrft_messages::hub::tick(1)).unwrap();
    node.finish().unwrap();
    assert_eq!(sent.live_data().len(), 1);
    assert!(!sent.ended("tick"));
}

#[test]
fn finish_ends_every_output() {
    let (mut node, sent) = Script::new(&PORTS).node();
    node.send(&OUT, &CREDIT).unwrap();
    node.metric(1, "policy/kl", 0.5);
    node.send_metrics().unwrap();
    node.finish().unwrap();
    assert!(sent.ended("credit"));
}

#[test]
fn a_node_that_is_started_again_loses_what_is_learned_from() {
    // Metrics begin anew; credit that does is credit that was lost.
    let script = Script::new(&PORTS).message("credit", &CREDIT).restart("script");
    fails(script.message("credit", &CREDIT), "expected message 1, got 0 again");
}

#[test]
fn what_a_node_sent_last_lies_in_the_run_folder_when_it_has_ended() {
    let folder = std::env::temp_dir().join(format!("vrft-last-metrics-{}", std::process::id()));
    let (mut node, sent) = Script::new(&PORTS).run_dir(&folder).stop().node();
    for step in 1..=10 {
        node.metric(step, "policy/loss", 0.5);
        node.send_metrics().unwrap();
    }
    node.metric(11, "time/checkpoint_secs", 0.25);
    node.finish().unwrap();
    let left = crate::last_metrics(&folder, "tested").unwrap().unwrap();
    let steps: Vec<u64> = left.metrics.iter().map(|metric| metric.step).collect();
    assert_eq!(steps, [4, 5, 6, 7, 8, 9, 10, 11]);
    assert!(sent.ended("metrics"));
    assert_eq!(crate::last_metrics(&folder, "another").unwrap(), None);
    crate::remove_last_metrics(&folder).unwrap();
    assert!(!folder.join("last-metrics").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}
