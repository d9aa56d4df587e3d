//! Drawing the next token of every row.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use vrft_model::Policy;
use vrft_processor::Processor;

use crate::row::Row;
use crate::{RolloutError, Sampling};

/// Draws tokens where the logits are.
pub(crate) struct Chooser<'a> {
    sampling: &'a Sampling,
    end_ids: &'a [u32],
    #[cfg(feature = "cuda")]
    on_gpu: Option<vrft_kernels::GpuSampler>,
}

impl<'a> Chooser<'a> {
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, clippy::unnecessary_wraps))]
    pub(crate) fn new(
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
    pub(crate) fn draw(
        &mut self,
        rows: &mut [Row],
        logits: &Tensor,
    ) -> Result<Vec<u32>, RolloutError> {
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
