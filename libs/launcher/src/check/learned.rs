//! Whether a policy is to be judged by recorded answers that it has learned from, as far as the folder of its run tells.

use std::ops::Range;
use std::path::{Path, PathBuf};

use dora_message::config::InputMapping;
use dora_message::descriptor::{Descriptor, Node};
use vrft_config::Document;
use vrft_plan::LearnerConfig;

use super::nodes::{option, replayed};
use super::starts::is_estimate;
use crate::config::Config;
use crate::fingerprint;
use crate::graph::Graph;
use crate::origin::Origin;

/// The configuration in the folder of a run.
const CONFIG: &str = "config.toml";

/// What should be known of an estimate by a record that the policy has to do with.
pub(super) fn learned(graph: &Graph) -> Option<String> {
    graph.descriptor.nodes.iter().find(|node| is_estimate(node))?;
    let record = record_of(graph)?;
    let made = Made::of(&graph.checkpoint().ok()?)?;
    let learner = &graph.config.learner;
    let asked = prompts(learner, learner.steps);
    let known = made.learned.start.max(asked.start)..made.learned.end.min(asked.end);
    let policy = graph.config.policy.path.display();
    if made.record.as_ref() == Some(&record) && !known.is_empty() {
        return Some(format!(
            "policy.path = {policy}: this policy has learned from the recorded answers to {} of the {} prompts that it is to be \
             judged by (those of {}), so that its estimate is too high: it is judged by its own luck. Estimate on others: \
             learner.first_prompt = {}, if as many were recorded",
            known.end - known.start,
            asked.end - asked.start,
            record.display(),
            made.learned.end
        ));
    }
    let rows = shares_rows(&made.data, graph);
    rows.then(|| {
        format!(
            "policy.path = {policy}: this policy has learned from the rows of data.train, whose questions it is to be judged by: \
             the estimate is of questions that it knows, and says nothing of others"
        )
    })
}

/// The run whose groups a journal of the graph plays back.
fn record_of(graph: &Graph) -> Option<PathBuf> {
    let journal = |node: &&Node| vrft_node::executable(node) == Some("vrft-journal");
    let mut journals = graph.descriptor.nodes.iter().filter(journal);
    let (_, run) = journals.find_map(|node| replayed(graph, node))?;
    graph.folder.join(run).canonicalize().ok()
}

/// Numbers of the prompts of so many steps.
fn prompts(learner: &LearnerConfig, steps: u64) -> Range<u64> {
    let (start, end) = (learner.first_prompt, learner.first_prompt_of(steps));
    match learner.distinct_prompts {
        0 => start..end,
        n => start..end.min(start + n),
    }
}

/// How a policy was made.
struct Made {
    /// The run whose groups it learned from, by their rewards: its own, or a record.
    record: Option<PathBuf>,
    /// The prompts that it learned from.
    learned: Range<u64>,
    /// The data that its run learned from.
    data: fingerprint::Fingerprints,
}

impl Made {
    /// `None` where its run is not known, or made nothing else of it than it was.
    fn of(checkpoint: &Path) -> Option<Self> {
        let checkpoint = checkpoint.canonicalize().ok()?;
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let steps = name(&checkpoint)?.strip_prefix("step-")?.parse().ok().filter(|n| *n > 0)?;
        let run = checkpoint.ancestors().find(|folder| folder.join(CONFIG).exists())?.to_owned();
        let (origin, descriptor) = Origin::read(&run).ok().flatten()?;
        let document = Document::load(&run.join(CONFIG), &[]).ok()?;
        let mut config = Config::read(&document).ok()?;
        config.anchor(&origin.folder);
        let learner = checkpoint.parent().and_then(name)?;
        let from_rewards = learner_of(&descriptor, &learner)
            .is_none_or(|node| option(node, "--objective").as_deref() != Some("sft"));
        let graph = Graph {
            path: origin.graph.clone(),
            folder: origin.folder.clone(),
            descriptor,
            config,
            notes: Vec::new(),
        };
        let trains: Vec<&PathBuf> = match &graph.config.data.sources[..] {
            [] => vec![&graph.config.data.train],
            sources => sources.iter().map(|source| &source.train).collect(),
        };
        let mut data = origin.made_of.data;
        data.retain(|path, _| trains.iter().any(|train| path.starts_with(train)));
        let record = from_rewards.then(|| record_of(&graph).unwrap_or(run));
        Some(Self { record, learned: prompts(&graph.config.learner, steps), data })
    }
}

