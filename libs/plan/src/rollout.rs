//! The section `[rollout]`: how completions are sampled.

use serde::{Deserialize, Serialize};

use vrft_config::{ConfigError, Section, require};

use crate::Device;

/// Most completions of a prompt: their numbers in messages have 16 bits, and a true answer may stand beside them.
const MAX_GROUP: usize = u16::MAX as usize - 1;

/// Lowest and highest temperature: the logits divided by it are to be numbers in f32.
const MIN_TEMPERATURE: f64 = 1e-3;
const MAX_TEMPERATURE: f64 = 1e3;

/// Most tokens of a completion, and rows at once: more than any machine has memory for.
const MAX_TOKENS: usize = 1 << 20;

/// How groups of completions are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Completions per prompt. At least 2: alone, a completion has no siblings to be better than. At most 65 534.
    pub group_size: usize,
    /// Lets the number of completions follow how many groups teach something, from `group_size` on; fixed if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_size_adaptive: Option<AdaptiveGroupConfig>,
    /// Softmax temperature; logprobs are of the distribution that was sampled from.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Number of most probable tokens to sample from; 0 keeps all.
    pub top_k: usize,
    /// A completion is cut here and counts as truncated.
    pub max_completion_tokens: usize,
    /// Texts that end a completion, besides the end-of-turn token.
    pub stop: Vec<String>,
    /// Completions decoded at once, as far as whole groups allow; as some finish, the next prompt joins. Bounds the
    /// memory of keys and values where a step has many prompts.
    pub max_rows: usize,
    /// Where the rollouts compute.
    pub device: Device,
    /// What is agreed on about tools; written where a graph gives the rollout some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolsConfig>,
}

/// A controller of the group size G: a group whose completions all earn alike teaches nothing, and the more completions it
/// has the rarer that is. Every `every` steps G doubles where more than `high` of the groups teach nothing, and halves where
/// less than `low` do; the learner counts, and each version of the policy says by how many completions it is to answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveGroupConfig {
    /// Smallest G.
    pub min: usize,
    /// Largest G.
    pub max: usize,
    /// Share of groups without an advantage below which G halves.
    pub low: f64,
    /// Share above which G doubles.
    pub high: f64,
    /// Steps between two considerations, over which the share is averaged.
    pub every: usize,
}

impl Default for AdaptiveGroupConfig {
    fn default() -> Self {
        Self { min: 4, max: 16, low: 0.1, high: 0.5, every: 4 }
    }
}

impl AdaptiveGroupConfig {
    fn check(&self, group_size: usize) -> Result<(), ConfigError> {
        let key = |name: &str| format!("rollout.group_size_adaptive.{name}");
        let is_range = 2 <= self.min && self.min < self.max && self.max <= 1024;
        let got = format!("{} with max = {}", self.min, self.max);
        require(is_range, key("min"), got, "2 or more, and below max, which is at most 1024")?;
        require(
            (self.min..=self.max).contains(&group_size),
            "rollout.group_size",
            group_size,
            format!("{} to {}, the bounds of rollout.group_size_adaptive", self.min, self.max),
        )?;
        let is_band = 0.0 <= self.low && self.low < self.high && self.high <= 1.0;
        let got = format!("{} with high = {}", self.low, self.high);
        require(is_band, key("low"), got, "a share in [0, 1), below high, which is at most 1")?;
        require(self.every > 0, key("every"), self.every, "at least 1")
    }
}

impl RolloutConfig {
    /// The most completions that a prompt may get.
    pub fn largest_group(&self) -> usize {
        self.group_size_adaptive.as_ref().map_or(self.group_size, |adaptive| adaptive.max)
    }
}

/// Tools that the policy may call in the middle of a completion. Which there are is said by the graph: each output of the
/// rollout beside `groups` and `metrics`, with the input of the same name, is a tool of that name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolsConfig {
    /// Calls that a completion may make. One call more ends it, without an answer.
    pub max_calls: usize,
    /// What each call takes from the reward.
    pub cost: f64,
    /// Seconds that a tool may take for the calls of one turn.
    pub timeout_secs: f64,
    /// What every question says of the tools, at its end; a policy that was never told calls none.
    pub instructions: String,
    /// Tools that held-out questions are answered with. `zoom` is the one that needs no node; without it the evaluator asks
    /// the policy to answer alone.
    pub held_out: Vec<String>,
}

impl ToolsConfig {
    /// Tools that an evaluation has without a node.
    pub const BUILT_IN: [&str; 1] = ["zoom"];

    /// Checks that the configuration has the section where the graph gives a rollout, the node of this name, tools, and not
    /// where it gives it none.
    ///
    /// # Errors
    /// One without the other; a tool that no tag can call.
    pub fn check_given(config: Option<&Self>, node: &str, names: &[String]) -> Result<(), String> {
        match (names.is_empty(), config.is_some()) {
            (false, false) => Err(format!(
                "the graph gives {node:?} the tools {names:?}, and the configuration has no [rollout.tools]: write the section, \
                 with `instructions` that tell the policy of them, or take the inputs and outputs out of the graph"
            )),
            (true, true) => Err(format!(
                "[rollout.tools] is written, and the graph gives {node:?} no tool: connect one to an output and an input of its \
                 name, as in configs/zoom.yml, or leave the section out"
            )),
            _ => Self::check_tags(names),
        }
    }

