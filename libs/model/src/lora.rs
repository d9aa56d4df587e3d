//! Low-rank adapters ([LoRA](https://arxiv.org/abs/2106.09685)): `x · Wᵀ + α/r · dropout(x) · Aᵀ · Bᵀ` with W frozen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regex::Regex;

use crate::PolicyError;
use crate::scope::{Names, Scope};
use crate::weights::is_adapter;

/// Ends of the names of the two factors; the module's name stands before them.
pub(crate) const FACTORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

/// What all adapters of a policy have in common.
#[derive(Debug, Clone)]
pub(crate) struct Lora {
    /// r: rows of A, columns of B.
    pub(crate) rank: usize,
    /// α: the adapter's output is scaled by α / r.
    pub(crate) alpha: f64,
    pub(crate) dropout: Dropout,
}

impl Lora {
    pub(crate) fn new(config: &vrft_checkpoint::LoraConfig) -> Self {
        let dropout = Dropout { probability: config.dropout, seed: Arc::default() };
        Self { rank: config.rank, alpha: config.alpha, dropout }
    }

    /// The same adapters, for passes that never drop anything.
    pub(crate) fn without_dropout(&self) -> Self {
        Self { dropout: Dropout { probability: 0.0, seed: Arc::default() }, ..self.clone() }
    }

    /// All weights without adapters: W + α/r · B · A where there was one, in f32, then in `dtype`.
    pub(crate) fn merge(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        dtype: DType,
    ) -> Result<BTreeMap<String, Tensor>, PolicyError> {
        let mut merged = BTreeMap::new();
        for (name, tensor) in tensors.iter().filter(|(name, _)| !is_adapter(name)) {
            let factor = |factor: &str| {
                let module = name.strip_suffix("weight")?;
                tensors.get(&format!("{module}{factor}"))
            };
            let [a, b] = FACTORS.map(factor);
            let mut tensor = tensor.clone();
            if let (Some(a), Some(b)) = (a, b) {
                let (a, b) = (a.to_dtype(DType::F32)?, b.to_dtype(DType::F32)?);
                let added = (b.matmul(&a)? * self.scale())?; // (out, in)
                tensor = (tensor.to_dtype(DType::F32)? + added)?;
            }
            merged.insert(name.clone(), tensor.to_dtype(dtype)?);
        }
        Ok(merged)
    }

    fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

/// Which inputs of the adapters are dropped: nothing, unless a training pass says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Dropout {
    pub(crate) probability: f64,
    /// Seed of the pass under way; 0 for none.
    seed: Arc<AtomicU64>,
}

impl Dropout {
    /// From now on drops by this seed, or not at all.
    pub(crate) fn seed(&self, seed: Option<u64>) {
        self.seed.store(seed.map_or(0, |seed| seed.max(1)), Ordering::Relaxed);
    }

    fn apply(&self, x: &Tensor, module: u64) -> Result<Tensor, PolicyError> {
        let seed = self.seed.load(Ordering::Relaxed);
        if seed == 0 || self.probability == 0.0 {
            return Ok(x.clone());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ module);
        let kept = (1.0 / (1.0 - self.probability)) as f32;
        let limit = (self.probability * f64::from(u32::MAX)) as u32;
        let value = |_| if rng.random::<u32>() < limit { 0.0 } else { kept };
        let mask: Vec<f32> = (0..x.elem_count()).map(value).collect();
        let mask = Tensor::from_vec(mask, x.shape(), &Device::Cpu)?;
        Ok(vrft_kernels::mask(x, &mask.to_dtype(x.dtype())?.to_device(x.device())?)?)
    }
}

/// The adapter of one linear layer.
#[derive(Debug)]
pub(crate) struct Adapter {
    /// (rank, in)
    a: Tensor,
    /// (out, rank)
    b: Tensor,
    lora: Lora,
    module: u64,
}

