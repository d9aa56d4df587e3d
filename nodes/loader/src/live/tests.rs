//! The loader on a stream, driven without dora; frames are made by formula.

use vrft_messages::hub::{RawImage, Tags, tick};
use vrft_messages::{Credit, MetricBatch, PromptBatch, Turn};
use vrft_node::testing::{Script, Sent};
use vrft_stream::{PuzzleKind, Truth};

use super::*;
use crate::ports::PORTS;

fn config(puzzles: &[PuzzleKind]) -> Config {
    let mut config = Config::default();
    config.learner.prompts_per_step = 3;
    config.stream = Some(StreamConfig {
        puzzles: puzzles.to_vec(),
        max_fps: 0.0,
        max_side: 64,
        min_frames: 4,
        reservoir: 16,
        held_out: 2,
        held_out_every: 3,
        held_out_questions: 2,
        novelty_bits: 2,
        ..StreamConfig::default()
    });
    config
}

/// Blocks whose brightness depends on place and seed.
fn frame(script: Script, seed: u64) -> Script {
    let (width, height) = (60_u32, 48_u32);
    let level = |x: u32, y: u32| {
        let block = u64::from(x / 10 + 6 * (y / 12));
        let mixed = (seed * 977 + block + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as u8
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let bytes: Vec<u8> = pixels.flat_map(|(x, y)| [level(x, y); 3]).collect();
    let id = seed.to_string();
    let image = RawImage { bytes: &bytes, encoding: "bgr8", width, height, frame_id: Some(&id) };
    script.live_data("image", image.to_hub())
}

fn credit(step: u64) -> Credit {
    Credit { prompts: 3, policy_version: step, first_prompt_id: 3 * step }
}

fn sent(config: &Config, script: Script) -> Sent {
    sent_in(tempfile::tempdir().unwrap().path(), config, script)
}

fn sent_in(run_dir: &std::path::Path, config: &Config, script: Script) -> Sent {
    let (node, sent) = script.run_dir(run_dir).end("credit").node();
    run(node, config, config.stream.as_ref().unwrap()).unwrap();
    sent
}

fn metric(sent: &Sent, name: &str) -> Vec<f64> {
    let batches = sent.all::<MetricBatch>("metrics");
    let metrics = batches.iter().flat_map(|batch| &batch.metrics);
    metrics.filter(|metric| metric.name == name).map(|metric| metric.value).collect()
}

#[test]
fn a_credit_waits_until_there_is_enough_to_ask_about() {
    let kinds = [PuzzleKind::Rotation, PuzzleKind::Jigsaw, PuzzleKind::Spot];
    let early = (0..3).fold(Script::new(&PORTS).message("credit", &credit(0)), frame);
    assert!(sent(&config(&kinds), early).all::<PromptBatch>("prompts").is_empty());
    let script = (0..12).fold(Script::new(&PORTS).message("credit", &credit(0)), frame);
    let sent = sent(&config(&kinds), script.message("credit", &credit(1)));
    let batches: Vec<PromptBatch> = sent.all("prompts");
    let ids = |batch: &PromptBatch| batch.prompts.iter().map(|p| p.prompt_id).collect::<Vec<_>>();
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [[0, 1, 2], [3, 4, 5]]);
    assert_eq!(batches[1].prompts[0].policy_version, 1);
    let tasks: std::collections::BTreeSet<&str> =
        batches[0].prompts.iter().map(|p| p.task.as_str()).collect();
    assert_eq!(tasks.len(), 3);
    assert_eq!(metric(&sent, "stream/frame_to_gradient_secs").len(), 1);
    assert!(sent.ended("prompts"));
}

#[test]
fn held_out_frames_are_sent_once_and_never_asked_about() {
    let script = (0..12).fold(Script::new(&PORTS), frame);
    let script = (0..20).fold(script, |script, step| script.message("credit", &credit(step)));
    let sent = sent(&config(&[PuzzleKind::Spot]), script);
    let [held_out] = &sent.all::<PromptBatch>("held_out")[..] else { panic!("once") };
    assert_eq!(held_out.prompts.len(), 4);
    let frame_of = |id: &str| id.split('-').next().unwrap().to_owned();
    let judged: Vec<String> = held_out.prompts.iter().map(|p| frame_of(&p.sample_id)).collect();
    let batches: Vec<PromptBatch> = sent.all("prompts");
    assert_eq!(batches.len(), 20);
    for prompt in batches.iter().flat_map(|batch| &batch.prompts) {
        assert!(!judged.contains(&frame_of(&prompt.sample_id)), "{}", prompt.sample_id);
    }
    // Only steps that ask about a frame for the first time.
    let n_timed = metric(&sent, "stream/frame_to_gradient_secs").len();
    assert!((1..19).contains(&n_timed), "{n_timed}");
    assert_eq!(metric(&sent, "stream/offered").last(), Some(&12.0));
}

#[test]
fn a_resumed_run_is_judged_on_the_same_and_learns_from_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&[PuzzleKind::Rotation]);
    let script = |seeds: &[u64]| {
        let script = seeds.iter().fold(Script::new(&PORTS), |script, seed| frame(script, *seed));
        (0..20).fold(script, |script, step| script.message("credit", &credit(step)))
    };
    let seeds: Vec<u64> = (0..12).collect();
    let before = sent_in(folder.path(), &config, script(&seeds)).all::<PromptBatch>("held_out");
    config.run.resume = true;
    // The same frames come again, in another order.
    let seeds: Vec<u64> = (6..12).chain(0..6).collect();
    let sent = sent_in(folder.path(), &config, script(&seeds));
    assert_eq!(sent.all::<PromptBatch>("held_out"), before);
    let frame_of = |id: &str| id.split('-').next().unwrap().to_owned();
    let judged: Vec<String> = before[0].prompts.iter().map(|p| frame_of(&p.sample_id)).collect();
    for prompt in sent.all::<PromptBatch>("prompts").iter().flat_map(|batch| &batch.prompts) {
        assert!(!judged.contains(&frame_of(&prompt.sample_id)), "{}", prompt.sample_id);
    }
    assert!(metric(&sent, "stream/dropped/held_out_twin").last().is_some_and(|n| *n >= 2.0));
}

