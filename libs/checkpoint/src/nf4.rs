//! Matrices of 4-bit numbers in safetensors files, as `bitsandbytes` and transformers write them.
//!
//! Beside the codes of `NAME` stand `NAME.absmax` (the factors of its blocks), `NAME.quant_map` (what a code stands for)
//! and `NAME.quant_state.bitsandbytes__nf4`, a text in JSON; where the factors are 8-bit numbers, `NAME.nested_absmax` and
//! `NAME.nested_quant_map` too.

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

/// What the state of a matrix is called behind its name.
pub(crate) const STATE: &str = ".quant_state.bitsandbytes__nf4";
/// The same of any 4-bit format.
pub(crate) const ANY_STATE: &str = ".quant_state.bitsandbytes__";
/// What belongs to a matrix besides its codes.
pub(crate) const PARTS: [&str; 5] =
    [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", STATE];

/// Whether a tensor of this name is a part of a matrix and not one by itself.
pub(crate) fn is_part(name: &str) -> bool {
    PARTS.iter().any(|part| name.ends_with(part))
}

/// The text beside a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    pub(crate) shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested_blocksize: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested_dtype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested_offset: Option<f32>,
}

/// A matrix of 4-bit numbers in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Nf4View<'a> {
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Type of the numbers that it was made of.
    pub dtype: Dtype,
    /// Two values a byte, the first in the upper half.
    pub codes: &'a [u8],
    /// What the 16 codes stand for.
    pub map: Vec<f32>,
    /// Values that share a factor.
    pub block: usize,
    /// One for each block.
    pub factors: Nf4FactorsView<'a>,
}

/// The factors of an [`Nf4View`].
#[derive(Debug, Clone, PartialEq)]
pub enum Nf4FactorsView<'a> {
    /// As they are.
    Plain(Vec<f32>),
    /// 8-bit numbers: `offset + map[code] · scale`.
    Quantized {
        /// One for each factor.
        codes: &'a [u8],
        /// What the 256 codes stand for.
        map: Vec<f32>,
        /// One for each `block` factors.
        scales: Vec<f32>,
        /// Factors that share a scale.
        block: usize,
        /// Mean of the factors.
        offset: f32,
    },
}

impl State {
    /// Reads the text; the reason if it is of no matrix that can be read.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let shape: Result<[usize; 2], _> = state.shape.clone().try_into();
        match shape {
            _ if state.quant_type != "nf4" => {
                Err(format!("of type {:?}, not nf4", state.quant_type))
            }
            Err(_) => Err(format!("of shape {:?}, which is no matrix", state.shape)),
            Ok([rows, columns]) if rows.checked_mul(columns).is_none() => {
                Err(format!("of shape {:?}, which no memory holds", state.shape))
            }
            Ok(_) if state.blocksize < 2 || !state.blocksize.is_multiple_of(2) => {
                Err(format!("in blocks of {}", state.blocksize))
            }
            Ok(_) => Ok(state),
        }
    }

    /// The matrix whose parts `bytes` finds by what is behind its name, each with its type; the reason if they do not
    /// fit.
    pub(crate) fn view<'a>(
        &self,
        bytes: impl Fn(&str) -> Option<(Dtype, &'a [u8])>,
    ) -> Result<Nf4View<'a>, String> {
        let shape = [self.shape[0], self.shape[1]];
        let n_blocks = (shape[0] * shape[1]).div_ceil(self.blocksize);
        let part = |name: &str, dtype: Dtype, n: usize| match bytes(name) {
            Some((got, bytes)) if got == dtype && bytes.len() == n * dtype.bitsize() / 8 => {
                Ok(bytes)
            }
            Some((got, bytes)) => {
                let n_got = bytes.len() * 8 / got.bitsize();
                Err(format!(
                    "has {n_got} values of {got:?} in {name:?} where {n} of {dtype:?} belong"
                ))
            }
            None => Err(format!("has no {name:?}")),
        };
        let floats = |name: &str, n: usize| Ok::<_, String>(f32s(part(name, Dtype::F32, n)?));
        let factors = match (self.nested_blocksize, self.nested_offset) {
            (Some(block), Some(offset)) if block > 0 && offset.is_finite() => {
                Nf4FactorsView::Quantized {
                    codes: part(".absmax", Dtype::U8, n_blocks)?,
                    map: floats(".nested_quant_map", 256)?,
                    scales: floats(".nested_absmax", n_blocks.div_ceil(block))?,
                    block,
                    offset,
                }
            }
            (None, None) => Nf4FactorsView::Plain(floats(".absmax", n_blocks)?),
            (block, offset) => {
                return Err(format!("has factors in blocks of {block:?} around {offset:?}"));
            }
        };
        Ok(Nf4View {
            shape,
            dtype: dtype(&self.dtype).ok_or_else(|| format!("was made of {:?}", self.dtype))?,
            codes: part("", Dtype::U8, (shape[0] * shape[1]).div_ceil(2))?,
            map: floats(".quant_map", 16)?,
            block: self.blocksize,
            factors,
        })
    }
}

