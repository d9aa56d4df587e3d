//! What the evaluator leaves in the run folder, one JSON object a line.
//!
//! `evaluations.jsonl` has the metrics of each policy, `predictions-<label>.jsonl` the newest answers of each,
//! `validations.jsonl` what policies are worth on the rows that the best one is chosen on,
//! `images/` the first held-out images for the report, by the number of their sample: a sample's name is data, and may
//! be anything.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, ensure};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};
use serde_json::{Value, json};
use vrft_dataset::{Dataset, Picture};
use vrft_evaluate::{Judgment, Prediction};
use vrft_messages::Reply;
use vrft_reward::Answer;

use crate::forgetting::Forgetting;

/// Images copied for the report.
const N_IMAGES: usize = 24;

/// What policies are worth on the rows that the best one is chosen on.
const CHOICES: &str = "validations.jsonl";

/// Bytes of a file's name that every common file system takes.
const MAX_FILE_NAME: usize = 255;

/// The evaluator's files.
pub(crate) struct Records {
    run_dir: PathBuf,
    /// The metrics by label and version.
    written: BTreeMap<(String, u64), BTreeMap<String, f64>>,
    /// By label and version, the measure that is chosen by and its value, on rows that are not reported on.
    chosen_by: BTreeMap<(String, u64), (String, f64)>,
    /// What each label was worth.
    pub(crate) forgetting: Forgetting,
}

impl Records {
    /// Continues the records of a resumed run.
    pub(crate) fn open(run_dir: &Path) -> eyre::Result<Self> {
        let path = run_dir.join("evaluations.jsonl");
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let mut written = BTreeMap::new();
        let mut forgetting = Forgetting::default();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let label = line["label"].as_str().unwrap_or_default().to_owned();
            let Some(version) = line["policy_version"].as_u64() else { continue };
            let metrics: BTreeMap<String, f64> =
                serde_json::from_value(line["metrics"].clone()).unwrap_or_default();
            forgetting.add(&label, &metrics);
            written.insert((label, version), metrics);
        }
        let chosen_by = read_choices(run_dir);
        Ok(Self { run_dir: run_dir.to_owned(), written, chosen_by, forgetting })
    }

    pub(crate) fn has(&self, label: &str, version: u64) -> bool {
        self.written.contains_key(&(label.to_owned(), version))
    }

    /// The metrics of a policy, if it was evaluated.
    pub(crate) fn metrics(&self, label: &str, version: u64) -> Option<&BTreeMap<String, f64>> {
        self.written.get(&(label.to_owned(), version))
    }

    /// What a policy is worth on the rows that the best one is chosen on, if it was evaluated there.
    pub(crate) fn choice(&self, label: &str, version: u64) -> Option<(String, f64)> {
        self.chosen_by.get(&(label.to_owned(), version)).cloned()
    }

    /// Writes down which policy was chosen, and why.
    pub(crate) fn write_choice(
        &mut self,
        label: &str,
        version: u64,
        (measure, value): (&str, f64),
    ) -> eyre::Result<()> {
        let line = json!({
            "label": label, "policy_version": version, "measure": measure, "value": value,
        });
        append(&self.run_dir.join(CHOICES), &line)?;
        self.chosen_by.insert((label.to_owned(), version), (measure.to_owned(), value));
        Ok(())
    }

    /// Writes an evaluation down; `learner` is the node whose policy it is, if it is one's.
    pub(crate) fn write(
        &mut self,
        label: &str,
        learner: Option<&str>,
        version: u64,
        judgment: &Judgment,
        test: &Dataset,
    ) -> eyre::Result<()> {
        let mut predictions = self.create(&predictions_file(label))?;
        for (number, prediction) in judgment.predictions.iter().enumerate() {
            let predicted = judgment.reward.read(&prediction.completion);
            let mut line = prediction_json(prediction, predicted.as_ref());
            line["sample"] = number.into();
            if !prediction.turns.is_empty() {
                line["turns"] = self.turns_json(label, number, &prediction.turns)?;
            }
            writeln!(predictions, "{line}")?;
        }
        if self.written.is_empty() {
            self.copy_images(test)?;
        }
        let summary = judgment.summary();
        let line = json!({
            "label": label, "learner": learner, "policy_version": version, "n": summary.n,
            "secs": summary.secs, "metrics": summary.metrics,
        });
        append(&self.run_dir.join("evaluations.jsonl"), &line)?;
        self.forgetting.add(label, &summary.metrics);
        self.written.insert((label.to_owned(), version), summary.metrics);
        Ok(())
    }

    /// The turns before an answer. Pictures that were shown meanwhile become files beside those of the samples, for as many
    /// samples as these.
    fn turns_json(&self, label: &str, number: usize, turns: &[Reply]) -> eyre::Result<Value> {
        let folder = self.run_dir.join("images");
        let mut lines = Vec::with_capacity(turns.len());
        for (turn, reply) in turns.iter().enumerate() {
            let mut names = Vec::new();
            let images = reply.images.iter().enumerate().filter(|_| number < N_IMAGES);
            for (idx, image) in images {
                fs::create_dir_all(&folder).wrap_err_with(|| format!("{folder:?}"))?;
                let name = format!("{number:04}-{turn}-{idx}-{}", vrft_node::file_name(label));
                let path = folder.join(&name);
                fs::write(&path, &image.bytes).wrap_err_with(|| format!("{path:?}"))?;
                names.push(name);
            }
            lines.push(json!({
                "said": reply.said, "tool": reply.tool, "reply": reply.text, "pictures": names,
            }));
        }
        Ok(lines.into())
    }

    fn copy_images(&self, test: &Dataset) -> eyre::Result<()> {
        let folder = self.run_dir.join("images");
        fs::create_dir_all(&folder).wrap_err_with(|| format!("{folder:?}"))?;
        for (number, row) in test.iter().take(N_IMAGES).enumerate() {
            let Some(picture) = row.pictures.first() else { continue };
            let (bytes, extension) = for_browsers(picture)?;
            let path = folder.join(format!("{number:04}.{extension}"));
            fs::write(&path, bytes).wrap_err_with(|| format!("{path:?}"))?;
        }
        Ok(())
    }

    fn create(&self, name: &str) -> eyre::Result<File> {
        let path = self.run_dir.join(name);
        File::create(&path).wrap_err_with(|| format!("{path:?}"))
    }
}

