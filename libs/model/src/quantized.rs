//! Weights of 4-bit numbers ([QLoRA](https://arxiv.org/abs/2305.14314)): out of files, made while a checkpoint is read,
//! and back into files.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{Nf4FactorsView, Nf4View, StoredDtype, nf4_state};
use vrft_kernels::{Nf4Factors, Nf4Matrix, Nf4Parts};

use crate::ModelError;
use crate::lora::linear_module;
use crate::names::Names;

/// The weights of 4 bits by name; none of them has a tensor.
pub(crate) type Quantized = BTreeMap<String, Nf4Matrix>;

/// Whether the weight of this name and shape is one that is kept in 4 bits where the configuration asks for it: that of a
/// linear layer of the language model.
pub(crate) fn is_meant(name: &str, shape: &[usize], names: Names) -> bool {
    shape.len() == 2 && linear_module(name, names).is_some() && !names.is_visual(name)
}

/// How far what a code stands for may be from what it stands for here.
const NEAR: f32 = 1e-5;

/// A matrix of a file, in main memory.
pub(crate) fn to_matrix(name: &str, view: &Nf4View) -> Result<Nf4Matrix, ModelError> {
    let expected = Nf4Matrix::values();
    if view.map.iter().zip(expected).any(|(a, b)| (a - b).abs() > NEAR) {
        let what = format!("codes of {name}");
        return Err(ModelError::input(what, "those of nf4", format!("{:?}", view.map)));
    }
    let floats = |values: &[f32]| Tensor::new(values, &Device::Cpu);
    let bytes = |values: &[u8]| Tensor::new(values, &Device::Cpu);
    let factors = match &view.factors {
        Nf4FactorsView::Plain(factors) => Nf4Factors::Plain(floats(factors)?),
        Nf4FactorsView::Quantized { codes, map, scales, block, offset } => Nf4Factors::Quantized {
            codes: bytes(codes)?,
            map: floats(map)?,
            scales: floats(scales)?,
            block: *block,
            offset: *offset,
        },
    };
    let (dims, codes, block) = (view.shape, bytes(view.codes)?, view.block);
    Ok(Nf4Matrix::from_parts(Nf4Parts { dims, codes, block, factors })?)
}

/// The tensors that a matrix is in a file, by name.
pub(crate) fn to_tensors(
    name: &str,
    matrix: &Nf4Matrix,
    dtype: DType,
) -> Result<Vec<(String, Tensor)>, ModelError> {
    let Nf4Parts { dims, codes, block, factors } = matrix.parts();
    let stored = match dtype {
        DType::BF16 => StoredDtype::BF16,
        DType::F16 => StoredDtype::F16,
        _ => StoredDtype::F32,
    };
    let (nested, mut tensors) = match factors {
        Nf4Factors::Plain(factors) => (None, vec![(".absmax", factors.clone())]),
        Nf4Factors::Quantized { codes, map, scales, block, offset } => {
            let tensors = vec![
                (".absmax", codes.clone()),
                (".nested_absmax", scales.clone()),
                (".nested_quant_map", map.clone()),
            ];
            (Some((*block, *offset)), tensors)
        }
    };
    let state = nf4_state(*dims, stored, *block, nested);
    tensors.push((".quant_map", Tensor::new(Nf4Matrix::values(), &Device::Cpu)?));
    tensors.push((".quant_state.bitsandbytes__nf4", Tensor::new(state, &Device::Cpu)?));
    tensors.push(("", codes.reshape(((), 1))?));
    Ok(tensors.into_iter().map(|(part, tensor)| (format!("{name}{part}"), tensor)).collect())
}
