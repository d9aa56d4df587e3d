//! Gradients of the weights, one buffer each, kept and summed in place over micro-batches.

use std::collections::HashMap;

use candle_core::{Tensor, TensorId, Var};

use crate::matmul::Write;

/// Gradients by variable, all in f32.
///
/// The buffers live on when they are cleared, so that a step finds the memory of the step before.
#[derive(Debug, Default)]
pub struct Gradients {
    buffers: Vec<Buffer>,
    places: HashMap<TensorId, usize>,
}

#[derive(Debug)]
struct Buffer {
    values: Vec<f32>,
    is_set: bool,
}

impl Gradients {
    /// Forgets all values.
    pub fn clear(&mut self) {
        self.buffers.iter_mut().for_each(|buffer| buffer.is_set = false);
    }

    /// The gradient of a variable in the order of its values; nothing if none has reached it.
    pub fn get(&self, variable: &Var) -> Option<&[f32]> {
        let buffer = &self.buffers[*self.places.get(&variable.as_tensor().id())?];
        buffer.is_set.then_some(&buffer.values)
    }

    /// All gradients, in the order in which the first of them came.
    pub fn all(&self) -> impl Iterator<Item = &[f32]> {
        self.buffers.iter().filter(|buffer| buffer.is_set).map(|buffer| &buffer.values[..])
    }

    /// Lets `f` write or add to a variable's gradient.
    pub(crate) fn write(&mut self, variable: &Tensor, f: impl FnOnce(&mut [f32], Write)) {
        let place = *self.places.entry(variable.id()).or_insert_with(|| {
            self.buffers.push(Buffer { values: vec![0.0; variable.elem_count()], is_set: false });
            self.buffers.len() - 1
        });
        let buffer = &mut self.buffers[place];
        f(&mut buffer.values, if buffer.is_set { Write::Add } else { Write::Overwrite });
        buffer.is_set = true;
    }
}
