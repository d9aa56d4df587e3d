//! The starter policy is asked about a picture of its own data.

use std::path::PathBuf;

use vrft_dataset::Dataset;

use super::*;
use crate::{Follow, Follower, Place};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}

fn settings() -> Settings {
    Settings { reward: Some(RewardConfig::default()), ..Settings::default() }
}

fn starter(settings: &Settings) -> Answerer {
    let target = Target::find(&data("starter").display().to_string(), "nowhere".as_ref()).unwrap();
    Answerer::load(settings, &target).unwrap()
}

fn picture(n: usize) -> Picture {
    let dataset = Dataset::open(&data("digits/test.parquet")).unwrap();
    Picture::of_file(dataset.get(n).pictures[0].bytes().unwrap()).unwrap()
}

#[test]
fn a_policy_finds_what_it_was_trained_to_find_in_pixels_of_the_picture() {
    let answerer = starter(&settings());
    let picture = picture(0);
    let answered = answerer
        .answer(&answerer.category("handwritten digit", 1), std::slice::from_ref(&picture), 0)
        .unwrap();
    assert_eq!(answered.version, "starter");
    assert_eq!(answered.reading, Reading::Something, "{}", answered.text);
    let Place::Box([x1, y1, x2, y2]) = answered.found[0].place else { panic!("no box") };
    let (width, height) = (f64::from(picture.original.0), f64::from(picture.original.1));
    assert!(0.0 <= x1 && x1 < x2 && x2 <= width && 0.0 <= y1 && y1 < y2 && y2 <= height);
    assert!(answered.found[0].confidence.is_some());
    assert!(answered.text.ends_with("</answer>"), "the stop text ends the answer");
}

#[test]
fn an_answer_is_that_of_the_evaluator() {
    // One decoder: what is asked here is decoded as in training and evaluation.
    let answerer = starter(&settings());
    let turns = answerer.category("handwritten digit", 1);
    let answered = answerer.answer(&turns, &[picture(1)], 0).unwrap();
    let Loaded { policy, processor, .. } = &answerer.loaded;
    let file = picture(1).file;
    let prompt = processor.encode_messages(&chat_messages(&turns), &[&file], &[], true).unwrap();
    let sampling = Sampling::greedy(128, RolloutConfig::default().stop);
    let groups =
        vrft_rollout::generate(policy, processor, &[&prompt], 1, &sampling, &|_, _| 0).unwrap();
    assert_eq!(answered.text, groups[0][0].text);
    assert_eq!(answered.n_prompt_tokens, prompt.token_ids.len());
}

#[test]
fn a_scaled_frame_is_answered_in_pixels_of_the_frame() {
    let answerer = starter(&settings());
    let shown = picture(0);
    // The same pixels, said to be of a picture four times as wide and high.
    let (width, height) = shown.original;
    let large = Picture { original: (4 * width, 4 * height), ..shown.clone() };
    let found = |picture: Picture| {
        let turns = answerer.category("handwritten digit", 1);
        answerer.answer(&turns, &[picture], 0).unwrap().found[0].place
    };
    let (Place::Box(small), Place::Box(large)) = (found(shown), found(large)) else {
        panic!("no boxes")
    };
    for (small, large) in small.into_iter().zip(large) {
        assert!((4.0 * small - large).abs() < 1e-9, "{small} {large}");
    }
}

#[test]
fn the_text_is_told_while_it_grows_and_can_be_cut() {
    let answerer = starter(&settings());
    let turns = answerer.category("handwritten digit", 1);
    let whole = answerer.answer(&turns, &[picture(0)], 0).unwrap();
    let seen = std::sync::Mutex::new(Vec::<String>::new());
    let watch = |text: &str| {
        let mut seen = seen.lock().unwrap();
        seen.push(text.to_owned());
        seen.len() < 5
    };
    let cut = answerer.answer_with(&turns, &[picture(0)], &answerer.sampling(), 0, &watch).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!((cut.n_tokens, seen.len()), (5, 5));
    assert!(seen.iter().all(|text| whole.text.starts_with(text.as_str())), "{seen:?}");
    assert_eq!(cut.finish_reason, FinishReason::Length);
}

#[test]
fn a_question_without_its_picture_is_refused() {
    let answerer = starter(&settings());
    let error =
        answerer.answer(&answerer.category("handwritten digit", 2), &[picture(0)], 0).unwrap_err();
    assert_eq!(error.to_string(), "the question speaks of 2 pictures, got 1");
    let long = Settings {
        answer: AnswerConfig { max_tokens: 1_000_000, ..AnswerConfig::default() },
        ..settings()
    };
    let answerer = starter(&long);
    let error = answerer.answer(&answerer.question("?", 1), &[picture(0)], 0).unwrap_err();
    assert!(error.to_string().contains("answer.max_tokens"), "{error}");
}

