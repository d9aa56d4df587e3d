//! How numbers are stored: floats of 32 and 16 bits, and blocks of 8-bit integers with a scale.

use half::f16;

use crate::ExportError;

/// What most weights of an exported model are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Floats of 16 bits.
    F16,
    /// Integers of 8 bits, 32 of them with one scale.
    Q8_0,
}

/// The type of one tensor in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorType {
    /// Floats of 32 bits: norms, biases, tables of positions.
    F32,
    /// Floats of 16 bits.
    F16,
    /// Blocks of 32 weights: a scale of 16 bits, then as many integers of 8 bits.
    Q8_0,
}

/// Weights that share a scale.
pub(crate) const BLOCK: usize = 32;

/// The largest integer of a block.
const MOST: f32 = 127.0;

impl Storage {
    /// As file names and llama.cpp call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// llama.cpp's number of a file most of whose weights are so.
    pub(crate) fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q8_0 => 7,
        }
    }

    /// The type of a matrix whose rows have so many weights: blocks do not go over the end of a row.
    pub(crate) fn of_rows(self, length: usize) -> TensorType {
        match self {
            Self::Q8_0 if length.is_multiple_of(BLOCK) => TensorType::Q8_0,
            Self::F16 | Self::Q8_0 => TensorType::F16,
        }
    }
}

impl TensorType {
    /// The number of the type in the format.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
        }
    }

    pub(crate) fn of_number(number: u32) -> Option<Self> {
        [Self::F32, Self::F16, Self::Q8_0].into_iter().find(|kind| kind.number() == number)
    }

    /// Bytes of so many weights; of blocks, whole ones.
    pub(crate) fn n_bytes(self, n: usize) -> usize {
        match self {
            Self::F32 => 4 * n,
            Self::F16 => 2 * n,
            Self::Q8_0 => n / BLOCK * (BLOCK + 2),
        }
    }

    /// The weights of a tensor as bytes.
    ///
    /// # Errors
    /// A finite weight that 16 bits cannot hold.
    pub(crate) fn encode(self, name: &str, weights: &[f32]) -> Result<Vec<u8>, ExportError> {
        let mut bytes = Vec::with_capacity(self.n_bytes(weights.len()));
        match self {
            Self::F32 => weights.iter().for_each(|w| bytes.extend(w.to_le_bytes())),
            Self::F16 => {
                for weight in weights {
                    bytes.extend(narrow(name, *weight)?.to_le_bytes());
                }
            }
            Self::Q8_0 => {
                for block in weights.chunks(BLOCK) {
                    let most = block.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
                    let scale = most / MOST;
                    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
                    bytes.extend(narrow(name, scale)?.to_le_bytes());
                    // `round` goes away from zero at a half, as llama.cpp does.
                    bytes.extend(block.iter().map(|w| (w * inverse).round() as i8 as u8));
                }
            }
        }
        Ok(bytes)
    }
}

fn narrow(name: &str, weight: f32) -> Result<f16, ExportError> {
    let narrow = f16::from_f32(weight);
    let fits = narrow.is_finite() || !weight.is_finite();
    if fits { Ok(narrow) } else { Err(ExportError::TooLarge(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_the_scale_of_its_largest_weight() {
        let mut weights = [0.0_f32; BLOCK];
        (weights[0], weights[1], weights[2]) = (-254.0, 3.0, 1.0);
        let bytes = TensorType::Q8_0.encode("t", &weights).unwrap();
        assert_eq!(bytes.len(), TensorType::Q8_0.n_bytes(BLOCK));
        assert_eq!(f16::from_le_bytes([bytes[0], bytes[1]]), f16::from_f32(2.0));
        // 1.5 and 0.5 are rounded away from zero.
        assert_eq!(bytes[2..6].iter().map(|b| *b as i8).collect::<Vec<_>>(), [-127, 2, 1, 0]);
        let zeros = TensorType::Q8_0.encode("t", &[0.0; BLOCK]).unwrap();
        assert!(zeros.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_weight_that_does_not_fit_is_named() {
        let error = TensorType::F16.encode("layer.weight", &[1e6]).unwrap_err().to_string();
        assert!(error.contains("layer.weight"), "{error}");
    }

    #[test]
    fn rows_that_are_no_whole_blocks_are_floats() {
        assert_eq!(Storage::Q8_0.of_rows(64), TensorType::Q8_0);
        assert_eq!(Storage::Q8_0.of_rows(48), TensorType::F16);
        assert_eq!(Storage::F16.of_rows(64), TensorType::F16);
    }
}
