//! Who the policy speaks to between its turns: the nodes that are its tools, and the question that asks to correct an
//! answer.

use std::time::{Duration, Instant};

use eyre::eyre;
use vrft_messages::{Prompt, ToolCall, ToolCallBatch, ToolResultBatch};
use vrft_node::ports::Input;
use vrft_node::{Node, Waited};
use vrft_plan::ToolsConfig;
use vrft_reward::Rewards;
use vrft_rollout::{Answer, Call, Partner, RolloutError};

use crate::ports::{CALLS, RESULTS};

/// The tools that the graph gives the rollout.
pub(crate) struct Tools {
    names: Vec<String>,
    results: Vec<Input<ToolResultBatch>>,
    config: ToolsConfig,
}

impl Tools {
    /// The outputs that have no name of their own, each with the input of the same name.
    ///
    /// # Errors
    /// Tools without `[rollout.tools]`, or the section without a tool.
    pub(crate) fn of(node: &Node, config: Option<&ToolsConfig>) -> eyre::Result<Self> {
        let results = node.others(&RESULTS);
        let names: Vec<String> = results.iter().map(|input| input.name().to_owned()).collect();
        ToolsConfig::check_given(config, node.id(), &names).map_err(|why| eyre!(why))?;
        Ok(Self { names, results, config: config.cloned().unwrap_or_default() })
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Speaks to the policy about the prompts of a batch.
pub(crate) struct Speaker<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) tools: &'a Tools,
    pub(crate) rewards: &'a Rewards,
    pub(crate) prompts: &'a [Prompt],
    /// For each prompt, the extents of its pictures, see [`ToolCall::extents`].
    pub(crate) extents: &'a [Vec<[u32; 2]>],
}

impl Partner for Speaker<'_> {
    fn tools(&self) -> &[String] {
        &self.tools.names
    }

    fn max_calls(&self) -> usize {
        self.tools.config.max_calls
    }

    fn question(&self, prompt_idx: usize) -> Option<String> {
        let reward = self.rewards.of(&self.prompts[prompt_idx].task);
        let correction = reward.config().correction.as_ref()?;
        correction.is_of_policy().then(|| correction.question.clone())
    }

    fn answer(&mut self, calls: &[Call]) -> Result<Vec<Answer>, RolloutError> {
        let mut answers: Vec<Option<Answer>> = vec![None; calls.len()];
        let asked: Vec<(&str, &Input<ToolResultBatch>, Vec<usize>)> = self
            .tools
            .names
            .iter()
            .zip(&self.tools.results)
            .map(|(name, input)| {
                let own = (0..calls.len()).filter(|idx| calls[*idx].tool == *name).collect();
                (name.as_str(), input, own)
            })
            .filter(|(_, _, own): &(_, _, Vec<usize>)| !own.is_empty())
            .collect();
        // All are asked before the first is waited for: they may work at the same time.
        for (name, _, own) in &asked {
            let batch = own.iter().map(|idx| self.message(&calls[*idx])).collect();
            let sent = self.node.send(&CALLS.named(name), &ToolCallBatch { calls: batch });
            sent.map_err(|error| failed(name, vrft_node::in_words(&error)))?;
        }
        for (name, input, own) in asked {
            let results = self.wait(name, input)?;
            let expected: Vec<(u64, u16)> = own.iter().map(|idx| self.key(&calls[*idx])).collect();
            let got: Vec<(u64, u16)> =
                results.results.iter().map(|row| (row.prompt_id, row.completion_idx)).collect();
            if expected != got {
                let why = format!(
                    "its results should be of (prompt, completion) {expected:?}, in this order, got {got:?}"
                );
                return Err(failed(name, why));
            }
            for (idx, row) in own.into_iter().zip(results.results) {
                answers[idx] = Some(Answer { text: row.text, images: row.images });
            }
        }
        // Each call is of one of the tools, so none is left out.
        Ok(answers.into_iter().flatten().collect())
    }
}

impl Speaker<'_> {
    fn key(&self, call: &Call) -> (u64, u16) {
        (self.prompts[call.prompt_idx].prompt_id, call.completion_idx as u16)
    }

    fn message(&self, call: &Call) -> ToolCall {
        let (prompt_id, completion_idx) = self.key(call);
        ToolCall {
            prompt_id,
            completion_idx,
            call_idx: call.call_idx as u16,
            arguments: call.arguments.clone(),
            images: self.prompts[call.prompt_idx].images.clone(),
            extents: self.extents[call.prompt_idx].clone(),
        }
    }

    /// The results of a tool, once they come.
    fn wait(
        &mut self,
        name: &str,
        input: &Input<ToolResultBatch>,
    ) -> Result<ToolResultBatch, RolloutError> {
        let patience = Duration::from_secs_f64(self.tools.config.timeout_secs);
        let until = Instant::now() + patience;
        let sender = self.node.sender(input);
        loop {
            let waited = self.node.wait(&[input], Some(until));
            match waited.map_err(|error| failed(name, vrft_node::in_words(&error)))? {
                Waited::Message(_) => {
                    let received = self.node.recv(input);
                    let received =
                        received.map_err(|error| failed(name, vrft_node::in_words(&error)))?;
                    return received.ok_or(RolloutError::Over);
                }
                Waited::Over => return Err(RolloutError::Over),
                Waited::Ended(_) | Waited::Lost(_) => {
                    return Err(failed(name, format!("node {sender:?} is gone")));
                }
                Waited::Nothing if Instant::now() >= until => {
                    let why = format!(
                        "node {sender:?} has not answered within {patience:?}: look at its log, or raise \
                         rollout.tools.timeout_secs"
                    );
                    return Err(failed(name, why));
                }
                Waited::Nothing => {}
            }
        }
    }
}

fn failed(tool: &str, why: String) -> RolloutError {
    RolloutError::Tool { tool: tool.to_owned(), why }
}