impl Adapter {
    /// The adapter of this layer, if the policy has adapters and it is one of their targets.
    pub(crate) fn load(
        scope: &Scope,
        d_in: usize,
        d_out: usize,
    ) -> Result<Option<Self>, PolicyError> {
        let Some(lora) = scope.lora() else { return Ok(None) };
        if !FACTORS.iter().any(|factor| scope.has(factor)) {
            return Ok(None);
        }
        let [a, b] = FACTORS;
        Ok(Some(Self {
            a: scope.tensor(a, &[lora.rank, d_in])?,
            b: scope.tensor(b, &[d_out, lora.rank])?,
            lora: lora.clone(),
            module: hash(scope.name()),
        }))
    }

    /// What the adapter adds to columns `start..start + len` of the layer's output.
    pub(crate) fn forward_part(
        &self,
        x: &Tensor,
        start: usize,
        len: usize,
    ) -> Result<Tensor, PolicyError> {
        let dropped = self.lora.dropout.apply(x, self.module)?;
        let inner = vrft_kernels::linear(&dropped, &self.a, None)?; // (N, rank)
        let added = vrft_kernels::linear_part(&inner, &self.b, None, start..start + len)?;
        Ok(vrft_kernels::scale(&added, self.lora.scale())?)
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
) -> Result<BTreeMap<String, Tensor>, PolicyError> {
    let names = Names::of(base);
    let targets = Targets::new(config)?;
    let mut adapters = BTreeMap::new();
    for (module, tensor) in linear_layers(base, names) {
        if !targets.contain(&names.module(module), names.is_visual(module)) {
            continue;
        }
        let (d_out, d_in) = tensor.dims2()?;
        let [a, b] = FACTORS.map(|factor| format!("{module}.{factor}"));
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ hash(module));
        let bound = (d_in as f32).powf(-0.5);
        let values = (0..config.rank * d_in).map(|_| rng.random_range(-bound..bound)).collect();
        let device = tensor.device();
        adapters.insert(a, Tensor::from_vec::<_, f32>(values, (config.rank, d_in), device)?);
        adapters.insert(b, Tensor::zeros((d_out, config.rank), DType::F32, device)?);
    }
    if adapters.is_empty() {
        let expected = "the name of a linear layer, as q_proj";
        let got = format!("{:?}", config.target_modules);
        return Err(PolicyError::input("policy.lora.target_modules", expected, got));
    }
    Ok(adapters)
}

/// The linear layers of a checkpoint that can have an adapter, by module name.
pub(crate) fn linear_layers(
    base: &BTreeMap<String, Tensor>,
    names: Names,
) -> impl Iterator<Item = (&str, &Tensor)> {
    let layers = base.iter().filter_map(|(name, tensor)| {
        let module = name.strip_suffix(".weight").filter(|_| tensor.rank() == 2)?;
        Some((module, tensor))
    });
    layers.filter(move |(module, _)| !module.ends_with("embed_tokens") && *module != names.head)
}

/// Which layers get an adapter, as `peft` reads `target_modules`.
struct Targets<'a> {
    config: &'a vrft_checkpoint::LoraConfig,
    pattern: Option<Regex>,
}

impl<'a> Targets<'a> {
    fn new(config: &'a vrft_checkpoint::LoraConfig) -> Result<Self, PolicyError> {
        let pattern = match &config.target_modules {
            vrft_checkpoint::TargetModules::Pattern(text)
                if text != vrft_checkpoint::ALL_LINEAR =>
            {
                let pattern = Regex::new(&format!("^(?:{text})$"));
                Some(pattern.map_err(|error| {
                    let expected = "a list of names, \"all-linear\" or a regular expression";
                    PolicyError::input("policy.lora.target_modules", expected, error)
                })?)
            }
            _ => None,
        };
        Ok(Self { config, pattern })
    }

    fn contain(&self, module: &str, visual: bool) -> bool {
        if visual && !self.config.vision {
            return false;
        }
        match (&self.config.target_modules, &self.pattern) {
            (vrft_checkpoint::TargetModules::Names(names), _) => {
                names.iter().any(|name| ends_with(module, name))
            }
            (_, Some(pattern)) => pattern.is_match(module),
            (_, None) => true,
        }
    }
}

/// Whether a module's dotted name is this one or ends in it.
pub(crate) fn ends_with(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// FNV-1a: the same number for a name on every machine and with every compiler.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
