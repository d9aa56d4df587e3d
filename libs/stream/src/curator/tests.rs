//! A camera that behaves, and one that does not.

use super::*;
use crate::testing::scene;

fn config() -> StreamConfig {
    StreamConfig {
        max_fps: 0.0,
        max_side: 96,
        reservoir: 8,
        min_frames: 4,
        held_out: 0,
        novelty_bits: 4,
        ..StreamConfig::default()
    }
}

fn offer(curator: &mut Curator, image: &RgbImage, at_secs: f64) -> Verdict {
    let raw = RawFrame {
        bytes: image.as_raw(),
        encoding: "rgb8",
        width: image.width(),
        height: image.height(),
    };
    curator.offer(&format!("frame-{}", curator.counters().offered), &raw, at_secs)
}

/// So many scenes, one a second.
fn watch(config: &StreamConfig, scenes: std::ops::Range<u64>) -> Curator {
    let mut curator = Curator::new(config, 0);
    for n in scenes {
        offer(&mut curator, &scene(n, 120, 80), n as f64);
    }
    curator
}

#[test]
fn new_scenes_are_kept_and_known_ones_are_not() {
    let mut curator = watch(&config(), 0..5);
    assert_eq!(curator.counters().kept, 5);
    let verdict = offer(&mut curator, &scene(2, 120, 80), 9.0);
    assert_eq!(verdict, Verdict::Dropped(Reason::Familiar));
}

#[test]
fn what_comes_too_fast_is_not_even_decoded() {
    let mut curator = Curator::new(&StreamConfig { max_fps: 2.0, ..config() }, 0);
    let garbage = RawFrame { bytes: &[], encoding: "rgb8", width: 9, height: 9 };
    assert_eq!(offer(&mut curator, &scene(0, 120, 80), 10.0), Verdict::Kept);
    assert_eq!(curator.offer("b", &garbage, 10.2), Verdict::Dropped(Reason::Rate));
    // A little early still counts, and so does a clock that was set back.
    assert_eq!(offer(&mut curator, &scene(1, 120, 80), 10.46), Verdict::Kept);
    assert_eq!(offer(&mut curator, &scene(2, 120, 80), 3.0), Verdict::Kept);
}

#[test]
fn dark_bright_and_blurred_frames_are_dropped() {
    let mut curator = Curator::new(&config(), 0);
    let mut plain =
        |level| offer(&mut curator, &RgbImage::from_pixel(90, 60, image::Rgb([level; 3])), 0.0);
    assert_eq!(plain(3), Verdict::Dropped(Reason::Exposure));
    assert_eq!(plain(254), Verdict::Dropped(Reason::Exposure));
    assert_eq!(plain(120), Verdict::Dropped(Reason::Blur));
}

#[test]
fn garbage_and_changes_of_resolution_do_no_harm() {
    let mut curator = watch(&config(), 0..3);
    for encoding in ["rgb8", "jpeg", "hologram", ""] {
        let garbage = RawFrame { bytes: &[1, 2, 3], encoding, width: u32::MAX, height: 7 };
        assert_eq!(curator.offer("bad", &garbage, 4.0), Verdict::Dropped(Reason::Undecodable));
    }
    assert_eq!(offer(&mut curator, &scene(7, 60, 90), 5.0), Verdict::Kept);
    assert_eq!(offer(&mut curator, &scene(8, 640, 480), 6.0), Verdict::Kept);
    let counters = curator.counters();
    assert_eq!((counters.kept, counters.dropped(Reason::Undecodable)), (5, 4));
    assert_eq!(counters.resolution_changes, 2);
    assert_eq!(curator.draw(9, |_| true).len(), 9);
}

#[test]
fn every_frame_is_counted_once() {
    let mut curator = watch(&StreamConfig { held_out: 3, max_fps: 0.8, ..config() }, 0..60);
    for n in 0..9 {
        offer(&mut curator, &scene(n, 120, 80), 100.0 + n as f64 / 3.0);
    }
    let counters = curator.counters();
    let named = counters.named();
    let ends = |name: &str| {
        let ends = ["kept", "held_out"].iter().any(|end| name == format!("stream/{end}"));
        ends || name.starts_with("stream/dropped")
    };
    let sum: u64 = named.iter().filter(|(name, _)| ends(name)).map(|(_, n)| n).sum();
    assert_eq!((counters.offered, sum), (69, 69));
}