#[cfg(unix)]
#[test]
fn what_is_promoted_takes_its_place_within_a_second_and_so_does_what_was_before() {
    let served = tempfile::tempdir().unwrap();
    let promote = |name: &str| {
        let folder = served.path().join(name);
        if !folder.exists() {
            std::fs::create_dir(&folder).unwrap();
            for file in std::fs::read_dir(data("starter")).unwrap() {
                let file = file.unwrap().path();
                std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
            }
        }
        let next = served.path().join("next");
        std::os::unix::fs::symlink(name, &next).unwrap();
        std::fs::rename(next, served.path().join(crate::CURRENT)).unwrap();
    };
    let mut settings = settings();
    settings.answer.follow = Follow::Promoted;
    settings.answer.served = served.path().to_owned();
    let mut answerer = starter(&settings);
    let of_all = settings.clone();
    let follower = Follower::promoted(&answerer, Box::new(move |_| Ok(of_all.clone())));
    let mut until = |is_used: &dyn Fn(&Answerer) -> bool, what: &str| {
        let start = Instant::now();
        while !is_used(&answerer) {
            assert!(start.elapsed() < Duration::from_secs(10), "{what} never came");
            let turns = answerer.category("handwritten digit", 1);
            // Answers go on while the next version is loaded.
            let answered = answerer.answer(&turns, &[picture(0)], 0).unwrap();
            assert_eq!(answered.digest, answerer.digest());
            if let Some(fresh) = follower.newest() {
                answerer.take(fresh).unwrap();
            }
        }
        answerer.digest().to_owned()
    };
    let mut digests = Vec::new();
    for name in ["policy-0001", "policy-0002", "policy-0001"] {
        promote(name);
        digests.push(until(&|answerer| answerer.version() == name, name));
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "one policy under two names");
    // All of it is removed, and another policy is promoted that has the name of the one in use.
    std::fs::remove_dir_all(served.path()).unwrap();
    std::fs::create_dir(served.path()).unwrap();
    promote("policy-0001");
    let settings_of_model = served.path().join("policy-0001/config.json");
    let other = std::fs::read_to_string(&settings_of_model).unwrap() + "\n";
    std::fs::write(&settings_of_model, other).unwrap();
    until(&|answerer| answerer.digest() != digests[0], "other contents of the same name");
}

#[test]
fn the_longest_part_of_a_question_that_is_too_long_is_blamed() {
    let answerer = starter(&settings());
    let error = |turns: &[Turn], pictures: &[Picture]| {
        answerer.answer(turns, pictures, 0).unwrap_err().to_string()
    };
    let words = "word ".repeat(5000);
    let why = error(&answerer.question(&words, 1), &[picture(0)]);
    assert!(why.contains("ask with fewer words") && !why.contains("max_pixels"), "{why}");
    let AnswerError::TooLong { n_text, n_pictures, .. } =
        answerer.answer(&answerer.question(&words, 1), &[picture(0)], 0).unwrap_err()
    else {
        panic!("too long")
    };
    let one = answerer.answer(&answerer.question("?", 1), &[picture(0)], 0).unwrap();
    let none = answerer.answer(&answerer.question("?", 0), &[], 0).unwrap();
    // A picture takes two tokens more than its patches: those around them.
    assert_eq!(n_pictures + 2, one.n_prompt_tokens - none.n_prompt_tokens);
    assert!(n_text > 5000, "{n_text}");
    let many = vec![picture(0); 60];
    let why = error(&answerer.question("?", 60), &many);
    assert!(why.contains("show fewer pictures"), "{why}");
}

#[test]
fn weights_of_a_learner_take_their_place_and_damaged_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = vrft_weights::Store::new(folder.path()).unwrap();
    let mut answerer = starter(&settings());
    let before =
        answerer.answer(&answerer.category("handwritten digit", 1), &[picture(0)], 0).unwrap();
    let versions = vrft_weights::Versions::new(&Default::default(), "run", folder.path());
    let follower = Follower::learner(versions);
    let mut tensors = answerer.loaded.policy.version().unwrap();
    let published = store.publish(7, &tensors).unwrap();
    let damaged = vrft_messages::PolicyAnnouncement { version: 6, bytes: 1, ..published.clone() };
    follower.announce(damaged);
    std::thread::sleep(Duration::from_millis(100));
    assert!(follower.newest().is_none());
    // Another policy altogether: all weights at zero.
    for tensor in tensors.values_mut() {
        *tensor = tensor.zeros_like().unwrap();
    }
    follower.announce(store.publish(8, &tensors).unwrap());
    let start = Instant::now();
    while answerer.version() != "step-000008" {
        assert!(start.elapsed() < Duration::from_secs(10), "it never came");
        if let Some(fresh) = follower.newest() {
            answerer.take(fresh).unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let after =
        answerer.answer(&answerer.category("handwritten digit", 1), &[picture(0)], 0).unwrap();
    assert_ne!((before.text, "step-000008"), (after.text, after.version.as_str()));
}
