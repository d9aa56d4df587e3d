//! What each family can do: one table, and a test for each of its columns. A family that is supported has a row.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;
use vrft_checkpoint::{LoraConfig, StoredDtype, TargetModules, TensorFiles, View, write_tensors};
use vrft_kernels::{Backend, Gradients};
use vrft_model::{LoadOptions, ModelConfig, PackedGroup, Policy};
use vrft_processor::EncodedPrompt;

use crate::fixture::{difference, flat, golden_dir, options, relative_difference};
use crate::{families, models};

/// A family by a checkpoint of it.
struct Row {
    model_type: &'static str,
    /// Modules of the tower and of the decoder that adapters are put beside, as `peft` names them, and how many there
    /// are of each.
    adapted: [(&'static str, usize); 2],
    /// Where the tower is among the names of the tensors.
    tower: &'static [&'static str],
}

const ROWS: [Row; 5] = [
    Row { model_type: "qwen2_vl", adapted: [("attn.qkv", 2), ("q_proj", 2)], tower: &["visual."] },
    Row {
        model_type: "qwen2_5_vl",
        adapted: [("attn.qkv", 3), ("q_proj", 2)],
        tower: &["visual."],
    },
    Row {
        model_type: "qwen3_vl",
        adapted: [("attn.qkv", 3), ("o_proj", 4)],
        tower: &["model.visual."],
    },
    Row {
        model_type: "smolvlm",
        adapted: [("out_proj", 3), ("gate_proj", 3)],
        tower: &["model.vision_model.", "model.connector."],
    },
    Row {
        model_type: "idefics3",
        adapted: [("modality_projection.proj", 1), ("down_proj", 3)],
        tower: &["model.vision_model.", "model.connector."],
    },
];

impl Row {
    fn dir(&self) -> std::path::PathBuf {
        golden_dir().join(self.model_type)
    }

    fn load(&self, options: &LoadOptions) -> Policy {
        Policy::load(&self.dir(), options).unwrap()
    }

    /// A prompt with pictures, and two answers.
    fn question(&self) -> (EncodedPrompt, [Vec<u32>; 2]) {
        let (prompt, completion) = match self.model_type {
            "qwen2_vl" | "qwen2_5_vl" => {
                let name = if self.model_type == "qwen2_vl" {
                    "qwen2_vl.images"
                } else {
                    "qwen2_5_vl.images"
                };
                let case = models::Case::load(name);
                (case.prompt(), case.completion().to_vec())
            }
            folder => {
                let case = families::Case::load(folder, "images");
                (case.prompt(), case.completion().to_vec())
            }
        };
        let other = completion.iter().rev().take(4).copied().collect();
        (prompt, [completion, other])
    }

    fn logprobs(&self, policy: &Policy) -> Tensor {
        let (prompt, answers) = self.question();
        let completions = answers.each_ref().map(Vec::as_slice);
        let group = PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] };
        policy.logprobs(&[group], 1.0).unwrap().logprobs
    }

    /// The gradient of the sum of the logprobs, with the pictures encoded ahead of the passes, one for each answer.
    fn gradients_apart(&self, policy: &Policy, budget: usize) -> BTreeMap<String, Tensor> {
        let (prompt, answers) = self.question();
        let mut gradients = Gradients::new(policy.backend());
        let mut encoded = policy.encode_images(&prompt, None, budget).unwrap();
        for answer in &answers {
            let group = PackedGroup { prompt: &prompt, completions: &[answer], inserted: &[] };
            let shared: Vec<_> = encoded.iter().collect();
            let pass = policy.training_pass(&[group], 1.0, None, budget, &shared).unwrap();
            let ones = pass.tokens.logprobs.ones_like().unwrap();
            let of_features = pass.backward(&ones, None, &mut gradients).unwrap();
            for (encoded, of_features) in encoded.iter_mut().zip(of_features) {
                encoded.add(of_features).unwrap();
            }
        }
        if let Some(encoded) = encoded {
            encoded.backward(&mut gradients).unwrap();
        }
        collected(policy, &gradients)
    }

    /// The same with both answers and the pictures in one pass.
    fn gradients_together(&self, policy: &Policy, budget: usize) -> BTreeMap<String, Tensor> {
        let (prompt, answers) = self.question();
        let completions = answers.each_ref().map(Vec::as_slice);
        let group = PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] };
        let pass = policy.training_pass(&[group], 1.0, None, budget, &[]).unwrap();
        let ones = pass.tokens.logprobs.ones_like().unwrap();
        let mut gradients = Gradients::new(policy.backend());
        pass.backward(&ones, None, &mut gradients).unwrap();
        collected(policy, &gradients)
    }
}

