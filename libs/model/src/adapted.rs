//! Whether the tensors of an adapter are those that its settings promise: a layer that is left out would stay as it was
//! without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use vrft_checkpoint::{Adapter, CheckpointError, FACTORS, TargetModules};

use crate::ModelError;
use crate::error::listed;
use crate::lora::{Targets, linear_layers};
use crate::names::Names;
use crate::quantized::Quantized;

/// Layers of tokens, which `peft` can adapt and which are not adapted here.
const OF_TOKENS: [&str; 2] = ["lm_head", "embed_tokens"];

/// Compares the layers of `factors`, by this policy's names, with those of the base that the settings in `dir` target.
///
/// # Errors
/// No tensors, half an adapter, settings that name no layer of the base, layers that have no tensors or are not named:
/// how many there are, and their names.
pub(crate) fn check(
    dir: &Path,
    adapter: &Adapter,
    factors: &BTreeMap<String, Tensor>,
    base: &BTreeMap<String, Tensor>,
    names: Names,
) -> Result<(), ModelError> {
    let damaged =
        |message: String| Err(CheckpointError::damaged(&Adapter::tensors_in(dir), message).into());
    let of = |factor: &str| -> BTreeSet<&str> {
        let modules = factors.keys().filter_map(|name| name.strip_suffix(factor));
        modules.map(|module| module.trim_end_matches('.')).collect()
    };
    let [a, b] = FACTORS.map(of);
    let halves: Vec<String> = a.symmetric_difference(&b).map(|name| (*name).to_owned()).collect();
    if !halves.is_empty() {
        let n = halves.len();
        return damaged(format!(
            "{n} layers have only one of lora_A and lora_B: {}",
            listed(&halves)
        ));
    }
    let none = Quantized::new();
    let layers = linear_layers(base, &none, names);
    let is_of_tokens =
        |name: &&&str| name.rsplit('.').next().is_some_and(|last| OF_TOKENS.contains(&last));
    if let Some(name) = a.iter().filter(|name| !layers.contains_key(**name)).find(is_of_tokens) {
        let what = format!(
            "it adapts {}: adapters of linear layers of tower and decoder are read, none of embeddings or of the head; train \
             it without, or merge it into its base where it was trained",
            names.module(name)
        );
        return Err(CheckpointError::NotSupported { path: Adapter::tensors_in(dir), what }.into());
    }
    if let Some(reason) = of_another(&a, factors, &layers, names) {
        let (adapter, base) = (dir.to_owned(), adapter.base().to_owned());
        return Err(CheckpointError::OtherBase { adapter, base, reason }.into());
    }
    let layers: Vec<&str> = layers.into_keys().collect();
    let Some(expected) = expected(adapter, &layers, &a, names)? else {
        return match first_gap(&layers, &a) {
            Some((kind, n, of)) => damaged(format!("{n} of {of} layers {kind} have an adapter")),
            None if a.is_empty() => damaged("it holds no tensors".to_owned()),
            None => Ok(()),
        };
    };
    let without: Vec<String> = expected.difference(&a).map(|name| names.module(name)).collect();
    if !without.is_empty() {
        return damaged(format!(
            "it has no tensors for {} of the {} layers that target_modules names: {}; or it is an adapter of another model than \
             {:?}",
            without.len(),
            expected.len(),
            listed(&without),
            adapter.base()
        ));
    }
    let unnamed: Vec<String> = a.difference(&expected).map(|name| names.module(name)).collect();
    if !unnamed.is_empty() {
        let n = unnamed.len();
        let listed = listed(&unnamed);
        return damaged(format!(
            "it has tensors for {n} layers that target_modules does not name: {listed}"
        ));
    }
    Ok(())
}

/// What tells that an adapter belongs to another base: layers that this one does not have, or that are of another size here.
fn of_another(
    adapted: &BTreeSet<&str>,
    factors: &BTreeMap<String, Tensor>,
    layers: &BTreeMap<&str, ([usize; 2], &Device)>,
    names: Names,
) -> Option<String> {
    let unknown = adapted.iter().filter(|name| !layers.contains_key(*name));
    let unknown: Vec<String> = unknown.map(|name| names.module(name)).collect();
    if !unknown.is_empty() {
        let (n, of) = (unknown.len(), adapted.len());
        return Some(format!("{n} of its {of} layers are not there: {}", listed(&unknown)));
    }
    let [a, b] = FACTORS;
    let dim = |layer: &str, factor: &str, idx: usize| {
        factors.get(&format!("{layer}.{factor}"))?.dims().get(idx).copied()
    };
    adapted.iter().find_map(|layer| {
        let ([outputs, inputs], _) = layers[layer];
        let (own_outputs, own_inputs) = (dim(layer, b, 0)?, dim(layer, a, 1)?);
        ([own_outputs, own_inputs] != [outputs, inputs]).then(|| {
            format!(
                "its layer {} has {own_inputs} inputs and {own_outputs} outputs, there it has {inputs} and {outputs}",
                names.module(layer)
            )
        })
    })
}

/// The layers that the settings target; `None` where they do so by a pattern that only Python reads. Names may be those of
/// the transformers that trained the adapter, today's or an older one: the ones that fit better count.
///
/// # Errors
/// Settings that name no layer of the base.
fn expected<'a>(
    adapter: &Adapter,
    layers: &[&'a str],
    got: &BTreeSet<&str>,
    names: Names,
) -> Result<Option<BTreeSet<&'a str>>, ModelError> {
    let (included, excluded) = adapter.targets();
    let (Ok(included), Ok(excluded)) =
        (Targets::new(included), excluded.map(Targets::new).transpose())
    else {
        return Ok(None);
    };
    let is_meant = |name: &str| {
        included.contain(name) && !excluded.as_ref().is_some_and(|targets| targets.contain(name))
    };
    let by = |naming: &dyn Fn(&str) -> String| -> BTreeSet<&'a str> {
        layers.iter().copied().filter(|layer| is_meant(&naming(layer))).collect()
    };
    let today = by(&|layer| names.module(layer));
    let before = by(&|layer| names.published(layer));
    let off = |layers: &BTreeSet<&str>| {
        let missing = layers.iter().filter(|layer| !got.contains(*layer)).count();
        missing + got.iter().filter(|layer| !layers.contains(*layer)).count()
    };
    let expected = if off(&before) < off(&today) { before } else { today };
    if !expected.is_empty() {
        return Ok(Some(expected));
    }
    let written = match adapter.targets().0 {
        TargetModules::Names(names) => format!("{names:?}"),
        TargetModules::Pattern(pattern) => format!("{pattern:?}"),
    };
    Err(ModelError::input(
        format!("{}: target_modules", adapter.path().display()),
        format!("names of some of the {} linear layers of {:?}", layers.len(), adapter.base()),
        format!("{written}, which names none"),
    ))
}

/// A kind of layer that has an adapter in some blocks only: its name without numbers, how many have one, and of how many.
fn first_gap(layers: &[&str], got: &BTreeSet<&str>) -> Option<(String, usize, usize)> {
    let kind = |name: &str| {
        let is_number = |part: &str| part.chars().all(|c| c.is_ascii_digit());
        let parts = name.split('.').map(|part| if is_number(part) { "*" } else { part });
        parts.collect::<Vec<_>>().join(".")
    };
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for layer in layers {
        let (n, of) = counts.entry(kind(layer)).or_default();
        *n += usize::from(got.contains(layer));
        *of += 1;
    }
    let gap = counts.into_iter().find(|(_, (n, of))| 0 < *n && n < of);
    gap.map(|(kind, (n, of))| (kind, n, of))
}
