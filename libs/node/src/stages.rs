//! What each of our executables takes and gives: the vocabulary of a training graph.

use std::path::Path;

use dora_message::descriptor::Node;

/// A port of a stage: its name in the graph and the type of message it carries.
pub(crate) type Port = (&'static str, &'static str);

/// One executable in one role.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Name of the executable.
    pub(crate) executable: &'static str,
    /// A word of the node's `args` that gives it this role; empty for the usual one.
    role: &'static str,
    /// Inputs it cannot do without.
    pub(crate) inputs: &'static [Port],
    /// Outputs it cannot do without.
    pub(crate) outputs: &'static [Port],
    /// Inputs it can do without.
    optional: &'static [Port],
    /// What inputs of any other name carry, for stages that take several of a kind.
    pub(crate) others: Option<&'static str>,
    /// Inputs that may drop messages, because only the newest is of use.
    pub(crate) live: &'static [&'static str],
}

const NOTHING: Stage = Stage {
    executable: "",
    role: "",
    inputs: &[],
    outputs: &[],
    optional: &[],
    others: None,
    live: &[],
};

/// A role stands before the usual one of the same executable.
const STAGES: &[Stage] = &[
    Stage {
        executable: "vrft-camera",
        inputs: &[("tick", "tick")],
        outputs: &[("image", "image")],
        live: &["tick"],
        ..NOTHING
    },
    Stage {
        executable: "vrft-loader",
        inputs: &[("credit", "credit")],
        outputs: &[("prompts", "prompts")],
        live: &["image", "boxes2d", "clock"],
        ..NOTHING
    },
    Stage {
        executable: "vrft-rollout",
        inputs: &[("prompts", "prompts"), ("policy", "policy")],
        outputs: &[("groups", "groups")],
        ..NOTHING
    },
    Stage {
        executable: "vrft-pool",
        inputs: &[("prompts", "prompts")],
        outputs: &[("groups", "groups")],
        others: Some("groups"),
        ..NOTHING
    },
    Stage {
        executable: "vrft-journal",
        role: "--replay",
        inputs: &[("prompts", "prompts")],
        outputs: &[("groups", "groups")],
        ..NOTHING
    },
    Stage { executable: "vrft-journal", inputs: &[("groups", "groups")], ..NOTHING },
    Stage {
        executable: "vrft-reward",
        inputs: &[("groups", "groups")],
        outputs: &[("rewards", "rewards")],
        ..NOTHING
    },
    Stage {
        executable: "vrft-semantic",
        inputs: &[("groups", "groups")],
        outputs: &[("rewards", "rewards")],
        ..NOTHING
    },
    Stage {
        executable: "vrft-advantage",
        optional: &[("groups", "groups")],
        outputs: &[("advantages", "advantages")],
        others: Some("rewards"),
        ..NOTHING
    },
    Stage {
        executable: "vrft-learner",
        role: "sft",
        inputs: &[("prompts", "prompts")],
        outputs: &[("credit", "credit"), ("checkpoint", "checkpoint")],
        ..NOTHING
    },
    Stage {
        executable: "vrft-learner",
        inputs: &[("prompts", "prompts"), ("groups", "groups"), ("advantages", "advantages")],
        outputs: &[("policy", "policy"), ("credit", "credit"), ("checkpoint", "checkpoint")],
        ..NOTHING
    },
    Stage {
        executable: "vrft-evaluator",
        optional: &[("held_out", "prompts")],
        others: Some("checkpoint"),
        ..NOTHING
    },
    Stage {
        executable: "vrft-monitor",
        optional: &[("prompts", "prompts"), ("groups", "groups"), ("rewards", "rewards")],
        others: Some("metrics"),
        ..NOTHING
    },
];

/// Messages that a run cannot do without.
pub(crate) const TRAINING: &[&str] =
    &["prompts", "groups", "rewards", "advantages", "policy", "credit", "checkpoint"];

/// An input that carries nothing: it only tells of failures. Every stage may have one.
pub(crate) const WATCH: &str = "watch";

/// The stage that a node is; nothing for an executable that is not ours.
pub(crate) fn of(node: &Node) -> Option<&'static Stage> {
    let executable = Path::new(node.path.as_deref()?).file_stem()?.to_str()?;
    let args = node.args.as_deref().unwrap_or_default();
    STAGES.iter().find(|stage| stage.executable == executable && args.contains(stage.role))
}

impl Stage {
    /// The type of message that an input should carry.
    pub(crate) fn takes(&self, input: &str) -> Option<&'static str> {
        if input == WATCH {
            return None;
        }
        let known = self.inputs.iter().chain(self.optional);
        let port = known.into_iter().find(|(name, _)| *name == input);
        port.map(|(_, carries)| *carries).or(self.others)
    }

    /// The type of message that an output carries.
    pub(crate) fn gives(&self, output: &str) -> Option<&'static str> {
        let port = self.outputs.iter().find(|(name, _)| *name == output);
        match port {
            Some((_, carries)) => Some(carries),
            None if output == "metrics" => Some("metrics"),
            None if output == WATCH => Some("nothing"),
            // The pool has an output for every rollout.
            None if self.executable == "vrft-pool" => Some("prompts"),
            None => None,
        }
    }
}
