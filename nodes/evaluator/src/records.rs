//! What the evaluator leaves in the run folder, one JSON object a line.
//!
//! `evaluations.jsonl` has the metrics of each policy, `predictions-<label>.jsonl` the newest answers of each,
//! `images/` the first held-out images for the report.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use serde_json::{Value, json};
use vrft_dataset::Dataset;
use vrft_evaluate::{Judgement, Prediction};
use vrft_reward::Answer;

use crate::forgetting::Forgetting;

/// Images copied for the report.
const N_IMAGES: usize = 24;

/// The evaluator's files.
pub(crate) struct Records {
    run_dir: PathBuf,
    written: BTreeSet<(String, u64)>,
    /// What each label was worth.
    pub(crate) forgetting: Forgetting,
}

impl Records {
    /// Continues the records of a resumed run.
    pub(crate) fn open(run_dir: &Path) -> eyre::Result<Self> {
        let path = run_dir.join("evaluations.jsonl");
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let (mut written, mut forgetting) = (BTreeSet::new(), Forgetting::default());
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let label = line["label"].as_str().unwrap_or_default().to_owned();
            let Some(version) = line["policy_version"].as_u64() else { continue };
            let metrics = serde_json::from_value(line["metrics"].clone()).unwrap_or_default();
            forgetting.add(&label, &metrics);
            written.insert((label, version));
        }
        Ok(Self { run_dir: run_dir.to_owned(), written, forgetting })
    }

    pub(crate) fn has(&self, label: &str, version: u64) -> bool {
        self.written.contains(&(label.to_owned(), version))
    }

    pub(crate) fn write(
        &mut self,
        label: &str,
        version: u64,
        judgement: &Judgement,
        test: &Dataset,
    ) -> eyre::Result<()> {
        let mut predictions = self.create(&format!("predictions-{label}.jsonl"))?;
        for prediction in &judgement.predictions {
            let predicted = judgement.reward.read(&prediction.completion);
            writeln!(predictions, "{}", prediction_json(prediction, predicted.as_ref()))?;
        }
        if self.written.is_empty() {
            self.copy_images(test)?;
        }
        let summary = judgement.summary();
        let line = json!({
            "label": label, "policy_version": version, "n": summary.n, "secs": summary.secs,
            "metrics": summary.metrics,
        });
        let path = self.run_dir.join("evaluations.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        writeln!(file.wrap_err_with(|| format!("{path:?}"))?, "{line}")?;
        self.forgetting.add(label, &summary.metrics);
        self.written.insert((label.to_owned(), version));
        Ok(())
    }

    fn copy_images(&self, test: &Dataset) -> eyre::Result<()> {
        let folder = self.run_dir.join("images");
        fs::create_dir_all(&folder).wrap_err_with(|| format!("{folder:?}"))?;
        for row in test.iter().take(N_IMAGES) {
            let Some(picture) = row.pictures.first() else { continue };
            let extension = if picture.header().encoding() == "png" { "png" } else { "jpg" };
            let path = folder.join(format!("{}.{extension}", row.sample_id()));
            fs::write(&path, picture.bytes()?).wrap_err_with(|| format!("{path:?}"))?;
        }
        Ok(())
    }

    fn create(&self, name: &str) -> eyre::Result<File> {
        let path = self.run_dir.join(name);
        File::create(&path).wrap_err_with(|| format!("{path:?}"))
    }
}

/// Boxes as boxes, everything else as text.
fn prediction_json(prediction: &Prediction, predicted: Option<&Answer>) -> Value {
    let Prediction { sample_id, completion, answer, score } = prediction;
    let truth = answer.answer.detections();
    if truth.is_empty() && answer.answer != Answer::Nothing {
        return json!({
            "sample_id": sample_id, "completion": completion, "score": score,
            "truth": vrft_reward::answer_text(&answer.solution),
            "predicted": vrft_reward::answer_text(completion),
        });
    }
    let predicted = predicted.map_or_else(Vec::new, Answer::detections);
    let bbox = |b: &vrft_reward::BBox| json!([b.x1, b.y1, b.x2, b.y2]);
    let best = |truth: &vrft_reward::Detection| {
        predicted.iter().map(|p| p.bbox.iou(&truth.bbox)).fold(0.0, f64::max)
    };
    let iou = truth.iter().map(best).sum::<f64>() / truth.len().max(1) as f64;
    json!({
        "sample_id": sample_id, "completion": completion, "iou": iou,
        "truth": truth.iter().map(|truth| bbox(&truth.bbox)).collect::<Vec<_>>(),
        "predicted": predicted.iter()
            .map(|p| json!({"bbox": bbox(&p.bbox), "confidence": p.confidence}))
            .collect::<Vec<_>>(),
    })
}

/// A copy that was made only to be evaluated goes away; checkpoints stay.
pub(crate) fn remove_candidate(run_dir: &Path, location: &Path) -> eyre::Result<()> {
    match location.starts_with(run_dir.join("candidates")) {
        true => fs::remove_dir_all(location).wrap_err_with(|| format!("{location:?}")),
        false => Ok(()),
    }
}
