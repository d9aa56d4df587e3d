//! SmolVLM, SmolVLM2 and Idefics3: a SigLIP tower, a pixel shuffle, a Llama decoder.

use serde_json::Value as Json;
use vrft_checkpoint::JsonFile;

use super::{
    Family, TowerSizes, is_split_by, of_block, pixel_setting, text_keys, tower_metadata, unknown,
};
use crate::convert::{Part, Piece};
use crate::gguf::Value;
use crate::tokenizer::Splitting;
use crate::{ExportError, TensorType, text};

/// The pattern of Llama 3, which Idefics3 has.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Rows of the embeddings of a vocabulary before which no token is put.
const WITHOUT_BOS: usize = 49152;

const OF_BLOCK: [(&str, &str); 8] = [
    ("layer_norm1", "ln1"),
    ("layer_norm2", "ln2"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.out_proj", "attn_out"),
];

/// A checkpoint of the family.
pub(super) struct SmolVlm {
    config: JsonFile,
}

impl SmolVlm {
    pub(super) fn new(config: JsonFile) -> Self {
        Self { config }
    }

    /// A size of the tower; published files leave out what is as in transformers.
    fn size(&self, key: &str, default: usize) -> Result<usize, ExportError> {
        Ok(self.config.keys().section("vision_config").size(key)?.unwrap_or(default))
    }
}

impl Family for SmolVlm {
    fn architecture(&self) -> &'static str {
        "llama"
    }

    fn text(&self) -> Result<Vec<(String, Value)>, ExportError> {
        let keys = text_keys(&self.config);
        let mut out = text::metadata(&keys, self.architecture())?;
        let n_rows = keys.required_size("vocab_size")?;
        let head_dim = match keys.size("head_dim")? {
            Some(head_dim) => head_dim,
            None => {
                keys.required_size("hidden_size")? / keys.required_size("num_attention_heads")?
            }
        };
        out.push(("llama.vocab_size".into(), Value::U32(n_rows as u32)));
        out.push(("llama.rope.dimension_count".into(), Value::U32(head_dim as u32)));
        if n_rows == WITHOUT_BOS {
            out.push(("tokenizer.ggml.add_bos_token".into(), Value::Bool(false)));
        }
        Ok(out)
    }

    fn tower(&self, pixels: &[JsonFile]) -> Result<Vec<(String, Value)>, ExportError> {
        let keys = self.config.keys();
        let image_size = self.size("image_size", 224)?;
        let sizes = TowerSizes {
            image_size,
            patch_size: self.size("patch_size", 32)?,
            width: self.size("hidden_size", 1152)?,
            feed_forward: self.size("intermediate_size", 3072)?,
            n_blocks: self.size("num_hidden_layers", 12)?,
            n_heads: self.size("num_attention_heads", 16)?,
        };
        let mut out = tower_metadata(&self.config, &sizes, pixels)?;
        let eps = keys.section("vision_config").number("layer_norm_eps")?.unwrap_or(1e-5);
        let merge = keys.size("scale_factor")?.unwrap_or(2) as u32;
        let longest = pixel_setting(pixels, "size").and_then(|size| size["longest_edge"].as_u64());
        let longest = longest.unwrap_or(image_size as u64) as u32;
        out.extend([
            ("clip.projector_type".into(), Value::Text("idefics3".into())),
            ("clip.vision.attention.layer_norm_epsilon".into(), Value::F32(eps as f32)),
            ("clip.vision.projector.scale_factor".into(), Value::U32(merge)),
            ("clip.use_gelu".into(), Value::Bool(true)),
            ("clip.vision.preproc_image_size".into(), Value::U32(longest)),
        ]);
        Ok(out)
    }

    fn tower_pieces(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<Piece>>, ExportError> {
        if name.ends_with("connector.modality_projection.proj.weight") {
            return Ok(Some(vec![Piece::whole("mm.model.fc.weight")]));
        }
        let Some((_, rest)) = name.split_once("vision_model.") else { return Ok(None) };
        if let Some(block) = rest.strip_prefix("encoder.layers.") {
            let told = of_block(block, &OF_BLOCK).ok_or_else(|| unknown(name, shape))?;
            return Ok(Some(vec![Piece::whole(told)]));
        }
        let wide = |told: &str| Piece { kind: Some(TensorType::F32), ..Piece::whole(told) };
        let piece = match rest {
            "embeddings.patch_embedding.weight" => wide("v.patch_embd.weight"),
            "embeddings.patch_embedding.bias" => wide("v.patch_embd.bias"),
            "embeddings.position_embedding.weight" => wide("v.position_embd.weight"),
            "post_layernorm.weight" => Piece::whole("v.post_ln.weight"),
            "post_layernorm.bias" => Piece::whole("v.post_ln.bias"),
            _ => return Err(unknown(name, shape)),
        };
        Ok(Some(vec![piece]))
    }

    /// llama.cpp's Llama rotates neighbors, transformers' the halves of a head.
    fn text_part(&self, name: &str) -> Result<Part, ExportError> {
        let keys = text_keys(&self.config);
        let n_heads = keys.required_size("num_attention_heads")?;
        if name.contains(".attn_q.") {
            return Ok(Part::Interleaved(n_heads));
        }
        if name.contains(".attn_k.") {
            return Ok(Part::Interleaved(keys.size("num_key_value_heads")?.unwrap_or(n_heads)));
        }
        Ok(Part::Whole)
    }

    fn splitting(&self) -> Splitting {
        |rules: &Json| {
            let steps = rules["pretokenizers"].as_array()?;
            let is = |n: usize, kind: &str| steps.get(n).is_some_and(|step| step["type"] == kind);
            if is_split_by(rules, LLAMA3) {
                return Some("llama-bpe");
            }
            let is_single = is(0, "Digits") && steps[0]["individual_digits"] == true;
            let has_words = is(1, "ByteLevel") && steps[1]["use_regex"] == true;
            (is_single && has_words && steps.len() == 2).then_some("smollm")
        }
    }
}
