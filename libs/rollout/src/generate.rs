//! The sampling loop.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use vrft_model::Policy;
use vrft_processor::{EncodedPrompt, Processor};

use crate::row::Row;
use crate::stop::StopRule;
use crate::turns::{Alone, Partner, Resumed, Then, TurnRule, Waiting};
use crate::{Completion, FinishReason, RolloutError, Sampling};

/// Told after every token of a completion: the index of its prompt, its own index, its tokens so far. Where it returns
/// `false` the completion is cut there.
pub type Watch<'a> = dyn Fn(usize, usize, &[u32]) -> bool + Sync + 'a;

/// `group_size` completions of every prompt, in the order of the prompts.
///
/// Each prompt is prefilled once and its completions grow as one batch with those of other prompts. A finished one
/// leaves the batch; as soon as there is room for a whole group, up to `sampling.max_rows`, the next prompt joins.
/// `seeds` gives each completion (prompt index, completion index) its random stream, so its text does not
/// depend on what else is in the batch.
///
/// # Errors
/// Settings that make no sense, a prompt that the policy cannot take, logits that are not finite.
pub fn generate(
    policy: &Policy,
    processor: &Processor,
    prompts: &[&EncodedPrompt],
    group_size: usize,
    sampling: &Sampling,
    seeds: &dyn Fn(usize, usize) -> u64,
) -> Result<Vec<Vec<Completion>>, RolloutError> {
    generate_watched(policy, processor, prompts, group_size, sampling, seeds, &|_, _, _| true)
}

/// As [`generate`], watched while the completions grow.
///
/// # Errors
/// As [`generate`].
pub fn generate_watched(
    policy: &Policy,
    processor: &Processor,
    prompts: &[&EncodedPrompt],
    group_size: usize,
    sampling: &Sampling,
    seeds: &dyn Fn(usize, usize) -> u64,
    watch: &Watch,
) -> Result<Vec<Vec<Completion>>, RolloutError> {
    generate_in_turns(policy, processor, prompts, group_size, sampling, seeds, watch, &mut Alone)
}

/// As [`generate_watched`], where completions may pause for what a partner says.
///
/// A completion that pauses waits until each of the others has finished or waits too. Then all calls go to the partner at
/// once, and the completions go on together: what is decoded beside what is the same in every run, however long a tool takes.
///
/// # Errors
/// As [`generate`], and what the partner says went wrong.
#[expect(clippy::too_many_arguments, reason = "each is a part of the question")]
pub fn generate_in_turns(
    policy: &Policy,
    processor: &Processor,
    prompts: &[&EncodedPrompt],
    group_size: usize,
    sampling: &Sampling,
    seeds: &dyn Fn(usize, usize) -> u64,
    watch: &Watch,
    partner: &mut dyn Partner,
) -> Result<Vec<Vec<Completion>>, RolloutError> {
    sampling.check()?;
    if prompts.is_empty() || group_size == 0 {
        return Ok(vec![Vec::new(); prompts.len()]);
    }
    let places = (0..prompts.len()).flat_map(|prompt| (0..group_size).map(move |i| (prompt, i)));
    let rows = places.map(|(prompt, i)| Row::new(prompt, i, seeds(prompt, i))).collect();
    vrft_kernels::on_worker(policy.backend(), || {
        sample(policy, processor, prompts, group_size, sampling, rows, watch, partner)
    })
}