/// The text beside a matrix, which [`write_nf4_checkpoint`](crate::write_nf4_checkpoint) wants under
/// `NAME.quant_state.bitsandbytes__nf4`; `nested` are the factors that share a scale and the mean of all, where factors are
/// 8-bit numbers.
pub fn nf4_state(
    shape: [usize; 2],
    dtype: Dtype,
    block: usize,
    nested: Option<(usize, f32)>,
) -> Vec<u8> {
    let state = State {
        quant_type: "nf4".to_owned(),
        blocksize: block,
        dtype: name_of(dtype).to_owned(),
        shape: shape.to_vec(),
        nested_blocksize: nested.map(|(block, _)| block),
        nested_dtype: nested.map(|_| "float32".to_owned()),
        nested_offset: nested.map(|(_, offset)| offset),
    };
    serde_json::to_vec(&state).expect("strings and numbers are JSON")
}

const DTYPES: [(&str, Dtype); 3] =
    [("float32", Dtype::F32), ("bfloat16", Dtype::BF16), ("float16", Dtype::F16)];

fn dtype(name: &str) -> Option<Dtype> {
    DTYPES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype)
}

/// A type as torch names it.
pub(crate) fn name_of(dtype: Dtype) -> &'static str {
    DTYPES.iter().find(|(_, known)| *known == dtype).map_or("float32", |(name, _)| name)
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [2, 64],
        "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.25}"#;

    fn bytes(n_codes: usize) -> impl Fn(&str) -> Option<(Dtype, &'static [u8])> {
        move |name| match name {
            "" => Some((Dtype::U8, &[0x7f; 64][..n_codes])),
            ".absmax" => Some((Dtype::U8, &[3, 4])),
            ".quant_map" => Some((Dtype::F32, &[0; 64])),
            ".nested_absmax" => Some((Dtype::F32, &[0; 4])),
            ".nested_quant_map" => Some((Dtype::F32, &[0; 1024])),
            _ => None,
        }
    }

    #[test]
    fn a_matrix_is_found_with_its_parts() {
        let state = State::parse(TEXT.as_bytes()).unwrap();
        let view = state.view(bytes(64)).unwrap();
        assert_eq!((view.shape, view.dtype, view.block), ([2, 64], Dtype::BF16, 64));
        assert!(matches!(
            view.factors,
            Nf4FactorsView::Quantized { codes: &[3, 4], offset: 0.25, .. }
        ));
        let written = nf4_state(view.shape, view.dtype, view.block, Some((256, 0.25)));
        assert_eq!(State::parse(&written).unwrap(), state);
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let state = State::parse(TEXT.as_bytes()).unwrap();
        let error = state.view(bytes(63)).unwrap_err();
        assert_eq!(error, "has 63 values of U8 in \"\" where 64 of U8 belong");
        let without = |name: &str| if name == ".nested_absmax" { None } else { bytes(64)(name) };
        assert_eq!(state.view(without).unwrap_err(), "has no \".nested_absmax\"");
    }

    #[test]
    fn a_state_of_something_else_is_refused() {
        for (from, to) in [
            ("nf4", "fp4"),
            ("[2, 64]", "[128]"),
            (": 64,", ": 3,"),
            ("[2, 64]", "[4294967296, 4294967296]"),
        ] {
            let error = State::parse(TEXT.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.starts_with("of ") || error.starts_with("in "), "{error}");
        }
        assert!(State::parse(b"{}").is_err());
    }
}
