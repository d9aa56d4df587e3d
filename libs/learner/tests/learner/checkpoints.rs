//! The folder of checkpoints: which are kept, what a failed save leaves, what is tidied up.

use std::fs;
use std::path::Path;

use candle_core::DType;
use tempfile::tempdir;
use vrft_learner::{Checkpoints, Cursor};

use crate::fixture::{Setup, checkpoint_dir, groups, load_from};

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_newest_are_kept() {
    let dir = tempdir().unwrap();
    let batch = groups(&[&[1.0, -1.0]]);
    let checkpoints = Checkpoints::new(dir.path(), 2).unwrap();
    let mut learner = Setup::without_kl().learner();
    for _ in 0..4 {
        learner.grpo_step(&batch).unwrap();
        checkpoints.save(&learner, &Cursor::default()).unwrap();
    }
    assert_eq!(names(dir.path()), ["step-000003", "step-000004"]);
    assert_eq!(checkpoints.newest().unwrap().unwrap().step, 4);
}

#[test]
fn an_empty_folder_has_no_newest() {
    let dir = tempdir().unwrap();
    let checkpoints = Checkpoints::new(&dir.path().join("made"), 2).unwrap();
    assert_eq!(checkpoints.newest().unwrap(), None);
}

#[test]
fn a_step_that_is_saved_again_replaces_itself() {
    let dir = tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path(), 2).unwrap();
    let learner = Setup::without_kl().learner();
    for next_prompt_id in [1, 2] {
        checkpoints.save(&learner, &Cursor { next_prompt_id }).unwrap();
    }
    assert_eq!(names(dir.path()), ["step-000000"]);
    assert_eq!(checkpoints.newest().unwrap().unwrap().cursor.next_prompt_id, 2);
}

#[test]
fn a_save_that_fails_harms_no_older_one() {
    // The files beside the weights come from the folder of the policy; without it a save fails half-way.
    let (dir, source) = (tempdir().unwrap(), tempdir().unwrap());
    for name in names(&checkpoint_dir()) {
        fs::copy(checkpoint_dir().join(&name), source.path().join(&name)).unwrap();
    }
    let mut learner = Setup::without_kl().learner_of(load_from(source.path(), DType::F32, true));
    let checkpoints = Checkpoints::new(dir.path(), 1).unwrap();
    checkpoints.save(&learner, &Cursor::default()).unwrap();
    learner.grpo_step(&groups(&[&[1.0, -1.0]])).unwrap();
    fs::write(source.path().join("config.json"), "{").unwrap();
    let error = checkpoints.save(&learner, &Cursor::default()).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
    assert_eq!(names(dir.path()), ["step-000000"]);
    assert_eq!(checkpoints.newest().unwrap().unwrap().step, 0);
}

#[test]
fn leftovers_of_an_interrupted_save_are_removed() {
    let dir = tempdir().unwrap();
    let half = dir.path().join("step-000007.tmp");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("model.safetensors"), "half").unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    Checkpoints::new(dir.path(), 1).unwrap();
    assert_eq!(names(dir.path()), ["notes.txt"]);
}

#[test]
fn a_checkpoint_that_was_moved_aside_and_not_replaced_comes_back() {
    let dir = tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path(), 1).unwrap();
    let path = checkpoints.save(&Setup::without_kl().learner(), &Cursor::default()).unwrap();
    fs::rename(&path, dir.path().join("step-000000.old")).unwrap();
    let checkpoints = Checkpoints::new(dir.path(), 1).unwrap();
    assert_eq!(checkpoints.newest().unwrap().unwrap().path, path);
}
