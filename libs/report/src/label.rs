//! The three policies that a report compares, and the constant answer that each should beat, by their labels.

/// The best answer that is the same for every question.
pub(crate) const CONSTANT: &str = "constant";

/// What kind of policy a label stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The policy that learning starts from.
    Base,
    /// One that learned from answers which it was shown.
    Supervised,
    /// One that learned from rewards.
    Reinforced,
    /// The best answer that never looks.
    Constant,
    /// Any other name of a policy.
    Other,
}

/// The kind by the label alone, where nothing is known of the learner.
pub(crate) fn kind(label: &str) -> Kind {
    match parts(label).0 {
        "base" => Kind::Base,
        "sft" => Kind::Supervised,
        "rft" => Kind::Reinforced,
        CONSTANT => Kind::Constant,
        _ => Kind::Other,
    }
}

/// Whether a label is about the held-out data of the whole run, not of one of its tasks.
pub(crate) fn is_of_whole_run(label: &str) -> bool {
    parts(label).1.is_empty()
}

/// Place in a table of a label that is none of the three.
pub(crate) const OTHER: usize = 3;

/// Place in a table: base, SFT, RFT, then any other.
pub(crate) fn rank(label: &str) -> usize {
    ["base", "sft", "rft"].iter().position(|known| *known == label).unwrap_or(OTHER)
}

/// As written in tables and legends.
pub(crate) fn display(label: &str) -> String {
    match label {
        "sft" | "rft" => label.to_uppercase(),
        CONSTANT => "best constant".to_owned(),
        other => other.to_owned(),
    }
}

/// Class that carries the color in the page; a label of a file name never reaches the markup.
pub(crate) fn class(label: &str) -> &'static str {
    match label {
        "base" => "s-base",
        "sft" => "s-sft",
        "rft" => "s-rft",
        _ => "s-other",
    }
}

/// Policy and task of a label, as in `rft@counting`; the task is empty for the held-out data of the whole run.
fn parts(label: &str) -> (&str, &str) {
    label.split_once('@').unwrap_or((label, ""))
}

/// Label of the policy that this one started from, on the same data.
pub(crate) fn base_of(label: &str) -> String {
    match parts(label) {
        (_, "") => "base".to_owned(),
        (_, task) => format!("base@{task}"),
    }
}

/// Labels in the order of a table, each once: task after task.
pub(crate) fn ordered<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut labels: Vec<String> = labels.map(str::to_owned).collect();
    let key = |label: &String| {
        let (policy, task) = parts(label);
        (task.to_owned(), rank(policy), policy.to_owned())
    };
    labels.sort_by_key(key);
    labels.dedup();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_go_from_base_to_rft() {
        let labels = ordered(["rft", "other", "base", "sft", "rft"].into_iter());
        assert_eq!(labels, ["base", "sft", "rft", "other"]);
    }

    #[test]
    fn tasks_follow_each_with_its_base() {
        let labels = ordered(["rft@b", "rft@a", "base@b", "rft", "base", "base@a"].into_iter());
        assert_eq!(labels, ["base", "rft", "base@a", "rft@a", "base@b", "rft@b"]);
        assert_eq!((base_of("rft@a"), base_of("sft")), ("base@a".into(), "base".into()));
    }
}
