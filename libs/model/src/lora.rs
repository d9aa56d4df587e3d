//! Low-rank adapters ([LoRA](https://arxiv.org/abs/2106.09685)): `x · Wᵀ + α/r · dropout(x) · Aᵀ · Bᵀ` with W frozen.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regex::Regex;
use vrft_checkpoint::{ALL_LINEAR, FACTORS, TargetModules, is_adapter, names_module};
use vrft_kernels::{Activation, Context, Weight};

use crate::ModelError;
use crate::names::Names;
use crate::quantized::Quantized;
use crate::scope::Scope;

/// What is trained beside weights that stay as they are.
#[derive(Debug, Clone)]
pub(crate) enum Beside {
    /// Low-rank adapters of linear layers.
    LowRank(vrft_checkpoint::LoraConfig),
    /// A soft prompt of so many vectors.
    SoftPrompt(usize),
}

impl Beside {
    /// What its layers have in common.
    pub(crate) fn lora(&self) -> Lora {
        match self {
            Self::LowRank(config) => Lora::new(config),
            // No layer has an adapter.
            Self::SoftPrompt(_) => Lora { rank: 0, alpha: 0.0, dropout: 0.0 },
        }
    }

    /// Rank of its adapters; 0 without any.
    pub(crate) fn rank(&self) -> usize {
        self.lora().rank
    }
}

/// What all adapters of a policy have in common.
#[derive(Debug, Clone)]
pub(crate) struct Lora {
    /// r: rows of A, columns of B.
    pub(crate) rank: usize,
    /// α: the adapter's output is scaled by α / r.
    pub(crate) alpha: f64,
    /// Probability that training drops a value of an adapter's input.
    pub(crate) dropout: f64,
}

impl Lora {
    pub(crate) fn new(config: &vrft_checkpoint::LoraConfig) -> Self {
        Self { rank: config.rank, alpha: config.alpha, dropout: config.dropout }
    }

    /// All weights without adapters: W + α/r · B · A where there was one, in f32, then in the type that `dtype` says of
    /// each name.
    pub(crate) fn merge(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        quantized: &Quantized,
        dtype: impl Fn(&str) -> DType,
    ) -> Result<BTreeMap<String, Tensor>, ModelError> {
        let mut merged = BTreeMap::new();
        let own = tensors.iter().filter(|(name, _)| !is_adapter(name));
        let own = own.map(|(name, tensor)| Ok::<_, ModelError>((name, tensor.clone())));
        let of_four_bits =
            quantized.iter().map(|(name, matrix)| Ok((name, matrix.dequantize(DType::F32)?)));
        for weight in own.chain(of_four_bits) {
            let (name, mut tensor) = weight?;
            let factor = |factor: &str| {
                let module = name.strip_suffix("weight")?;
                tensors.get(&format!("{module}{factor}"))
            };
            let [a, b] = FACTORS.map(factor);
            if let (Some(a), Some(b)) = (a, b) {
                let (a, b) = (a.to_dtype(DType::F32)?, b.to_dtype(DType::F32)?);
                let added = (b.matmul(&a)? * self.scale())?; // (out, in)
                tensor = (tensor.to_dtype(DType::F32)? + added)?.to_dtype(dtype(name))?;
                check_finite(name, &tensor)?;
            }
            merged.insert(name.clone(), tensor.to_dtype(dtype(name))?);
        }
        Ok(merged)
    }

    fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

/// Weights that are no numbers, or too large for the type they are stored in, answer nothing.
fn check_finite(name: &str, merged: &Tensor) -> Result<(), ModelError> {
    let values = merged.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let Some(value) = values.iter().find(|value| !value.is_finite()) else { return Ok(()) };
    let expected = format!("finite numbers with the adapter added, in {:?}", merged.dtype());
    Err(ModelError::input(name, expected, value))
}

/// The adapter of one linear layer.
#[derive(Debug)]
pub(crate) struct Adapter {
    /// The first matrix of the adapter, (rank, in).
    a: Weight,
    /// The second matrix of the adapter, (out, rank).
    b: Weight,
    lora: Lora,
    /// Tells this layer's dropout masks from those of others.
    layer: u64,
}

impl Adapter {
    /// The adapter of this layer, if the policy has adapters and it is one of their targets.
    pub(crate) fn load(
        scope: &Scope,
        d_in: usize,
        d_out: usize,
    ) -> Result<Option<Self>, ModelError> {
        let Some(lora) = scope.lora() else { return Ok(None) };
        if !FACTORS.iter().any(|factor| scope.has(factor)) {
            return Ok(None);
        }
        let [a, b] = FACTORS;
        Ok(Some(Self {
            a: scope.weight(a, &[lora.rank, d_in])?,
            b: scope.weight(b, &[d_out, lora.rank])?,
            lora: lora.clone(),
            layer: hash(scope.name()),
        }))
    }

    /// (rank, in), (out, rank) and the scale, unless they are trained.
    #[cfg(feature = "cuda")]
    pub(crate) fn frozen_factors(&self) -> Option<(&Tensor, &Tensor, f64)> {
        Some((self.a.frozen_value()?, self.b.frozen_value()?, self.lora.scale()))
    }

