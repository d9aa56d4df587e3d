//! Settings that have no effect in a graph, or leave nothing to be learned.

use dora_message::config::InputMapping;
use dora_message::descriptor::Node;
use vrft_checkpoint::{Adapter, LoraConfig};
use vrft_reward::config::RewardConfig;

use super::nodes::option;
use crate::graph::Graph;

/// What should be known of settings without effect, a sentence each.
pub(super) fn idle(graph: &Graph) -> Vec<String> {
    let mut told = Vec::new();
    if is_paid_by_rules_alone(graph) {
        told.extend(graph.config.rewards.iter().filter_map(unpaid));
    }
    let has_node = |name: &str| nodes_of(graph, name).next().is_some();
    if graph.config.semantic.is_some() && !has_node("vrft-semantic") {
        told.push(
            "[semantic] has no effect: the graph has no node vrft-semantic, as configs/semantic.yml has".to_owned(),
        );
    }
    told.extend(unused_adapter(graph));
    let data = &graph.config.data;
    if data.fewer_shots && data.shots_per_class == 0 {
        told.push("data.fewer_shots has no effect without data.shots_per_class".to_owned());
    }
    told.extend(graph.config.rewards.iter().filter_map(unrefined));
    told
}

fn nodes_of<'a>(graph: &'a Graph, name: &'a str) -> impl Iterator<Item = &'a Node> {
    graph.descriptor.nodes.iter().filter(move |node| vrft_node::executable(node) == Some(name))
}

/// Whether a policy learns from what the declared terms pay, and from nothing else.
fn is_paid_by_rules_alone(graph: &Graph) -> bool {
    let learns = nodes_of(graph, "vrft-learner")
        .any(|node| option(node, "--objective").as_deref() != Some("sft"));
    let pays = |source: &str| {
        let node = graph.descriptor.nodes.iter().find(|node| node.id.to_string() == source);
        node.and_then(vrft_node::executable)
    };
    let mut sources = nodes_of(graph, "vrft-advantage").flat_map(|node| {
        let rewards = node.inputs.iter().filter(|(id, _)| AsRef::<str>::as_ref(*id) != "groups");
        rewards.filter_map(|(_, input)| match &input.mapping {
            InputMapping::User(source) => Some(source),
            _ => None,
        })
    });
    let is_rule = |name: &str| ["vrft-reward", "vrft-monitor"].contains(&name);
    let are_rules = sources.all(|source| pays(source.source.as_ref()).is_some_and(is_rule));
    let costs = graph.config.rollout.tools.as_ref().is_some_and(|tools| tools.cost > 0.0);
    learns && are_rules && !costs
}

/// That the terms of a task pay nothing.
fn unpaid(reward: &RewardConfig) -> Option<String> {
    let pays = reward.terms.values().any(|term| term.weight > 0.0);
    let names: Vec<&str> = reward.terms.keys().map(String::as_str).collect();
    (!pays).then(|| {
        format!(
            "reward.terms: all weights of the task {:?} are 0, so that every answer earns the same and nothing is learned: give \
             {} a weight above 0",
            reward.task,
            names.join(" or ")
        )
    })
}

/// That terms have no later keys to change to.
fn unrefined(reward: &RewardConfig) -> Option<String> {
    (reward.refine_after < 1.0 && !reward.has_refined()).then(|| {
        format!(
            "reward.refine_after = {} has no effect: no term of the task {:?} has `refined`",
            reward.refine_after, reward.task
        )
    })
}

/// That adapters are described and none are made.
fn unused_adapter(graph: &Graph) -> Option<String> {
    let lora = &graph.config.policy.lora;
    let is_described = lora.rank == 0 && *lora != LoraConfig::default();
    let learns = nodes_of(graph, "vrft-learner").next().is_some();
    // An adapter's folder brings its own rank.
    let is_adapter = || graph.checkpoint().is_ok_and(|path| Adapter::is_in(&path));
    (is_described && learns && !is_adapter()).then(|| {
        "[policy.lora] has no effect with policy.lora.rank = 0: the weights themselves are trained; write a rank"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REWARD: &str = "{id: r, path: vrft-reward}, {id: l, path: vrft-learner}";

    fn told(nodes: &str, config: &str) -> String {
        idle(&Graph::of_text(nodes, config)).join("\n")
    }

    #[test]
    fn weights_that_are_all_0_are_told_where_nothing_else_pays() {
        let nothing = "[reward.answer]\ntype = \"label\"\n[reward.terms.right]\nmetric = \"accuracy\"\nweight = 0.0";
        let advantage = |source: &str| {
            format!(
                "{REWARD}, {{id: a, path: vrft-advantage, inputs: {{rewards: {source}/rewards}}}}"
            )
        };
        let words =
            "are 0, so that every answer earns the same and nothing is learned: give right a";
        let found = told(&advantage("r"), nothing);
        assert!(found.contains(words), "{found}");
        assert_eq!(told(&advantage("r"), &nothing.replace("0.0", "0.5")), "");
        assert_eq!(told(&advantage("somebody"), nothing), "");
        assert_eq!(told("{id: l, path: vrft-learner, args: --objective sft}", nothing), "");
    }

    #[test]
    fn settings_of_what_is_not_there_are_told() {
        let semantic = "[reward.answer]\ntype = \"text\"\n[reward.terms.a]\nmetric = \"tiles\"\n[semantic]\nmodel = \"m\"";
        assert!(told(REWARD, semantic).starts_with("[semantic] has no effect"));
        assert_eq!(told(&format!("{REWARD}, {{id: s, path: vrft-semantic}}"), semantic), "");
        let policy = "[policy]\npath = \"/nowhere\"\n[policy.lora]\nalpha = 32.0";
        assert!(told(REWARD, policy).starts_with("[policy.lora] has no effect"));
        assert_eq!(told(REWARD, &format!("{policy}\nrank = 8")), "");
        assert!(told(REWARD, "[data]\nfewer_shots = true").starts_with("data.fewer_shots"));
        let refined = "[reward]\nrefine_after = 0.5\n[reward.answer]\ntype = \"label\"\n[reward.terms.a]\nmetric = \"accuracy\"";
        assert!(told(REWARD, refined).starts_with("reward.refine_after = 0.5 has no effect"));
    }
}