/// All completions, each from a row that has no token yet.
#[expect(clippy::too_many_arguments, reason = "each is a part of the question")]
fn sample(
    policy: &Policy,
    processor: &Processor,
    prompts: &[&EncodedPrompt],
    group_size: usize,
    sampling: &Sampling,
    waiting: Vec<Row>,
    watch: &Watch,
    partner: &mut dyn Partner,
) -> Result<Vec<Vec<Completion>>, RolloutError> {
    let mut session = policy.session()?;
    let mut waiting = waiting.into_iter();
    let turns = TurnRule::new(processor, partner);
    let stop_rule = StopRule::new(processor, sampling, turns.ends());
    let mut paused: Vec<Waiting> = Vec::new();
    let mut resumed: VecDeque<Resumed> = VecDeque::new();
    let mut done = vec![None; prompts.len() * group_size];
    let mut rows: Vec<Row> = Vec::new();
    let mut n_admitted = 0;
    let mut chooser = Chooser::new(policy, processor, sampling)?;
    loop {
        let n_new = n_to_admit(rows.len(), group_size, sampling).min(prompts.len() - n_admitted);
        if n_new > 0 {
            let new = n_admitted..n_admitted + n_new;
            session.admit(&prompts[new], group_size)?;
            rows.extend(waiting.by_ref().take(n_new * group_size));
            n_admitted += n_new;
        }
        let room = sampling.max_rows.saturating_sub(rows.len()).max(usize::from(rows.is_empty()));
        let back: Vec<Resumed> = resumed.drain(..room.min(resumed.len())).collect();
        if !back.is_empty() {
            session.resume(&back.iter().map(Resumed::continued).collect::<Vec<_>>())?;
            rows.extend(back.into_iter().map(|back| back.row));
        }
        if rows.is_empty() {
            if paused.is_empty() {
                break;
            }
            // In the order of the prompts, whichever came first.
            paused.sort_by_key(|waiting| (waiting.row.prompt_idx, waiting.row.completion_idx));
            for answered in turns.answer(std::mem::take(&mut paused), partner)? {
                if turns.fits(&answered, prompts) {
                    resumed.push_back(answered);
                } else {
                    let row = answered.without_reply();
                    let slot = row.prompt_idx * group_size + row.completion_idx;
                    let mut cut = row.finish(FinishReason::Length, processor)?;
                    turns.without_calls(&mut cut.text, partner);
                    done[slot] = Some(cut);
                }
            }
            continue;
        }
        let tokens = chooser.draw(&mut rows, session.logits())?;
        let mut keep = Vec::with_capacity(rows.len());
        let mut growing = Vec::with_capacity(rows.len());
        for (place, row) in rows.into_iter().enumerate() {
            let goes_on = watch(row.prompt_idx, row.completion_idx, &row.token_ids);
            let reason = stop_rule.reason(&row.token_ids, row.turn_start())?;
            let reason = reason.or_else(|| (!goes_on).then_some(FinishReason::Length));
            keep.push(reason.is_none());
            let has_room = goes_on && row.token_ids.len() < sampling.max_tokens;
            let reason = match reason {
                Some(reason) if reason != FinishReason::Length && has_room => {
                    match turns.after(&row, reason, partner)? {
                        Then::Ask(request) => {
                            paused.push(Waiting { state: session.pause(place)?, row, request });
                            continue;
                        }
                        Then::End(reason) => Some(reason),
                    }
                }
                reason => reason,
            };
            match reason {
                Some(reason) => {
                    let slot = row.prompt_idx * group_size + row.completion_idx;
                    let mut completion = row.finish(reason, processor)?;
                    turns.without_calls(&mut completion.text, partner);
                    done[slot] = Some(completion);
                }
                None => growing.push(row),
            }
        }
        rows = growing;
        session.retain(&keep)?;
        if !rows.is_empty() {
            session.step(&kept(&tokens, &keep))?;
        }
    }
    let mut done = done.into_iter().flatten();
    Ok(prompts.iter().map(|_| done.by_ref().take(group_size).collect()).collect())
}

/// Number of groups that fit beside the rows which are decoded already; at least one if there are none.
fn n_to_admit(n_rows: usize, group_size: usize, sampling: &Sampling) -> usize {
    let room = sampling.max_rows.saturating_sub(n_rows) / group_size;
    if n_rows == 0 { room.max(1) } else { room }
}

/// Draws tokens where the logits are.
struct Chooser<'a> {
    sampling: &'a Sampling,
    end_ids: &'a [u32],
    #[cfg(feature = "cuda")]
    on_gpu: Option<vrft_kernels::GpuSampler>,
}

impl<'a> Chooser<'a> {
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, clippy::unnecessary_wraps))]
    fn new(
        policy: &Policy,
        processor: &'a Processor,
        sampling: &'a Sampling,
    ) -> Result<Self, RolloutError> {
        let end_ids = processor.end_ids();
        #[cfg(feature = "cuda")]
        let settings = vrft_kernels::DrawSettings {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: 0.0,
            end_ids: end_ids.to_vec(),
            min_tokens: sampling.min_tokens,
        };
        Ok(Self {
            sampling,
            end_ids,
            #[cfg(feature = "cuda")]
            on_gpu: match policy.device() {
                device @ Device::Cuda(_) => Some(vrft_kernels::GpuSampler::new(settings, device)?),
                _ => None,
            },
        })
    }

    /// One token for every row, from its line of `logits` (rows, V).
    fn draw(&mut self, rows: &mut [Row], logits: &Tensor) -> Result<Vec<u32>, RolloutError> {
        #[cfg(feature = "cuda")]
        if let Some(sampler) = &mut self.on_gpu {
            let places: Vec<_> = rows.iter().map(Row::place).collect();
            let drawn = sampler.draw(logits, &places)?;
            return rows.iter_mut().zip(drawn).map(|(row, drawn)| row.push(drawn)).collect();
        }
        let (_, vocab_size) = logits.dims2()?;
        let logits = logits.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        rows.par_iter_mut()
            .zip(logits.par_chunks_exact(vocab_size))
            .map(|(row, logits)| row.draw(logits, self.end_ids, self.sampling))
            .collect()
    }
}

fn kept(tokens: &[u32], keep: &[bool]) -> Vec<u32> {
    tokens.iter().zip(keep).filter(|(_, keep)| **keep).map(|(token, _)| *token).collect()
}