#[test]
fn what_a_cold_start_set_aside_stays_set_aside() {
    let start = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&[PuzzleKind::Rotation]);
    let script = || (0..12).fold(Script::new(&PORTS).message("credit", &credit(0)), frame);
    let before = sent_in(start.path(), &config, script()).all::<PromptBatch>("held_out");
    config.run.seed = 1;
    config.stream.as_mut().unwrap().held_out_from = start.path().to_owned();
    let sent = sent_in(folder.path(), &config, script());
    assert_eq!(sent.all::<PromptBatch>("held_out"), before);
    assert!(folder.path().join("held-out.arrow").exists());
    config.stream.as_mut().unwrap().held_out_from = "nowhere".into();
    let (node, _sent) = script().run_dir(folder.path()).end("credit").node();
    let error = run(node, &config, config.stream.as_ref().unwrap()).unwrap_err().to_string();
    assert!(error.contains("held_out_from") && error.contains("nowhere"), "{error}");
}

#[test]
fn each_answer_to_choose_is_right_as_often_as_the_others() {
    let script = (0..12).fold(Script::new(&PORTS), frame);
    let script = (0..8).fold(script, |script, step| script.message("credit", &credit(step)));
    let sent = sent(&config(&[PuzzleKind::Rotation]), script);
    let batches = sent.all::<PromptBatch>("prompts");
    let mut answers = std::collections::BTreeMap::new();
    for prompt in batches.iter().flat_map(|batch| &batch.prompts) {
        *answers.entry(prompt.answer.clone()).or_insert(0) += 1;
    }
    assert_eq!(answers.into_values().collect::<Vec<_>>(), [6; 4]);
}

