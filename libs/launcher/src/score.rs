//! `vrft score`: predictions against the truth, by the published protocols, without a model.

use std::fmt::Write;
use std::path::Path;

use clap::{ArgGroup, Args};
use eyre::{WrapErr, ensure};
use serde_json::json;
use std::path::PathBuf;
use vrft_config::Document;
use vrft_evaluate::{Evaluator, Subject};
use vrft_reward::Reward;
use vrft_reward::config::RewardConfig;
use vrft_score::detection::{Evaluation, Prediction, Protocol, Truth};
use vrft_score::reasoning;

mod completions;

/// Resamples of the images for an interval; its ends are good to about a tenth of its width.
const N_RESAMPLES: usize = 200;

/// Which files are compared, and how.
#[derive(Args)]
#[group(skip)]
#[command(group(ArgGroup::new("protocol").required(true).args(["coco", "lvis", "reasonseg", "completions"])))]
pub(crate) struct ScoreOptions {
    /// COCO's twelve numbers for boxes, equal to pycocotools: a file of annotations, a file of results.
    #[arg(long, num_args = 2, value_names = ["TRUTH", "PREDICTIONS"])]
    coco: Option<Vec<PathBuf>>,
    /// LVIS's federated average precision for boxes, equal to lvis-api.
    #[arg(long, num_args = 2, value_names = ["TRUTH", "PREDICTIONS"])]
    lvis: Option<Vec<PathBuf>>,
    /// ReasonSeg's gIoU and cIoU: the folder of a split, and a JSON list (or lines) of `image` with `mask` (COCO's
    /// run lengths, as `vrft segment --out` writes them), `polygon` or `bbox` (corners in pixels); or a run's
    /// predictions-LABEL.jsonl, whose boxes count as masks.
    #[arg(long, num_args = 2, value_names = ["FOLDER", "PREDICTIONS"])]
    reasonseg: Option<Vec<PathBuf>>,
    /// Completions with true answers, of this program, TRL, ms-swift, VLM-R1 or LLaMA-Factory, measured as the evaluator
    /// does: classification, grounding (Acc@0.5, mean IoU), detection and all other kinds of answers; needs --reward.
    #[arg(long, value_name = "FILE", requires = "reward")]
    completions: Option<PathBuf>,
    /// The declared answer, as in configs/rewards.
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["coco", "lvis", "reasonseg"])]
    reward: Option<PathBuf>,
    /// Override one value of SPEC, as in `--set reward.mode=compat`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with_all = ["coco", "lvis", "reasonseg"])]
    overrides: Vec<String>,
    /// Average precision of each category too.
    #[arg(long, conflicts_with_all = ["reasonseg", "completions"])]
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
    if let (Some(file), Some(spec)) = (&options.completions, &options.reward) {
        return of_completions(file, spec, options);
    }
    if let Some(files) = &options.reasonseg {
        return of_masks(&files[0], &files[1], options.json);
    }
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

/// Answers of other programs, measured as the evaluator measures those of a policy.
fn of_completions(file: &Path, spec: &Path, options: &ScoreOptions) -> eyre::Result<String> {
    let config: RewardConfig = Document::load(spec, &options.overrides)?.section()?;
    let reward = Reward::new(&config);
    let mut evaluator = Evaluator::new(&config);
    for said in completions::read(file)? {
        let at = || format!("{}, {}", file.display(), said.place);
        let truth = reward.parse_answer(&said.solution).wrap_err_with(at)?;
        let asked = || vrft_prompts::category_in(said.question.as_deref()?).map(str::to_owned);
        let category = said.category.clone().or_else(asked).map(Into::into);
        let subject = Subject { category, ..Subject::default() };
        evaluator.add_about(&said.completion, &truth, &subject);
    }
    let evaluation = evaluator.finish();
    if options.json {
        let whole = json!({"n": evaluation.n, "metrics": evaluation.metrics});
        return Ok(serde_json::to_string_pretty(&whole)?);
    }
    let mut text = format!("{:<20}{:>8}\n", "answers", evaluation.n);
    let is_bound = |name: &str| name.ends_with("_ci_low") || name.ends_with("_ci_high");
    for (name, value) in evaluation.metrics.iter().filter(|(name, _)| !is_bound(name)) {
        let bound = |end: &str| evaluation.metrics.get(&format!("{name}_ci_{end}")).copied();
        let interval = bound("low").zip(bound("high"));
        let _infallible = writeln!(text, "{name:<20}{value:>8.4}{}", interval_text(interval));
    }
    Ok(text.trim_end().to_owned())
}

/// Masks or boxes against the outlines of ReasonSeg.
///
/// # Errors
/// A folder that is no split of ReasonSeg; predictions that cannot be read, or are about other pictures.
pub(crate) fn of_masks(folder: &Path, predictions: &Path, as_json: bool) -> eyre::Result<String> {
    let predictions_text = read(predictions)?;
    let found =
        reasoning::predictions(&predictions_text).wrap_err_with(|| format!("{predictions:?}"))?;
    let mut truth = Vec::new();
    let entries = std::fs::read_dir(folder).wrap_err_with(|| format!("cannot list {folder:?}"))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mut pictures =
                vrft_vision::endings::names(&name).map(|name| path.with_file_name(name));
            let picture = pictures.find(|path| path.is_file());
            let picture = picture.ok_or_else(|| eyre::eyre!("no picture beside {path:?}"))?;
            let size = vrft_dataset::Picture::open(&picture)?.header().displayed();
            let sample = reasoning::Sample::from_json(&name, size, &read(&path)?);
            truth.push(sample.wrap_err_with(|| format!("{path:?}"))?);
        }
    }
    ensure!(
        !truth.is_empty(),
        "{folder:?} has no annotations: expected the folder of a split, with a .json beside each picture"
    );
    let score = reasoning::score(&truth, &found).wrap_err_with(|| format!("{predictions:?}"))?;
    if as_json {
        return Ok(serde_json::to_string_pretty(&score)?);
    }
    Ok(format!(
        "pictures  {:>8}\ngIoU      {:>8.4}{}\ncIoU      {:>8.4}{}",
        score.n,
        score.giou,
        interval_text(score.giou_interval),
        score.ciou,
        interval_text(score.ciou_interval)
    ))
}

/// Answers that are all worth the same have no interval: how far others may be from that is not known.
fn interval_text(interval: Option<(f64, f64)>) -> String {
    interval.map_or(String::new(), |(low, high)| {
        if low < high {
            format!("   95 % CI {low:.4} to {high:.4}, over the choice of images")
        } else {
            "   no CI: the same on every image".to_owned()
        }
    })
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
        let interval = interval_text(interval);
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
