//! What is special to each model family: what llama.cpp calls it, and where the tensors of its tower go.

mod qwen2_vl;
mod qwen3_vl;
mod smolvlm;

use vrft_checkpoint::{JsonFile, Keys};

use crate::ExportError;
use crate::convert::{Part, Piece};
use crate::gguf::Value;
use crate::tokenizer::Splitting;

/// The words that llama.cpp has for how texts are cut into byte pairs, as of its commit 00ad355; it opens no file with another.
pub(crate) const SPLITTINGS: [&str; 90] = [
    "a.x-4.0",
    "afmoe",
    "bailingmoe",
    "bailingmoe2",
    "bloom",
    "chameleon",
    "chatglm-bpe",
    "codeshell",
    "cohere2moe",
    "command-r",
    "dbrx",
    "deepseek-coder",
    "deepseek-llm",
    "deepseek-r1-qwen",
    "deepseek-v3",
    "default",
    "exaone",
    "exaone-moe",
    "exaone4",
    "f2llmv2",
    "falcon",
    "falcon-h1",
    "falcon3",
    "gemma4",
    "gigachat",
    "glm4",
    "gpt-2",
    "gpt-4o",
    "gpt3-finnish",
    "granite-docling",
    "granite-embed-multi-311m",
    "granite-embed-multi-97m",
    "grok-2",
    "hunyuan",
    "hunyuan-dense",
    "hy_v4",
    "jais",
    "jais-2",
    "jina-de",
    "jina-es",
    "jina-v1-en",
    "jina-v2-code",
    "jina-v2-de",
    "jina-v2-es",
    "jina-v5-nano",
    "joyai-llm",
    "kanana2",
    "kimi-k2",
    "kormo",
    "laguna",
    "lfm2",
    "llada-moe",
    "llama-bpe",
    "llama-v3",
    "llama3",
    "llama4",
    "megrez",
    "mellum",
    "mellum2",
    "midm-2.0",
    "minerva-7b",
    "minicpm5",
    "minimax-m2",
    "modern-bert",
    "mpt",
    "olmo",
    "phi-2",
    "pixtral",
    "poro-chat",
    "qwen2",
    "qwen35",
    "refact",
    "roberta-bpe",
    "sarvam-moe",
    "seed-coder",
    "smaug-bpe",
    "smollm",
    "solar-open",
    "spark2_5",
    "stablelm2",
    "starcoder",
    "superbpe",
    "talkie",
    "tekken",
    "tiny_aya",
    "trillion",
    "ufakzeka",
    "viking",
    "whitespace",
    "youtu",
];

/// One family, with the settings of one checkpoint.
pub(crate) trait Family {
    /// What llama.cpp calls the kind of the language model.
    fn architecture(&self) -> &'static str;

    /// The settings of the language model.
    fn text(&self) -> Result<Vec<(String, Value)>, ExportError>;

    /// The settings of the tower; `pixels` are the files that say how pictures are scaled.
    fn tower(&self, pixels: &[JsonFile]) -> Result<Vec<(String, Value)>, ExportError>;

    /// What becomes of a tensor of the tower; `None` for one of the language model.
    fn tower_pieces(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<Piece>>, ExportError>;

    /// What part of a tensor of the language model llama.cpp wants, by its own name of it.
    fn text_part(&self, _name: &str) -> Result<Part, ExportError> {
        Ok(Part::Whole)
    }

    /// How the family's tokenizers cut texts.
    fn splitting(&self) -> Splitting;
}

/// The family of a checkpoint.
///
/// # Errors
/// A `model_type` that llama.cpp is not served with here.
pub(crate) fn of(config: &JsonFile) -> Result<Box<dyn Family>, ExportError> {
    let kind = config.value()["model_type"].as_str().unwrap_or("nothing");
    match kind {
        "qwen2_vl" | "qwen2_5_vl" => Ok(Box::new(qwen2_vl::Qwen2Vl::new(config.clone()))),
        "qwen3_vl" => Ok(Box::new(qwen3_vl::Qwen3Vl::new(config.clone()))),
        "smolvlm" | "idefics3" => Ok(Box::new(smolvlm::SmolVlm::new(config.clone()))),
        other => Err(ExportError::unsupported(
            "config.json: model_type",
            "qwen2_vl, qwen2_5_vl, qwen3_vl, smolvlm or idefics3",
            other,
        )),
    }
}

/// The keys of the language model: in a section of their own, or at the top in files of an older age.
fn text_keys(config: &JsonFile) -> Keys<'_> {
    let keys = config.keys();
    keys.section("text_config").or(&keys)
}

/// Settings that all towers have.
struct TowerSizes {
    image_size: usize,
    patch_size: usize,
    width: usize,
    feed_forward: usize,
    n_blocks: usize,
    n_heads: usize,
}

fn tower_metadata(
    config: &JsonFile,
    sizes: &TowerSizes,
    pixels: &[JsonFile],
) -> Result<Vec<(String, Value)>, ExportError> {
    let number = |key: &str, n: usize| (format!("clip.vision.{key}"), Value::U32(n as u32));
    let mut out = vec![
        ("clip.has_vision_encoder".to_owned(), Value::Bool(true)),
        number("projection_dim", text_keys(config).required_size("hidden_size")?),
        number("image_size", sizes.image_size),
        number("patch_size", sizes.patch_size),
        number("embedding_length", sizes.width),
        number("feed_forward_length", sizes.feed_forward),
        number("block_count", sizes.n_blocks),
        number("attention.head_count", sizes.n_heads),
    ];
    for key in ["image_mean", "image_std"] {
        let list = pixel_setting(pixels, key).and_then(|list| list.as_array());
        let list = list.and_then(|list| {
            list.iter().map(|value| Some(Value::F32(value.as_f64()? as f32))).collect()
        });
        let list = list.ok_or_else(|| {
            let what = format!("preprocessor_config.json: {key}");
            ExportError::unsupported(&what, "a list of numbers", "nothing")
        })?;
        out.push((format!("clip.vision.{key}"), Value::List(list)));
    }
    Ok(out)
}

/// A setting of pictures, from the first file that has it, at the top or in a section for images.
fn pixel_setting<'a>(pixels: &'a [JsonFile], key: &str) -> Option<&'a serde_json::Value> {
    pixels.iter().find_map(|file| {
        let value = file.value();
        value["image_processor"].get(key).or_else(|| value.get(key))
    })
}

/// A name within a tower's block, `N.rest`, as llama.cpp's `v.blk.N.TOLD.END`.
fn of_block(rest: &str, names: &[(&str, &str)]) -> Option<String> {
    let (block, rest) = rest.split_once('.')?;
    block.parse::<u32>().ok()?;
    let (module, end) = rest.rsplit_once('.')?;
    let (_, told) = names.iter().find(|(known, _)| *known == module)?;
    Some(format!("v.blk.{block}.{told}.{end}"))
}

/// Rules that cut texts by one regular expression, and then know bytes alone.
fn is_split_by(rules: &serde_json::Value, pattern: &str) -> bool {
    let steps = rules["pretokenizers"].as_array();
    steps.into_iter().flatten().any(|step| step["pattern"]["Regex"] == pattern)
}

fn unknown(name: &str, shape: &[usize]) -> ExportError {
    ExportError::Tensor { name: name.to_owned(), shape: shape.to_vec() }
}
