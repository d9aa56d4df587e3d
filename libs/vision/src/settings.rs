//! The image and video settings of a checkpoint, as the Hugging Face layout spells them.

use std::path::Path;

use crate::keys::Keys;
use crate::sampling::FrameSampling;
use crate::{Filter, VisionError};

/// Scaling, normalization and patch sizes; absent keys take the defaults of Qwen2-VL.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) patch_size: usize,
    pub(crate) temporal_patch_size: usize,
    pub(crate) merge_size: usize,
    pub(crate) image_mean: [f32; 3],
    pub(crate) image_std: [f32; 3],
    pub(crate) rescale_factor: f64,
    pub(crate) do_resize: bool,
    pub(crate) do_rescale: bool,
    pub(crate) do_normalize: bool,
    pub(crate) filter: Filter,
    /// Fewest pixels after scaling.
    pub(crate) min_pixels: usize,
    /// Most pixels after scaling.
    pub(crate) max_pixels: usize,
}

/// The settings that only a video has.
#[derive(Debug, Clone)]
pub(crate) struct VideoSettings {
    pub(crate) frame: Settings,
    /// How frames are picked; all of them if `None`.
    pub(crate) sampling: Option<FrameSampling>,
    /// Pixels that all frames may have together, as `cap_pixels_per_frame` of transformers bounds them.
    pub(crate) max_total_pixels: Option<usize>,
}

const IMAGE_BOUNDS: (usize, usize) = (56 * 56, 28 * 28 * 1280);
const VIDEO_BOUNDS: (usize, usize) = (128 * 28 * 28, 28 * 28 * 768);
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
/// Length of context, in tokens, that the bound on all frames is a share of.
const MAX_VIDEO_TOKENS: usize = 128_000;
/// That share.
const VIDEO_SHARE: f64 = 0.9;

impl Settings {
    /// Reads `processor_config.json` if it has an `image_processor` section, else `preprocessor_config.json`.
    pub(crate) fn from_dir(dir: &Path) -> Result<Self, VisionError> {
        let keys = image_keys(dir)?.ok_or_else(|| VisionError::NoSettings { dir: dir.into() })?;
        Self::parse(&keys, IMAGE_BOUNDS)
    }

    fn parse(keys: &Keys, bounds: (usize, usize)) -> Result<Self, VisionError> {
        let (min_pixels, max_pixels) = pixel_bounds(keys, bounds)?;
        let settings = Self {
            patch_size: keys.count("patch_size")?.unwrap_or(14),
            temporal_patch_size: keys.count("temporal_patch_size")?.unwrap_or(2),
            merge_size: keys.count("merge_size")?.unwrap_or(2),
            image_mean: keys.channels("image_mean")?.unwrap_or(MEAN),
            image_std: keys.channels("image_std")?.unwrap_or(STD),
            rescale_factor: keys.number("rescale_factor")?.unwrap_or(1.0 / 255.0),
            do_resize: keys.flag("do_resize")?.unwrap_or(true),
            do_rescale: keys.flag("do_rescale")?.unwrap_or(true),
            do_normalize: keys.flag("do_normalize")?.unwrap_or(true),
            filter: filter(keys)?,
            min_pixels,
            max_pixels,
        };
        settings.check(keys)?;
        Ok(settings)
    }

    /// Side in pixels of what becomes one token.
    pub(crate) fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    fn check(&self, keys: &Keys) -> Result<(), VisionError> {
        for (key, got) in [
            ("patch_size", self.patch_size),
            ("temporal_patch_size", self.temporal_patch_size),
            ("merge_size", self.merge_size),
            ("min_pixels", self.min_pixels),
        ] {
            keys.ensure(got >= 1, key, "at least 1", got)?;
        }
        let bounded = self.min_pixels <= self.max_pixels;
        keys.ensure(bounded, "max_pixels", "at least min_pixels", self.max_pixels)?;
        let normal = self.rescale_factor.is_normal();
        keys.ensure(normal, "rescale_factor", "a number other than 0", self.rescale_factor)?;
        let divides = !self.image_std.contains(&0.0);
        keys.ensure(divides, "image_std", "three numbers other than 0", listed(self.image_std))?;
        for key in ["do_center_crop", "do_pad"] {
            let off = !keys.flag(key)?.unwrap_or(false);
            keys.ensure(off, key, "false: a crop or a border would move the grid", true)?;
        }
        Ok(())
    }
}