#[test]
fn garbage_and_a_camera_that_goes_do_no_harm() {
    fn words(text: &str) -> RawImage<'_> {
        RawImage { bytes: text.as_bytes(), encoding: "jpeg", width: 1, height: 1, frame_id: None }
    }
    let script = (0..12).fold(Script::new(&PORTS), frame);
    let script = script
        .live_data("image", words("no picture").to_hub())
        .live_data("image", tick(3))
        .close("image")
        .live_data("feedback", tick(4))
        .message("credit", &credit(0))
        .live_data("image", (Tags::new(), words("x").to_hub().1))
        .message("credit", &credit(1));
    let sent = sent(&config(&[PuzzleKind::Spot]), script);
    assert_eq!(sent.all::<PromptBatch>("prompts").len(), 2);
    assert_eq!(metric(&sent, "stream/dropped/undecodable"), [1.0, 2.0]);
    assert_eq!(metric(&sent, "stream/garbage"), [2.0, 2.0]);
}

#[test]
fn the_clock_is_passed_on_to_the_camera() {
    let script = (0..3).fold(Script::new(&PORTS), |script, n| script.live_data("clock", tick(n)));
    let ticks = sent(&config(&[PuzzleKind::Spot]), script).live_data();
    let names: Vec<Option<&str>> =
        ticks.iter().map(|(_, tags, _)| vrft_messages::hub::frame_id(tags)).collect();
    assert_eq!(names, [Some("0"), Some("1"), Some("2")]);
}

/// Boxes, as a detector that passes the frame's name on would send them.
fn boxes(script: Script, frame_id: u64) -> Script {
    let (mut tags, _) = tick(frame_id);
    tags.insert("format".into(), vrft_messages::hub::Tag::Text("xyxy".into()));
    script.live_data("boxes2d", vrft_messages::hub::coordinates(tags, &[6.0, 12.0, 30.0, 24.0]))
}

#[test]
fn a_teachers_boxes_are_learned_and_a_persons_words_are_journaled_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&[PuzzleKind::Spot]);
    let stream = config.stream.as_mut().unwrap();
    (stream.truth, stream.category) = (Truth::Teacher, "mug".into());
    let script = (0..12).fold(Script::new(&PORTS), frame);
    let script = (0..12).fold(script, boxes);
    let said = "{\"frame_id\": \"5\", \"remark\": \"accept\", \"user\": \"ada\"}";
    let script = script
        .live_data("feedback", vrft_messages::hub::message_of_texts(&[said, "what?"]))
        .message("credit", &credit(0));
    let sent = sent_in(folder.path(), &config, script);
    let [batch] = &sent.all::<PromptBatch>("prompts")[..] else { panic!("one batch") };
    assert!(batch.prompts[0].text().contains("'mug'"));
    assert_eq!(
        batch.prompts[0].answer,
        "<answer>[{'Position': [100, 250, 500, 500], 'Confidence': 1}]</answer>"
    );
    let journal = std::fs::read_to_string(folder.path().join("feedback.jsonl")).unwrap();
    assert_eq!(journal.lines().count(), 1);
    assert!(journal.contains("ada"));
    assert_eq!(
        (metric(&sent, "stream/remarks"), metric(&sent, "stream/garbage")),
        (vec![1.0], vec![1.0])
    );
}

#[test]
fn a_camera_without_anything_new_ends_the_run_with_its_counts() {
    let mut config = config(&[PuzzleKind::Spot]);
    config.stream.as_mut().unwrap().patience_secs = 1e-9;
    let script = frame(Script::new(&PORTS).message("credit", &credit(0)), 1);
    let (node, _sent) = script.end("credit").node();
    let error = run(node, &config, config.stream.as_ref().unwrap()).unwrap_err().to_string();
    assert!(error.contains("0 of 4 frames to ask about (data.stream.min_frames)"), "{error}");
    assert!(error.contains("0 frames came, 0 kept, 0 set aside, none dropped"), "{error}");
}

/// A stream whose boxes come from a detector.
fn teacher() -> Config {
    let mut config = config(&[PuzzleKind::Spot]);
    let stream = config.stream.as_mut().unwrap();
    (stream.truth, stream.category) = (Truth::Teacher, "mug".into());
    config
}

fn said(script: Script, text: &str) -> Script {
    script.live_data("feedback", vrft_messages::hub::message_of_texts(&[text]))
}

