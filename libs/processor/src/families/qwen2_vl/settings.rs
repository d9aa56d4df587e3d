//! The image and video settings of a checkpoint, as the Hugging Face layout spells them.

use std::path::Path;

use vrft_checkpoint::{CheckpointError, Keys};
use vrft_vision::{
    Filter, FrameSampling, FrameTarget, ImageSettings, Preprocessor, SamplingRule, VideoBounds,
    VideoSettings,
};

use crate::ProcessorError;
use crate::families::settings::{Colors, SettingsFiles, named, sized, with_colors};

/// What is assumed of pictures where a checkpoint does not say.
#[derive(Debug, Clone, Copy)]
pub(in crate::families) struct Defaults {
    pub(in crate::families) patch_size: usize,
    pub(in crate::families) colors: Colors,
    /// Fewest and most pixels.
    pub(in crate::families) bounds: (usize, usize),
}

/// Of images, in this family and in its successors.
pub(in crate::families) const IMAGE: Defaults = Defaults {
    patch_size: 14,
    colors: Colors {
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        filter: Filter::Bicubic,
    },
    bounds: (56 * 56, 28 * 28 * 1280),
};
/// Settings of videos that a checkpoint leaves out.
const VIDEO: Defaults = Defaults { bounds: (128 * 28 * 28, 28 * 28 * 768), ..IMAGE };
/// Length of context, in tokens, that the bound on all frames is a share of.
const MAX_VIDEO_TOKENS: usize = 128_000;
/// The share of the context that a video may take.
const VIDEO_SHARE: f64 = 0.9;

/// Reads the settings of images and of videos.
///
/// # Errors
/// Settings that are absent, damaged or not supported.
pub(crate) fn read_preprocessor(dir: &Path) -> Result<Preprocessor, ProcessorError> {
    let files = SettingsFiles::read(dir)?;
    let image = image_settings(&files.image()?, IMAGE)?;
    let video = video_settings(&files.video()?, &image)?;
    Ok(Preprocessor::try_new(image, video)?)
}

/// The settings of images, or of the frames of a video.
pub(in crate::families) fn image_settings(
    keys: &Keys,
    defaults: Defaults,
) -> Result<ImageSettings, CheckpointError> {
    let pads = keys.flag("do_pad")?.unwrap_or(false);
    keys.ensure(!pads, "do_pad", "false: a border would move the grid", true)?;
    let sizes = [
        keys.count("patch_size")?.unwrap_or(defaults.patch_size),
        keys.count("temporal_patch_size")?.unwrap_or(2),
        keys.count("merge_size")?.unwrap_or(2),
    ];
    with_colors(keys, defaults.colors, sized(sizes, pixel_bounds(keys, defaults.bounds)?))
}

fn video_settings(keys: &Keys, image: &ImageSettings) -> Result<VideoSettings, CheckpointError> {
    let frame = image_settings(keys, VIDEO)?;
    let sampled = keys.flag("do_sample_frames")?.unwrap_or(false);
    let capped = keys.flag("cap_pixels_per_frame")?.unwrap_or(false);
    let tokens = keys.count("max_video_tokens")?.unwrap_or(MAX_VIDEO_TOKENS);
    // As `cap_pixels_per_frame` of transformers bounds all frames together.
    let total = tokens as f64 * (frame.factor() * frame.factor()) as f64 * VIDEO_SHARE;
    let settings = VideoSettings {
        sampling: sampled.then(|| sampling(keys, SamplingRule::Steps, None)).transpose()?,
        bounds: VideoBounds::EachFrame { max_total_pixels: capped.then_some(total as usize) },
        frame,
    };
    settings.check(image).map_err(|error| named(keys, error))?;
    Ok(settings)
}

