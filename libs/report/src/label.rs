//! The three policies that a report compares, by the label of their evaluations.

/// Place in a table: base, SFT, RFT, then any other.
pub(crate) fn rank(label: &str) -> usize {
    ["base", "sft", "rft"].iter().position(|known| *known == label).unwrap_or(3)
}

/// As written in tables and legends.
pub(crate) fn display(label: &str) -> String {
    match label {
        "sft" | "rft" => label.to_uppercase(),
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

/// Labels in the order of a table, each once.
pub(crate) fn ordered<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut labels: Vec<String> = labels.map(str::to_owned).collect();
    labels.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
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
}
