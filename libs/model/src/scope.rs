//! Tensors handed out by name while a model is put together, with a record of what was missing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{SOFT_PROMPT, is_adapter};
use vrft_kernels::Weight;

use crate::ModelError;
use crate::lora::Lora;
use crate::quantized::Quantized;

/// All tensors that a model may take, and what it asked for.
pub(crate) struct Source<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    quantized: &'a Quantized,
    lora: Option<&'a Lora>,
    used: RefCell<BTreeSet<String>>,
    missing: RefCell<Vec<(String, Vec<usize>)>>,
}

impl<'a> Source<'a> {
    /// `quantized` has no name that is among the tensors. `lora` for a model with the adapters that are among the tensors; without it they are left aside.
    pub(crate) fn new(
        tensors: &'a BTreeMap<String, Tensor>,
        quantized: &'a Quantized,
        lora: Option<&'a Lora>,
    ) -> Self {
        Self { tensors, quantized, lora, used: RefCell::default(), missing: RefCell::default() }
    }

    /// The tensors below a name.
    pub(crate) fn at(&'a self, prefix: &str) -> Scope<'a> {
        Scope { source: self, prefix: prefix.to_owned() }
    }

    /// The soft prompt of this width, if adapters are on and there is one, and how many vectors it has.
    pub(crate) fn soft_prompt(&self, width: usize) -> Result<Option<(Weight, usize)>, ModelError> {
        let found = self.tensors.get(SOFT_PROMPT).filter(|_| self.lora.is_some());
        let Some(tensor) = found else { return Ok(None) };
        let n = tensor.dims().first().copied().unwrap_or_default();
        if tensor.dims() != [n, width] || n == 0 {
            let (name, got) = (SOFT_PROMPT.to_owned(), tensor.dims().to_vec());
            return Err(ModelError::Shape { name, expected: vec![n.max(1), width], got });
        }
        self.used.borrow_mut().insert(SOFT_PROMPT.to_owned());
        Ok(Some((Weight::new(tensor), n)))
    }

    /// What was asked for and is not there, with its shape.
    pub(crate) fn into_missing(self) -> Vec<(String, Vec<usize>)> {
        self.missing.into_inner()
    }

    /// The names that were taken.
    ///
    /// # Errors
    /// All missing names, or else all that nobody asked for; `ignored` may be left over.
    pub(crate) fn finish(self, ignored: &[String]) -> Result<BTreeSet<String>, ModelError> {
        let (used, missing) = (self.used.into_inner(), self.missing.into_inner());
        if !missing.is_empty() {
            let expected = missing.len() + used.len();
            let names = missing.into_iter().map(|(name, _)| name).collect();
            return Err(ModelError::MissingTensors { names, expected });
        }
        let all = self.tensors.keys().chain(self.quantized.keys());
        let left = all.filter(|name| !used.contains(*name));
        let aside = |name: &str| self.lora.is_none() && is_adapter(name);
        let left = left.filter(|name| !ignored.contains(name) && !aside(name));
        let names: Vec<String> = left.cloned().collect();
        if names.is_empty() { Ok(used) } else { Err(ModelError::UnexpectedTensors { names }) }
    }
}

/// A part of the model by its place in the names.
pub(crate) struct Scope<'a> {
    source: &'a Source<'a>,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// The part below this one.
    pub(crate) fn at(&self, name: impl Display) -> Scope<'a> {
        Scope { source: self.source, prefix: format!("{}.{name}", self.prefix) }
    }

    /// What the adapters of the model have in common, if it has some.
    pub(crate) fn lora(&self) -> Option<&'a Lora> {
        self.source.lora
    }

    /// Whether there is a tensor of this name in this part.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.source.tensors.contains_key(&format!("{}.{name}", self.prefix))
    }

    /// The part's own name.
    pub(crate) fn name(&self) -> &str {
        &self.prefix
    }

    /// A weight of this part, trainable if its tensor is a variable's; zeros if it is missing, which
    /// [`Source::finish`] reports.
    pub(crate) fn weight(&self, name: &str, shape: &[usize]) -> Result<Weight, ModelError> {
        let of_four_bits = format!("{}.{name}", self.prefix);
        if let Some(matrix) = self.source.quantized.get(&of_four_bits) {
            self.take(of_four_bits, matrix.dims(), shape)?;
            return Ok(Weight::nf4(matrix));
        }
        Ok(Weight::new(&self.tensor(name, shape)?))
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let name = format!("{}.{name}", self.prefix);
        let Some(tensor) = self.source.tensors.get(&name) else {
            self.source.missing.borrow_mut().push((name, shape.to_vec()));
            // One number seen from everywhere: it takes no memory.
            let zero = Tensor::zeros((), DType::F32, &Device::Cpu)?;
            return Ok(zero.broadcast_as(shape)?);
        };
        self.take(name, tensor.dims(), shape)?;
        Ok(tensor.clone())
    }

    /// Notes that a weight is used, if it has the shape that it should have.
    fn take(&self, name: String, got: &[usize], shape: &[usize]) -> Result<(), ModelError> {
        if got != shape {
            let (expected, got) = (shape.to_vec(), got.to_vec());
            return Err(ModelError::Shape { name, expected, got });
        }
        self.source.used.borrow_mut().insert(name);
        Ok(())
    }
}