    fn check_tags(names: &[String]) -> Result<(), String> {
        let is_tag =
            |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        match names.iter().find(|name| !is_tag(name) || name.as_str() == "answer") {
            None => Ok(()),
            Some(name) => Err(format!(
                "the tool {name:?} cannot be called by a tag: give its input and output a name of letters, digits, `_` and `-`, \
                 other than `answer`"
            )),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let key = |name: &str| format!("rollout.tools.{name}");
        require((1..=64).contains(&self.max_calls), key("max_calls"), self.max_calls, "1 to 64")?;
        let is_cost = self.cost.is_finite() && self.cost >= 0.0;
        require(is_cost, key("cost"), self.cost, "0 or above")?;
        let is_time = self.timeout_secs.is_finite() && self.timeout_secs > 0.0;
        require(is_time, key("timeout_secs"), self.timeout_secs, "above 0")?;
        let unknown = self.held_out.iter().find(|name| !Self::BUILT_IN.contains(&name.as_str()));
        let got = unknown.map_or("", String::as_str);
        require(
            unknown.is_none(),
            key("held_out"),
            got,
            "a list of tools that need no node: \"zoom\"; other tools are nodes, and the evaluator is connected to none",
        )
    }
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self {
            max_calls: 1,
            cost: 0.0,
            timeout_secs: 60.0,
            instructions: String::new(),
            held_out: Vec::new(),
        }
    }
}

impl Section for RolloutConfig {
    const NAME: &'static str = "rollout";

    fn check(&self) -> Result<(), ConfigError> {
        require(
            (2..=MAX_GROUP).contains(&self.group_size),
            "rollout.group_size",
            self.group_size,
            format!(
                "at least 2, since a completion is judged against its siblings, and at most {MAX_GROUP}, since their numbers \
                 have 16 bits"
            ),
        )?;
        require(
            (MIN_TEMPERATURE..=MAX_TEMPERATURE).contains(&self.temperature),
            "rollout.temperature",
            self.temperature,
            "0.001 to 1000, since equal completions carry no signal",
        )?;
        require(self.top_p > 0.0 && self.top_p <= 1.0, "rollout.top_p", self.top_p, "in (0, 1]")?;
        for (key, n) in
            [("max_completion_tokens", self.max_completion_tokens), ("max_rows", self.max_rows)]
        {
            let fine = (1..=MAX_TOKENS).contains(&n);
            require(fine, format!("rollout.{key}"), n, format!("1 to {MAX_TOKENS}"))?;
        }
        let is_empty = self.stop.iter().any(String::is_empty);
        require(
            !is_empty,
            "rollout.stop",
            "\"\"",
            "texts of at least one character, since every text has an empty one in it",
        )?;
        let adaptive = self.group_size_adaptive.as_ref();
        adaptive.map_or(Ok(()), |adaptive| adaptive.check(self.group_size))?;
        self.tools.as_ref().map_or(Ok(()), ToolsConfig::check)
    }
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self {
            group_size: 8,
            group_size_adaptive: None,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_completion_tokens: 256,
            stop: vec!["</answer>".into()],
            max_rows: 128,
            device: Device::Cpu,
            tools: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn tools_and_their_section_come_together() {
        let check = |config: Option<&ToolsConfig>, names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            ToolsConfig::check_given(config, "rollout", &names)
        };
        let tools = ToolsConfig::default();
        check(None, &[]).unwrap();
        check(Some(&tools), &["zoom"]).unwrap();
        assert!(check(None, &["zoom"]).unwrap_err().contains("no [rollout.tools]"));
        assert!(check(Some(&tools), &[]).unwrap_err().contains("\"rollout\" no tool"));
        for name in ["answer", "zoom in"] {
            let error = check(Some(&tools), &[name]).unwrap_err();
            assert!(error.starts_with(&format!("the tool {name:?} cannot be called")), "{error}");
        }
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        RolloutConfig::default().check().unwrap();
        for (text, key) in [
            ("group_size = 1", "rollout.group_size"),
            ("group_size = 999999", "rollout.group_size = 999999"),
            ("max_completion_tokens = 9999999", "rollout.max_completion_tokens = 9999999"),
            ("max_rows = 0", "rollout.max_rows = 0"),
            ("group_size_adaptive = { min = 8, max = 8 }", "rollout.group_size_adaptive.min"),
            ("group_size_adaptive = { min = 2, max = 4 }", "rollout.group_size = 8"),
            ("group_size_adaptive = { low = 0.6 }", "rollout.group_size_adaptive.low"),
            ("group_size_adaptive = { every = 0 }", "rollout.group_size_adaptive.every"),
            ("stop = [\"\"]", "rollout.stop = \"\""),
            ("temperature = 0.0", "rollout.temperature"),
            ("top_p = 1.5", "rollout.top_p"),
            ("max_completion_tokens = 0", "rollout.max_completion_tokens"),
            ("tools = { max_calls = 0 }", "rollout.tools.max_calls"),
            ("tools = { cost = -0.1 }", "rollout.tools.cost"),
            ("tools = { timeout_secs = 0.0 }", "rollout.tools.timeout_secs"),
            ("tools = { held_out = [\"crop\"] }", "rollout.tools.held_out"),
        ] {
            let document = Document::parse(&format!("[rollout]\n{text}"), "test").unwrap();
            let error = document.section::<RolloutConfig>().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
