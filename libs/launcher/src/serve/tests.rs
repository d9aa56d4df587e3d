//! Promotion and rollback, with a judge that reads a number out of the checkpoint.

use super::*;

/// A run that ended with this mean IoU, from 0.4; its baseline is another policy with a mean IoU of 0.45.
fn run(folder: &Path, name: &str, miou: f64) -> PathBuf {
    let run = folder.join(name);
    for (learner, text) in [("learner", miou.to_string()), ("sft", "0.45".to_owned())] {
        let checkpoint = run.join("checkpoints").join(learner).join("step-000010");
        fs::create_dir_all(&checkpoint).unwrap();
        fs::write(checkpoint.join("model.safetensors"), text).unwrap();
    }
    let line = |label: &str, version: u64, miou: f64| {
        json!({"label": label, "policy_version": version, "metrics": {"miou": miou}}).to_string()
    };
    let lines =
        [line("base", 0, 0.4), line("rft", 5, 0.1), line("rft", 10, miou), line("sft", 10, 0.45)];
    fs::write(run.join("evaluations.jsonl"), lines.join("\n")).unwrap();
    let origin = Origin::default();
    let graph = "nodes: [{id: evaluator, path: vrft-evaluator, inputs: {rft: learner/checkpoint, sft: sft/checkpoint}}]";
    origin.write(&yaml_serde::from_str(graph).unwrap(), &run).unwrap();
    fs::write(run.join(CONFIG), name).unwrap();
    run
}

fn promoted(run: &Path, label: &str, served: &Path) -> eyre::Result<String> {
    let judge = |_: &Path, checkpoint: &Path| {
        let miou = fs::read_to_string(checkpoint.join("model.safetensors"))?.parse()?;
        Ok(Measures::from([(String::new(), BTreeMap::from([("miou".to_owned(), miou)]))]))
    };
    let run = run.to_owned();
    let label = label.to_owned();
    let served = served.to_owned();
    let step = result::Which::Best;
    promote(&PromoteOptions { run, label, step, served, no_verify: false }, &|_| Ok(()), &judge)
}

fn in_use(served: &Path) -> String {
    fs::read_to_string(served.join("current/model.safetensors")).unwrap()
}

#[test]
fn the_checkpoint_of_the_label_is_put_into_use_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    promoted(&run(folder.path(), "first", 0.41), "sft", &served).unwrap();
    assert_eq!(in_use(&served), "0.45");
    let told = promoted(&run(folder.path(), "second", 0.5), "rft", &served).unwrap();
    assert!(told.contains("beside policy-0001: miou 0.5000, 0.4500 before"), "{told}");
    assert_eq!(in_use(&served), "0.5");
    let config = fs::read_to_string(served.join("current").join(CONFIG));
    assert_eq!(config.unwrap(), "second");
    rollback(&served).unwrap();
    assert_eq!(in_use(&served), "0.45");
    let error = rollback(&served).unwrap_err().to_string();
    assert!(error.contains("no policy before policy-0001"), "{error}");
}

#[test]
fn what_was_taken_back_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    let promote = |name: &str, miou| {
        promoted(&run(folder.path(), name, miou), "rft", &served).unwrap();
    };
    promote("first", 0.5);
    promote("second", 0.6);
    rollback(&served).unwrap();
    promote("third", 0.7);
    assert_eq!(in_use(&served), "0.7");
    rollback(&served).unwrap();
    assert_eq!(in_use(&served), "0.5", "not the second, which was withdrawn");
    // A folder whose history was lost goes by the numbers.
    promote("fourth", 0.8);
    fs::remove_file(served.join(HISTORY)).unwrap();
    assert_eq!(rollback(&served).unwrap(), "policy-0003 is in use again");
}

#[test]
fn a_promotion_that_broke_off_is_not_what_a_rollback_goes_back_to() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    promoted(&run(folder.path(), "first", 0.5), "rft", &served).unwrap();
    let second = run(folder.path(), "second", 0.6);
    // A folder cannot be copied as a file.
    fs::remove_file(second.join(CONFIG)).unwrap();
    fs::create_dir(second.join(CONFIG)).unwrap();
    assert!(promoted(&second, "rft", &served).is_err());
    let history = || fs::read_to_string(served.join(HISTORY)).unwrap();
    assert_eq!((history().lines().count(), in_use(&served)), (1, "0.5".to_owned()));
    fs::remove_dir(second.join(CONFIG)).unwrap();
    promoted(&second, "rft", &served).unwrap();
    // Programs of before noted what broke off, too, and then the same number once more.
    let last = history().lines().last().unwrap().to_owned();
    fs::write(served.join(HISTORY), format!("{}{last}\n", history())).unwrap();
    assert_eq!(rollback(&served).unwrap(), "policy-0001 is in use again");
    assert_eq!(in_use(&served), "0.5");
}