impl VideoSettings {
    /// Reads `processor_config.json` if it has a `video_processor` section, else `video_preprocessor_config.json`,
    /// else the settings of images.
    pub(crate) fn from_dir(dir: &Path, image: &Settings) -> Result<Self, VisionError> {
        let keys = match video_keys(dir)? {
            Some(keys) => Some(keys),
            None => image_keys(dir)?,
        };
        let keys = keys.ok_or_else(|| VisionError::NoSettings { dir: dir.into() })?;
        let frame = Settings::parse(&keys, VIDEO_BOUNDS)?;
        for (key, got, expected) in [
            ("patch_size", frame.patch_size, image.patch_size),
            ("merge_size", frame.merge_size, image.merge_size),
            ("temporal_patch_size", frame.temporal_patch_size, image.temporal_patch_size),
        ] {
            keys.ensure(got == expected, key, &format!("{expected}, as for images"), got)?;
        }
        let sampled = keys.flag("do_sample_frames")?.unwrap_or(false);
        let sampling = sampled.then(|| FrameSampling::parse(&keys, frame.temporal_patch_size));
        let capped = keys.flag("cap_pixels_per_frame")?.unwrap_or(false);
        let tokens = keys.count("max_video_tokens")?.unwrap_or(MAX_VIDEO_TOKENS);
        let total = (tokens * frame.factor() * frame.factor()) as f64 * VIDEO_SHARE;
        Ok(Self {
            sampling: sampling.transpose()?,
            max_total_pixels: capped.then_some(total as usize),
            frame,
        })
    }

    /// Most pixels of one of `n_frames` frames.
    pub(crate) fn max_pixels(&self, n_frames: usize) -> usize {
        // A frame may always be a little larger than the lower bound, however many there are.
        const SLACK: f64 = 1.05;
        let Settings { min_pixels, max_pixels, temporal_patch_size, .. } = self.frame;
        self.max_total_pixels.map_or(max_pixels, |total| {
            let share = total * temporal_patch_size / n_frames;
            max_pixels.min(share).max((min_pixels as f64 * SLACK) as usize)
        })
    }
}

fn image_keys(dir: &Path) -> Result<Option<Keys>, VisionError> {
    let current = Keys::read(&dir.join("processor_config.json"))?;
    match current.and_then(|keys| keys.section("image_processor")) {
        Some(keys) => Ok(Some(keys)),
        None => Keys::read(&dir.join("preprocessor_config.json")),
    }
}

fn video_keys(dir: &Path) -> Result<Option<Keys>, VisionError> {
    let current = Keys::read(&dir.join("processor_config.json"))?;
    match current.and_then(|keys| keys.section("video_processor")) {
        Some(keys) => Ok(Some(keys)),
        None => Keys::read(&dir.join("video_preprocessor_config.json")),
    }
}

/// Bounds on the number of pixels. transformers 5 calls them edges, older ones pixels; the top level wins.
fn pixel_bounds(keys: &Keys, defaults: (usize, usize)) -> Result<(usize, usize), VisionError> {
    let size = keys.section("size");
    let bound = |key: &str, edge: &str, default: usize| {
        let mut found = keys.count(key)?;
        for name in [edge, key] {
            if let (None, Some(size)) = (found, &size) {
                found = size.count(name)?;
            }
        }
        Ok(found.unwrap_or(default))
    };
    Ok((
        bound("min_pixels", "shortest_edge", defaults.0)?,
        bound("max_pixels", "longest_edge", defaults.1)?,
    ))
}

/// Pillow numbers its filters.
fn filter(keys: &Keys) -> Result<Filter, VisionError> {
    match keys.count("resample")? {
        Some(1) => Ok(Filter::Lanczos),
        Some(2) => Ok(Filter::Bilinear),
        Some(3) | None => Ok(Filter::Bicubic),
        Some(other) => {
            Err(keys.error("resample", "1 (lanczos), 2 (bilinear) or 3 (bicubic)", other))
        }
    }
}

