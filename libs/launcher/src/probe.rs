//! `vrft probe`: logits and gradients of a checkpoint for one conversation, to compare them with those of transformers.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use eyre::{WrapErr, ensure};
use serde::Deserialize;
use serde_json::Value;
use vrft_kernels::Gradients;
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_processor::{Conversation, EncodedPrompt, Processor};

use crate::cli::{ProbeOptions, StorageType};
use crate::print::say;

/// The file that is asked with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    messages: Value,
    #[serde(default)]
    completion: Option<String>,
}

/// Writes input ids, logits, loss and gradients.
pub(crate) fn probe(options: &ProbeOptions) -> eyre::Result<()> {
    ensure!(
        !(options.device == vrft_plan::Device::Cpu && matches!(options.dtype, StorageType::F16)),
        "--dtype f16: the CPU computes in f32 or bf16; f16 is for --device cuda"
    );
    let path = &options.request;
    let request =
        std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read {path:?}"))?;
    let request: Request = serde_json::from_str(&request).wrap_err_with(|| format!("{path:?}"))?;
    let base = options.loading.base.as_deref();
    let checkpoint = options.loading.find(&options.checkpoint)?.checkpoint;
    let processor = Processor::load_beside(&checkpoint, base)?;
    let prompt = encode(&processor, &request.messages, path)?;
    let completion = request.completion.as_deref().map(|text| processor.encode_text(text));
    let completion = completion.transpose()?.unwrap_or_default();
    let asked = !completion.is_empty();
    ensure!(
        asked || !options.gradients,
        "{path:?}: --gradients needs a completion that is not empty"
    );
    let policy = Policy::load_beside(
        &checkpoint,
        base,
        &LoadOptions {
            dtype: options.dtype.into(),
            device: vrft_model::open_device("--device", options.device)?,
            trainable: options.gradients,
            quantization: vrft_checkpoint::Quantization::None,
            freeze_vision: false,
            lora: None,
            prompt_tuning: None,
            feature_cache_mib: 0,
            prefix_cache_mib: 0,
        },
    )?;
    let whole = prompt.followed_by(&completion);
    let ids: Vec<i64> = whole.token_ids.iter().map(|id| i64::from(*id)).collect();
    let mut tensors = BTreeMap::from([("input_ids".to_owned(), Tensor::new(ids, &Device::Cpu)?)]);
    tensors.extend(policy.trace(&whole)?.logits.map(|logits| ("logits".to_owned(), logits)));
    if asked {
        tensors.extend(loss(&policy, &prompt, &completion)?);
    }
    safetensors::serialize_to_file(&tensors, None, &options.out)
        .wrap_err_with(|| format!("cannot write {:?}", options.out))?;
    say!("{}: {}", options.out.display(), summary(&tensors, completion.len())?);
    Ok(())
}

/// The conversation up to where the assistant speaks; one that ends with the assistant's words stays as it is.
fn encode(processor: &Processor, messages: &Value, path: &Path) -> eyre::Result<EncodedPrompt> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let last = messages.as_array().and_then(|messages| messages.last());
    let add_generation_prompt = last.is_none_or(|last| last["role"] != "assistant");
    let conversation =
        Conversation::read(messages, folder).wrap_err_with(|| format!("{path:?}"))?;
    Ok(processor.encode_conversation(&conversation, add_generation_prompt)?)
}

/// The loss by the way that training takes, and the gradient of every variable there is.
fn loss(
    policy: &Policy,
    prompt: &EncodedPrompt,
    completion: &[u32],
) -> eyre::Result<BTreeMap<String, Tensor>> {
    let group = PackedGroup { prompt, completions: &[completion], inserted: &[] };
    if policy.variables().is_empty() {
        let loss = policy.logprobs(&[group], 1.0)?.logprobs.mean_all()?.neg()?;
        return Ok(BTreeMap::from([("loss".to_owned(), loss)]));
    }
    let pass = policy.training_pass(&[group], 1.0, None, usize::MAX, &[])?;
    let logprobs = pass.tokens.logprobs.clone(); // (N,)
    let loss = logprobs.mean_all()?.neg()?;
    let slope = -1.0 / logprobs.elem_count() as f32;
    let mut gradients = Gradients::new(policy.backend());
    let slopes = Tensor::full(slope, logprobs.shape(), logprobs.device())?;
    pass.backward(&slopes, None, &mut gradients)?;
    let mut tensors = BTreeMap::from([("loss".to_owned(), loss)]);
    for (name, variable) in policy.variables() {
        let gradient = match (gradients.tensor(variable), gradients.get(variable)) {
            (Some(tensor), _) => tensor.clone(),
            (None, Some(values)) => Tensor::from_slice(values, variable.shape(), &Device::Cpu)?,
            // A tower that saw no image has no part in the loss.
            (None, None) => variable.zeros_like()?,
        };
        tensors.insert(format!("grad.{name}"), gradient);
    }
    Ok(tensors)
}

fn summary(tensors: &BTreeMap<String, Tensor>, n_completion: usize) -> eyre::Result<String> {
    let (n_tokens, vocab_size) = tensors["logits"].dims2()?;
    let loss = tensors.get("loss").map(Tensor::to_scalar::<f32>).transpose()?;
    let loss = loss.map_or_else(String::new, |loss| {
        format!(", loss {loss:.6} over the last {n_completion} of them")
    });
    let n_grads = tensors.keys().filter(|name| name.starts_with("grad.")).count();
    Ok(format!("{n_tokens} tokens, vocabulary {vocab_size}{loss}, {n_grads} gradients"))
}