    /// Columns `start..start + len` of the layer's output y with what the adapter adds to them.
    pub(crate) fn add_to(
        &self,
        context: &Context,
        y: Activation,
        x: &Activation,
        start: usize,
        len: usize,
    ) -> Result<Activation, ModelError> {
        let dropped = vrft_kernels::dropout(context, x, self.lora.dropout, self.layer)?;
        let inner = vrft_kernels::linear(context, &dropped, &self.a, None)?; // (N, rank)
        let outputs = start..start + len;
        let scale = self.lora.scale();
        Ok(vrft_kernels::add_linear(context, y, &inner, &self.b, outputs, scale)?)
    }
}

/// Fresh adapters for the layers that the configuration names: A uniform in ±1/√in as `peft` does, B zero, so
/// that the policy starts as its base.
///
/// # Errors
/// A pattern that matches no layer, or that is no pattern.
pub(crate) fn initialize(
    config: &vrft_checkpoint::LoraConfig,
    base: &BTreeMap<String, Tensor>,
    quantized: &Quantized,
    names: Names,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let layers = linear_layers(base, quantized, names);
    let mut adapters = BTreeMap::new();
    for module in adapted_layers(config, layers.keys().copied(), names)? {
        let ([d_out, d_in], device) = layers[module];
        let [a, b] = FACTORS.map(|factor| format!("{module}.{factor}"));
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ hash(module));
        let bound = (d_in as f32).powf(-0.5);
        let values = (0..config.rank * d_in).map(|_| rng.random_range(-bound..bound)).collect();
        adapters.insert(a, Tensor::from_vec::<_, f32>(values, (config.rank, d_in), device)?);
        adapters.insert(b, Tensor::zeros((d_out, config.rank), DType::F32, device)?);
    }
    Ok(adapters)
}

/// Those of a checkpoint's linear layers that the configuration gives an adapter.
///
/// # Errors
/// A name or a pattern that matches no layer, or that is no pattern.
pub(crate) fn adapted_layers<'a>(
    config: &vrft_checkpoint::LoraConfig,
    layers: impl Iterator<Item = &'a str>,
    names: Names,
) -> Result<Vec<&'a str>, ModelError> {
    let key = "policy.lora.target_modules";
    let layers: Vec<&str> = layers.collect();
    let targets = Targets::new(&config.target_modules).map_err(|error| {
        ModelError::input(key, "a list of names, \"all-linear\" or a regular expression", error)
    })?;
    if let TargetModules::Names(targets) = &config.target_modules {
        let of_no_layer =
            |name: &&String| !layers.iter().any(|module| names_module(&names.module(module), name));
        let unknown: Vec<&String> = targets.iter().filter(of_no_layer).collect();
        if !unknown.is_empty() {
            let expected = "names of linear layers, as q_proj";
            return Err(ModelError::input(key, expected, format!("{unknown:?}, which are none")));
        }
    }
    let is_left_out = |module: &str| names.is_visual(module) && !config.vision;
    let is_adapted = |module: &&str| !is_left_out(module) && targets.contain(&names.module(module));
    let adapted: Vec<&str> = layers.into_iter().filter(is_adapted).collect();
    if adapted.is_empty() {
        let expected = "the name of a linear layer, as q_proj";
        let got = format!("{:?}", config.target_modules);
        return Err(ModelError::input(key, expected, got));
    }
    Ok(adapted)
}

/// The linear layers of a checkpoint that can have an adapter: module name, outputs and inputs, and where they are; in the
/// order of their names.
pub(crate) fn linear_layers<'a>(
    base: &'a BTreeMap<String, Tensor>,
    quantized: &'a Quantized,
    names: Names,
) -> BTreeMap<&'a str, ([usize; 2], &'a Device)> {
    let own = base.iter().filter_map(|(name, tensor)| {
        let dims = tensor.dims().try_into().ok()?;
        Some((name.as_str(), (dims, tensor.device())))
    });
    let of_four_bits =
        quantized.iter().map(|(name, matrix)| (name.as_str(), (*matrix.dims(), matrix.device())));
    let all = own.chain(of_four_bits);
    all.filter_map(|(name, layer)| Some((linear_module(name, names)?, layer))).collect()
}

/// The linear layer that a matrix of this name is the weight of.
pub(crate) fn linear_module(name: &str, names: Names) -> Option<&str> {
    name.strip_suffix(".weight").filter(|module| !names.is_table(module))
}

/// Layers by their names, as `peft` reads `target_modules`.
pub(crate) struct Targets<'a> {
    modules: &'a TargetModules,
    pattern: Option<Regex>,
}

impl<'a> Targets<'a> {
    /// # Errors
    /// What is wrong with a pattern.
    pub(crate) fn new(modules: &'a TargetModules) -> Result<Self, regex::Error> {
        let pattern = match modules {
            TargetModules::Pattern(text) if text != ALL_LINEAR => {
                Some(Regex::new(&format!("^(?:{text})$"))?)
            }
            _ => None,
        };
        Ok(Self { modules, pattern })
    }

    pub(crate) fn contain(&self, module: &str) -> bool {
        match (self.modules, &self.pattern) {
            (TargetModules::Names(names), _) => names.iter().any(|name| names_module(module, name)),
            (_, Some(pattern)) => pattern.is_match(module),
            (_, None) => true,
        }
    }
}

/// FNV-1a: the same number for a name on every machine and with every compiler.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