#[test]
fn the_best_is_promoted_unless_another_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), "run", 0.5);
    let kept = run.join("best/rft/step-000005");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("model.safetensors"), "0.8").unwrap();
    let best = json!({"rft": {"step": 5, "measure": "miou", "value": 0.8, "base": 0.4,
        "chosen_on": "evaluation.validation", "checkpoint": "best/rft/step-000005"}});
    fs::write(run.join("best.json"), best.to_string()).unwrap();
    let evaluations = fs::read_to_string(run.join("evaluations.jsonl")).unwrap();
    fs::write(run.join("evaluations.jsonl"), evaluations.replace("0.1}", "0.8}")).unwrap();
    let chosen = |which: &str| result::policy(&run, "rft", which.parse().unwrap());
    assert_eq!(chosen("best").unwrap().folder, kept);
    assert_eq!(chosen("last").unwrap().version, 10);
    assert_eq!(chosen("5").unwrap().folder, kept);
    let error = chosen("7").err().unwrap().to_string();
    assert!(error.contains("no evaluation of \"rft\" at step 7; there are [5, 10]"), "{error}");
    assert!("newest".parse::<result::Which>().is_err());
    let told = promoted(&run, "rft", &folder.path().join("served")).unwrap();
    assert!(told.contains("step 5 (the best, selected on evaluation.validation)"), "{told}");
    assert_eq!(in_use(&folder.path().join("served")), "0.8");
}

#[test]
fn what_is_worse_than_the_policy_in_use_is_discarded_and_noted() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    promoted(&run(folder.path(), "good", 0.5), "rft", &served).unwrap();
    // Better than what the run started from, worse than what is in use.
    let error = promoted(&run(folder.path(), "bad", 0.42), "rft", &served).unwrap_err().to_string();
    assert!(
        error.contains("not promoted") && error.contains("miou 0.4200, 0.5000 before"),
        "{error}"
    );
    assert_eq!(in_use(&served), "0.5");
    let history = fs::read_to_string(served.join("history.jsonl")).unwrap();
    assert!(history.lines().last().unwrap().contains("discard"), "{history}");
}

#[test]
fn one_task_that_is_worse_is_enough() {
    let of = |values: [(&str, &str, f64); 2]| -> Measures {
        let measure = |(task, name, value): (&str, &str, f64)| {
            (task.to_owned(), BTreeMap::from([(name.to_owned(), value)]))
        };
        values.map(measure).into()
    };
    let before = of([("", "miou", 0.4), ("names", "accuracy", 0.9)]);
    let after = of([("", "miou", 0.6), ("names", "accuracy", 0.5)]);
    let compared = compare(&before, &after).unwrap();
    let worse: Vec<&str> =
        compared.iter().filter(|one| one.after < one.before).map(|one| one.measure).collect();
    assert_eq!((compared.len(), worse), (2, vec!["accuracy"]));
    let alone = Measures::from([after.into_iter().next().unwrap()]);
    let error = compare(&before, &alone).unwrap_err().to_string();
    assert!(error.contains("names: both should have one of"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_not_put_into_use() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), "run", 0.5);
    let manifest = json!({"files": {"model.safetensors": {"bytes": 3, "sha256": "0"}}}).to_string();
    fs::write(run.join("checkpoints/learner/step-000010/manifest.json"), manifest).unwrap();
    let error = promoted(&run, "rft", &folder.path().join("served")).unwrap_err().to_string();
    assert!(error.contains("model.safetensors\" is damaged"), "{error}");
}

#[test]
fn a_run_without_the_evaluation_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    let error = promoted(folder.path(), "rft", &served).unwrap_err();
    assert!(format!("{error:#}").contains("evaluations.jsonl"));
    let error = promoted(&run(folder.path(), "run", 0.5), "best", &served).unwrap_err().to_string();
    assert!(
        error.contains("no evaluation of \"best\"; there are {\"base\", \"rft\", \"sft\"}"),
        "{error}"
    );
}

#[test]
fn what_was_not_trained_is_not_promoted_and_what_was_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), "run", 0.5);
    let evaluations = run.join("evaluations.jsonl");
    let text = fs::read_to_string(&evaluations).unwrap();
    let constant = json!({"label": "constant", "policy_version": 0, "metrics": {"miou": 0.2}});
    fs::write(&evaluations, format!("{text}\n{constant}\n")).unwrap();
    let refused =
        |label: &str| promoted(&run, label, &folder.path().join("served")).unwrap_err().to_string();
    for label in ["base", "constant"] {
        let error = refused(label);
        for words in ["--label takes rft, sft", &format!("{label:?} is no policy that")] {
            assert!(error.contains(words), "{error}");
        }
    }
    fs::write(&evaluations, constant.to_string()).unwrap();
    let error = refused("constant");
    assert!(error.ends_with("none that was trained is evaluated yet"), "{error}");
}

#[test]
fn weights_that_cannot_be_opened_are_not_put_into_use_even_unverified() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    let run = run(folder.path(), "run", 0.5);
    let options = PromoteOptions {
        run: run.clone(),
        label: "rft".into(),
        step: result::Which::Last,
        served: served.clone(),
        no_verify: true,
    };
    let judge = |_: &Path, _: &Path| panic!("it is not measured");
    // As the starter, with the weights of an earlier state that were cut on the way.
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/starter");
    let checkpoint = run.join("checkpoints/learner/step-000010");
    fs::copy(starter.join("config.json"), checkpoint.join("config.json")).unwrap();
    let weights = fs::read(starter.join("model.safetensors")).unwrap();
    for n in [100, weights.len() - 1] {
        fs::write(checkpoint.join("model.safetensors"), &weights[..n]).unwrap();
        let error = promote(&options, &check, &judge).unwrap_err().to_string();
        assert!(error.contains("model.safetensors") && error.contains("cut short"), "{error}");
    }
    assert!(!served.join(CURRENT).exists());
    fs::write(checkpoint.join("model.safetensors"), &weights).unwrap();
    let judge = |_: &Path, _: &Path| Ok(Measures::new());
    promote(&options, &check, &judge).unwrap();
    assert!(served.join(CURRENT).exists());
}
