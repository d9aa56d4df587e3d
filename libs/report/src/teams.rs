//! The learners of a run and the nodes that work for each, from `nodes.json`.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::html::escape;
use crate::metrics::Metrics;

/// A node of the graph, as the monitor wrote it down.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Member {
    id: String,
    #[serde(default)]
    executable: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    is_learner: bool,
    #[serde(default)]
    learners: Vec<String>,
}

/// One learner with the nodes that work for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Team {
    /// The learner's name in the graph.
    pub(crate) learner: String,
    /// Whether it learns from answers that it is shown; else from rewards.
    pub(crate) is_supervised: bool,
    /// Name in legends: `RFT` and `SFT` where there is one of that kind, else that of the learner.
    pub(crate) title: String,
    /// Class that carries its color.
    pub(crate) class: &'static str,
    /// The nodes that work for it; all, where nothing is known of the graph.
    nodes: Option<BTreeSet<String>>,
}

impl Team {
    /// Whether a node works for it.
    pub(crate) fn has(&self, node: &str) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node))
    }
}

/// All learners of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Teams {
    teams: Vec<Team>,
    members: Vec<Member>,
}

/// Colors of learners beyond the first of their kind.
const CLASSES: [&str; 5] = ["s1", "s2", "s4", "s5", "s3"];

impl Teams {
    /// The teams of a graph. Of a run without one, each node that speaks of a policy is a learner, and where that is
    /// one alone all nodes work for it.
    pub(crate) fn new(members: Vec<Member>, metrics: &Metrics) -> Teams {
        let mut teams: Vec<Team> = if members.is_empty() {
            guessed(metrics)
        } else {
            members.iter().filter(|member| member.is_learner).map(|of| team(of, &members)).collect()
        };
        // What is learned from rewards is what a report is about.
        teams.sort_by_key(|team| team.is_supervised);
        for is_supervised in [false, true] {
            let kind = teams.iter_mut().filter(|team| team.is_supervised == is_supervised);
            let kind: Vec<&mut Team> = kind.collect();
            let n = kind.len();
            for (nth, team) in kind.into_iter().enumerate() {
                let (title, class) =
                    if is_supervised { ("SFT", "s-sft") } else { ("RFT", "s-rft") };
                if n == 1 {
                    team.title = title.to_owned();
                }
                team.class = if nth == 0 { class } else { CLASSES[(nth - 1) % CLASSES.len()] };
            }
        }
        Teams { teams, members }
    }

    /// The same, where the graph is unknown by these numbers.
    pub(crate) fn with_metrics(self, metrics: &Metrics) -> Teams {
        if self.members.is_empty() { Teams::new(self.members, metrics) } else { self }
    }

    /// Those that learn from rewards.
    pub(crate) fn reinforced(&self) -> impl Iterator<Item = &Team> {
        self.teams.iter().filter(|team| !team.is_supervised)
    }

    /// Those that a report is about: those that learn from rewards, or where there are none the others.
    pub(crate) fn told(&self) -> impl Iterator<Item = &Team> {
        let has_reinforced = self.reinforced().next().is_some();
        self.teams.iter().filter(move |team| !has_reinforced || !team.is_supervised)
    }

    /// Those that learn from answers that they are shown.
    pub(crate) fn supervised(&self) -> impl Iterator<Item = &Team> {
        self.teams.iter().filter(|team| team.is_supervised)
    }

    /// The team of a learner.
    pub(crate) fn of(&self, learner: &str) -> Option<&Team> {
        self.teams.iter().find(|team| team.learner == learner)
    }

    /// The title of a figure about one learner: with its name where there are several of its kind.
    pub(crate) fn titled(&self, title: &str, team: &Team) -> String {
        let kind = self.teams.iter().filter(|other| other.is_supervised == team.is_supervised);
        if kind.count() > 1 {
            format!("{title}: {}", escape(&team.title))
        } else {
            title.to_owned()
        }
    }

    /// What a node does, as `loader` or `rollout`: by its executable, else by its name.
    pub(crate) fn stage<'a>(&'a self, node: &'a str) -> &'a str {
        let member = self.members.iter().find(|member| member.id == node);
        let stage = member.and_then(|member| member.executable.strip_prefix("vrft-"));
        stage.unwrap_or(node)
    }
}

fn team(learner: &Member, members: &[Member]) -> Team {
    let works = members.iter().filter(|member| member.learners.contains(&learner.id));
    Team {
        learner: learner.id.clone(),
        is_supervised: learner.role == "sft",
        title: learner.id.clone(),
        class: "",
        nodes: Some(works.map(|member| member.id.clone()).collect()),
    }
}

fn guessed(metrics: &Metrics) -> Vec<Team> {
    let learners = metrics.nodes_with("policy/");
    let team = |learner: &str, nodes: Option<BTreeSet<String>>| Team {
        learner: learner.to_owned(),
        is_supervised: false,
        title: learner.to_owned(),
        class: "",
        nodes,
    };
    match learners.iter().collect::<Vec<_>>()[..] {
        [] => vec![team("", None)],
        [learner] => vec![team(learner, None)],
        _ => learners.iter().map(|id| team(id, Some(BTreeSet::from([id.clone()])))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<Member> {
        let text = r#"[
            {"id":"load","executable":"vrft-loader","learners":["policy"]},
            {"id":"policy","executable":"vrft-learner","is_learner":true,"learners":["policy"]},
            {"id":"shown","executable":"vrft-learner","role":"sft","is_learner":true,"learners":["shown"]},
            {"id":"monitor","executable":"vrft-monitor"}]"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn learners_go_by_what_the_graph_says_and_not_by_their_names() {
        let teams = Teams::new(members(), &Metrics::default());
        let titles = |teams: Vec<&Team>| -> Vec<(String, String)> {
            teams.into_iter().map(|t| (t.learner.clone(), t.title.clone())).collect()
        };
        assert_eq!(titles(teams.reinforced().collect()), [("policy".into(), "RFT".into())]);
        assert_eq!(titles(teams.supervised().collect()), [("shown".into(), "SFT".into())]);
        let team = teams.of("policy").unwrap();
        assert!(team.has("load") && team.has("policy") && !team.has("shown"));
        assert_eq!((teams.stage("load"), teams.stage("elsewhere")), ("loader", "elsewhere"));
    }

    #[test]
    fn two_of_a_kind_keep_their_names() {
        let mut members = members();
        members[2].role.clear();
        let teams = Teams::new(members, &Metrics::default());
        let titles: Vec<&str> = teams.reinforced().map(|team| team.title.as_str()).collect();
        assert_eq!(titles, ["policy", "shown"]);
        let classes: Vec<&str> = teams.reinforced().map(|team| team.class).collect();
        assert_eq!(classes, ["s-rft", "s1"]);
    }
}
