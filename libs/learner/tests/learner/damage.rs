//! A damaged checkpoint is passed over for the one before it.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use vrft_learner::{Checkpoints, Cursor, LearnerError};

use crate::fixture::{Setup, groups};

/// Saves steps 1 and 2, damages step 2, and expects step 1 to be found.
#[track_caller]
fn falls_back(damage: impl FnOnce(&Path)) {
    let dir = tempdir().unwrap();
    let batch = groups(&[&[1.0, -1.0]]);
    let checkpoints = Checkpoints::new(dir.path(), 2).unwrap();
    let mut learner = Setup::without_kl().learner();
    for _ in 0..2 {
        learner.grpo_step(&batch).unwrap();
        checkpoints.save(&learner, &Cursor::default()).unwrap();
    }
    damage(&dir.path().join("step-000002"));
    assert_eq!(checkpoints.newest().unwrap().unwrap().step, 1);
    learner.restore(&checkpoints.newest().unwrap().unwrap()).unwrap();
    assert_eq!(learner.step(), 1);
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_flipped_bit_in_the_weights() {
    falls_back(|dir| flip(&dir.join("model.safetensors"), |len| len / 2));
}

#[test]
fn a_flipped_bit_in_the_cursor() {
    falls_back(|dir| {
        let path = dir.join("state.json");
        let json = fs::read_to_string(&path).unwrap();
        let digit = json.find("next_prompt_id").unwrap() + "next_prompt_id\": ".len();
        flip(&path, |_| digit);
    });
}

#[test]
fn a_truncated_optimizer_state() {
    falls_back(|dir| cut(&dir.join("optimizer.safetensors")));
}

#[test]
fn a_missing_tokenizer() {
    falls_back(|dir| fs::remove_file(dir.join("tokenizer.json")).unwrap());
}

#[test]
fn a_half_written_state() {
    falls_back(|dir| cut(&dir.join("state.json")));
}

#[test]
fn a_half_written_manifest() {
    falls_back(|dir| cut(&dir.join("manifest.json")));
}

#[test]
fn a_folder_under_the_name_of_another_step() {
    falls_back(|dir| fs::rename(dir, dir.with_file_name("step-000009")).unwrap());
}

#[test]
fn damage_after_the_check_is_named() {
    let dir = tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path(), 1).unwrap();
    let mut learner = Setup::without_kl().learner();
    let path = checkpoints.save(&learner, &Cursor::default()).unwrap();
    let checkpoint = checkpoints.newest().unwrap().unwrap();
    cut(&path.join("model.safetensors"));
    let error = learner.restore(&checkpoint).unwrap_err();
    assert!(matches!(error, LearnerError::Damaged { .. } | LearnerError::Policy(_)), "{error}");
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}