/// How frames are picked, at `default_rate` frames a second if the keys say neither a rate nor a number.
pub(in crate::families) fn sampling(
    keys: &Keys,
    rule: SamplingRule,
    default_rate: Option<f64>,
) -> Result<FrameSampling, CheckpointError> {
    let target = match (keys.count("num_frames")?, keys.positive("fps")?) {
        (Some(n), None) => FrameTarget::Frames(n),
        (None, Some(rate)) => FrameTarget::FramesPerSecond(rate),
        (None, None) => match default_rate {
            Some(rate) => FrameTarget::FramesPerSecond(rate),
            None => {
                let expected = "a number, or num_frames one, where do_sample_frames is true";
                return Err(keys.error("fps", expected, "nothing"));
            }
        },
        (Some(_), Some(rate)) => {
            return Err(keys.error("fps", "absent where num_frames is given", rate));
        }
    };
    let min_frames = keys.count("min_frames")?.unwrap_or(4);
    let max_frames = keys.count("max_frames")?.unwrap_or(768);
    Ok(FrameSampling { rule, target, min_frames, max_frames })
}

/// Bounds on the number of pixels. transformers 5 calls them edges, older ones pixels; the top level wins.
fn pixel_bounds(keys: &Keys, defaults: (usize, usize)) -> Result<(usize, usize), CheckpointError> {
    let size = keys.section("size");
    let bound = |key: &str, edge: &str, default: usize| {
        let mut found = keys.count(key)?;
        for name in [edge, key] {
            if found.is_none() {
                found = size.count(name)?;
            }
        }
        Ok::<_, CheckpointError>(found.unwrap_or(default))
    };
    Ok((
        bound("min_pixels", "shortest_edge", defaults.0)?,
        bound("max_pixels", "longest_edge", defaults.1)?,
    ))
}

#[cfg(test)]
mod tests {
    use vrft_checkpoint::JsonFile;

    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Preprocessor, ProcessorError> {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        read_preprocessor(dir.path())
    }

    fn parse(text: &str) -> Result<ImageSettings, CheckpointError> {
        image_settings(&JsonFile::parse("file.json", text).unwrap().keys(), IMAGE)
    }

    #[track_caller]
    fn check_bounds(text: &str, expected: (usize, usize)) {
        let settings = parse(text).unwrap();
        assert_eq!((settings.min_pixels, settings.max_pixels), expected);
    }

