//! Tensors handed out by name while a model is put together, with a record of what was missing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::is_adapter;

use vrft_kernels::Weight;

use crate::PolicyError;
use crate::lora::Lora;

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
    /// The layout of published checkpoints.
    pub(crate) fn published() -> Names {
        PUBLISHED
    }

    /// The layout of these tensors.
    pub(crate) fn of(tensors: &BTreeMap<String, Tensor>) -> Names {
        let module = |name: &String| name.starts_with("model.language_model.");
        if tensors.keys().any(module) { MODULES } else { PUBLISHED }
    }

    /// The head's one tensor.
    pub(crate) fn head_weight(&self) -> Vec<String> {
        vec![format!("{}.weight", self.head)]
    }

    /// Whether a tensor or module belongs to the vision tower.
    pub(crate) fn is_visual(&self, name: &str) -> bool {
        below(name, self.visual).is_some()
    }

    /// How transformers names a module of this layout.
    pub(crate) fn module(&self, name: &str) -> String {
        let part = |from, to| below(name, from).map(|rest| format!("{to}.{rest}"));
        let renamed = part(self.visual, MODULES.visual).or_else(|| part(self.text, MODULES.text));
        renamed.unwrap_or_else(|| name.to_owned())
    }

    /// This layout's name of a module that transformers, today's or an older one, names so.
    pub(crate) fn local(&self, module: &str) -> String {
        // The newer layout first: the older one's prefix of the text model is a part of it.
        for layout in [MODULES, PUBLISHED] {
            for (from, to) in [(layout.visual, self.visual), (layout.text, self.text)] {
                if let Some(rest) = below(module, from) {
                    return format!("{to}.{rest}");
                }
            }
        }
        module.to_owned()
    }
}

fn below<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix('.')
}

/// All tensors that a model may take, and what it asked for.
pub(crate) struct Source<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    lora: Option<&'a Lora>,
    used: RefCell<BTreeSet<String>>,
    missing: RefCell<Vec<(String, Vec<usize>)>>,
}

impl<'a> Source<'a> {
    /// `lora` for a model with the adapters that are among the tensors; without it they are left aside.
    pub(crate) fn new(tensors: &'a BTreeMap<String, Tensor>, lora: Option<&'a Lora>) -> Self {
        Self { tensors, lora, used: RefCell::default(), missing: RefCell::default() }
    }

    /// The tensors below a name.
    pub(crate) fn at(&'a self, prefix: &str) -> Scope<'a> {
        Scope { source: self, prefix: prefix.to_owned() }
    }

    /// What was asked for and is not there, with its shape.
    pub(crate) fn into_missing(self) -> Vec<(String, Vec<usize>)> {
        self.missing.into_inner()
    }

    /// The names that were taken.
    ///
    /// # Errors
    /// All missing names, or else all that nobody asked for; `ignored` may be left over.
    pub(crate) fn finish(self, ignored: &[String]) -> Result<BTreeSet<String>, PolicyError> {
        let (used, missing) = (self.used.into_inner(), self.missing.into_inner());
        if !missing.is_empty() {
            let expected = missing.len() + used.len();
            let names = missing.into_iter().map(|(name, _)| name).collect();
            return Err(PolicyError::MissingTensors { names, expected });
        }
        let left = self.tensors.keys().filter(|name| !used.contains(*name));
        let aside = |name: &str| self.lora.is_none() && is_adapter(name);
        let left = left.filter(|name| !ignored.contains(name) && !aside(name));
        let names: Vec<String> = left.cloned().collect();
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
    pub(crate) fn weight(&self, name: &str, shape: &[usize]) -> Result<Weight, PolicyError> {
        Ok(Weight::new(&self.tensor(name, shape)?))
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, PolicyError> {
        let name = format!("{}.{name}", self.prefix);
        let Some(tensor) = self.source.tensors.get(&name) else {
            self.source.missing.borrow_mut().push((name, shape.to_vec()));
            // One number seen from everywhere: it takes no memory.
            let zero = Tensor::zeros((), DType::F32, &Device::Cpu)?;
            return Ok(zero.broadcast_as(shape)?);
        };
        if tensor.dims() != shape {
            let (expected, got) = (shape.to_vec(), tensor.dims().to_vec());
            return Err(PolicyError::Shape { name, expected, got });
        }
        self.source.used.borrow_mut().insert(name);
        Ok(tensor.clone())
    }
}
