//! Completions of several turns: the policy calls a tool or is asked again, reads what comes back, and goes on.
//!
//! A call is a pair of tags with the name of a tool around its arguments, `<zoom>[100, 200, 300, 400]</zoom>`. The turn ends with
//! the closing tag. What the tool gives back stands between this turn and the next as a turn of the user, by the model's
//! own chat template. Only the policy's own tokens are tokens of the completion; what was inserted is kept beside them
//! ([`Completion::replies`]), and sampling and learning read it in the same way ([`insertions`]).

use vrft_messages::{Completion, EncodedImage, FinishReason, Reply};
use vrft_model::{Continued, Paused};
use vrft_processor::{EncodedPrompt, Insertion, Processor, ProcessorError};

use crate::RolloutError;
use crate::row::Row;

/// Tags that are no tools: what an answer is written with.
const ANSWER_TAGS: [&str; 2] = ["think", "answer"];

/// Who is spoken to between the turns of a completion.
pub trait Partner: Send {
    /// Names of the tools that there are.
    fn tools(&self) -> &[String];

    /// Most tools that one completion may call; a further call ends it.
    fn max_calls(&self) -> usize;

    /// What the completions of this prompt are asked when they have answered for the first time.
    fn question(&self, prompt_idx: usize) -> Option<String>;

    /// Answers calls, in their order.
    ///
    /// # Errors
    /// A tool that does not answer; [`RolloutError::Over`] if the run ends meanwhile.
    fn answer(&mut self, calls: &[Call]) -> Result<Vec<Answer>, RolloutError>;
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which prompt, from 0.
    pub prompt_idx: usize,
    /// Which completion of it, from 0.
    pub completion_idx: usize,
    /// Number of the call within the completion, from 0.
    pub call_idx: usize,
    /// Name of the tool.
    pub tool: String,
    /// What stands between the tags.
    pub arguments: String,
}

/// What comes back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Words of the reply.
    pub text: String,
    /// Pictures, which stand before the words.
    pub images: Vec<EncodedImage>,
}

/// Nobody to speak to: each completion is one turn.
pub(crate) struct Alone;

impl Partner for Alone {
    fn tools(&self) -> &[String] {
        &[]
    }

    fn max_calls(&self) -> usize {
        0
    }

    fn question(&self, _: usize) -> Option<String> {
        None
    }

    fn answer(&mut self, _: &[Call]) -> Result<Vec<Answer>, RolloutError> {
        Ok(Vec::new())
    }
}

/// What a completion waits for.
pub(crate) enum Request {
    Call { tool: String, arguments: String },
    Unknown { tool: String },
    Question(String),
}

/// What follows the end of a turn.
pub(crate) enum Then {
    Ask(Request),
    End(FinishReason),
}

/// A completion that waits.
pub(crate) struct Waiting {
    pub(crate) row: Row,
    pub(crate) state: Paused,
    pub(crate) request: Request,
}

/// A completion that may go on.
pub(crate) struct Resumed {
    pub(crate) row: Row,
    state: Paused,
    inserted: EncodedPrompt,
    last_token: u32,
}

impl Resumed {
    pub(crate) fn continued(&self) -> Continued<'_> {
        let (paused, last_token) = (&self.state, self.last_token);
        Continued { paused, last_token, inserted: &self.inserted }
    }

    /// The completion as it was before the reply.
    pub(crate) fn without_reply(mut self) -> Row {
        self.row.replies.pop();
        self.row
    }
}

/// What ends a turn, and what follows it.
pub(crate) struct TurnRule<'a> {
    processor: &'a Processor,
    ends: Vec<String>,
}

impl<'a> TurnRule<'a> {
    pub(crate) fn new(processor: &'a Processor, partner: &dyn Partner) -> Self {
        let ends = partner.tools().iter().map(|tool| format!("</{tool}>")).collect();
        Self { processor, ends }
    }

    /// What a turn says besides calls: these are never read as an answer.
    pub(crate) fn without_calls(&self, text: &mut String, partner: &dyn Partner) {
        for tool in partner.tools() {
            let (opening, closing) = (format!("<{tool}>"), format!("</{tool}>"));
            while let Some(start) = text.find(&opening) {
                let end = text[start..].find(&closing).map(|end| start + end + closing.len());
                text.replace_range(start..end.unwrap_or(text.len()), "");
            }
        }
    }

