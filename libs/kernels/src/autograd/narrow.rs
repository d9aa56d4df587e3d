//! Trained weights in the narrow type that a pass computes in.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Result, Tensor, TensorId, Var};

/// Weights of at most so many values are converted together before a pass; larger ones where they are used, so that
/// they do not take memory all at once.
const SMALL: usize = 1 << 20;

/// Small trained weights in bfloat16, converted once for a pass and its way back.
#[derive(Debug, Clone, Default)]
pub struct NarrowWeights(Arc<HashMap<TensorId, Tensor>>);

impl NarrowWeights {
    /// Of those variables that are on a GPU and small.
    ///
    /// # Errors
    /// Variables on several GPUs.
    pub fn new<'a>(variables: impl IntoIterator<Item = &'a Var>, dtype: DType) -> Result<Self> {
        if dtype != DType::BF16 {
            return Ok(Self::default());
        }
        let is_taken = |variable: &&Var| {
            let values = variable.as_tensor();
            values.device().is_cuda()
                && values.dtype() == DType::F32
                && values.is_contiguous()
                && (1..=SMALL).contains(&values.elem_count())
        };
        let taken: Vec<&Tensor> =
            variables.into_iter().filter(is_taken).map(Var::as_tensor).collect();
        let narrow = crate::ops::narrow_all(&taken)?;
        let of = taken.iter().zip(narrow).map(|(wide, narrow)| (wide.id(), narrow));
        Ok(Self(Arc::new(of.collect())))
    }

    pub(crate) fn get(&self, variable: TensorId) -> Option<&Tensor> {
        self.0.get(&variable)
    }
}
