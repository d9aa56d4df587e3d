//! What a configuration says about a run, as far as verdicts depend on it.

use toml::Value;
use vrft_config::Document;
use vrft_reward::config::TermConfig;
use vrft_reward::terms::Metric;

use super::{RunFacts, TermFacts, TermRole};

impl RunFacts {
    /// The facts of a configuration; single values, since the sections belong to other crates.
    pub fn of(document: &Document) -> Self {
        let number = |key: &str| match document.get(key)? {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        };
        let count = |key: &str| number(key).map(|number| number as usize);
        let terms = document.get("reward.terms").and_then(Value::as_table);
        Self {
            n_steps: count("learner.steps").unwrap_or(0) as u64,
            max_completion_tokens: count("rollout.max_completion_tokens"),
            learning_rate: number("optimizer.learning_rate"),
            max_grad_norm: number("optimizer.max_grad_norm"),
            temperature: number("rollout.temperature"),
            kl_coef: number("loss.kl_coef"),
            instructs: document.get("reward.format.instruct").and_then(Value::as_bool),
            space: document.get("reward.answer.space").and_then(Value::as_str).map(str::to_owned),
            terms: terms.into_iter().flatten().filter_map(term).collect(),
        }
    }
}

fn term((name, settings): (&String, &Value)) -> Option<TermFacts> {
    let table = settings.as_table()?.clone();
    let TermConfig { metric, weight, .. } = TermConfig::from_table(table, name).ok()?;
    let role = match metric {
        Metric::Format(_) | Metric::ThinkFormat(_) => TermRole::Format,
        other if other.is_accuracy() => TermRole::Accuracy,
        _ => TermRole::Other,
    };
    Some(TermFacts { name: name.clone(), role, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_says_is_found() {
        let text = "[learner]\nsteps = 7\n[rollout]\nmax_completion_tokens = 40\ntemperature = 1\n\
                    [optimizer]\nlearning_rate = 1e-4\n[loss]\nkl_coef = 0.04\n\
                    [reward.answer]\ntype = \"boxes\"\nspace = \"thousandths\"\n\
                    [reward.format]\ninstruct = false\n\
                    [reward.terms.iou]\nmetric = \"overlap\"\n\
                    [reward.terms.form]\nmetric = \"format\"\nweight = 0.5\n\
                    [reward.terms.sure]\nmetric = \"confidence\"\nweight = 2";
        let facts = RunFacts::of(&Document::parse(text, "test").unwrap());
        let term = |name: &str, role, weight| TermFacts { name: name.to_owned(), role, weight };
        let expected = RunFacts {
            n_steps: 7,
            max_completion_tokens: Some(40),
            learning_rate: Some(1e-4),
            max_grad_norm: None,
            temperature: Some(1.0),
            kl_coef: Some(0.04),
            instructs: Some(false),
            space: Some("thousandths".to_owned()),
            terms: vec![
                term("form", TermRole::Format, 0.5),
                term("iou", TermRole::Accuracy, 1.0),
                term("sure", TermRole::Other, 2.0),
            ],
        };
        assert_eq!(facts, expected);
        assert_eq!(RunFacts::of(&Document::empty()), RunFacts::default());
    }
}