    /// Texts that end a turn because they end a call.
    pub(crate) fn ends(&self) -> &[String] {
        &self.ends
    }

    /// What follows a turn that ended for this reason, which is not that it was cut.
    pub(crate) fn after(
        &self,
        row: &Row,
        reason: FinishReason,
        partner: &dyn Partner,
    ) -> Result<Then, RolloutError> {
        let n_calls = row.replies.iter().filter(|reply| reply.tool.is_some()).count();
        if !partner.tools().is_empty() {
            let text = self.processor.decode(&row.token_ids[row.turn_start()..])?;
            let call = call_at_end(&text, partner.tools());
            let unknown = || {
                let ended = reason == FinishReason::EndOfTurn;
                ended.then(|| unknown_at_end(&text, partner.tools())).flatten()
            };
            let request = match call {
                Some((tool, arguments)) => Some(Request::Call {
                    tool: tool.to_owned(),
                    arguments: arguments.trim().to_owned(),
                }),
                None => unknown().map(|tool| Request::Unknown { tool: tool.to_owned() }),
            };
            if let Some(request) = request {
                let may_call = n_calls < partner.max_calls();
                return Ok(if may_call {
                    Then::Ask(request)
                } else {
                    Then::End(FinishReason::Call)
                });
            }
        }
        let was_asked = row.replies.iter().any(|reply| reply.tool.is_none());
        let question = partner.question(row.prompt_idx).filter(|_| !was_asked);
        Ok(question.map_or(Then::End(reason), |question| Then::Ask(Request::Question(question))))
    }

    /// Has the partner answer all that wait; they come back in their order.
    pub(crate) fn answer(
        &self,
        waiting: Vec<Waiting>,
        partner: &mut dyn Partner,
    ) -> Result<Vec<Resumed>, RolloutError> {
        let calls: Vec<Call> = waiting.iter().filter_map(call_of).collect();
        let answers = if calls.is_empty() { Vec::new() } else { partner.answer(&calls)? };
        let (n_calls, n_answers) = (calls.len(), answers.len());
        let mut answers = answers.into_iter();
        let mut resumed = Vec::with_capacity(waiting.len());
        for Waiting { row, state, request } in waiting {
            let (tool, answer) = match request {
                Request::Question(text) => (None, Answer { text, images: Vec::new() }),
                Request::Unknown { tool } => {
                    let text = no_such_tool(&tool, partner.tools());
                    (Some(tool), Answer { text, images: Vec::new() })
                }
                Request::Call { tool, .. } => {
                    let why = format!("{n_answers} results for {n_calls} calls");
                    let missing = || RolloutError::Tool { tool: tool.clone(), why };
                    (Some(tool.clone()), answers.next().ok_or_else(missing)?)
                }
            };
            resumed.push(self.go_on(row, state, tool, answer)?);
        }
        Ok(resumed)
    }

    /// Puts a reply behind the turn. A picture that cannot be read becomes an error in words, which the policy reads.
    fn go_on(
        &self,
        mut row: Row,
        state: Paused,
        tool: Option<String>,
        answer: Answer,
    ) -> Result<Resumed, RolloutError> {
        let said = self.processor.decode(&row.token_ids[row.turn_start()..])?;
        let after = row.token_ids.len() as u32;
        let Answer { text, images } = answer;
        let mut reply = Reply { after, said, tool, text, images };
        let inserted = match encode_reply(self.processor, &reply, &row.token_ids) {
            Err(ProcessorError::Image { source, .. }) => {
                reply.text = format!("Error: the picture cannot be shown: {source}");
                reply.images.clear();
                encode_reply(self.processor, &reply, &row.token_ids)?
            }
            other => other?,
        };
        let last_token = row.token_ids.last().copied().unwrap_or_default();
        row.n_inserted += inserted.token_ids.len();
        row.replies.push(reply);
        Ok(Resumed { row, state, inserted, last_token })
    }

    /// Whether the model has places for what was inserted and one more token.
    pub(crate) fn fits(&self, resumed: &Resumed, prompts: &[&EncodedPrompt]) -> bool {
        let row = &resumed.row;
        let prompt = prompts[row.prompt_idx].token_ids.len();
        let n_tokens = prompt + row.token_ids.len() + row.n_inserted + 1;
        self.processor.max_tokens().is_none_or(|most| n_tokens <= most)
    }
}