    #[test]
    fn every_spelling_of_the_bounds_is_read() {
        check_bounds(r#"{"min_pixels": 100, "max_pixels": 900}"#, (100, 900));
        check_bounds(r#"{"size": {"min_pixels": 100, "max_pixels": 900}}"#, (100, 900));
        check_bounds(r#"{"size": {"shortest_edge": 100, "longest_edge": 900}}"#, (100, 900));
        check_bounds("{}", (3136, 1_003_520));
    }

    #[test]
    fn top_level_bounds_win() {
        let both = r#"{"min_pixels": 7, "max_pixels": null, "size": {"shortest_edge": 100, "longest_edge": 900}}"#;
        check_bounds(both, (7, 900));
    }

    #[test]
    fn a_section_of_the_current_file_wins_over_the_older_file() {
        let nested = r#"{"image_processor": {"max_pixels": 40000, "min_pixels": 1}}"#;
        let older = ("preprocessor_config.json", r#"{"max_pixels": 80000, "min_pixels": 1}"#);
        let area = |files: &[(&str, &str)]| {
            let (height, width) = read(files).unwrap().resized(1000, 1000).unwrap();
            height * width
        };
        assert_eq!(area(&[older]), 280 * 280);
        assert_eq!(area(&[older, ("processor_config.json", nested)]), 196 * 196);
        assert_eq!(area(&[older, ("processor_config.json", "{}")]), 280 * 280);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let message = parse(text).unwrap_err().to_string();
        assert_eq!(message, format!("file.json: {expected}"));
    }

    #[test]
    fn a_setting_that_is_not_supported_is_named_with_its_file() {
        check_refused(r#"{"patch_size": 0}"#, "patch_size should be at least 1, got 0");
        check_refused(
            r#"{"patch_size": "big"}"#,
            "patch_size should be an integer of 0 or more, got \"big\"",
        );
        check_refused(
            r#"{"resample": 0}"#,
            "resample should be 1 (lanczos), 2 (bilinear) or 3 (bicubic), got 0",
        );
        check_refused(
            r#"{"image_std": [1, 0, 1]}"#,
            "image_std should be three numbers other than 0, got [1.0, 0.0, 1.0]",
        );
        check_refused(r#"{"image_mean": 0.5}"#, "image_mean should be three numbers, got 0.5");
        check_refused(
            r#"{"min_pixels": 9, "max_pixels": 8}"#,
            "max_pixels should be at least min_pixels, got 8",
        );
        check_refused(r#"{"do_resize": 1}"#, "do_resize should be true or false, got 1");
        check_refused(
            r#"{"do_center_crop": true}"#,
            "do_center_crop should be false: a crop would move the grid, got true",
        );
        check_refused(
            r#"{"merge_size": 4294967296}"#,
            "merge_size should be at most 1024, got 4294967296",
        );
    }

    #[test]
    fn a_key_in_a_section_is_named_with_the_section() {
        let text = r#"{"image_processor": {"size": {"shortest_edge": -1}}}"#;
        let message = read(&[("processor_config.json", text)]).unwrap_err().to_string();
        let expected = "processor_config.json: image_processor.size.shortest_edge should be \
                        an integer of 0 or more, got -1";
        assert!(message.ends_with(expected), "{message}");
    }

    #[test]
    fn a_file_that_is_not_json_is_named() {
        let message = read(&[("preprocessor_config.json", "{")]).unwrap_err().to_string();
        assert!(message.contains("preprocessor_config.json\" is damaged"), "{message}");
    }

    #[test]
    fn a_folder_without_settings_says_what_it_should_have() {
        let message = read(&[("other.json", "{}")]).unwrap_err().to_string();
        assert!(message.contains("expected preprocessor_config.json"), "{message}");
    }

    /// Pixels of a frame of a video that would be larger.
    #[track_caller]
    fn check_frame(files: &[(&str, &str)], expected: usize) {
        let frame = vrft_vision::Pixels::try_new(1400, 1400, vec![0; 1400 * 1400 * 3]).unwrap();
        let video = vrft_vision::Video::try_new(vec![frame], 1.0).unwrap();
        let grid = read(files).unwrap().clip(&video).unwrap().patches.grid;
        assert_eq!(grid.n_patches() * 14 * 14, expected);
    }

    #[test]
    fn a_video_has_settings_of_its_own() {
        let image = ("preprocessor_config.json", r#"{"max_pixels": 5000}"#);
        let video = ("video_preprocessor_config.json", r#"{"max_pixels": 80000, "min_pixels": 1}"#);
        let nested =
            r#"{"image_processor": {}, "video_processor": {"max_pixels": 40000, "min_pixels": 1}}"#;
        check_frame(&[image, video], 280 * 280);
        check_frame(&[image, video, ("processor_config.json", nested)], 196 * 196);
        check_frame(&[("preprocessor_config.json", "{}")], 756 * 756);
    }

    #[test]
    fn all_frames_may_have_to_share_their_pixels() {
        let text = r#"{"cap_pixels_per_frame": true, "max_video_tokens": 1000, "min_pixels": 1}"#;
        let keys = JsonFile::parse("file.json", text).unwrap();
        let image = parse("{}").unwrap();
        // 1000 tokens · 28² pixels · 0.9.
        let settings = video_settings(&keys.keys(), &image).unwrap();
        let expected = VideoBounds::EachFrame { max_total_pixels: Some(705_600) };
        assert_eq!(settings.bounds, expected);
    }

    #[track_caller]
    fn check_video_refused(text: &str, expected: &str) {
        let message = read(&[("preprocessor_config.json", text)]).unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    }

    #[test]
    fn sampling_needs_to_know_how_many() {
        check_video_refused(
            r#"{"do_sample_frames": true}"#,
            "fps should be a number, or num_frames one, where do_sample_frames is true, got nothing",
        );
        check_video_refused(
            r#"{"do_sample_frames": true, "fps": 2, "num_frames": 4}"#,
            "fps should be absent where num_frames is given, got 2",
        );
    }

    #[test]
    fn videos_and_images_share_a_grid() {
        let files = [
            ("preprocessor_config.json", r#"{"patch_size": 8}"#),
            ("video_preprocessor_config.json", r#"{"patch_size": 14}"#),
        ];
        let message = read(&files).unwrap_err().to_string();
        assert!(message.ends_with("patch_size should be 8, as for images, got 14"), "{message}");
    }
}