fn collected(policy: &Policy, gradients: &Gradients) -> BTreeMap<String, Tensor> {
    let of = |(name, variable): (&String, &candle_core::Var)| {
        let values = match (gradients.tensor(variable), gradients.get(variable)) {
            (Some(tensor), _) => flat(tensor),
            (None, values) => {
                values.map_or_else(|| vec![0.0; variable.elem_count()], <[f32]>::to_vec)
            }
        };
        (name.clone(), Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap())
    };
    policy.variables().iter().map(of).collect()
}

/// Gradients that differ by rounding alone; what is nothing but rounding is not compared.
#[track_caller]
fn check_near(what: &str, got: &BTreeMap<String, Tensor>, expected: &BTreeMap<String, Tensor>) {
    assert_eq!(got.len(), expected.len());
    for (name, expected) in expected {
        let size = flat(expected).iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        let off = relative_difference(&got[name], expected);
        assert!(size < 1e-5 || off < 1e-3, "{what}: gradient of {name} off by {off}");
    }
}

#[test]
fn every_family_that_is_supported_has_a_row() {
    let rows: Vec<&str> = ROWS.iter().map(|row| row.model_type).collect();
    assert_eq!(rows, vrft_processor::supported_families());
    for row in ROWS {
        let config = vrft_checkpoint::config(&row.dir()).unwrap();
        assert_eq!(config.value()["model_type"], row.model_type);
    }
}

#[test]
fn training_shares_the_encoded_pictures_and_computes_again_what_does_not_fit() {
    for row in ROWS {
        let policy = row.load(&options(true));
        let expected = row.gradients_together(&policy, usize::MAX);
        let again = row.gradients_together(&policy, 0);
        for (name, gradient) in &expected {
            assert_eq!(difference(&again[name], gradient), 0.0, "{}: {name}", row.model_type);
        }
        for budget in [usize::MAX, 0] {
            check_near(row.model_type, &row.gradients_apart(&policy, budget), &expected);
        }
    }
}

#[test]
fn the_fused_backend_computes_what_the_reference_does() {
    for row in ROWS {
        let policy = row.load(&options(true));
        let expected = row.gradients_together(&policy, usize::MAX);
        let composed = row.load(&options(true)).with_backend(Backend::Composed);
        check_near(row.model_type, &row.gradients_together(&composed, usize::MAX), &expected);
    }
}

#[test]
fn caches_of_pictures_and_of_prompts_change_no_bit() {
    for row in ROWS {
        let expected = flat(&row.logprobs(&row.load(&options(false))));
        let caching = LoadOptions { feature_cache_mib: 1, prefix_cache_mib: 1, ..options(false) };
        let policy = row.load(&caching);
        for _ in 0..2 {
            assert_eq!(flat(&row.logprobs(&policy)), expected, "{}", row.model_type);
        }
    }
}

#[test]
fn decoding_computes_what_the_packed_forward_does() {
    for row in ROWS {
        let policy = row.load(&options(false));
        let expected = flat(&row.logprobs(&policy));
        let (prompt, answers) = row.question();
        let mut session = policy.start(&[&prompt, &prompt], 2).unwrap();
        for (token, expected) in answers[0].iter().zip(expected) {
            let logits: Vec<f32> = session.logits().get(3).unwrap().to_vec1().unwrap();
            let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
            let got = logits[*token as usize] - sum.ln();
            assert!((got - expected).abs() < 1e-4, "{}: {got} for {expected}", row.model_type);
            session.step(&[*token; 4]).unwrap();
        }
    }
}