#[test]
fn a_persons_boxes_are_learned_in_place_of_the_detectors_and_rejected_frames_are_not() {
    let script = (0..12).fold(Script::new(&PORTS), frame);
    let script = (0..12).fold(script, boxes);
    let script = (0..6).fold(script, |script, id| {
        let edit = "{\"edit\": [[1, 2, 30, 40]]}";
        said(script, &format!("{{\"frame_id\": \"{id}\", \"remark\": {edit}}}"))
    });
    let script = (6..9).fold(script, |script, id| {
        said(script, &format!("{{\"frame_id\": \"{id}\", \"remark\": \"reject\"}}"))
    });
    let script = (0..20).fold(script, |script, step| script.message("credit", &credit(step)));
    let sent = sent(&teacher(), script);
    let batches = sent.all::<PromptBatch>("prompts");
    assert_eq!(batches.len(), 20);
    let held_out = sent.all::<PromptBatch>("held_out");
    let mut n_edited = 0;
    for prompt in batches.iter().chain(&held_out).flat_map(|batch| &batch.prompts) {
        let frame: u64 = prompt.sample_id.split('-').next().unwrap().parse().unwrap();
        assert!(!(6..9).contains(&frame), "frame {frame} was rejected");
        let is_edited = prompt.answer.contains("[1, 2, 30, 40]");
        assert_eq!(is_edited, frame < 6, "{}", prompt.answer);
        n_edited += usize::from(is_edited);
    }
    assert!(n_edited > 0);
}

#[test]
fn what_was_said_before_a_resume_is_not_taken_for_another_frame() {
    let folder = tempfile::tempdir().unwrap();
    let line = "{\"frame_id\": \"41\", \"remark\": \"reject\", \"user\": \"ada\"}\n";
    std::fs::write(folder.path().join("feedback.jsonl"), line).unwrap();
    let script = (0..2).fold(Script::new(&PORTS), |script, n| script.live_data("clock", tick(n)));
    let ticks = sent_in(folder.path(), &teacher(), script).live_data();
    let names: Vec<Option<&str>> =
        ticks.iter().map(|(_, tags, _)| vrft_messages::hub::frame_id(tags)).collect();
    assert_eq!(names, [Some("42"), Some("43")]);
}

fn answered(script: Script, id: u64, color: &str) -> Script {
    let right =
        format!("{{\"question\": \"Which color?\", \"answer\": \"<answer>{color}</answer>\"}}");
    let text = format!("{{\"text\": \"{color}\"}}");
    said(script, &format!("{{\"frame_id\": \"{id}\", \"remark\": {text}, \"right\": {right}}}"))
}

#[test]
fn words_that_people_say_are_right_are_learned_and_judged_on_and_the_last_word_counts() {
    let mut config = config(&[PuzzleKind::Spot]);
    config.stream.as_mut().unwrap().truth = Truth::Person;
    config.policy.system = "Look.".into();
    let script = (0..20).fold(Script::new(&PORTS), frame);
    // Of twelve frames, one of which nobody has seen: eight to learn from and two to be judged on, as every third of them.
    let script = (0..12).fold(script, |script, id| answered(script, id, "green"));
    let script = answered(answered(script, 3, "blue"), 77, "red");
    let script = said(script, "{\"frame_id\": \"4\", \"remark\": \"retract\"}");
    let boxes = "{\"frame_id\": \"6\", \"remark\": {\"edit\": [[1, 2, 30, 40]]}}";
    let script = said(script, boxes);
    let script = (0..10).fold(script, |script, step| script.message("credit", &credit(step)));
    let sent = sent(&config, script);
    let [held_out] = &sent.all::<PromptBatch>("held_out")[..] else { panic!("once") };
    let learned = sent.all::<PromptBatch>("prompts");
    assert_eq!((held_out.prompts.len(), learned.len()), (4, 10));
    let frame_of = |id: &str| id.split('-').next().unwrap().parse::<u64>().unwrap();
    let judged: Vec<u64> = held_out.prompts.iter().map(|p| frame_of(&p.sample_id)).collect();
    assert_eq!(judged, [2, 5, 2, 5]);
    for prompt in learned.iter().chain([held_out]).flat_map(|batch| &batch.prompts) {
        let frame = frame_of(&prompt.sample_id);
        assert!(frame < 12 && frame != 4 && frame != 6, "{frame}");
        let color = if frame == 3 { "blue" } else { "green" };
        assert_eq!(prompt.answer, format!("<answer>{color}</answer>"));
        let texts: Vec<String> = prompt.turns.iter().map(Turn::text).collect();
        assert_eq!(
            (&texts[..], prompt.images.len()),
            (&["Look.".into(), "Which color?".into()][..], 1)
        );
    }
    let last = |name: &str| *metric(&sent, name).last().unwrap();
    let [kept, held_out, twins, unanswered] =
        ["kept", "held_out", "dropped/held_out_twin", "dropped/unanswered"]
            .map(|name| last(&format!("stream/{name}")));
    // What looks like one that is judged on is not learned from.
    assert_eq!((kept + twins, held_out, unanswered), (10.0, 2.0, 8.0));
    // The frame that never came, and the boxes.
    assert_eq!(metric(&sent, "stream/garbage").last(), Some(&2.0));
}