/// Adds a line to a file.
fn append(path: &Path, line: &Value) -> eyre::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.wrap_err_with(|| format!("cannot write {path:?}"))
}

/// What the policies of a resumed run were worth on the rows that the best one is chosen on.
fn read_choices(run_dir: &Path) -> BTreeMap<(String, u64), (String, f64)> {
    let text = fs::read_to_string(run_dir.join(CHOICES)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let choice = |line: Value| {
        let label = line["label"].as_str()?.to_owned();
        let measure = line["measure"].as_str()?.to_owned();
        Some(((label, line["policy_version"].as_u64()?), (measure, line["value"].as_f64()?)))
    };
    lines.filter_map(choice).collect()
}

/// The file with the newest answers under a label.
fn predictions_file(label: &str) -> String {
    format!("predictions-{}.jsonl", vrft_node::file_name(label))
}

/// Checks that a label can name a file, before the first evaluation takes its time.
///
/// # Errors
/// A label that is too long.
pub(crate) fn check_label(label: &str) -> eyre::Result<()> {
    let n = predictions_file(label).len();
    ensure!(
        n <= MAX_FILE_NAME,
        "the label {label:?} is too long to name a file: shorten the name of the task or of the evaluator's input"
    );
    Ok(())
}

/// A picture as a file that browsers show, and the extension of its name. What they do not show (TIFF, PNM), or would
/// show moving while the model sees the first frame (GIF), becomes a PNG of what the model sees.
fn for_browsers(picture: &Picture) -> eyre::Result<(Vec<u8>, &'static str)> {
    let extension = match picture.header().format {
        ImageFormat::Png => "png",
        ImageFormat::Jpeg => "jpg",
        ImageFormat::WebP => "webp",
        ImageFormat::Bmp => "bmp",
        _ => return Ok((png(picture)?, "png")),
    };
    Ok((picture.bytes()?, extension))
}

/// The upright pixels of a picture as a PNG.
fn png(picture: &Picture) -> eyre::Result<Vec<u8>> {
    let pixels = picture.decode()?;
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    encoder.write_image(&pixels.rgb, width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

/// Boxes as boxes, everything else as text.
fn prediction_json(prediction: &Prediction, predicted: Option<&Answer>) -> Value {
    let Prediction { sample_id, question, completion, answer, score, extent, counted, .. } =
        prediction;
    let truth = answer.answer.detections();
    if truth.is_empty() && answer.answer != Answer::Nothing {
        return json!({
            "sample_id": sample_id, "question": question, "completion": completion, "score": score,
            "truth": vrft_reward::true_answer(&answer.solution),
            "predicted": vrft_reward::answer_text(completion),
        });
    }
    let predicted = predicted.map_or_else(Vec::new, Answer::detections);
    let bbox = |b: &vrft_reward::BBox| json!([b.x1, b.y1, b.x2, b.y2]);
    let best = |truth: &vrft_reward::Detection| {
        predicted.iter().map(|p| p.bbox.iou(&truth.bbox)).fold(0.0, f64::max)
    };
    // Where there is nothing to be found there is nothing to overlap with either.
    let iou = (!truth.is_empty()).then(|| truth.iter().map(best).sum::<f64>() / truth.len() as f64);
    json!({
        "sample_id": sample_id, "question": question, "completion": completion, "iou": iou,
        "truth": truth.iter().map(|truth| bbox(&truth.bbox)).collect::<Vec<_>>(),
        "predicted": predicted.iter()
            .map(|p| json!({"bbox": bbox(&p.bbox), "confidence": p.confidence}))
            .collect::<Vec<_>>(),
        "extent": extent, "counted": counted,
    })
}

/// A copy that was made only to be evaluated goes away; checkpoints stay.
pub(crate) fn remove_candidate(run_dir: &Path, location: &Path) -> eyre::Result<()> {
    if location.starts_with(run_dir.join("candidates")) && location.exists() {
        fs::remove_dir_all(location).wrap_err_with(|| format!("{location:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vrft_dataset::{Origin, Question, Row, Truth};
    use vrft_evaluate::Evaluator;
    use vrft_reward::Reward;
    use vrft_reward::config::RewardConfig;

    use std::collections::BTreeSet;

    use super::*;

    /// Samples with these names, each with a picture of its own, and answers to them.
    fn judged(names: &[&str]) -> (Dataset, Judgment) {
        let solution = "<answer>[{'Position': [0, 0, 10, 10], 'Confidence': 1}]</answer>";
        // The smallest picture.
        let mut png = std::io::Cursor::new(Vec::new());
        let pixel = image::RgbImage::new(1, 1);
        pixel.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let picture = Arc::new(Picture::of_bytes(png.into_inner()).unwrap());
        let row = |(row, name): (usize, &&str)| Row {
            pictures: vec![picture.clone()],
            origin: Origin { file: Path::new("test").into(), row, sample_id: (*name).into() },
            question: Question::Turns(vec![].into()),
            truth: Truth::Text(solution.into()),
        };
        let samples: Vec<Row> = names.iter().enumerate().map(row).collect();
        let config = RewardConfig::default();
        let reward = Reward::new(&config);
        let prediction = |name: &&str| Prediction {
            sample_id: (*name).to_owned(),
            question: "Where is it?".to_owned(),
            completion: solution.to_owned(),
            turns: vec![],
            answer: reward.parse_answer(solution).unwrap(),
            score: Some(1.0),
            extent: Some([1000.0, 1000.0]),
            counted: None,
        };
        let predictions = names.iter().map(prediction).collect();
        let evaluation = Evaluator::new(&config).finish();
        let judgment =
            Judgment { evaluation, predictions, reward: Reward::new(&config), secs: 0.0 };
        (Dataset::of(samples).unwrap(), judgment)
    }

    #[test]
    fn a_samples_name_is_never_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("a/b/run");
        fs::create_dir_all(&run).unwrap();
        let long = "x".repeat(300);
        let outside = folder.path().join("outside").display().to_string();
        let names = ["../../x", &outside, "scene1/img0", &long, "", "same", "same"];
        let (test, judgment) = judged(&names);
        let mut records = Records::open(&run).unwrap();
        records.write("rft", Some("learner"), 3, &judgment, &test).unwrap();
        let images: BTreeSet<String> = fs::read_dir(run.join("images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected = (0..names.len()).map(|number| format!("{number:04}.png"));
        assert_eq!(images, expected.collect());
        // Nothing beside the run.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
        let lines = fs::read_to_string(run.join("predictions-rft.jsonl")).unwrap();
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (number, (line, name)) in lines.iter().zip(names).enumerate() {
            assert_eq!((&line["sample"], &line["sample_id"]), (&json!(number), &json!(name)));
        }
        let evaluations = fs::read_to_string(run.join("evaluations.jsonl")).unwrap();
        let line: Value = serde_json::from_str(&evaluations).unwrap();
        assert_eq!((&line["label"], &line["learner"]), (&json!("rft"), &json!("learner")));
    }

    #[test]
    fn a_picture_that_browsers_do_not_show_is_shown_as_png() {
        let pixel = image::RgbImage::from_pixel(2, 1, image::Rgb([10, 20, 30]));
        for format in [ImageFormat::Tiff, ImageFormat::Pnm, ImageFormat::Gif] {
            let mut bytes = std::io::Cursor::new(Vec::new());
            pixel.write_to(&mut bytes, format).unwrap();
            let picture = Picture::of_bytes(bytes.into_inner()).unwrap();
            let (shown, extension) = for_browsers(&picture).unwrap();
            assert_eq!(extension, "png", "{format:?}");
            let shown = image::load_from_memory_with_format(&shown, ImageFormat::Png).unwrap();
            assert_eq!(shown.into_rgb8(), pixel, "{format:?}");
        }
        let mut bytes = std::io::Cursor::new(Vec::new());
        pixel.write_to(&mut bytes, ImageFormat::Bmp).unwrap();
        let picture = Picture::of_bytes(bytes.get_ref().clone()).unwrap();
        assert_eq!(for_browsers(&picture).unwrap(), (bytes.into_inner(), "bmp"));
    }

    #[test]
    fn nor_is_the_name_of_a_task() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        let (test, judgment) = judged(&["a"]);
        let mut records = Records::open(&run).unwrap();
        records.write("rft@../../x", None, 0, &judgment, &test).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(run.join("predictions-rft@..%2F..%2Fx.jsonl").exists());
        let error = check_label(&"y".repeat(300)).unwrap_err().to_string();
        assert!(error.contains("is too long to name a file"), "{error}");
    }
}