fn call_of(waiting: &Waiting) -> Option<Call> {
    let Request::Call { tool, arguments } = &waiting.request else { return None };
    let row = &waiting.row;
    Some(Call {
        prompt_idx: row.prompt_idx,
        completion_idx: row.completion_idx,
        call_idx: row.replies.iter().filter(|reply| reply.tool.is_some()).count(),
        tool: tool.clone(),
        arguments: arguments.clone(),
    })
}

fn no_such_tool(tool: &str, tools: &[String]) -> String {
    format!("Error: there is no tool {tool}. Tools: {}.", tools.join(", "))
}

/// The call of one of these tools that a turn ends with: its name and arguments. A token may hold the last of the closing
/// tag and what follows, so blanks and a few signs may stand behind it.
fn call_at_end<'a, 't>(text: &'t str, tools: &'a [String]) -> Option<(&'a str, &'t str)> {
    let calls = tools.iter().filter_map(|tool| {
        let (before, _) = text.rsplit_once(&format!("</{tool}>"))?;
        let (start, arguments) = before.rsplit_once(&format!("<{tool}>"))?;
        Some((start.len(), tool.as_str(), arguments))
    });
    calls.max_by_key(|call| call.0).map(|(_, tool, arguments)| (tool, arguments))
}

/// The name of a pair of tags that a turn ends with, where it is neither a tool's nor that of an answer.
fn unknown_at_end<'t>(text: &'t str, tools: &[String]) -> Option<&'t str> {
    let (before, name) = text.trim_end().strip_suffix('>')?.rsplit_once("</")?;
    let is_word =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let is_known = ANSWER_TAGS.contains(&name) || tools.iter().any(|tool| tool == name);
    let is_call = is_word && !is_known && before.contains(&format!("<{name}>"));
    // An answer may hold tags of any name.
    (is_call && !before.contains("<answer>")).then_some(name)
}

/// A reply as the model reads it.
fn encode_reply(
    processor: &Processor,
    reply: &Reply,
    token_ids: &[u32],
) -> Result<EncodedPrompt, ProcessorError> {
    let images: Vec<&[u8]> = reply.images.iter().map(|image| image.bytes.as_slice()).collect();
    let last = (reply.after as usize).checked_sub(1).and_then(|idx| token_ids.get(idx));
    let ended = last.is_some_and(|last| processor.end_ids().contains(last));
    processor.encode_reply(&reply.text, &images, ended)
}

/// What is inserted into a completion: the same for who samples and who learns.
///
/// # Errors
/// A reply that cannot be encoded, by its number.
pub fn insertions(
    processor: &Processor,
    completion: &Completion,
) -> Result<Vec<Insertion>, ProcessorError> {
    let insertion = |reply: &Reply| {
        let tokens = encode_reply(processor, reply, &completion.token_ids)?;
        Ok(Insertion { after: reply.after as usize, tokens })
    };
    completion.replies.iter().map(insertion).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<String> {
        vec!["zoom".to_owned(), "count".to_owned()]
    }

    #[test]
    fn a_call_is_what_stands_between_the_last_pair_of_tags() {
        let check = |text, expect| assert_eq!(call_at_end(text, &tools()), expect, "{text}");
        check("I look. <zoom>[1, 2, 3, 4]</zoom>", Some(("zoom", "[1, 2, 3, 4]")));
        check("<zoom>a<zoom>b</zoom>", Some(("zoom", "b")));
        check("<zoom>a</zoom><count>b</count>\n", Some(("count", "b")));
        check("<zoom></zoom>", Some(("zoom", "")));
        check("a</zoom>", None);
        check("<answer>[1, 2, 3, 4]</answer>", None);
    }

    #[test]
    fn a_tag_that_is_no_tool_is_told_from_an_answer() {
        let check = |text, expect| assert_eq!(unknown_at_end(text, &tools()), expect, "{text}");
        check("<think>hm</think><crop>[1, 2]</crop>", Some("crop"));
        check("<crop>[1, 2]</crop> ", Some("crop"));
        check("<think>hm</think>", None);
        check("<think>hm</think><answer>cat</answer>", None);
        check("<answer><b>cat</b>", None);
        check("a </b>", None);
        check("<zoom>1</zoom>", None);
    }
}
