//! Whole runs under other objectives than the default, and over several tasks.

use vrft_tests::Run;

#[test]
fn an_objective_is_a_matter_of_configuration() {
    let run = Run::small()
        .set("learner.steps=2")
        .set("learner.iterations=2")
        .set("learner.refills=1")
        .set("loss.type=dapo")
        .set("loss.clip_epsilon_high=0.28")
        .set("loss.mask_truncated=true")
        .set("loss.top_entropy=0.5")
        .set("loss.entropy_coef=0.001")
        .set("loss.sampler_correction={mode=\"sequence_mask\",max=3.0}")
        .set("advantage.baseline=leave_one_out")
        .set("advantage.scale=batch")
        .set("advantage.overlong={cushion=8}");
    run.finish().ok();
    assert_eq!(run.metric("learner", "groups/refilled").len(), 2);
    // The sampler computes what the learner does, and the second update is off-policy.
    for correction in run.metric("learner", "policy/sampler_correction") {
        assert!((correction - 1.0).abs() < 1e-3, "{correction}");
    }
    for ratio in run.metric("learner", "policy/ratio") {
        assert!(ratio != 1.0);
    }
}

#[test]
fn a_run_whose_coefficients_adapt_and_that_asks_for_more_resumes_to_the_same_weights() {
    let adaptive = || {
        Run::small()
            .set("learner.refills=1")
            .set("loss.kl_adaptive={target=0.01,horizon=100}")
            .set("loss.entropy_coef=0.01")
            .set("loss.entropy_adaptive={target=2.0}")
    };
    let expected = {
        let run = adaptive();
        run.finish().ok();
        assert_ne!(run.metric("learner", "policy/kl_coef")[3], 0.04);
        run.final_weights("learner")
    };
    let run = adaptive();
    run.interrupt_after(2);
    run.resume().ok();
    assert!(expected == run.final_weights("learner"));
}

#[test]
fn a_group_shrinks_while_its_answers_differ_and_a_resumed_run_samples_alike() {
    let adaptive =
        || Run::small().set("rollout.group_size_adaptive={min=2,max=8,low=0.9,high=1.0,every=2}");
    let (sizes, expected) = {
        let run = adaptive();
        run.finish().ok();
        let rows = run.metric("rollout", "completions/length/mean");
        assert_eq!(rows.len(), 4);
        (run.metric("learner", "groups/size"), run.final_weights("learner"))
    };
    // The starter's answers differ: of two steps some group has an advantage.
    assert_eq!(sizes, [4.0, 4.0, 2.0, 2.0]);
    let run = adaptive();
    run.interrupt_after(2);
    run.resume().ok();
    assert_eq!(run.metric("learner", "groups/size"), sizes);
    assert!(expected == run.final_weights("learner"));
}

#[test]
fn the_true_answer_joins_the_group() {
    let first_rewards = |run: &Run| run.metric("advantage", "reward/total/mean")[0];
    let (plain_reward, plain_weights) = {
        let plain = Run::small().set("learner.steps=2");
        plain.finish().ok();
        (first_rewards(&plain), plain.final_weights("learner"))
    };
    let run = Run::small().set("advantage.truth={form=true}").set("learner.steps=2");
    run.finish().ok();
    let used = run.metric("advantage", "truth/used");
    assert!(used.len() == 2 && used.iter().any(|share| *share > 0.0), "{used:?}");
    // What is recorded is what the policy's own answers earned.
    assert_eq!(first_rewards(&run), plain_reward);
    assert!(run.final_weights("learner") != plain_weights, "the true answer changed nothing");
}

#[test]
fn true_answers_are_imitated_beside_the_objective() {
    let run = Run::small().set("loss.chord={mu=0.2}").set("learner.steps=2");
    run.finish().ok();
    let losses = run.metric("learner", "policy/imitation_loss");
    assert!(losses.len() == 2 && losses.iter().all(|loss| *loss > 0.0), "{losses:?}");
    assert_eq!(run.metric("learner", "policy/imitation_share"), [0.2, 0.2]);
}

#[test]
fn a_policy_that_is_told_the_answer_teaches_the_one_that_is_not() {
    let run = Run::small().set("loss.self_distillation={share=0.5}").set("learner.steps=2");
    run.finish().ok();
    let apart = run.metric("learner", "policy/teacher_kl");
    assert!(apart.len() == 2 && apart.iter().all(|kl| kl.abs() > 1e-6), "{apart:?}");
}

#[test]
fn tokens_count_by_how_much_the_picture_matters() {
    let run = Run::small().set("loss.visual={share=0.2}").set("learner.steps=2");
    run.finish().ok();
    let added = run.metric("learner", "policy/visual_advantage");
    assert!(added.len() == 2 && added.iter().all(|nats| *nats != 0.0), "{added:?}");
}

#[test]
fn tasks_are_weighed_measured_and_remembered_apart() {
    let source = |task: &str, weight: f64| {
        let (train, test) = ("data/digits/shots.parquet", "data/digits/test.parquet");
        format!("{{task={task:?},train={train:?},test={test:?},shots=4,weight={weight:?}}}")
    };
    let sources = format!("data.sources=[{},{}]", source("plain", 1.0), source("heavy", 2.0));
    let run = Run::small()
        .set("data.train=data/train.parquet")
        .set("data.shots=0")
        .set(&sources)
        .set("evaluation.limit=2");
    run.finish().ok();
    let of_tasks =
        ["plain", "heavy"].map(|task| run.metric("advantage", &format!("task/{task}/prompts")));
    assert_eq!(of_tasks.concat().iter().sum::<f64>(), 8.0);
    let evaluations = run.lines("evaluations.jsonl");
    for label in ["base", "rft", "base@plain", "rft@plain", "sft@plain", "base@heavy", "rft@heavy"]
    {
        let line = evaluations.iter().find(|line| line["label"] == label);
        let metrics = &line.unwrap_or_else(|| panic!("{label} was not evaluated"))["metrics"];
        let is_learned = !label.starts_with("base");
        assert_eq!(metrics["forgetting"].as_f64().is_some(), is_learned, "{label}: {metrics}");
    }
}

#[test]
fn contradictory_settings_say_what_to_write() {
    Run::small()
        .set("advantage.baseline=leave_one_out")
        .finish()
        .failed(&["advantage.scale = group: expected \"none\" or \"batch\""]);
    Run::small()
        .set("loss.chord={}")
        .set("learner.refills=1")
        .finish()
        .failed(&["learner.refills = 1: expected 0 with [loss.chord]"]);
    Run::small()
        .set("loss.self_distillation={hint=\"Look again.\"}")
        .finish()
        .failed(&["loss.self_distillation.hint = \"Look again.\": expected a text with {answer}"]);
}
