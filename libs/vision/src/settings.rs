//! The image settings of a checkpoint, as the Hugging Face layout spells them.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::VisionError;

/// Scaling, normalization and patch sizes; absent keys take the defaults of Qwen2-VL.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) patch_size: usize,
    pub(crate) temporal_patch_size: usize,
    pub(crate) merge_size: usize,
    pub(crate) image_mean: Vec<f32>,
    pub(crate) image_std: Vec<f32>,
    pub(crate) rescale_factor: f64,
    pub(crate) do_resize: bool,
    pub(crate) do_rescale: bool,
    pub(crate) do_normalize: bool,
    /// Pillow's number of the filter.
    resample: u32,
    size: Size,
    min_pixels: Option<usize>,
    max_pixels: Option<usize>,
}

/// Bounds on the number of pixels. transformers 5 calls them edges, older ones pixels.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Size {
    shortest_edge: Option<usize>,
    longest_edge: Option<usize>,
    min_pixels: Option<usize>,
    max_pixels: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            image_mean: vec![0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: vec![0.268_629_54, 0.261_302_6, 0.275_777_1],
            rescale_factor: 1.0 / 255.0,
            do_resize: true,
            do_rescale: true,
            do_normalize: true,
            resample: BICUBIC,
            size: Size::default(),
            min_pixels: None,
            max_pixels: None,
        }
    }
}

/// Pillow's number of the bicubic filter.
const BICUBIC: u32 = 3;

impl Settings {
    /// Reads `processor_config.json` if it has an `image_processor` section, else `preprocessor_config.json`.
    pub(crate) fn from_dir(dir: &Path) -> Result<Self, VisionError> {
        let current = dir.join("processor_config.json");
        if let Some(mut value) = read_json(&current)?
            && let Some(section) = value.get_mut("image_processor")
        {
            return Self::parse(section.take(), &current);
        }
        let older = dir.join("preprocessor_config.json");
        match read_json(&older)? {
            Some(value) => Self::parse(value, &older),
            None => Err(VisionError::NoSettings { dir: dir.into() }),
        }
    }

    fn parse(value: Value, path: &Path) -> Result<Self, VisionError> {
        let settings: Self = serde_json::from_value(value)
            .map_err(|source| VisionError::Damaged { path: path.into(), source })?;
        settings.check()?;
        Ok(settings)
    }

    /// Fewest pixels after scaling.
    pub(crate) fn min_pixels(&self) -> usize {
        let size = &self.size;
        self.min_pixels.or(size.shortest_edge).or(size.min_pixels).unwrap_or(56 * 56)
    }

    /// Most pixels after scaling.
    pub(crate) fn max_pixels(&self) -> usize {
        let size = &self.size;
        self.max_pixels.or(size.longest_edge).or(size.max_pixels).unwrap_or(28 * 28 * 1280)
    }

    fn check(&self) -> Result<(), VisionError> {
        at_least_one("patch_size", self.patch_size)?;
        at_least_one("temporal_patch_size", self.temporal_patch_size)?;
        at_least_one("merge_size", self.merge_size)?;
        at_least_one("min_pixels", self.min_pixels())?;
        let bounds = (self.min_pixels(), self.max_pixels());
        ensure(bounds.0 <= bounds.1, "max_pixels", "at least min_pixels", bounds.1)?;
        ensure(self.do_resize, "do_resize", "true: the patch grid needs it", false)?;
        ensure(self.resample == BICUBIC, "resample", "3 (bicubic)", self.resample)?;
        let normal = self.rescale_factor.is_normal();
        ensure(normal, "rescale_factor", "a number other than 0", self.rescale_factor)?;
        let mean_fits = self.image_mean.len() == 3;
        ensure(mean_fits, "image_mean", "three numbers", format!("{:?}", self.image_mean))?;
        let std_fits = self.image_std.len() == 3 && !self.image_std.contains(&0.0);
        ensure(std_fits, "image_std", "three numbers other than 0", format!("{:?}", self.image_std))
    }
}

fn at_least_one(key: &'static str, got: usize) -> Result<(), VisionError> {
    ensure(got >= 1, key, "at least 1", got)
}

fn ensure(
    holds: bool,
    key: &'static str,
    expected: &'static str,
    got: impl ToString,
) -> Result<(), VisionError> {
    if holds { Ok(()) } else { Err(VisionError::Setting { key, expected, got: got.to_string() }) }
}

/// The parsed file, or `None` if there is none.
fn read_json(path: &Path) -> Result<Option<Value>, VisionError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(VisionError::Read { path: path.into(), source }),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|source| VisionError::Damaged { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: &str, text: &str) -> Result<Settings, VisionError> {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join(file), text).expect("writes");
        Settings::from_dir(dir.path())
    }

    #[track_caller]
    fn check_bounds(file: &str, text: &str, expected: (usize, usize)) {
        let settings = settings(file, text).expect("valid");
        assert_eq!((settings.min_pixels(), settings.max_pixels()), expected);
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

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let message = settings("preprocessor_config.json", text).expect_err("refused").to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        check_refused(r#"{"patch_size": 0}"#, "patch_size should be at least 1, got 0");
        check_refused(r#"{"resample": 2}"#, "resample should be 3 (bicubic), got 2");
        check_refused(
            r#"{"image_std": [1, 0, 1]}"#,
            "image_std should be three numbers other than 0",
        );
        check_refused(
            r#"{"min_pixels": 9, "max_pixels": 8}"#,
            "max_pixels should be at least min_pixels",
        );
        check_refused(r#"{"patch_size": "big"}"#, "is damaged");
        check_refused("{", "is damaged");
    }

    #[test]
    fn a_folder_without_settings_says_what_it_should_have() {
        let message = settings("other.json", "{}").expect_err("nothing there").to_string();
        assert!(message.contains("expected preprocessor_config.json"), "{message}");
    }
}
