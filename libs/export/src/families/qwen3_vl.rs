//! Qwen3-VL.

use vrft_checkpoint::JsonFile;

use super::qwen2_vl::{frames, splitting};
use super::{Family, TowerSizes, of_block, text_keys, tower_metadata, unknown};
use crate::convert::Piece;
use crate::gguf::Value;
use crate::tokenizer::Splitting;
use crate::{ExportError, text};

const OF_BLOCK: [(&str, &str); 6] = [
    ("attn.qkv", "attn_qkv"),
    ("attn.proj", "attn_out"),
    ("norm1", "ln1"),
    ("norm2", "ln2"),
    ("mlp.linear_fc1", "ffn_up"),
    ("mlp.linear_fc2", "ffn_down"),
];

const OF_TOWER: [(&str, &str); 5] = [
    ("patch_embed.proj", "v.patch_embd"),
    ("pos_embed", "v.position_embd"),
    ("merger.norm", "v.post_ln"),
    ("merger.linear_fc1", "mm.0"),
    ("merger.linear_fc2", "mm.2"),
];

const OF_DEEPSTACK: [(&str, &str); 3] =
    [("norm", "norm"), ("linear_fc1", "fc1"), ("linear_fc2", "fc2")];

/// A checkpoint of the family.
pub(super) struct Qwen3Vl {
    config: JsonFile,
}

impl Qwen3Vl {
    pub(super) fn new(config: JsonFile) -> Self {
        Self { config }
    }

    /// Blocks of the tower after which features are taken out, in the order of their mergers.
    fn deepstack(&self) -> Vec<usize> {
        let list = self.config.value()["vision_config"]["deepstack_visual_indexes"].as_array();
        let blocks = list.into_iter().flatten().filter_map(|block| block.as_u64());
        blocks.map(|block| block as usize).collect()
    }
}

impl Family for Qwen3Vl {
    fn architecture(&self) -> &'static str {
        "qwen3vl"
    }

    fn text(&self) -> Result<Vec<(String, Value)>, ExportError> {
        let mut out = text::metadata(&text_keys(&self.config), self.architecture())?;
        let n = self.deepstack().len() as u32;
        out.push(("qwen3vl.n_deepstack_layers".into(), Value::U32(n)));
        Ok(out)
    }

    fn tower(&self, pixels: &[JsonFile]) -> Result<Vec<(String, Value)>, ExportError> {
        let vision = self.config.keys().section("vision_config");
        let patch_size = vision.required_size("patch_size")?;
        let n_positions = vision.required_size("num_position_embeddings")? as f64;
        let n_blocks = vision.required_size("depth")?;
        let sizes = TowerSizes {
            image_size: (n_positions.sqrt() * patch_size as f64) as usize,
            patch_size,
            width: vision.required_size("hidden_size")?,
            feed_forward: vision.required_size("intermediate_size")?,
            n_blocks,
            n_heads: vision.required_size("num_heads")?,
        };
        let mut out = tower_metadata(&self.config, &sizes, pixels)?;
        let merge = vision.required_size("spatial_merge_size")? as u32;
        let eps = text_keys(&self.config).number("rms_norm_eps")?.unwrap_or(1e-6);
        let taken = self.deepstack();
        let is_taken = (0..n_blocks).map(|block| Value::Bool(taken.contains(&block))).collect();
        out.extend([
            ("clip.projector_type".into(), Value::Text("qwen3vl_merger".into())),
            ("clip.use_gelu".into(), Value::Bool(true)),
            ("clip.vision.spatial_merge_size".into(), Value::U32(merge)),
            ("clip.vision.attention.layer_norm_epsilon".into(), Value::F32(eps as f32)),
            ("clip.vision.is_deepstack_layers".into(), Value::List(is_taken)),
        ]);
        Ok(out)
    }

    fn tower_pieces(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<Piece>>, ExportError> {
        let Some((_, rest)) = name.split_once("visual.") else { return Ok(None) };
        if rest == "patch_embed.proj.weight" {
            return frames(name, shape).map(Some);
        }
        let told = if let Some(block) = rest.strip_prefix("blocks.") {
            of_block(block, &OF_BLOCK)
        } else if let Some(merger) = rest.strip_prefix("deepstack_merger_list.") {
            self.of_deepstack(merger)
        } else {
            rest.rsplit_once('.').and_then(|(module, end)| {
                let (_, told) = OF_TOWER.iter().find(|(known, _)| *known == module)?;
                Some(format!("{told}.{end}"))
            })
        };
        let told = told.ok_or_else(|| unknown(name, shape))?;
        Ok(Some(vec![Piece::whole(told)]))
    }

    fn splitting(&self) -> Splitting {
        splitting
    }
}

impl Qwen3Vl {
    /// llama.cpp counts mergers by the blocks that they follow.
    fn of_deepstack(&self, rest: &str) -> Option<String> {
        let (merger, rest) = rest.split_once('.')?;
        let block = *self.deepstack().get(merger.parse::<usize>().ok()?)?;
        let (module, end) = rest.split_once('.')?;
        let (_, told) = OF_DEEPSTACK.iter().find(|(known, _)| *known == module)?;
        Some(format!("v.deepstack.{block}.{told}.{end}"))
    }
}
