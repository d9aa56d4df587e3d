//! `vrft score`: predictions against the truth, by the published protocols, without a model.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use eyre::WrapErr;
use serde_json::json;
use std::path::PathBuf;
use vrft_score::detection::{Evaluation, Prediction, Protocol, Truth};

/// Resamples of the images for an interval; its ends are good to about a tenth of its width.
const N_RESAMPLES: usize = 200;

/// Which files are compared, and how.
#[derive(Args)]
#[group(id = "protocol", required = true)]
pub(crate) struct ScoreOptions {
    /// COCO's twelve numbers for boxes, equal to pycocotools: a file of annotations, a file of results.
    #[arg(long, num_args = 2, value_names = ["TRUTH", "PREDICTIONS"], group = "protocol")]
    coco: Option<Vec<PathBuf>>,
    /// LVIS's federated average precision for boxes, equal to lvis-api.
    #[arg(long, num_args = 2, value_names = ["TRUTH", "PREDICTIONS"], group = "protocol")]
    lvis: Option<Vec<PathBuf>>,
    /// Average precision of each category too.
    #[arg(long)]
    per_category: bool,
    /// Print JSON; a number that nothing was to be found for is null (the programs print -1).
    #[arg(long)]
    json: bool,
}

/// Returns what is to be printed.
///
/// # Errors
/// A file that cannot be read or is not what the protocol asks for.
pub(crate) fn score(options: &ScoreOptions) -> eyre::Result<String> {
    let (files, protocol) = match (&options.coco, &options.lvis) {
        (Some(files), _) => (files, Protocol::Coco),
        (_, Some(files)) => (files, Protocol::Lvis),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let (truth, predictions) = (&files[0], &files[1]);
    let truth_rows = Truth::from_json(&read(truth)?).wrap_err_with(|| format!("{truth:?}"))?;
    let prediction_rows = Prediction::list_from_json(&read(predictions)?)
        .wrap_err_with(|| format!("{predictions:?}"))?;
    let evaluation = Evaluation::new(&truth_rows, &prediction_rows, protocol)
        .wrap_err_with(|| format!("{predictions:?} against {truth:?}"))?;
    if options.json { as_json(&evaluation, options) } else { Ok(as_text(&evaluation, options)) }
}

fn as_json(evaluation: &Evaluation, options: &ScoreOptions) -> eyre::Result<String> {
    let numbers = evaluation.summary().0.into_iter().map(|(name, value)| (name, json!(value)));
    let mut object: serde_json::Map<String, serde_json::Value> = numbers.collect();
    let [ap, ap50] = evaluation.intervals(N_RESAMPLES);
    object.insert("intervals".into(), json!({"AP": ap, "AP50": ap50}));
    if options.per_category {
        let rows = evaluation.per_category().into_iter().map(|(category, ap)| {
            json!({"id": category.id, "name": category.name, "AP": ap.map(|ap| ap.0), "AP50": ap.map(|ap| ap.1)})
        });
        object.insert("per_category".into(), rows.collect());
    }
    Ok(serde_json::to_string_pretty(&object)?)
}

fn as_text(evaluation: &Evaluation, options: &ScoreOptions) -> String {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let [ap, ap50] = evaluation.intervals(N_RESAMPLES);
    let mut text = String::new();
    for (name, value) in evaluation.summary().0 {
        let interval = match name.as_str() {
            "AP" => ap,
            "AP50" => ap50,
            _ => None,
        };
        let interval = interval.map_or(String::new(), |(low, high)| {
            format!("   95 % CI {low:.4} to {high:.4}, over the choice of images")
        });
        let _infallible = writeln!(text, "{name:<10}{:>8}{interval}", shown(value));
    }
    if options.per_category {
        let _infallible = writeln!(text, "\n{:<30}{:>8}{:>8}", "category", "AP", "AP50");
        for (category, ap) in evaluation.per_category() {
            let (ap, ap50) = (ap.map(|ap| ap.0), ap.map(|ap| ap.1));
            let name = if category.name.is_empty() {
                category.id.to_string()
            } else {
                category.name.clone()
            };
            let _infallible = writeln!(text, "{name:<30}{:>8}{:>8}", shown(ap), shown(ap50));
        }
    }
    text.trim_end().to_owned()
}

fn read(path: &Path) -> eyre::Result<String> {
    std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read {path:?}"))
}
