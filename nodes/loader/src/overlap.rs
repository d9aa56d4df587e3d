//! Whether policies are judged on what they learn from, told once a run.

use tracing::info;
use vrft_dataset::Dataset;
use vrft_node::Member;

use crate::Config;

/// Whether this loader is the one that compares what is learned from with what is judged on: the first of the graph, since
/// all of them read the same rows, and only where there is an evaluator, since nothing is measured without one.
pub(crate) fn is_told_by(id: &str, members: &[Member]) -> bool {
    let is = |executable: &'static str| {
        members.iter().filter(move |member| member.executable == executable)
    };
    let first = is("vrft-loader").find(|member| !member.learners.is_empty());
    is("vrft-evaluator").next().is_some() && first.is_some_and(|first| first.id == id)
}

/// What should be known of what is both learned from and judged on, a sentence each. The held-out data is opened for that
/// and forgotten again. Whether it can be used at all is the evaluator's to say, which may be on another machine.
pub(crate) fn found<'a>(
    config: &Config,
    training: impl Iterator<Item = &'a Dataset>,
) -> Vec<String> {
    let parts = vrft_dataset::held_out(&config.data, &config.evaluation);
    let mut held_out = Vec::new();
    for part in &parts {
        match part.open() {
            Ok(dataset) => held_out.push((part.key, dataset)),
            Err(error) => info!("{} was not compared with the training data: {error}", part.key),
        }
    }
    let held_out: Vec<(&str, &Dataset)> =
        held_out.iter().map(|(key, dataset)| (*key, dataset)).collect();
    vrft_dataset::shared(&training.collect::<Vec<_>>(), &held_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, executable: &str, learner: &str) -> Member {
        Member {
            id: id.to_owned(),
            executable: executable.to_owned(),
            role: String::new(),
            is_learner: false,
            machine: String::new(),
            learners: vec![learner.to_owned()],
        }
    }

    #[test]
    fn one_loader_of_a_graph_with_an_evaluator_tells() {
        let mut members = vec![
            member("loader", "vrft-loader", "learner"),
            member("sft_loader", "vrft-loader", "sft"),
        ];
        assert!(!is_told_by("loader", &members));
        members.push(member("evaluator", "vrft-evaluator", ""));
        assert!(is_told_by("loader", &members));
        assert!(!is_told_by("sft_loader", &members));
    }
}