#[test]
fn the_tower_can_be_frozen() {
    for row in ROWS {
        let frozen = row.load(&LoadOptions { freeze_vision: true, ..options(true) });
        let all = row.load(&options(true));
        let is_tower = |name: &String| row.tower.iter().any(|part| name.starts_with(part));
        assert!(!frozen.variables().keys().any(is_tower), "{}", row.model_type);
        let n_tower = all.variables().keys().filter(|name| is_tower(name)).count();
        assert!(n_tower > 0);
        assert_eq!(frozen.variables().len(), all.variables().len() - n_tower);
        let (_, in_tower) = frozen.config().n_values().unwrap();
        let of_tower = all.tensors().into_iter().filter(|(name, _)| is_tower(name));
        assert_eq!(of_tower.map(|(_, tensor)| tensor.elem_count()).sum::<usize>(), in_tower);
    }
}

#[test]
fn bfloat16_stays_near_single_precision() {
    for row in ROWS {
        let expected = row.logprobs(&row.load(&options(false)));
        let narrow = row.load(&LoadOptions { dtype: DType::BF16, ..options(true) });
        let off = (row.logprobs(&narrow) - expected).unwrap().abs().unwrap();
        let off = off.mean_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 0.1, "{}: {off} nats a token", row.model_type);
        let gradients = row.gradients_apart(&narrow, usize::MAX);
        let finite = |tensor: &Tensor| flat(tensor).iter().all(|value| value.is_finite());
        assert!(gradients.values().all(finite), "{}", row.model_type);
    }
}

#[test]
fn adapters_beside_layers_of_tower_and_decoder_are_saved_and_merged() {
    for row in ROWS {
        let [tower, decoder] = row.adapted;
        let names = TargetModules::Names(vec![tower.0.into(), decoder.0.into()]);
        let lora =
            LoraConfig { rank: 2, vision: true, target_modules: names, ..LoraConfig::default() };
        let policy = row.load(&LoadOptions { lora: Some(lora), ..options(true) });
        let n_adapted = tower.1 + decoder.1;
        assert_eq!(policy.variables().len(), 2 * n_adapted, "{}", row.model_type);
        for variable in policy.variables().values() {
            let n = variable.elem_count();
            let values = (0..n).map(|i| (i % 7) as f32 * 0.02).collect();
            variable
                .set(&Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap())
                .unwrap();
        }
        let gradients = row.gradients_apart(&policy, usize::MAX);
        assert!(gradients.values().all(|g| flat(g).iter().any(|value| *value != 0.0)));
        let expected = row.logprobs(&policy);
        let folder = TempDir::new().unwrap();
        let saved = folder.path().join("adapter");
        policy.save(&saved).unwrap();
        let loaded = Policy::load(&saved, &options(false)).unwrap();
        assert_eq!(flat(&row.logprobs(&loaded)), flat(&expected), "{}", row.model_type);
        let merged = folder.path().join("merged");
        loaded.save_merged(&merged, Some(DType::F32)).unwrap();
        let merged = Policy::load(&merged, &options(false)).unwrap();
        assert!(difference(&row.logprobs(&merged), &expected) < 1e-4, "{}", row.model_type);
        let as_stored = folder.path().join("as_stored");
        loaded.save_merged(&as_stored, None).unwrap();
        assert_eq!(dtypes(&as_stored), dtypes(&row.dir()), "{}", row.model_type);
    }
}

fn dtypes(dir: &Path) -> BTreeMap<String, StoredDtype> {
    let files = TensorFiles::open(dir).unwrap();
    files.read(|_, view| Ok::<_, vrft_checkpoint::CheckpointError>(view.dtype())).unwrap()
}

