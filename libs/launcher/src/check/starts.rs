//! What nodes refuse when they start, found out before: each by the same rule as the node itself.

use dora_message::descriptor::Node;
use eyre::{WrapErr, eyre};
use vrft_embedding::SemanticConfig;
use vrft_plan::ToolsConfig;
use vrft_reward::config::RewardsConfig;

use super::nodes::option;
use crate::graph::Graph;

/// Share of recorded answers that an estimate needs where its node is not told another.
const MIN_EFFECTIVE: &str = "0.1";

/// Checks what the nodes of a graph would refuse of the configuration.
///
/// # Errors
/// The first node that would refuse it, and why.
pub(crate) fn check_starts(graph: &Graph) -> eyre::Result<()> {
    for node in &graph.descriptor.nodes {
        let checked = match vrft_node::executable(node) {
            Some("vrft-advantage") => check_advantage(graph, node),
            Some("vrft-reward") => check_reward(graph, node),
            Some("vrft-rollout") => check_rollout(graph, node),
            Some("vrft-learner") => check_learner(graph, node),
            Some("vrft-semantic") => check_semantic(graph),
            Some("vrft-evaluator") => check_evaluator(graph, node),
            _ => Ok(()),
        };
        checked.wrap_err_with(|| format!("node {:?}", node.id.to_string()))?;
    }
    Ok(())
}

fn inputs(node: &Node) -> impl Iterator<Item = &str> {
    node.inputs.keys().map(AsRef::as_ref)
}

fn check_advantage(graph: &Graph, node: &Node) -> eyre::Result<()> {
    let has_groups = inputs(node).any(|input| input == "groups");
    let are_tasks = !graph.config.data.sources.is_empty();
    graph.config.advantage.check_completions(has_groups, are_tasks).map_err(|why| eyre!(why))
}

fn check_reward(graph: &Graph, node: &Node) -> eyre::Result<()> {
    let names = RewardsConfig::terms_in(&option(node, "--terms").unwrap_or_default());
    let cost = graph.config.rollout.tools.as_ref().map_or(0.0, |tools| tools.cost);
    graph.config.rewards.check_terms(&names, cost).map_err(|why| eyre!(why))
}

fn check_rollout(graph: &Graph, node: &Node) -> eyre::Result<()> {
    let names: Vec<String> = vrft_node::wiring::paired_inputs(node).map(str::to_owned).collect();
    let tools = graph.config.rollout.tools.as_ref();
    ToolsConfig::check_given(tools, node.id.as_ref(), &names).map_err(|why| eyre!(why))
}

fn check_learner(graph: &Graph, node: &Node) -> eyre::Result<()> {
    if option(node, "--objective").as_deref() == Some("offline") {
        vrft_learner::check_offline(&graph.config.rollout)?;
    }
    Ok(())
}

fn check_semantic(graph: &Graph) -> eyre::Result<()> {
    // The files of the model are the node's: this program cannot read them.
    Ok(SemanticConfig::needed(graph.config.semantic.as_ref()).map(drop)?)
}

/// Whether a node judges a policy by recorded answers.
pub(super) fn is_estimate(node: &Node) -> bool {
    let args = node.args.as_deref().unwrap_or_default();
    let is_evaluator = vrft_node::executable(node) == Some("vrft-evaluator");
    is_evaluator && args.split_whitespace().any(|word| word == "--estimate")
}

fn check_evaluator(graph: &Graph, node: &Node) -> eyre::Result<()> {
    if !is_estimate(node) {
        return Ok(());
    }
    let share = option(node, "--min-effective").unwrap_or_else(|| MIN_EFFECTIVE.to_owned());
    let number =
        share.parse().map_err(|_error| eyre!("--min-effective {share}: expected a number"))?;
    vrft_evaluate::check_estimate(&graph.config.rollout, number).map_err(|why| eyre!(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(node: &str, config: &str) -> Result<(), String> {
        let graph = Graph::of_text(&format!("{{id: a, {node}}}"), config);
        check_starts(&graph).map_err(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn refused(node: &str, config: &str, words: &str) {
        let error = checked(node, config).unwrap_err();
        assert!(error.starts_with("node \"a\": ") && error.contains(words), "{error}");
    }

    #[test]
    fn each_node_is_checked_by_its_own_rule() {
        let overlong = "[advantage.overlong]\ncushion = 8";
        let advantage = |inputs: &str| format!("path: vrft-advantage, inputs: {{{inputs}}}");
        refused(&advantage("rewards: b/c"), overlong, "`groups: {source");
        checked(&advantage("rewards: b/c, groups: b/d"), overlong).unwrap();
        refused("path: vrft-reward, args: --terms iuo", "", "no term \"iuo\"");
        refused("path: vrft-semantic", "", "semantic.model is missing");
        let tools = "[rollout.tools]\nmax_calls = 1";
        refused("path: vrft-rollout", tools, "no tool");
        let rollout =
            "path: vrft-rollout, inputs: {prompts: b/c, zoom: b/d}, outputs: [groups, zoom]";
        refused(rollout, "", "no [rollout.tools]");
        checked(rollout, tools).unwrap();
        let adaptive = "[rollout.group_size_adaptive]\nevery = 2";
        refused("path: vrft-learner, args: --objective=offline", adaptive, "left out");
        checked("path: vrft-learner", adaptive).unwrap();
        let estimate = "path: vrft-evaluator, args: --estimate --min-effective 0.2";
        refused(estimate, "[rollout]\ntop_k = 3", "rollout.top_k = 0");
        checked(estimate, "").unwrap();
    }
}
