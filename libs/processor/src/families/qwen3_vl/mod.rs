//! [Qwen3-VL](https://arxiv.org/abs/2511.21631) in prompts: as its predecessors, with patches of 16 pixels, coordinates
//! in thousandths of the picture, and the seconds of a video as text between its frames.

use std::path::Path;

use vrft_checkpoint::{CheckpointError, Keys};
use vrft_vision::{
    CoordinateSpace, ImageSettings, Preprocessor, SamplingRule, VideoBounds, VideoSettings,
};

use super::qwen2_vl::{Defaults, IMAGE, PadTokens, Time, image_settings, sampling};
use super::settings::{HALF, SettingsFiles, named};
use super::{Coordinates, Family, ItemKeys, Placeholders};
use crate::ProcessorError;
use crate::tokenizer::Tokenizer;

/// Of videos, where a checkpoint does not say. Images are assumed to be as those of the predecessors.
const VIDEO: Defaults =
    Defaults { patch_size: 16, colors: HALF, bounds: (128 * 32 * 32, 32 * 32 * 768) };
const FRAMES_PER_SECOND: f64 = 2.0;
const MAX_FRAME_TOKENS: usize = 768;

#[derive(Debug)]
pub(super) struct Qwen3Vl;

impl Family for Qwen3Vl {
    fn model_type(&self) -> &'static str {
        "qwen3_vl"
    }

    fn coordinates(&self) -> Coordinates {
        Coordinates {
            space: CoordinateSpace::Thousandths,
            item_keys: Some(ItemKeys { place: "bbox_2d", label: "label" }),
        }
    }

    fn preprocessor(&self, dir: &Path) -> Result<Preprocessor, ProcessorError> {
        let files = SettingsFiles::read(dir)?;
        let image = image_settings(&files.image()?, IMAGE)?;
        let video = video_settings(&files.video()?, &image)?;
        Ok(Preprocessor::try_new(image, video)?)
    }

    fn placeholders(
        &self,
        _dir: &Path,
        config: &Keys,
        tokenizer: &Tokenizer,
    ) -> Result<Box<dyn Placeholders>, ProcessorError> {
        let token = |token: &str| token.to_owned();
        let (start, end) = (token("<|vision_start|>"), token("<|vision_end|>"));
        Ok(Box::new(PadTokens::read(config, tokenizer, Time::Text { start, end })?))
    }
}

fn video_settings(keys: &Keys, image: &ImageSettings) -> Result<VideoSettings, CheckpointError> {
    let frame = image_settings(keys, VIDEO)?;
    let sampled = keys.flag("do_sample_frames")?.unwrap_or(true);
    let sampling = || sampling(keys, SamplingRule::BothEnds, Some(FRAMES_PER_SECOND));
    let capped = keys.flag("cap_pixels_per_frame")?.unwrap_or(false);
    let n_tokens = keys.count("max_video_tokens")?.unwrap_or(MAX_FRAME_TOKENS);
    let settings = VideoSettings {
        frame,
        sampling: sampled.then(sampling).transpose()?,
        bounds: VideoBounds::AllFrames { max_frame_tokens: capped.then_some(n_tokens) },
    };
    settings.check(image).map_err(|error| named(keys, error))?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use vrft_vision::{Pixels, Video};

    use super::*;

    fn preprocessor(video: &str) -> Result<Preprocessor, ProcessorError> {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        write("preprocessor_config.json", r#"{"patch_size": 16}"#);
        write("video_preprocessor_config.json", video);
        Qwen3Vl.preprocessor(dir.path())
    }

    fn seconds(video: &str, n_frames: usize, rate: f64) -> Vec<String> {
        let frame = Pixels::try_new(64, 64, vec![0; 64 * 64 * 3]).unwrap();
        let frames = Video::try_new(vec![frame; n_frames], rate).unwrap();
        let seconds = preprocessor(video).unwrap().clip(&frames).unwrap().seconds;
        seconds.iter().map(|second| format!("{second:.2}")).collect()
    }

    #[test]
    fn two_frames_a_second_are_picked_unless_a_checkpoint_says_otherwise() {
        assert_eq!(seconds("{}", 25, 5.0), ["0.30", "1.30", "2.40", "3.50", "4.50"]);
        assert_eq!(seconds(r#"{"do_sample_frames": false}"#, 3, 2.0), ["0.25", "1.00"]);
        assert_eq!(seconds(r#"{"num_frames": 2}"#, 25, 5.0), ["2.40"]);
    }

    #[test]
    fn a_rate_and_a_number_exclude_each_other() {
        let message = preprocessor(r#"{"num_frames": 2, "fps": 1}"#).unwrap_err().to_string();
        assert!(message.ends_with("fps should be absent where num_frames is given, got 1"));
    }
}
