//! The sampling loop.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use vrft_model::Policy;
use vrft_processor::{EncodedPrompt, Processor};

use crate::row::Row;
use crate::stop::StopRule;
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
    sampling.check()?;
    if prompts.is_empty() || group_size == 0 {
        return Ok(vec![Vec::new(); prompts.len()]);
    }
    let places = (0..prompts.len()).flat_map(|prompt| (0..group_size).map(move |i| (prompt, i)));
    let rows = places.map(|(prompt, i)| Row::new(prompt, i, seeds(prompt, i))).collect();
    vrft_kernels::on_worker(policy.backend(), || {
        sample(policy, processor, prompts, group_size, sampling, rows, watch)
    })
}

/// All completions, each from a row that has no token yet.
fn sample(
    policy: &Policy,
    processor: &Processor,
    prompts: &[&EncodedPrompt],
    group_size: usize,
    sampling: &Sampling,
    waiting: Vec<Row>,
    watch: &Watch,
) -> Result<Vec<Vec<Completion>>, RolloutError> {
    let mut session = policy.session()?;
    let mut waiting = waiting.into_iter();
    let stop_rule = StopRule::new(processor, sampling);
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
        if rows.is_empty() {
            break;
        }
        let tokens = chooser.draw(&mut rows, session.logits())?;
        let mut keep = Vec::with_capacity(rows.len());
        let mut growing = Vec::with_capacity(rows.len());
        for row in rows {
            let goes_on = watch(row.prompt_idx, row.completion_idx, &row.token_ids);
            let reason = stop_rule.reason(&row.token_ids)?;
            let reason = reason.or_else(|| (!goes_on).then_some(FinishReason::Length));
            keep.push(reason.is_none());
            match reason {
                Some(reason) => {
                    let slot = row.prompt_idx * group_size + row.completion_idx;
                    done[slot] = Some(row.finish(reason, processor)?);
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
