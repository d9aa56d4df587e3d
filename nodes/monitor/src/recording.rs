//! The run as a Rerun recording, `run.rrd`: what was asked, what was answered and earned, and every curve.
//!
//! Written during the run, so that a viewer can follow it: `rerun out/RUN/run.rrd`. For each of the first
//! prompts of a step it holds the pictures, the true and the predicted boxes, and the answers with their rewards.

use std::path::{Path, PathBuf};

use eyre::WrapErr;
use re_sdk::{RecordingStream, RecordingStreamBuilder};
use re_sdk_types::archetypes::{Boxes2D, EncodedImage as Picture, Scalars, TextDocument};
use re_sdk_types::components::{Color, MediaType};
use vrft_config::Document;
use vrft_messages::{EncodedImage, MetricBatch, Prompt, RewardRow};
use vrft_node::Node;
use vrft_plan::LearnerConfig;
use vrft_reward::config::RewardConfig;
use vrft_reward::{Detection, Reward};

use crate::ports::{GROUPS, PROMPTS, REWARDS};

/// Prompts of a step that are recorded: enough to see what happens, in a file that stays small.
const MAX_SHOWN: usize = 4;

const TRUTH: (u8, u8, u8) = (0, 160, 90);
const PREDICTED: (u8, u8, u8) = (230, 120, 0);

/// A recording under way.
pub(crate) struct Recording {
    stream: RecordingStream,
    reward: Reward,
    learner: LearnerConfig,
}

impl Recording {
    /// Begins a recording in the run folder; that of a resumed run stands beside the one before.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn open(node: &Node, document: &Document) -> eyre::Result<Self> {
        let path = free_path(node.run_dir());
        let builder = RecordingStreamBuilder::new("vrft").recording_name(node.run_name());
        let stream = builder.save(&path).wrap_err_with(|| format!("cannot write {path:?}"))?;
        tracing::info!(path = vrft_config::shown(&path), "Recording.");
        let reward = Reward::new(&document.section::<RewardConfig>()?);
        Ok(Self { stream, reward, learner: document.section()? })
    }

    /// Every number of a node, at its step.
    pub(crate) fn append(&self, source: &str, batch: &MetricBatch) -> eyre::Result<()> {
        for metric in &batch.metrics {
            self.stream.set_time_sequence("step", metric.step as i64);
            let path = format!("curves/{source}/{}", metric.name);
            self.stream.log(path, &Scalars::single(metric.value))?;
        }
        Ok(())
    }

    /// Takes in the rewards of a step with what they are about: batches come in the same order on all three edges.
    pub(crate) fn take_step(&self, node: &mut Node) -> eyre::Result<()> {
        let Some(rewards) = node.recv(&REWARDS)? else { return Ok(()) };
        let Some(groups) = node.recv(&GROUPS)? else { return Ok(()) };
        let Some(prompts) = node.recv(&PROMPTS)? else { return Ok(()) };
        for (place, prompt) in prompts.prompts.iter().take(MAX_SHOWN).enumerate() {
            let texts = groups.completions.iter().filter(|row| row.prompt_id == prompt.prompt_id);
            let texts: Vec<&str> = texts.map(|row| row.completion.text.as_str()).collect();
            let rows = rewards.rewards.iter().filter(|row| row.prompt_id == prompt.prompt_id);
            self.show(place, prompt, &texts, &rows.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn show(
        &self,
        place: usize,
        prompt: &Prompt,
        texts: &[&str],
        rows: &[&RewardRow],
    ) -> eyre::Result<()> {
        self.stream.set_time_sequence("step", self.learner.step_of(prompt.prompt_id) as i64);
        let path = format!("prompts/{place}");
        for (n, image) in prompt.images.iter().enumerate() {
            let media = MediaType::from(format!("image/{}", image.encoding));
            let picture = Picture::new(image.bytes.clone()).with_media_type(media);
            self.stream.log(format!("{path}/image_{n}"), &picture)?;
        }
        self.stream.log(format!("{path}/answers"), &answers(prompt, texts, rows))?;
        let truth = self.reward.parse_answer(&prompt.answer)?.answer.detections();
        let Some(image) = prompt.images.first().filter(|_| !truth.is_empty()) else {
            return Ok(());
        };
        let mut predicted = Vec::new();
        for (text, row) in texts.iter().zip(rows) {
            let found = self.reward.read(text).map(|answer| answer.detections());
            let earned = earned(row);
            predicted.extend(found.into_iter().flatten().map(|found| (found, earned.clone())));
        }
        let truth: Vec<_> = truth.into_iter().map(|truth| (truth, "truth".to_owned())).collect();
        let path = format!("{path}/image_0");
        self.stream.log(format!("{path}/predicted"), &boxes(&predicted, image, PREDICTED))?;
        self.stream.log(format!("{path}/truth"), &boxes(&truth, image, TRUTH))?;
        Ok(())
    }
}

/// `run.rrd`, or the first of `run-2.rrd`, `run-3.rrd`, … that is not there.
fn free_path(run_dir: &Path) -> PathBuf {
    let mut path = run_dir.join("run.rrd");
    let mut n = 1;
    while path.exists() {
        n += 1;
        path = run_dir.join(format!("run-{n}.rrd"));
    }
    path
}

fn earned(row: &RewardRow) -> String {
    row.reward.map_or_else(|| "–".to_owned(), |reward| format!("{reward:.2}"))
}

/// What was asked for, and a line for each answer.
fn answers(prompt: &Prompt, texts: &[&str], rows: &[&RewardRow]) -> TextDocument {
    let mut text = format!("true: `{}`\n\n| reward | answer |\n|---:|---|\n", prompt.answer);
    for (said, row) in texts.iter().zip(rows) {
        text += &format!("| {} | `{}` |\n", earned(row), said.replace(['|', '\n'], " "));
    }
    TextDocument::new(text).with_media_type(MediaType::from("text/markdown".to_owned()))
}

/// Boxes in the pixels of their picture, each with a word.
fn boxes(
    found: &[(Detection, String)],
    image: &EncodedImage,
    (red, green, blue): (u8, u8, u8),
) -> Boxes2D {
    let per_thousand = [image.width as f32 / 1e3, image.height as f32 / 1e3];
    let pixels = |x: f64, y: f64| [x as f32 * per_thousand[0], y as f32 * per_thousand[1]];
    let mins = found.iter().map(|(d, _)| pixels(d.bbox.x1, d.bbox.y1));
    let sizes = found.iter().map(|(d, _)| pixels(d.bbox.x2 - d.bbox.x1, d.bbox.y2 - d.bbox.y1));
    Boxes2D::from_mins_and_sizes(mins, sizes)
        .with_labels(found.iter().map(|(_, word)| word.clone()))
        .with_colors([Color::from_rgb(red, green, blue)])
}

#[cfg(test)]
mod tests;