fn listed(values: [f32; 3]) -> String {
    format!("{values:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (file, text) in files {
            std::fs::write(dir.path().join(file), text).expect("writes");
        }
        dir
    }

    fn settings(file: &str, text: &str) -> Result<Settings, VisionError> {
        Settings::from_dir(dir(&[(file, text)]).path())
    }

    fn video_settings(files: &[(&str, &str)]) -> Result<VideoSettings, VisionError> {
        let dir = dir(files);
        VideoSettings::from_dir(dir.path(), &Settings::from_dir(dir.path()).expect("valid"))
    }

    #[track_caller]
    fn check_bounds(file: &str, text: &str, expected: (usize, usize)) {
        let settings = settings(file, text).expect("valid");
        assert_eq!((settings.min_pixels, settings.max_pixels), expected);
    }

    #[test]
    fn every_spelling_of_the_bounds_is_read() {
        let older = "preprocessor_config.json";
        check_bounds(older, r#"{"min_pixels": 100, "max_pixels": 900}"#, (100, 900));
        check_bounds(older, r#"{"size": {"min_pixels": 100, "max_pixels": 900}}"#, (100, 900));
        let edges = r#"{"size": {"shortest_edge": 100, "longest_edge": 900}}"#;
        check_bounds(older, edges, (100, 900));
        let nested = format!(r#"{{"image_processor": {edges}}}"#);
        check_bounds("processor_config.json", &nested, (100, 900));
        check_bounds(older, "{}", (3136, 1_003_520));
    }

    #[test]
    fn top_level_bounds_win() {
        let both = r#"{"min_pixels": 7, "max_pixels": null, "size": {"shortest_edge": 100, "longest_edge": 900}}"#;
        check_bounds("preprocessor_config.json", both, (7, 900));
    }

    /// The message after the name of the file.
    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let message = settings("preprocessor_config.json", text).expect_err("refused").to_string();
        let (file, rest) = message.split_once("\": ").expect("a file is named");
        assert!(file.ends_with("preprocessor_config.json"), "{message}");
        assert_eq!(rest, expected);
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
        check_refused(
            r#"{"rescale_factor": 0}"#,
            "rescale_factor should be a number other than 0, got 0",
        );
        check_refused(r#"{"do_resize": 1}"#, "do_resize should be true or false, got 1");
        check_refused(
            r#"{"do_center_crop": true}"#,
            "do_center_crop should be false: a crop or a border would move the grid, got true",
        );
    }

    #[test]
    fn a_key_in_a_section_is_named_with_the_section() {
        let text = r#"{"image_processor": {"size": {"shortest_edge": -1}}}"#;
        let message = settings("processor_config.json", text).expect_err("refused").to_string();
        let expected =
            "image_processor.size.shortest_edge should be an integer of 0 or more, got -1";
        assert!(message.ends_with(expected), "{message}");
    }

    #[test]
    fn a_file_that_is_not_json_is_named() {
        let message = settings("preprocessor_config.json", "{").expect_err("refused").to_string();
        assert!(message.contains("preprocessor_config.json\" is damaged"), "{message}");
    }

    #[test]
    fn a_folder_without_settings_says_what_it_should_have() {
        let message = settings("other.json", "{}").expect_err("nothing there").to_string();
        assert!(message.contains("expected preprocessor_config.json"), "{message}");
    }

    #[test]
    fn a_video_has_settings_of_its_own() {
        let image = ("preprocessor_config.json", r#"{"max_pixels": 5000}"#);
        let video = ("video_preprocessor_config.json", r#"{"max_pixels": 7000, "min_pixels": 1}"#);
        let nested =
            r#"{"image_processor": {}, "video_processor": {"max_pixels": 9000, "min_pixels": 1}}"#;
        let max = |files: &[(&str, &str)]| video_settings(files).expect("valid").max_pixels(8);
        assert_eq!(max(&[image, video]), 7000);
        assert_eq!(max(&[image, video, ("processor_config.json", nested)]), 9000);
        assert_eq!(max(&[("preprocessor_config.json", "{}")]), 602_112);
    }

    #[test]
    fn the_frames_of_a_video_may_have_to_share() {
        let text = r#"{"cap_pixels_per_frame": true, "max_video_tokens": 1000}"#;
        let settings = video_settings(&[("preprocessor_config.json", text)]).expect("valid");
        // 1000 tokens · 28² pixels · 0.9 over 10 frames, two to a temporal patch.
        assert_eq!(settings.max_pixels(10), 141_120);
        assert_eq!(settings.max_pixels(1000), 105_369);
        assert_eq!(settings.max_pixels(1), 602_112);
    }

    #[track_caller]
    fn check_video_refused(text: &str, expected: &str) {
        let message =
            video_settings(&[("preprocessor_config.json", text)]).expect_err("refused").to_string();
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
        let message = video_settings(&files).expect_err("refused").to_string();
        assert!(message.ends_with("patch_size should be 8, as for images, got 14"), "{message}");
    }
}