#[test]
fn memory_is_bounded_however_long_it_runs() {
    let mut curator = watch(&config(), 0..60);
    let bytes = curator.n_bytes();
    let early = curator.counters().kept;
    for n in 60..400 {
        offer(&mut curator, &scene(n, 120, 80), n as f64);
    }
    assert!(curator.counters().kept > 4 * early);
    assert!(curator.n_bytes() < bytes * 2, "{} after {bytes}", curator.n_bytes());
    assert_eq!(curator.reservoir.items().len(), 8);
    assert_eq!(curator.fresh.len(), MAX_FRESH);
}

#[test]
fn frames_set_aside_are_never_drawn_nor_is_what_looks_like_them() {
    let config = StreamConfig { held_out: 5, held_out_every: 3, reservoir: 100, ..config() };
    let mut curator = watch(&config, 0..40);
    assert!(curator.is_ready(|_| true, |_| false));
    let held_out: Vec<Fingerprint> = curator.held_out().iter().map(|f| f.fingerprint).collect();
    assert_eq!(held_out.len(), 5);
    // The very same scenes again, long after the ring forgot them.
    curator.ring = Ring::new(config.novelty_ring);
    for n in 0..40 {
        offer(&mut curator, &scene(n, 120, 80), 100.0 + n as f64);
    }
    assert!(curator.counters().dropped(Reason::HeldOutTwin) >= 5);
    for frame in curator.draw(400, |_| true) {
        for held_out in &held_out {
            assert!(held_out.distance(frame.fingerprint) > 8, "{}", frame.id);
        }
    }
}

#[test]
fn what_was_set_aside_and_ruled_out_is_not_waited_for() {
    let config = StreamConfig { held_out: 5, held_out_every: 3, reservoir: 100, ..config() };
    let curator = watch(&config, 0..40);
    let first = curator.held_out()[0].id.clone();
    let usable = |frame: &Frame| frame.id != first;
    assert!(!curator.is_ready(usable, |_| false));
    assert!(curator.is_ready(usable, |frame| frame.id == first));
    // Nothing at all to be judged on is too little.
    let held_out: Vec<String> = curator.held_out().iter().map(|frame| frame.id.clone()).collect();
    let none = |frame: &Frame| !held_out.contains(&frame.id);
    assert!(!curator.is_ready(none, |frame| held_out.contains(&frame.id)));
}

#[test]
fn fresh_frames_come_first_and_once() {
    let mut curator = watch(&StreamConfig { fresh: 1.0, ..config() }, 0..6);
    let ids: Vec<String> = curator.draw(6, |_| true).iter().map(|f| f.id.clone()).collect();
    assert_eq!(ids, ["frame-5", "frame-4", "frame-3", "frame-2", "frame-1", "frame-0"]);
    // Nothing new came since, so the session as a whole is drawn from.
    assert_eq!(curator.draw(6, |_| true).len(), 6);
}

#[test]
fn a_silent_camera_leaves_what_there_is() {
    let mut curator = watch(&config(), 0..3);
    assert!(!curator.is_ready(|_| true, |_| false));
    offer(&mut curator, &scene(3, 120, 80), 3.0);
    assert!(curator.is_ready(|_| true, |_| false));
    assert!((0..50).all(|_| curator.draw(4, |_| true).len() == 4));
    assert_eq!(curator.draw(4, |_| false), []);
    let frame = curator.draw(1, |_| true).remove(0);
    assert_ne!(curator.other(&frame).unwrap().id, frame.id);
}

