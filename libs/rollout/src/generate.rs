//! The sampling loop.

use candle_core::{Device, Tensor};
use policy::{EncodedPrompt, Policy, Processor};
use rayon::prelude::*;

use crate::row::Row;
use crate::stop::StopRule;
use crate::{Completion, RolloutError, Sampling};

/// `group_size` completions of every prompt, in the order of the prompts.
///
/// Each prompt is prefilled once and all completions grow as one batch, which a finished one leaves.
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
    sampling.check()?;
    if prompts.is_empty() || group_size == 0 {
        return Ok(vec![Vec::new(); prompts.len()]);
    }
    let mut session = policy.start(prompts, group_size)?;
    let stop_rule = StopRule::new(processor, sampling);
    let mut done = vec![None; prompts.len() * group_size];
    let mut rows: Vec<Row> = (0..done.len())
        .map(|i| (i / group_size, i % group_size))
        .map(|(prompt, completion)| Row::new(prompt, completion, seeds(prompt, completion)))
        .collect();
    loop {
        let logits = session.logits().to_device(&Device::Cpu)?; // (rows, V)
        let tokens = draw(&mut rows, &logits, processor.end_ids(), sampling)?;
        let mut keep = Vec::with_capacity(rows.len());
        let mut growing = Vec::with_capacity(rows.len());
        for row in rows {
            let reason = stop_rule.reason(&row.token_ids)?;
            keep.push(reason.is_none());
            match reason {
                Some(reason) => {
                    let slot = row.prompt_idx * group_size + row.completion_idx;
                    done[slot] = Some(row.finish(reason, processor)?);
                }
                None => growing.push(row),
            }
        }
        if growing.is_empty() {
            break;
        }
        rows = growing;
        session.retain(&keep)?;
        session.step(&kept(&tokens, &keep))?;
    }
    let mut done = done.into_iter().flatten();
    Ok(prompts.iter().map(|_| done.by_ref().take(group_size).collect()).collect())
}

/// One token for every row, from its line of `logits` (rows, V).
fn draw(
    rows: &mut [Row],
    logits: &Tensor,
    end_ids: &[u32],
    sampling: &Sampling,
) -> Result<Vec<u32>, RolloutError> {
    let (_, vocab_size) = logits.dims2()?;
    let logits = logits.flatten_all()?.to_vec1::<f32>()?;
    rows.par_iter_mut()
        .zip(logits.par_chunks_exact(vocab_size))
        .map(|(row, logits)| row.draw(logits, end_ids, sampling))
        .collect()
}

fn kept(tokens: &[u32], keep: &[bool]) -> Vec<u32> {
    tokens.iter().zip(keep).filter(|(_, keep)| **keep).map(|(token, _)| *token).collect()
}
