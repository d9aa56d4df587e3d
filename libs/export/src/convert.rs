//! From the tensors of a checkpoint to those of two files.

use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use vrft_checkpoint::{Adapter, JsonFile, StoredDtype, TensorFiles, TensorView};

use crate::families::{self, Family};
use crate::gguf::{Stored, Value, Writer};
use crate::text;
use crate::tokenizer::Vocabulary;
use crate::{ExportError, Storage, TensorType};

/// The files that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The language model with its vocabulary.
    pub text: PathBuf,
    /// The vision tower with its projector, which llama.cpp takes as `--mmproj`.
    pub tower: PathBuf,
    /// Tensors that were to be stored in blocks of 8 bits and are in 16, since their rows are no whole number of blocks.
    pub larger: Vec<String>,
}

/// One tensor of a file, and what of a checkpoint's tensor it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) part: Part,
    /// A type that it always has, where that is not the one of its shape.
    pub(crate) kind: Option<TensorType>,
}

/// A part of a checkpoint's tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// These rows.
    Rows(Range<usize>),
    /// This frame of a convolution over frames: (out, in, frame, height, width).
    Frame(usize),
    /// All rows in another order: of each of so many heads, the halves that rotate together are laid side by side.
    Interleaved(usize),
}

impl Piece {
    pub(crate) fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), part: Part::Whole, kind: None }
    }
}

/// The two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Text,
    Tower,
}

/// Writes `model-TYPE.gguf` and `mmproj-TYPE.gguf` into the folder `out`. `pre` is llama.cpp's word for how the tokenizer
/// cuts texts, where it is none of a published model.
///
/// # Errors
/// An adapter that was not merged, files that are absent or damaged, a model that llama.cpp does not have, a weight that
/// 16 bits cannot hold, a folder that cannot be written.
pub fn export_gguf(
    checkpoint: &Path,
    out: &Path,
    storage: Storage,
    pre: Option<&str>,
) -> Result<Files, ExportError> {
    if Adapter::is_in(checkpoint) {
        return Err(ExportError::Adapter(checkpoint.to_owned()));
    }
    let config = vrft_checkpoint::config(checkpoint)?;
    let family = families::of(&config)?;
    let vocabulary = Vocabulary::read(checkpoint, &config)?;
    let tensors = TensorFiles::open(checkpoint)?;
    tensors.check_floats()?;
    let plan = Plan::of(family.as_ref(), &tensors, storage)?;
    let path = |part: &str| out.join(format!("{part}-{}.gguf", storage.name()));
    let files = Files { text: path("model"), tower: path("mmproj"), larger: plan.larger(storage) };
    let name = named(checkpoint);
    let n_rows = plan.n_rows()?;
    let mut of_text = head(family.architecture(), "model", &name, &plan.text);
    of_text.extend(family.text()?);
    of_text.extend(tail(storage));
    of_text.extend(vocabulary.metadata(n_rows, family.splitting(), pre)?);
    let mut of_tower = head("clip", "mmproj", &name, &plan.tower);
    of_tower.extend(family.tower(&pixels(checkpoint)?)?);
    of_tower.extend(tail(storage));
    std::fs::create_dir_all(out).map_err(ExportError::file(out))?;
    let mut text = Writer::create(&files.text, &of_text, &plan.text)?;
    let mut tower = Writer::create(&files.tower, &of_tower, &plan.tower)?;
    tensors.read(|name, view| {
        let Some((target, pieces)) = place(family.as_ref(), name, view.shape())? else {
            return Ok(());
        };
        let weights = floats(&view);
        for piece in &pieces {
            let (writer, stored) = match target {
                Target::Text => (&mut text, &plan.text),
                Target::Tower => (&mut tower, &plan.tower),
            };
            let stored = stored.iter().find(|stored| stored.name == piece.name);
            let kind = stored.map_or(TensorType::F32, |stored| stored.kind);
            let weights = piece.part.of(&weights, view.shape());
            writer.write(&piece.name, &kind.encode(name, &weights)?)?;
        }
        Ok::<(), ExportError>(())
    })?;
    text.finish()?;
    tower.finish()?;
    Ok(files)
}