/// A detector that misses a frame which was set aside would be waited for in vain.
#[test]
fn what_was_set_aside_and_gets_no_boxes_is_let_go_and_replaced() {
    let config = StreamConfig { held_out: 2, held_out_every: 4, reservoir: 100, ..config() };
    let mut curator = watch(&config, 0..8);
    let lost = curator.held_out()[0].id.clone();
    assert_eq!(curator.held_out().len(), 2);
    let n_before = curator.counters().held_out;
    // Nothing has boxes yet: the detector may be loading still, however long that takes.
    assert_eq!(curator.let_go(500.0, |_| false, |_| false), 0);
    // Two later ones may have overtaken it, three mean that it was passed over.
    let later = |n: usize| {
        let first = curator.held_out()[0].at_millis;
        let kept = curator.reservoir.items().iter().filter(move |frame| frame.at_millis > first);
        kept.take(n).map(|frame| frame.id.clone()).collect::<Vec<String>>()
    };
    let (two, three) = (later(2), later(3));
    let judged = |frame: &Frame| frame.id != lost;
    assert_eq!(curator.let_go(8.0, |frame| two.contains(&frame.id), judged), 0);
    assert_eq!(curator.let_go(8.0, |frame| three.contains(&frame.id), judged), 1);
    assert!(curator.held_out().iter().all(|frame| frame.id != lost));
    assert_eq!(curator.counters().held_out, n_before - 1);
    assert_eq!(curator.counters().dropped(Reason::Unlabelled), 1);
    assert!(!curator.is_ready(|_| true, |_| false));
    for n in 8..16 {
        offer(&mut curator, &scene(n, 120, 80), n as f64);
    }
    assert!(curator.is_ready(|_| true, |_| false));
}

#[test]
fn boxes_that_are_late_are_not_waited_for_while_the_detector_is_at_work() {
    let config = StreamConfig { held_out: 1, held_out_every: 4, reservoir: 100, ..config() };
    let mut curator = watch(&config, 0..6);
    let at = curator.held_out()[0].at_millis as f64 / 1e3;
    let one = |frame: &Frame| frame.id == "frame-0";
    assert_eq!(curator.let_go(at + 59.0, one, |_| false), 0);
    // What a person has ruled out or given boxes is not waited for, so it is not let go either.
    assert_eq!(curator.let_go(at + 61.0, one, |_| true), 0);
    assert_eq!(curator.let_go(at + 61.0, one, |_| false), 1);
}

#[test]
fn a_familiar_frame_is_kept_once_somebody_says_what_is_right_about_it() {
    let mut curator = watch(&config(), 0..5);
    assert_eq!(offer(&mut curator, &scene(2, 120, 80), 9.0), Verdict::Dropped(Reason::Familiar));
    assert!(curator.get("frame-5").is_none());
    assert_eq!(curator.keep("frame-5"), Some(Verdict::Kept));
    let Counters { offered, kept, .. } = *curator.counters();
    assert_eq!((offered, kept, curator.counters().dropped(Reason::Familiar)), (6, 6, 0));
    assert!(curator.get("frame-5").is_some() && curator.keep("frame-5").is_none(), "once");
    assert_eq!(curator.keep("frame-77"), None, "it never came");
    // What is judged on is not learned from, nor what looks like it.
    let set_aside = StreamConfig { held_out: 1, held_out_every: 1, ..config() };
    let mut curator = watch(&set_aside, 0..3);
    offer(&mut curator, &scene(0, 120, 80), 9.0);
    assert_eq!(curator.keep("frame-3"), Some(Verdict::Dropped(Reason::HeldOutTwin)));
}

#[test]
fn what_people_alone_answer_is_kept_once_they_do_and_some_of_it_is_set_aside() {
    let people = StreamConfig { truth: Truth::Person, held_out: 1, held_out_every: 2, ..config() };
    let mut curator = watch(&people, 0..6);
    let Counters { offered, kept, held_out, .. } = *curator.counters();
    assert_eq!((offered, kept, held_out), (6, 0, 0));
    assert_eq!(curator.counters().dropped(Reason::Unanswered), 6);
    let verdicts = ["frame-4", "frame-1", "frame-0"].map(|id| curator.keep(id).unwrap());
    assert_eq!(verdicts, [Verdict::Kept, Verdict::HeldOut, Verdict::Kept]);
    assert_eq!(curator.n_usable(|_| true), (2, 1));
    assert_eq!(curator.counters().dropped(Reason::Unanswered), 3);
}