/// Every linear layer, and no table that is a matrix too.
#[test]
fn all_linear_layers_can_have_an_adapter_and_nothing_else() {
    for row in ROWS {
        let names = TargetModules::Pattern(vrft_checkpoint::ALL_LINEAR.into());
        let lora =
            LoraConfig { rank: 1, vision: true, target_modules: names, ..LoraConfig::default() };
        let policy = row.load(&LoadOptions { lora: Some(lora), ..options(true) });
        let tables =
            ["embed_tokens.", "lm_head.", "pos_embed.", "position_embedding.", "patch_embed"];
        for name in policy.variables().keys() {
            assert!(!tables.iter().any(|table| name.contains(table)), "{name}");
        }
        row.logprobs(&policy);
    }
}

/// A tensor on its way from one file to several.
struct Stored(StoredDtype, Vec<usize>, Vec<u8>);

impl View for &Stored {
    fn dtype(&self) -> StoredDtype {
        self.0
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.2).into()
    }

    fn data_len(&self) -> usize {
        self.2.len()
    }
}

#[test]
fn weights_may_be_in_several_files() {
    for row in ROWS {
        let folder = TempDir::new().unwrap();
        let files = TensorFiles::open(&row.dir()).unwrap();
        let all = files.read(|_, view| {
            let (dtype, shape) = (view.dtype(), view.shape().to_vec());
            Ok::<_, vrft_checkpoint::CheckpointError>(Stored(dtype, shape, view.data().to_vec()))
        });
        let all: Vec<(String, Stored)> = all.unwrap().into_iter().collect();
        let mut index = serde_json::Map::new();
        for (part, tensors) in all.chunks(all.len().div_ceil(2)).enumerate() {
            let file = format!("model-0000{}-of-00002.safetensors", part + 1);
            let named: BTreeMap<&String, &Stored> = tensors.iter().map(|(n, t)| (n, t)).collect();
            write_tensors(&folder.path().join(&file), named).unwrap();
            index.extend(tensors.iter().map(|(name, _)| (name.clone(), file.clone().into())));
        }
        let index = serde_json::json!({ "weight_map": index }).to_string();
        std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        copy_config(&row.dir(), folder.path());
        let policy = Policy::load(folder.path(), &options(false)).unwrap();
        let expected = flat(&row.logprobs(&row.load(&options(false))));
        assert_eq!(flat(&row.logprobs(&policy)), expected, "{}", row.model_type);
    }
}

fn copy_config(from: &Path, to: &Path) {
    std::fs::copy(from.join("config.json"), to.join("config.json")).unwrap();
}

#[test]
fn random_weights_can_be_made_and_saved_as_they_came() {
    for row in ROWS {
        let folder = TempDir::new().unwrap();
        copy_config(&row.dir(), folder.path());
        Policy::initialize(folder.path(), 3, DType::BF16).unwrap();
        let made = TensorFiles::open(folder.path()).unwrap().shapes();
        assert_eq!(made, TensorFiles::open(&row.dir()).unwrap().shapes(), "{}", row.model_type);
        let policy = Policy::load(folder.path(), &options(true)).unwrap();
        assert!(flat(&row.logprobs(&policy)).iter().all(|value| value.is_finite()));
        let saved = folder.path().join("saved");
        policy.save(&saved).unwrap();
        assert_eq!(TensorFiles::open(&saved).unwrap().shapes(), made);
    }
}

#[test]
fn memory_is_estimated_from_the_configuration_alone() {
    for row in ROWS {
        let file = vrft_checkpoint::config(&row.dir()).unwrap();
        let config = ModelConfig::from_file(&file).unwrap();
        let all = config.activation_bytes(100, 200, DType::F32);
        let least = config.least_activation_bytes(100, 200, DType::F32);
        assert!(least > 0 && least < all, "{}: {least} of {all}", row.model_type);
        assert_eq!(config.activation_bytes(100, 200, DType::BF16) * 2, all);
    }
}
