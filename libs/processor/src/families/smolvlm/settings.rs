//! The image and video settings of a checkpoint; the sizes of patches and tokens are the model's own.

use std::path::Path;

use vrft_checkpoint::{CheckpointError, JsonFile, Keys};
use vrft_vision::{
    Filter, FrameSampling, FrameTarget, ImageSettings, Preprocessor, SamplingRule, Tiling,
    VideoBounds, VideoSettings,
};

use crate::ProcessorError;
use crate::families::settings::{Colors, HALF, SettingsFiles, named, sized, with_colors};

/// What is assumed where a checkpoint does not say.
const COLORS: Colors = Colors { filter: Filter::Lanczos, ..HALF };
const TILE: usize = 364;
const LONGEST_EDGE: usize = 4 * TILE;
/// The longest that the longer side of a frame of a video becomes.
const MAX_FRAME_EDGE: usize = 4096;

/// Reads the settings of images and of videos.
///
/// # Errors
/// Settings that are absent, damaged or not supported.
pub(super) fn read_preprocessor(dir: &Path) -> Result<Preprocessor, ProcessorError> {
    let config = vrft_checkpoint::config(dir)?;
    let files = SettingsFiles::read(dir)?;
    let image = image_settings(&files.image()?, &config)?;
    let video = video_settings(&files.video()?, &config)?;
    video.check(&image).map_err(|error| match files.video() {
        Ok(keys) => named(&keys, error).into(),
        Err(missing) => missing,
    })?;
    Ok(Preprocessor::try_new(image, video)?)
}

/// Side of a patch in pixels, and how many patches along each side become one token.
fn patch_sizes(config: &JsonFile) -> Result<[usize; 2], CheckpointError> {
    let patch_size = config.keys().section("vision_config").size("patch_size")?.unwrap_or(32);
    Ok([patch_size, config.keys().size("scale_factor")?.unwrap_or(2)])
}

fn image_settings(keys: &Keys, config: &JsonFile) -> Result<ImageSettings, CheckpointError> {
    let split = keys.flag("do_image_splitting")?.unwrap_or(true);
    settings(keys, config, split, longest_edge(&keys.section("size"))?.unwrap_or(LONGEST_EDGE))
}

fn video_settings(keys: &Keys, config: &JsonFile) -> Result<VideoSettings, CheckpointError> {
    let older = keys.section("video_sampling");
    let own = longest_edge(&keys.section("size"))?;
    let longest =
        own.map_or_else(|| longest_edge(&older.section("video_size")), |n| Ok(Some(n)))?;
    let longest = longest.unwrap_or(LONGEST_EDGE).min(MAX_FRAME_EDGE);
    let sampled = keys.flag("do_sample_frames")?.unwrap_or(false);
    Ok(VideoSettings {
        frame: settings(keys, config, false, longest)?,
        sampling: sampled.then(|| sampling(keys, &older)).transpose()?,
        bounds: VideoBounds::EachFrame { max_total_pixels: None },
    })
}

/// The settings of pictures with this length of the longer side.
fn settings(
    keys: &Keys,
    config: &JsonFile,
    split: bool,
    longest_edge: usize,
) -> Result<ImageSettings, CheckpointError> {
    let [patch_size, merge_size] = patch_sizes(config)?;
    let tile = self::longest_edge(&keys.section("max_image_size"))?;
    let side = tile.unwrap_or(TILE);
    let tiling = Tiling { side, longest_edge, split, max_pixels: usize::MAX };
    let sized = sized([patch_size, 1, merge_size], (1, usize::MAX));
    with_colors(keys, COLORS, ImageSettings { tiling: Some(tiling), ..sized })
}

/// The one way to say a size that is supported.
fn longest_edge(size: &Keys) -> Result<Option<usize>, CheckpointError> {
    for key in ["height", "width", "shortest_edge"] {
        let other = size.count(key)?;
        let expected = "absent: sizes are said by longest_edge";
        size.ensure(other.is_none(), key, expected, other.unwrap_or_default())?;
    }
    size.size("longest_edge")
}

fn sampling(keys: &Keys, older: &Keys) -> Result<FrameSampling, CheckpointError> {
    let max_frames =
        older.size("max_frames")?.map_or_else(|| keys.size("num_frames"), |n| Ok(Some(n)))?;
    let rate =
        older.positive("fps")?.map_or_else(|| keys.positive("fps"), |rate| Ok(Some(rate)))?;
    let missing =
        |key: &str| keys.error(key, "a number, where do_sample_frames is true", "nothing");
    Ok(FrameSampling {
        rule: SamplingRule::Middle,
        target: FrameTarget::FramesPerSecond(rate.ok_or_else(|| missing("fps"))?),
        min_frames: 1,
        max_frames: max_frames.ok_or_else(|| missing("num_frames"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"vision_config": {"patch_size": 16}, "scale_factor": 4}"#;

    fn read(settings: &str) -> Result<Preprocessor, ProcessorError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), CONFIG).unwrap();
        std::fs::write(dir.path().join("preprocessor_config.json"), settings).unwrap();
        read_preprocessor(dir.path())
    }

    /// As published with the models of 256 and 500 million parameters.
    const PUBLISHED: &str = r#"{
        "do_image_splitting": true, "do_pad": true, "resample": 1, "image_mean": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": 512}, "size": {"longest_edge": 2048},
        "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 512}}}"#;

    #[test]
    fn published_settings_are_read() {
        let preprocessor = read(PUBLISHED).unwrap();
        let outline = preprocessor.outline(480, 640).unwrap();
        assert_eq!((outline.grid.t, outline.grid.h, outline.grid.w), (13, 32, 32));
        assert_eq!(outline.grid.n_tokens(preprocessor.merge_size()), 13 * 64);
    }

    #[track_caller]
    fn check_refused(settings: &str, expected: &str) {
        let message = read(settings).unwrap_err().to_string();
        assert!(message.ends_with(&format!("preprocessor_config.json: {expected}")), "{message}");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        check_refused(
            r#"{"max_image_size": {"longest_edge": 500}}"#,
            "max_image_size.longest_edge should be so many patches of 16 pixels that 4 × 4 make a token, got 500",
        );
        check_refused(
            r#"{"max_image_size": {"longest_edge": 64}, "size": {"height": 9, "width": 9}}"#,
            "size.height should be absent: sizes are said by longest_edge, got 9",
        );
        check_refused(
            r#"{"max_image_size": {"longest_edge": 64}, "do_sample_frames": true, "fps": 1}"#,
            "num_frames should be a number, where do_sample_frames is true, got nothing",
        );
    }
}
