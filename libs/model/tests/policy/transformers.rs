//! The same numbers as Hugging Face transformers, from the same files.

use candle_core::Tensor;
use vrft_model::{PackedGroup, Session};

use crate::fixture::{Golden, difference, flat, load, loss_and_grads, relative_difference};

/// Logits of the prompt's last row and of every row after, fed one by one.
fn decoded_logits(session: &mut Session, completion: &[u32]) -> Tensor {
    let mut rows = vec![session.logits().clone()];
    for token in completion {
        session.step(&[*token]).unwrap();
        rows.push(session.logits().clone());
    }
    Tensor::cat(&rows, 0).unwrap()
}

#[track_caller]
fn check_logits(case: &str) {
    let golden = Golden::load();
    let expected = &golden.tensors[&format!("{case}.logits")];
    let completion = &golden.cases[case].completion_ids[0];
    let mut session = load(false).start(&[&golden.prompt(case)], 1).unwrap();
    let logits = decoded_logits(&mut session, completion);
    let n = completion.len() + 1;
    let expected = expected.narrow(0, expected.dim(0).unwrap() - n, n).unwrap();
    let off = difference(&logits, &expected);
    assert!(off < 1e-4, "logits off by {off}");
}

#[test]
fn logits_of_a_completion_about_one_image() {
    check_logits("one_image")
}

#[test]
fn logits_of_a_completion_about_two_images() {
    check_logits("two_images")
}

#[track_caller]
fn check_logprobs(case: &str) {
    let golden = Golden::load();
    let (prompt, completions) = (golden.prompt(case), golden.cases[case].completions());
    let group = PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] };
    let policy = load(false);
    let expected = |what: &str, suffix: &str| {
        let parts: Vec<&Tensor> = (0..completions.len())
            .map(|i| &golden.tensors[&format!("{case}.{what}.{i}{suffix}")])
            .collect();
        Tensor::cat(&parts, 0).unwrap()
    };
    for (temperature, suffix) in [(1.0, ""), (0.7, ".cool")] {
        let got = policy.logprobs(&[group], temperature).unwrap();
        let off = difference(&got.logprobs, &expected("logprobs", suffix));
        assert!(off < 1e-4, "logprobs at temperature {temperature} off by {off}");
        if temperature == 1.0 {
            let off = difference(&got.entropy, &expected("entropy", ""));
            assert!(off < 1e-4, "entropy off by {off}");
        }
    }
}

#[test]
fn logprobs_of_a_group() {
    check_logprobs("one_image")
}

#[test]
fn logprobs_about_two_images() {
    check_logprobs("two_images")
}

#[test]
fn logprobs_without_an_image() {
    check_logprobs("no_image")
}

#[test]
fn loss_and_gradient_of_every_parameter() {
    let golden = Golden::load();
    let prompt = golden.prompt("one_image");
    let completions = golden.cases["one_image"].completions();
    let group = PackedGroup { prompt: &prompt, completions: &completions[..1], inserted: &[] };
    let policy = load(true);
    let (loss, grads) = loss_and_grads(&policy, &[group]);
    assert!((loss - flat(&golden.tensors["one_image.loss"])[0]).abs() < 1e-4);
    let n_expected = golden.tensors.keys().filter(|n| n.starts_with("one_image.grad.")).count();
    assert_eq!(grads.len(), n_expected);
    for (name, grad) in &grads {
        let expected = &golden.tensors[&format!("one_image.grad.{name}")];
        let off = relative_difference(grad, expected);
        assert!(off < 1e-4, "gradient of {name} off by {off}");
    }
}

#[track_caller]
fn check_greedy(case: &str) {
    let golden = Golden::load();
    let mut session = load(false).start(&[&golden.prompt(case)], 1).unwrap();
    for (i, expected) in golden.cases[case].greedy_ids.iter().enumerate() {
        let best = session.logits().argmax(1).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(best, [*expected], "token {i}");
        session.step(&best).unwrap();
    }
}

#[test]
fn greedy_tokens_about_one_image() {
    check_greedy("one_image")
}

#[test]
fn greedy_tokens_about_two_images() {
    check_greedy("two_images")
}

#[test]
fn greedy_tokens_without_an_image() {
    check_greedy("no_image")
}
