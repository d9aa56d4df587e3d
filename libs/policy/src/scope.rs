//! Tensors handed out by name while a model is put together, with a record of what was missing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use candle_core::Tensor;

use crate::PolicyError;

/// Names of the model's three parts; transformers has changed them over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) visual: &'static str,
    pub(crate) text: &'static str,
    pub(crate) head: &'static str,
}

/// As published, and as transformers writes files.
const PUBLISHED: Names = Names { visual: "visual", text: "model", head: "lm_head" };
/// As transformers names its own modules since 4.52.
const MODULES: Names =
    Names { visual: "model.visual", text: "model.language_model", head: "lm_head" };

impl Names {
    /// The layout of these tensors.
    pub(crate) fn of(tensors: &BTreeMap<String, Tensor>) -> Names {
        let module = |name: &String| name.starts_with("model.language_model.");
        if tensors.keys().any(module) { MODULES } else { PUBLISHED }
    }

    /// The head's one tensor.
    pub(crate) fn head_weight(&self) -> Vec<String> {
        vec![format!("{}.weight", self.head)]
    }
}

/// All tensors that a model may take, and what it asked for.
pub(crate) struct Source<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    used: RefCell<BTreeSet<String>>,
    missing: RefCell<Vec<String>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(tensors: &'a BTreeMap<String, Tensor>) -> Self {
        Self { tensors, used: RefCell::default(), missing: RefCell::default() }
    }

    /// The tensors below a name.
    pub(crate) fn at(&'a self, prefix: &str) -> Scope<'a> {
        Scope { source: self, prefix: prefix.to_owned() }
    }

    /// The names that were taken.
    ///
    /// # Errors
    /// All missing names, or else all that nobody asked for; `ignored` may be left over.
    pub(crate) fn finish(self, ignored: &[String]) -> Result<BTreeSet<String>, PolicyError> {
        let (used, missing) = (self.used.into_inner(), self.missing.into_inner());
        if !missing.is_empty() {
            let expected = missing.len() + used.len();
            return Err(PolicyError::MissingTensors { names: missing, expected });
        }
        let left = self.tensors.keys().filter(|name| !used.contains(*name));
        let names: Vec<String> = left.filter(|name| !ignored.contains(name)).cloned().collect();
        if names.is_empty() { Ok(used) } else { Err(PolicyError::UnexpectedTensors { names }) }
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

    /// A tensor of this part; zeros if it is missing, which [`Source::finish`] reports.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, PolicyError> {
        let name = format!("{}.{name}", self.prefix);
        let Some(tensor) = self.source.tensors.get(&name) else {
            self.source.missing.borrow_mut().push(name);
            return Ok(Tensor::zeros(shape, candle_core::DType::F32, &candle_core::Device::Cpu)?);
        };
        if tensor.dims() != shape {
            let (expected, got) = (shape.to_vec(), tensor.dims().to_vec());
            return Err(PolicyError::Shape { name, expected, got });
        }
        self.source.used.borrow_mut().insert(name);
        Ok(tensor.clone())
    }
}