/// The tensors of both files.
struct Plan {
    text: Vec<Stored>,
    tower: Vec<Stored>,
}

impl Plan {
    fn of(
        family: &dyn Family,
        tensors: &TensorFiles,
        storage: Storage,
    ) -> Result<Self, ExportError> {
        let mut plan = Self { text: Vec::new(), tower: Vec::new() };
        for (name, shape) in tensors.shapes() {
            let Some((target, pieces)) = place(family, &name, &shape)? else { continue };
            for Piece { name, part, kind } in pieces {
                let shape = part.shape(&shape);
                let kind = kind.unwrap_or_else(|| usual(&name, &shape, target, storage));
                let stored = Stored { name, shape, kind };
                match target {
                    Target::Text => plan.text.push(stored),
                    Target::Tower => plan.tower.push(stored),
                }
            }
        }
        Ok(plan)
    }

    /// The names of tensors in 16 bits where blocks of 8 were asked for.
    fn larger(&self, storage: Storage) -> Vec<String> {
        let all = self.text.iter().chain(&self.tower);
        let larger = all.filter(|one| storage == Storage::Q8_0 && one.kind == TensorType::F16);
        larger.map(|one| one.name.clone()).collect()
    }

    /// Rows of the token embeddings.
    fn n_rows(&self) -> Result<usize, ExportError> {
        let table = self.text.iter().find(|stored| stored.name == "token_embd.weight");
        let table = table.ok_or_else(|| {
            ExportError::unsupported("the checkpoint", "one with embeddings of tokens", "none")
        })?;
        Ok(table.shape[0])
    }
}

/// Where a tensor goes and as what; `None` for one that is computed from settings.
fn place(
    family: &dyn Family,
    name: &str,
    shape: &[usize],
) -> Result<Option<(Target, Vec<Piece>)>, ExportError> {
    if name.ends_with("rotary_emb.inv_freq") {
        return Ok(None);
    }
    if let Some(pieces) = family.tower_pieces(name, shape)? {
        return Ok(Some((Target::Tower, pieces)));
    }
    let own = text::name(name);
    let own = own.ok_or_else(|| ExportError::Tensor { name: name.into(), shape: shape.into() })?;
    let part = family.text_part(&own)?;
    Ok(Some((Target::Text, vec![Piece { name: own, part, kind: None }])))
}

/// The type of a tensor: what is not a matrix of weights stays in 32 bits.
fn usual(name: &str, shape: &[usize], target: Target, storage: Storage) -> TensorType {
    let is_patch = target == Target::Tower && name.contains(".patch_embd.weight");
    let is_small =
        shape.len() <= 1 || name.ends_with("_norm.weight") || name.contains("position_embd");
    match (is_small, is_patch) {
        (true, _) => TensorType::F32,
        (false, true) if storage == Storage::F16 => TensorType::F16,
        (false, true) => TensorType::F32,
        (false, false) if !name.ends_with(".weight") => TensorType::F32,
        (false, false) => storage.of_rows(shape.last().copied().unwrap_or(0)),
    }
}

impl Part {
    fn shape(&self, shape: &[usize]) -> Vec<usize> {
        match self {
            Self::Whole | Self::Interleaved(_) => shape.to_vec(),
            Self::Rows(rows) => [&[rows.len()], &shape[1..]].concat(),
            Self::Frame(_) => [&shape[..2], &shape[3..]].concat(),
        }
    }