/// The node that made a policy, by its own name or by that of the evaluator's input.
fn learner_of<'a>(descriptor: &'a Descriptor, name: &str) -> Option<&'a Node> {
    let with_id = |id: &str| descriptor.nodes.iter().find(|node| node.id.to_string() == id);
    let input = descriptor.nodes.iter().flat_map(|node| node.inputs.iter()).find(|(id, input)| {
        let output = match &input.mapping {
            InputMapping::User(source) => source.output.to_string(),
            _ => return false,
        };
        AsRef::<str>::as_ref(*id) == name && output == "checkpoint"
    });
    let source = input.and_then(|(_, input)| match &input.mapping {
        InputMapping::User(source) => Some(source.source.to_string()),
        _ => None,
    });
    with_id(name).or_else(|| with_id(&source?))
}

/// Whether data to learn from has the content that a run learned from.
fn shares_rows(learned: &fingerprint::Fingerprints, graph: &Graph) -> bool {
    let data = &graph.config.data;
    let paths: Vec<PathBuf> = match &data.sources[..] {
        [] => vec![data.train.clone()],
        sources => sources.iter().map(|source| source.train.clone()).collect(),
    };
    let now = fingerprint::of_data(&paths).unwrap_or_default();
    now.values().any(|print| learned.values().any(|other| other == print))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of four prompts a step whose learner has taken two steps of them.
    fn run(folder: &Path, name: &str, nodes: &str) -> PathBuf {
        let run = folder.join(name);
        let checkpoint = run.join("checkpoints/learner/step-000002");
        std::fs::create_dir_all(&checkpoint).unwrap();
        std::fs::create_dir_all(run.join("groups")).unwrap();
        let train = folder.join("train.jsonl");
        std::fs::write(&train, "{}").unwrap();
        let text = format!("[data]\ntrain = {train:?}\n[learner]\nprompts_per_step = 4\nsteps = 2");
        std::fs::write(run.join(CONFIG), text).unwrap();
        let mut origin = Origin { folder: folder.to_owned(), ..Origin::default() };
        origin.made_of.data = fingerprint::of_data(&[train]).unwrap();
        origin.write(&yaml_serde::from_str(&format!("nodes: [{nodes}]")).unwrap(), &run).unwrap();
        checkpoint
    }

    fn told(folder: &Path, record: &str, policy: &Path, learner: &str) -> Option<String> {
        let nodes = format!(
            "{{id: journal, path: vrft-journal, args: --replay {record}}}, {{id: e, path: vrft-evaluator, args: --estimate}}"
        );
        let config = format!(
            "[policy]\npath = {policy:?}\n[data]\ntrain = {:?}\n[learner]\nprompts_per_step = 4\n{learner}",
            folder.join("train.jsonl")
        );
        let document = Document::parse(&config, "test").unwrap();
        learned(&Graph {
            path: folder.join("graph.yml"),
            folder: folder.to_owned(),
            descriptor: yaml_serde::from_str(&format!("nodes: [{nodes}]")).unwrap(),
            config: Config::read(&document).unwrap(),
            notes: Vec::new(),
        })
    }

    #[test]
    fn a_policy_that_is_judged_by_what_it_learned_from_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let live = run(folder, "live", "{id: learner, path: vrft-learner}");
        let journal = "{id: journal, path: vrft-journal, args: --replay live}";
        let offline =
            format!("{journal}, {{id: learner, path: vrft-learner, args: --objective offline}}");
        let offline = run(folder, "offline", &offline);
        let sft = run(folder, "sft", "{id: learner, path: vrft-learner, args: --objective sft}");
        for policy in [&live, &offline] {
            let told = told(folder, "live", policy, "steps = 4").unwrap();
            let words = "answers to 8 of the 16 prompts that it is to be judged by";
            assert!(told.contains(words) && told.contains("learner.first_prompt = 8"), "{told}");
        }
        // Others of the record, another record, and true answers: the rows alone are known.
        let cases =
            [("live", &live, "first_prompt = 8"), ("offline", &live, ""), ("live", &sft, "")];
        for (record, policy, learner) in cases {
            let told = told(folder, record, policy, learner).unwrap();
            assert!(told.contains("learned from the rows of data.train"), "{told}");
        }
        let untold = folder.join("somewhere");
        std::fs::create_dir_all(&untold).unwrap();
        assert_eq!(told(folder, "live", &untold, ""), None);
    }
}
