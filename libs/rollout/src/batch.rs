//! The sampling loop: rows join, grow by a token at a time, pause for a partner, and leave.

use std::collections::VecDeque;

use vrft_model::Session;
use vrft_processor::EncodedPrompt;

use crate::chooser::Chooser;
use crate::generate::{Generator, Watch};
use crate::row::Row;
use crate::stop::StopRule;
use crate::turns::{Partner, Request, Resumed, Then, TurnRule, Waiting};
use crate::{Completion, FinishReason, RolloutError};

/// Completions on their way.
pub(crate) struct Batch<'a> {
    generator: &'a Generator<'a>,
    prompts: &'a [&'a EncodedPrompt],
    watch: &'a Watch<'a>,
    partner: &'a mut dyn Partner,
    turns: TurnRule<'a>,
    stop_rule: StopRule<'a>,
    chooser: Chooser<'a>,
    session: Session,
    /// Rows whose prompt has not joined yet.
    fresh: std::vec::IntoIter<Row>,
    /// Rows that grow, in the order of the session's.
    rows: Vec<Row>,
    /// Rows that wait for the partner.
    paused: Vec<Waiting>,
    /// Rows that were answered and wait for room.
    answered: VecDeque<Resumed>,
    /// By prompt, and by completion within it.
    done: Vec<Option<Completion>>,
}

/// What becomes of a row after a token.
enum Fate {
    Grows,
    Asks(Request),
    Ends(FinishReason),
}

impl<'a> Batch<'a> {
    /// Of rows that have no token yet, in the order of their prompts.
    pub(crate) fn new(
        generator: &'a Generator<'a>,
        prompts: &'a [&'a EncodedPrompt],
        rows: Vec<Row>,
        watch: &'a Watch<'a>,
        partner: &'a mut dyn Partner,
    ) -> Result<Self, RolloutError> {
        let Generator { policy, processor, sampling, .. } = *generator;
        let turns = TurnRule::new(processor, partner);
        Ok(Self {
            generator,
            prompts,
            watch,
            partner,
            stop_rule: StopRule::new(processor, sampling, turns.ends()),
            turns,
            chooser: Chooser::new(policy, processor, sampling)?,
            session: policy.session()?,
            done: vec![None; rows.len()],
            fresh: rows.into_iter(),
            rows: Vec::new(),
            paused: Vec::new(),
            answered: VecDeque::new(),
        })
    }

    /// The groups of all prompts.
    pub(crate) fn run(mut self) -> Result<Vec<Vec<Completion>>, RolloutError> {
        loop {
            self.admit()?;
            self.resume()?;
            if !self.rows.is_empty() {
                self.grow()?;
            } else if !self.paused.is_empty() {
                self.ask()?;
            } else {
                let size = self.generator.group_size;
                let mut done = self.done.into_iter().flatten();
                return Ok(self
                    .prompts
                    .iter()
                    .map(|_| done.by_ref().take(size).collect())
                    .collect());
            }
        }
    }

    /// Lets as many whole groups join as there is room for; one at least if no row grows.
    fn admit(&mut self) -> Result<(), RolloutError> {
        let size = self.generator.group_size;
        let room = self.generator.sampling.max_rows.saturating_sub(self.rows.len()) / size;
        let room = if self.rows.is_empty() { room.max(1) } else { room };
        let n_waiting = self.fresh.len() / size;
        let n_new = room.min(n_waiting);
        if n_new > 0 {
            let first = self.prompts.len() - n_waiting;
            self.session.admit(&self.prompts[first..first + n_new], size)?;
            self.rows.extend(self.fresh.by_ref().take(n_new * size));
        }
        Ok(())
    }

    /// Lets rows that were answered go on, as many as there is room for.
    fn resume(&mut self) -> Result<(), RolloutError> {
        let room = self.generator.sampling.max_rows.saturating_sub(self.rows.len());
        let room = room.max(usize::from(self.rows.is_empty())).min(self.answered.len());
        let back: Vec<Resumed> = self.answered.drain(..room).collect();
        if !back.is_empty() {
            self.session.resume(&back.iter().map(Resumed::continued).collect::<Vec<_>>())?;
            self.rows.extend(back.into_iter().map(|back| back.row));
        }
        Ok(())
    }

    /// Asks the partner what all paused rows wait for, in the order of the prompts, whichever paused first.
    fn ask(&mut self) -> Result<(), RolloutError> {
        self.paused.sort_by_key(|waiting| (waiting.row.prompt_idx, waiting.row.completion_idx));
        for answered in self.turns.answer(std::mem::take(&mut self.paused), self.partner)? {
            if self.turns.fits(&answered, self.prompts) {
                self.answered.push_back(answered);
            } else {
                self.finish(answered.without_reply(), FinishReason::Length)?;
            }
        }
        Ok(())
    }

    /// Every row draws a token; those that go on read it.
    fn grow(&mut self) -> Result<(), RolloutError> {
        let tokens = self.chooser.draw(&mut self.rows, self.session.logits())?;
        let mut keep = Vec::with_capacity(self.rows.len());
        let mut growing = Vec::with_capacity(self.rows.len());
        for (place, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let fate = self.fate(&row)?;
            keep.push(matches!(fate, Fate::Grows));
            match fate {
                Fate::Grows => growing.push(row),
                Fate::Asks(request) => {
                    let state = self.session.pause(place)?;
                    self.paused.push(Waiting { state, row, request });
                }
                Fate::Ends(reason) => self.finish(row, reason)?,
            }
        }
        self.rows = growing;
        self.session.retain(&keep)?;
        if self.rows.is_empty() {
            return Ok(());
        }
        let kept = tokens.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(token, _)| *token);
        Ok(self.session.step(&kept.collect::<Vec<u32>>())?)
    }

    fn fate(&self, row: &Row) -> Result<Fate, RolloutError> {
        let goes_on = (self.watch)(row.prompt_idx, row.completion_idx, &row.token_ids);
        let Some(reason) = self.stop_rule.reason(&row.token_ids, row.turn_start())? else {
            return Ok(if goes_on { Fate::Grows } else { Fate::Ends(FinishReason::Length) });
        };
        let has_room = goes_on && row.token_ids.len() < self.generator.sampling.max_tokens;
        if reason == FinishReason::Length || !has_room {
            return Ok(Fate::Ends(reason));
        }
        Ok(match self.turns.after(row, reason, self.partner)? {
            Then::Ask(request) => Fate::Asks(request),
            Then::End(reason) => Fate::Ends(reason),
        })
    }

    fn finish(&mut self, row: Row, reason: FinishReason) -> Result<(), RolloutError> {
        let slot = row.prompt_idx * self.generator.group_size + row.completion_idx;
        let mut completion = row.finish(reason, self.generator.processor)?;
        self.turns.without_calls(&mut completion.text, self.partner);
        self.done[slot] = Some(completion);
        Ok(())
    }
}