    /// The weights of the part, in its own order.
    fn of(&self, weights: &[f32], shape: &[usize]) -> Vec<f32> {
        let row: usize = shape.iter().skip(1).product();
        match self {
            Self::Whole => weights.to_vec(),
            Self::Rows(rows) => weights[rows.start * row..rows.end * row].to_vec(),
            Self::Frame(frame) => {
                let pixels: usize = shape[3..].iter().product();
                let filters = weights.chunks(shape[2] * pixels);
                filters
                    .flat_map(|all| &all[frame * pixels..(frame + 1) * pixels])
                    .copied()
                    .collect()
            }
            Self::Interleaved(n_heads) => {
                let half = shape[0] / n_heads / 2;
                let heads = weights.chunks(2 * half * row);
                let order = |n: usize| n % 2 * half + n / 2;
                let rows = heads.flat_map(|head| {
                    (0..2 * half).map(move |n| &head[order(n) * row..(order(n) + 1) * row])
                });
                rows.flatten().copied().collect()
            }
        }
    }
}

fn floats(view: &TensorView<'_>) -> Vec<f32> {
    let data = view.data();
    let pairs = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
    match view.dtype() {
        StoredDtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        StoredDtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        StoredDtype::F64 => {
            let eights = data.as_chunks::<8>().0.iter();
            eights.map(|b| f64::from_le_bytes(*b) as f32).collect()
        }
        _ => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

/// What both files begin with.
fn head(arch: &str, kind: &str, name: &str, tensors: &[Stored]) -> Vec<(String, Value)> {
    let n: usize = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
    let text = |key: &str, text: &str| (format!("general.{key}"), Value::Text(text.to_owned()));
    vec![
        text("architecture", arch),
        text("type", kind),
        text("name", name),
        text("size_label", &size_label(n as f64)),
    ]
}

fn tail(storage: Storage) -> Vec<(String, Value)> {
    let number = |key: &str, n: u32| (format!("general.{key}"), Value::U32(n));
    vec![number("file_type", storage.file_type()), number("quantization_version", 2)]
}

/// The number of weights in two digits, as in `3.1B`.
fn size_label(n: f64) -> String {
    let units = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")];
    let (unit, word) = units.into_iter().find(|(unit, _)| n > *unit).unwrap_or((1e3, "K"));
    let scaled = n / unit;
    let whole = scaled.round_ties_even();
    let digits = if whole < 1.0 { 0 } else { format!("{whole}").len() };
    format!("{scaled:.*}{word}", 2_usize.saturating_sub(digits))
}

/// Settings of the pictures: the newer file wins where both are there.
fn pixels(checkpoint: &Path) -> Result<Vec<JsonFile>, ExportError> {
    let names = ["processor_config.json", "preprocessor_config.json"];
    let files = names.map(|name| JsonFile::read(&checkpoint.join(name)));
    Ok(files.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn named(checkpoint: &Path) -> String {
    let whole = checkpoint.canonicalize().unwrap_or_else(|_| checkpoint.to_owned());
    whole.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_tensor_are_taken_in_their_order() {
        let weights: Vec<f32> = (0..16_u8).map(f32::from).collect();
        assert_eq!(Part::Rows(1..2).of(&weights, &[4, 4]), [4.0, 5.0, 6.0, 7.0]);
        // Two filters, one channel, two frames of 2 × 2.
        let frame = Part::Frame(1);
        assert_eq!(frame.of(&weights, &[2, 1, 2, 2, 2]), [4., 5., 6., 7., 12., 13., 14., 15.]);
        assert_eq!(frame.shape(&[2, 1, 2, 2, 2]), [2, 1, 2, 2]);
        // Two heads of four rows: rows 0 and 2 rotate together, and rows 1 and 3.
        let rows = Part::Interleaved(2).of(&weights[..8], &[8, 1]);
        assert_eq!(rows, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }

    #[test]
    fn sizes_have_two_digits() {
        let labels = [79_000.0, 3.1e9, 494e6, 25_000.0, 500.0].map(size_label);
        assert_eq!(labels, ["79K", "3.1B", "494M", "25K", "0.50K"]);
    }
}
