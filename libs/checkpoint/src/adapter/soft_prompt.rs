//! Soft prompts in the files of Hugging Face's `peft` (`PROMPT_TUNING`): one tensor, and how many vectors it has.

use std::path::Path;

use safetensors::tensor::View;
use serde_json::{Value, json};

use super::{Adapter, CONFIG, TENSORS, copy_companions};
use crate::{CheckpointError, Keys, LoraConfig, write_tensors};

/// Name of the only tensor of a soft prompt, (vectors, width of the language model).
pub const SOFT_PROMPT: &str = "prompt_embeddings";

/// How many vectors the soft prompt has whose settings these are; `None` for an adapter of another kind.
pub(super) fn tokens(keys: &Keys) -> Result<Option<usize>, CheckpointError> {
    if keys.get("peft_type").is_none_or(|kind| kind != "PROMPT_TUNING") {
        return Ok(None);
    }
    // An encoder and a decoder would each have a prompt.
    let parts = keys.size("num_transformer_submodules")?.unwrap_or(1);
    keys.ensure(parts == 1, "num_transformer_submodules", "1", parts)?;
    let modules = keys.get("modules_to_save").filter(|modules| !modules.is_null());
    let got = modules.map_or_else(String::new, Value::to_string);
    keys.ensure(modules.is_none(), "modules_to_save", "null", got)?;
    keys.required_size("num_virtual_tokens").map(Some)
}

impl Adapter {
    /// A soft prompt of so many vectors, for the checkpoint in `base`.
    pub fn of_prompt(tokens: usize, base: &Path) -> Self {
        Self { prompt: Some(tokens), ..Self::new(&LoraConfig::default(), base) }
    }

    /// How many vectors stand before every prompt, if this is a soft prompt and no low-rank adapter.
    pub fn prompt(&self) -> Option<usize> {
        self.prompt
    }

    /// Writes the directory of a soft prompt, with the tokenizer and processor files of the base.
    ///
    /// # Errors
    /// A file that cannot be written, or one of the base that cannot be read.
    pub fn write_prompt<T: View>(&self, dir: &Path, prompt: T) -> Result<(), CheckpointError> {
        std::fs::create_dir_all(dir).map_err(CheckpointError::write(dir))?;
        let width = prompt.shape().last().copied().unwrap_or_default();
        let tokens = prompt.shape().first().copied().unwrap_or_default();
        write_tensors(&dir.join(TENSORS), [(SOFT_PROMPT.to_owned(), prompt)])?;
        let (base, revision) = self.named_base();
        let json = json!({
            "peft_type": "PROMPT_TUNING",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "revision": revision,
            "num_virtual_tokens": tokens,
            "token_dim": width,
            "num_transformer_submodules": 1,
            "prompt_tuning_init": "RANDOM",
            "prompt_tuning_init_text": null,
            "tokenizer_name_or_path": null,
            "inference_mode": true,
        });
        let path = dir.join(CONFIG);
        std::fs::write(&path, format!("{json:#}\n")).map_err(CheckpointError::write(&path))?;
        copy_companions(&self.base, dir)
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    #[test]
    fn a_soft_prompt_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (base, dir) = (folder.path().join("base"), folder.path().join("prompt"));
        std::fs::create_dir(&base).unwrap();
        let values: Vec<u8> =
            [1f32, 2., 3., 4., 5., 6.].iter().flat_map(|v| v.to_le_bytes()).collect();
        let prompt = TensorView::new(Dtype::F32, vec![2, 3], &values).unwrap();
        Adapter::of_prompt(2, &base).write_prompt(&dir, &prompt).unwrap();
        let adapter = Adapter::read(&dir).unwrap().unwrap();
        assert_eq!((adapter.prompt(), adapter.base()), (Some(2), base.as_path()));
        let read = |name: &str, view: TensorView| {
            Ok::<_, CheckpointError>((name.to_owned(), view.shape().to_vec(), view.data().to_vec()))
        };
        let tensors = Adapter::read_tensors(&dir, read).unwrap();
        assert_eq!(tensors[SOFT_PROMPT], (SOFT_PROMPT.to_owned(), vec![2, 3], values));
    }
}