#[test]
fn a_resumed_run_learns_from_what_people_said_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&[PuzzleKind::Spot]);
    config.stream.as_mut().unwrap().truth = Truth::Person;
    let script = (0..12).fold(Script::new(&PORTS), frame);
    let script = (0..12).fold(script, |script, id| answered(script, id, "green"));
    // The last word on two of them: another answer, and none.
    let script = answered(script, 3, "blue");
    let script = said(script, "{\"frame_id\": \"4\", \"remark\": \"retract\"}");
    let script = script.message("credit", &credit(0));
    let before = sent_in(folder.path(), &config, script).all::<PromptBatch>("held_out");
    // Nobody says anything any more, and other frames have the names of those before.
    config.run.resume = true;
    let script = (20..24).fold(Script::new(&PORTS), frame);
    let script = (1..21).fold(script, |script, step| script.message("credit", &credit(step)));
    let sent = sent_in(folder.path(), &config, script);
    assert_eq!(sent.all::<PromptBatch>("held_out"), before);
    let judged = before[0].prompts.iter().map(|p| p.sample_id.split('-').next().unwrap());
    let judged: Vec<&str> = judged.collect();
    let batches = sent.all::<PromptBatch>("prompts");
    assert_eq!(batches.len(), 20);
    let mut learned = std::collections::BTreeSet::new();
    for prompt in batches.iter().flat_map(|batch| &batch.prompts) {
        let id = prompt.sample_id.strip_prefix("earlier-").unwrap().split('-').next().unwrap();
        assert!(!judged.contains(&id) && id != "4", "{id}");
        let color = if id == "3" { "blue" } else { "green" };
        assert_eq!(prompt.answer, format!("<answer>{color}</answer>"));
        learned.insert(id.to_owned());
    }
    assert!(learned.len() >= 6 && learned.contains("3"), "{learned:?}");
    // What lies there and is no picture is named.
    std::fs::write(folder.path().join("corrected/3.jpg"), "torn").unwrap();
    let (node, _sent) = Script::new(&PORTS).run_dir(folder.path()).end("credit").node();
    let error = run(node, &config, config.stream.as_ref().unwrap()).unwrap_err();
    assert!(format!("{error:#}").contains("3.jpg"), "{error:#}");
}

#[test]
fn what_people_say_counts_thousandths_so_a_task_in_pixels_is_refused() {
    let toml = "[reward.answer]\ntype = \"points\"\nspace = \"pixels\"\n[reward.terms.near]\nmetric = \"overlap\"\n\
                [reward.match]\nmeasure = \"l1\"\n";
    let document = vrft_config::Document::parse(toml, "test").unwrap();
    let mut config = Config { stream: config(&[]).stream, ..Config::read(&document).unwrap() };
    config.stream.as_mut().unwrap().truth = Truth::Person;
    let (node, _sent) = Script::new(&PORTS).end("credit").node();
    let error = run(node, &config, config.stream.as_ref().unwrap()).unwrap_err().to_string();
    assert!(error.contains("reward.answer.space") && error.contains("pixels"), "{error}");
}
