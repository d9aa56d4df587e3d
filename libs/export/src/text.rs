//! The language model: every family has a decoder of the same parts, under other names.

use vrft_checkpoint::Keys;

use crate::ExportError;
use crate::gguf::Value;

/// What the names of a decoder's tensors may begin with, in files of all ages.
const PREFIXES: [&str; 6] = [
    "model.language_model.",
    "language_model.model.",
    "model.text_model.",
    "language_model.",
    "text_model.",
    "model.",
];

/// Modules of a decoder layer, and llama.cpp's names for them.
const OF_LAYER: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// llama.cpp's name of a decoder's tensor; `None` for a tensor of another part.
pub(crate) fn name(name: &str) -> Option<String> {
    if name.ends_with("lm_head.weight") {
        return Some("output.weight".to_owned());
    }
    let rest = PREFIXES.iter().find_map(|prefix| {
        let rest = name.strip_prefix(prefix)?;
        let is_part = ["embed_tokens.", "layers.", "norm."].iter().any(|p| rest.starts_with(p));
        is_part.then_some(rest)
    })?;
    let (module, end) = rest.rsplit_once('.')?;
    match module {
        "embed_tokens" => Some(format!("token_embd.{end}")),
        "norm" => Some(format!("output_norm.{end}")),
        _ => {
            let (layer, module) = module.strip_prefix("layers.")?.split_once('.')?;
            layer.parse::<u32>().ok()?;
            let (_, told) = OF_LAYER.iter().find(|(known, _)| *known == module)?;
            Some(format!("blk.{layer}.{told}.{end}"))
        }
    }
}

/// The settings of a decoder: `arch` is what llama.cpp calls its kind, `keys` are those of the text model.
///
/// # Errors
/// A key that is absent or wrong, positions that are scaled.
pub(crate) fn metadata(keys: &Keys<'_>, arch: &str) -> Result<Vec<(String, Value)>, ExportError> {
    let mut out = Vec::new();
    let mut add = |key: &str, value: Value| out.push((format!("{arch}.{key}"), value));
    let size = |key: &str| keys.required_size(key).map(|size| Value::U32(size as u32));
    add("block_count", size("num_hidden_layers")?);
    add("context_length", size("max_position_embeddings")?);
    add("embedding_length", size("hidden_size")?);
    add("feed_forward_length", size("intermediate_size")?);
    add("attention.head_count", size("num_attention_heads")?);
    if keys.get("num_key_value_heads").is_some() {
        add("attention.head_count_kv", size("num_key_value_heads")?);
    }
    let rope = keys.section("rope_parameters").or(&keys.section("rope_scaling"));
    let kind = rope.get("rope_type").or(rope.get("type")).and_then(|kind| kind.as_str());
    if let Some(kind) = kind.filter(|kind| !["default", "mrope"].contains(kind)) {
        return Err(ExportError::unsupported("rope_type", "default or mrope", kind));
    }
    if let Some(sections) = rope.get("mrope_section").and_then(|list| list.as_array()) {
        // Four axes: time, height, width, and one that is not used.
        let sections = sections.iter().map(|n| n.as_u64().unwrap_or(0) as i32).chain([0; 4]);
        let sections = sections.take(4).map(Value::I32).collect();
        add("rope.dimension_sections", Value::List(sections));
    }
    let theta = match rope.number("rope_theta")? {
        Some(theta) => Some(theta),
        None => keys.number("rope_theta")?,
    };
    if let Some(theta) = theta {
        add("rope.freq_base", Value::F32(theta as f32));
    }
    let eps = keys.positive("rms_norm_eps")?;
    let eps = eps.ok_or_else(|| ExportError::unsupported("rms_norm_eps", "a number", "nothing"))?;
    add("attention.layer_norm_rms_epsilon", Value::F32(eps as f32));
    if keys.get("head_dim").is_some() {
        add("attention.key_length", size("head_dim")?);
        add("attention.value_length", size("head_dim")?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_ages_have_the_same_decoder() {
        for prefix in PREFIXES {
            let got = name(&format!("{prefix}layers.7.self_attn.q_proj.bias"));
            assert_eq!(got.as_deref(), Some("blk.7.attn_q.bias"), "{prefix}");
            let got = name(&format!("{prefix}embed_tokens.weight"));
            assert_eq!(got.as_deref(), Some("token_embd.weight"), "{prefix}");
        }
        assert_eq!(name("lm_head.weight").as_deref(), Some("output.weight"));
        assert_eq!(name("visual.blocks.0.norm1.weight"), None);
        assert_eq!(name("model.layers.0.self_attn.other.weight"), None);
    }
}
