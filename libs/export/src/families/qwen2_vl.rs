//! Qwen2-VL and Qwen2.5-VL.

use serde_json::Value as Json;
use vrft_checkpoint::JsonFile;

use super::{Family, TowerSizes, is_split_by, of_block, text_keys, tower_metadata, unknown};
use crate::convert::{Part, Piece};
use crate::gguf::Value;
use crate::tokenizer::Splitting;
use crate::{ExportError, text};

const NEWER: &str = "qwen2_5_vl";

/// The pattern by which all tokenizers of Qwen2 and later cut texts.
const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Both sides of the picture for which llama.cpp reserves memory before it sees one.
const IMAGE_SIZE: usize = 560;

const OF_BLOCK: [(&str, &str); 8] = [
    ("attn.proj", "attn_out"),
    ("norm1", "ln1"),
    ("norm2", "ln2"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

const OF_TOWER: [(&str, &str); 3] =
    [("merger.ln_q", "v.post_ln"), ("merger.mlp.0", "mm.0"), ("merger.mlp.2", "mm.2")];

/// A checkpoint of the family.
pub(super) struct Qwen2Vl {
    config: JsonFile,
}

impl Qwen2Vl {
    pub(super) fn new(config: JsonFile) -> Self {
        Self { config }
    }

    fn is_newer(&self) -> bool {
        self.config.value()["model_type"] == NEWER
    }

    /// How many blocks there are from one that sees the whole picture to the next; all blocks between see windows.
    fn window_pattern(&self) -> Result<u32, ExportError> {
        let key = "fullatt_block_indexes";
        let list = &self.config.value()["vision_config"][key];
        let blocks = list.as_array().into_iter().flatten();
        let blocks: Vec<u64> = blocks.filter_map(Json::as_u64).collect();
        let pattern = blocks.first().map_or(0, |first| first + 1);
        let is_even = blocks.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(pattern));
        if pattern == 0 || !is_even {
            let what = format!("vision_config.{key}");
            return Err(ExportError::unsupported(&what, "evenly spaced blocks", list));
        }
        Ok(pattern as u32)
    }
}

impl Family for Qwen2Vl {
    fn architecture(&self) -> &'static str {
        "qwen2vl"
    }

    fn text(&self) -> Result<Vec<(String, Value)>, ExportError> {
        text::metadata(&text_keys(&self.config), self.architecture())
    }

    fn tower(&self, pixels: &[JsonFile]) -> Result<Vec<(String, Value)>, ExportError> {
        let keys = self.config.keys();
        let vision = keys.section("vision_config");
        // In the older one `hidden_size` is that of the language model.
        let (width, feed_forward) = if self.is_newer() {
            (vision.required_size("hidden_size")?, vision.required_size("intermediate_size")?)
        } else {
            (vision.required_size("embed_dim")?, vision.required_size("hidden_size")?)
        };
        let sizes = TowerSizes {
            image_size: vision.size("image_size")?.unwrap_or(IMAGE_SIZE),
            patch_size: vision.required_size("patch_size")?,
            width,
            feed_forward,
            n_blocks: vision.required_size("depth")?,
            n_heads: vision.required_size("num_heads")?,
        };
        let mut out = tower_metadata(&self.config, &sizes, pixels)?;
        let kind = if self.is_newer() { "qwen2.5vl_merger" } else { "qwen2vl_merger" };
        out.push(("clip.projector_type".into(), Value::Text(kind.into())));
        if self.is_newer() {
            out.push(("clip.use_silu".into(), Value::Bool(true)));
            out.push(("clip.vision.n_wa_pattern".into(), Value::U32(self.window_pattern()?)));
        }
        let eps = keys.number("rms_norm_eps")?.unwrap_or(1e-6);
        out.push(("clip.vision.attention.layer_norm_epsilon".into(), Value::F32(eps as f32)));
        Ok(out)
    }

    fn tower_pieces(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<Piece>>, ExportError> {
        let Some((_, rest)) = name.split_once("visual.") else { return Ok(None) };
        if rest == "patch_embed.proj.weight" {
            return frames(name, shape).map(Some);
        }
        if let Some(block) = rest.strip_prefix("blocks.") {
            if let Some((block, end)) = block.split_once(".attn.qkv.") {
                let third = shape[0] / 3;
                let piece = |n: usize, which: &str| Piece {
                    name: format!("v.blk.{block}.attn_{which}.{end}"),
                    part: Part::Rows(n * third..(n + 1) * third),
                    kind: None,
                };
                return Ok(Some(vec![piece(0, "q"), piece(1, "k"), piece(2, "v")]));
            }
            let told = of_block(block, &OF_BLOCK).ok_or_else(|| unknown(name, shape))?;
            return Ok(Some(vec![Piece::whole(told)]));
        }
        let (module, end) = rest.rsplit_once('.').ok_or_else(|| unknown(name, shape))?;
        let told = OF_TOWER.iter().find(|(known, _)| *known == module);
        let (_, told) = told.ok_or_else(|| unknown(name, shape))?;
        Ok(Some(vec![Piece::whole(format!("{told}.{end}"))]))
    }

    fn splitting(&self) -> Splitting {
        splitting
    }
}

/// llama.cpp's word for the family's rules.
pub(super) fn splitting(rules: &Json) -> Option<&'static str> {
    is_split_by(rules, PATTERN).then_some("qwen2")
}

/// A convolution over two frames is two over one.
pub(super) fn frames(name: &str, shape: &[usize]) -> Result<Vec<Piece>, ExportError> {
    if shape.len() != 5 || shape[2] != 2 {
        return Err(unknown(name, shape));
    }
    let piece = |frame: usize, name: &str| Piece {
        name: name.to_owned(),
        part: Part::Frame(frame),
        kind: None,
    };
    Ok(vec![piece(0, "v.patch_embd.weight"), piece(1, "v.patch_embd.weight.1")])
}
