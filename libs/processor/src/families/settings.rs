//! Where a checkpoint keeps the settings of its pictures, and how they are spelled by every family.

use std::path::{Path, PathBuf};

use vrft_checkpoint::{CheckpointError, JsonFile, Keys};
use vrft_vision::{Filter, ImageSettings, VisionError};

use crate::ProcessorError;

/// The files of a checkpoint that may have settings of pictures.
#[derive(Debug)]
pub(super) struct SettingsFiles {
    dir: PathBuf,
    current: Option<JsonFile>,
    older: Option<JsonFile>,
    older_video: Option<JsonFile>,
}

impl SettingsFiles {
    /// Reads those that are there.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not JSON.
    pub(super) fn read(dir: &Path) -> Result<Self, ProcessorError> {
        let read = |file: &str| JsonFile::read(&dir.join(file));
        Ok(Self {
            dir: dir.to_owned(),
            current: read("processor_config.json")?,
            older: read("preprocessor_config.json")?,
            older_video: read("video_preprocessor_config.json")?,
        })
    }

    /// The settings of the processor as a whole, where there are some.
    pub(super) fn processor(&self) -> Option<Keys<'_>> {
        self.current.as_ref().map(JsonFile::keys)
    }

    /// Those of images: the section `image_processor` of `processor_config.json`, else `preprocessor_config.json`.
    ///
    /// # Errors
    /// Neither is there.
    pub(super) fn image(&self) -> Result<Keys<'_>, ProcessorError> {
        let found = self.section("image_processor").or(self.older.as_ref().map(JsonFile::keys));
        found.ok_or_else(|| ProcessorError::NoImageSettings { dir: self.dir.clone() })
    }

    /// Those of videos: the section `video_processor`, else `video_preprocessor_config.json`, else where those of
    /// images are.
    ///
    /// # Errors
    /// None of them is there.
    pub(super) fn video(&self) -> Result<Keys<'_>, ProcessorError> {
        let own = self.section("video_processor").or(self.older_video.as_ref().map(JsonFile::keys));
        own.map_or_else(|| self.image(), Ok)
    }

    fn section(&self, key: &str) -> Option<Keys<'_>> {
        let section = self.current.as_ref().map(|file| file.keys().section(key));
        section.filter(Keys::is_there)
    }
}

/// What is assumed of colors and filter where a checkpoint does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Colors {
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
    pub(super) filter: Filter,
}

/// Mean and deviation one half: bytes become -1 to 1.
pub(super) const HALF: Colors = Colors { mean: [0.5; 3], std: [0.5; 3], filter: Filter::Bicubic };

/// The keys that mean the same in every family; sizes, bounds and tiles are left as they are in `sized`.
pub(super) fn with_colors(
    keys: &Keys,
    defaults: Colors,
    sized: ImageSettings,
) -> Result<ImageSettings, CheckpointError> {
    let on = |key| Ok::<_, CheckpointError>(keys.flag(key)?.unwrap_or(true));
    let crops = keys.flag("do_center_crop")?.unwrap_or(false);
    keys.ensure(!crops, "do_center_crop", "false: a crop would move the grid", true)?;
    let settings = ImageSettings {
        image_mean: keys.three_numbers("image_mean")?.unwrap_or(defaults.mean),
        image_std: keys.three_numbers("image_std")?.unwrap_or(defaults.std),
        rescale_factor: keys.number("rescale_factor")?.unwrap_or(1.0 / 255.0),
        do_resize: on("do_resize")?,
        do_rescale: on("do_rescale")?,
        do_normalize: on("do_normalize")?,
        filter: filter(keys, defaults.filter)?,
        ..sized
    };
    settings.check().map_err(|error| named(keys, error))?;
    Ok(settings)
}

/// Settings with these sizes, and colors as they are; for [`with_colors`].
pub(super) fn sized(
    [patch_size, temporal_patch_size, merge_size]: [usize; 3],
    (min_pixels, max_pixels): (usize, usize),
) -> ImageSettings {
    ImageSettings {
        patch_size,
        temporal_patch_size,
        merge_size,
        image_mean: [0.0; 3],
        image_std: [1.0; 3],
        rescale_factor: 1.0,
        do_resize: true,
        do_rescale: true,
        do_normalize: true,
        filter: Filter::Bicubic,
        min_pixels,
        max_pixels,
        tiling: None,
    }
}

/// The error about a setting, with the file that it stands in.
pub(super) fn named(keys: &Keys, error: VisionError) -> CheckpointError {
    match error {
        VisionError::Setting { key, expected, got } => keys.error(key, expected, got),
        other => keys.error("settings", "some that patches can be made with", other),
    }
}

/// Pillow numbers its filters.
fn filter(keys: &Keys, default: Filter) -> Result<Filter, CheckpointError> {
    match keys.count("resample")? {
        None => Ok(default),
        Some(1) => Ok(Filter::Lanczos),
        Some(2) => Ok(Filter::Bilinear),
        Some(3) => Ok(Filter::Bicubic),
        Some(other) => {
            Err(keys.error("resample", "1 (lanczos), 2 (bilinear) or 3 (bicubic)", other))
        }
    }
}
