//! From a row of the data set to a prompt.

use std::io::Cursor;

use eyre::{WrapErr, eyre};
use image::{ImageFormat, ImageReader};
use vrft_dataset::Sample;
use vrft_messages::{EncodedImage, Prompt};
use vrft_reward::Reward;

use crate::Config;

/// What makes a row unusable besides an image that cannot be decoded, which the data set checks itself.
pub(crate) fn check(sample: &Sample, reward: &Reward) -> Result<(), String> {
    reward.parse_answer(&sample.solution).map(drop).map_err(|error| error.to_string())
}

/// The k-th prompt of the run: a function of the configuration, its sample and k alone. The task is that of the
/// reward where none is named.
pub(crate) fn make(
    config: &Config,
    sample: &Sample,
    task: Option<&str>,
    prompt_id: u64,
    min_policy_version: u64,
) -> eyre::Result<Prompt> {
    let (horizontal, vertical) =
        vrft_dataset::flip_for(config.data.flip, config.run.seed, prompt_id);
    let flipped;
    let sample = match horizontal || vertical {
        false => sample,
        true => {
            flipped = vrft_dataset::flip(sample, horizontal, vertical)?;
            &flipped
        }
    };
    let reward = task.map_or(&config.rewards.shared, |task| config.rewards.of(task));
    let images = sample.images.iter().map(|bytes| encoded(bytes)).collect::<eyre::Result<_>>();
    Ok(Prompt {
        prompt_id,
        sample_id: sample.sample_id.clone(),
        task: task.unwrap_or(&reward.task).to_owned(),
        system: Some(config.policy.system.clone()).filter(|system| !system.is_empty()),
        text: vrft_reward::prompt(&sample.problem, reward),
        images: images.wrap_err_with(|| format!("sample {:?}", sample.sample_id))?,
        answer: sample.solution.clone(),
        min_policy_version,
    })
}

/// Reads format and size from the header; the pixels stay encoded.
fn encoded(bytes: &[u8]) -> eyre::Result<EncodedImage> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let format = reader.format().ok_or_else(|| eyre!("unknown image format"))?;
    let encoding = match format {
        ImageFormat::Jpeg => "jpeg",
        other => other.extensions_str().first().copied().unwrap_or("image"),
    };
    let (width, height) = reader.into_dimensions()?;
    Ok(EncodedImage { bytes: bytes.to_vec(), encoding: encoding.to_owned(), width, height })
}
