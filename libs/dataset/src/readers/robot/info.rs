//! What `meta/info.json` of a LeRobot data set says: its version, cameras and splits, and where the videos are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use super::{FORMAT, INFO, TASK};
use crate::DatasetError;
use crate::moving::RobotConfig;
use crate::readers::content;

/// Episodes of a folder of videos in v2, where the file does not say.
const CHUNK_SIZE: i64 = 1000;

/// The settings of a data set, as far as they matter for its rows.
#[derive(Debug)]
pub(super) struct Info {
    /// The cameras to show.
    pub(super) cameras: Vec<Camera>,
    /// Cameras that are left out since their pictures are distances.
    pub(super) depths: Vec<String>,
    /// Where the video of a camera is; empty if there are none.
    pub(super) video_path: String,
    /// Whether several episodes share a file, so that `meta/episodes` says where each is.
    pub(super) is_shared: bool,
    pub(super) chunk_size: i64,
    /// Moments of all episodes, if it says so.
    pub(super) n_moments: Option<u64>,
    /// The episodes of each split.
    splits: BTreeMap<String, Range<i64>>,
}

/// A camera, and whether its pictures are videos beside the table or cells of it.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) name: String,
    pub(super) is_video: bool,
}

impl Info {
    /// Reads the file of a folder and compares it with the configuration.
    ///
    /// # Errors
    /// A file that is not there or of another version; cameras or columns that it does not have; videos without a place.
    pub(super) fn read(folder: &Path, config: &RobotConfig) -> Result<Self, DatasetError> {
        let path = folder.join(INFO);
        let info = crate::files::json(&path)?;
        Self::of(&info, config).map_err(|why| content(&path, FORMAT, why))
    }

    fn of(info: &Value, config: &RobotConfig) -> Result<Self, String> {
        let version = version(info)?;
        let features = info["features"].as_object().ok_or("no \"features\"")?;
        let all: Vec<Camera> = features.iter().filter_map(camera).collect();
        let names: Vec<&str> = all.iter().map(|camera| camera.name.as_str()).collect();
        let unknown = config.cameras.iter().find(|name| !names.contains(&name.as_str()));
        if let Some(unknown) = unknown {
            return Err(format!("data.robot.cameras names {unknown:?}, it has {names:?}"));
        }
        if all.is_empty() {
            return Err("it has no camera: no feature of dtype video or image".into());
        }
        check_truth(&config.truth, features, &names)?;
        let is_named = |camera: &Camera| config.cameras.contains(&camera.name);
        let is_left_out =
            |camera: &Camera| config.cameras.is_empty() && is_depth(&features[&camera.name]);
        let (depths, shown): (Vec<Camera>, Vec<Camera>) = all.into_iter().partition(is_left_out);
        let is_shown = |camera: &Camera| config.cameras.is_empty() || is_named(camera);
        let cameras: Vec<Camera> = shown.into_iter().filter(is_shown).collect();
        if cameras.is_empty() {
            return Err(
                "all of its cameras see distances: name one in data.robot.cameras to show it"
                    .into(),
            );
        }
        let video_path = info["video_path"].as_str().unwrap_or_default().to_owned();
        let filmed = cameras.iter().find(|camera| camera.is_video);
        if let (Some(Camera { name, .. }), true) = (filmed, video_path.is_empty()) {
            let got = &info["video_path"];
            return Err(format!(
                "camera {name:?} is a video, and video_path is {got}: where is it?"
            ));
        }
        Ok(Self {
            cameras,
            depths: depths.into_iter().map(|camera| camera.name).collect(),
            video_path,
            is_shared: version >= 3,
            chunk_size: info["chunks_size"].as_i64().filter(|size| *size > 0).unwrap_or(CHUNK_SIZE),
            n_moments: info["total_frames"].as_u64(),
            splits: splits(info)?,
        })
    }

    /// The episodes of a split; `None` for all.
    pub(super) fn episodes(&self, split: Option<&str>) -> Option<Range<i64>> {
        self.splits.get(split?).cloned()
    }
}

/// Names of the splits of a folder, with their episodes.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn splits_of(folder: &Path) -> Result<BTreeMap<String, Range<i64>>, DatasetError> {
    let path = folder.join(INFO);
    splits(&crate::files::json(&path)?).map_err(|why| content(&path, FORMAT, why))
}

/// The major version of the format.
fn version(info: &Value) -> Result<u32, String> {
    let written = &info["codebase_version"];
    let major = written.as_str().and_then(|text| text.trim_start_matches('v').split('.').next());
    match major.and_then(|major| major.parse().ok()) {
        Some(major @ (2 | 3)) => Ok(major),
        _ => Err(format!("codebase_version is {written}, and v2.0, v2.1 and v3.0 are read")),
    }
}

fn camera((name, feature): (&String, &Value)) -> Option<Camera> {
    let is_video = match feature["dtype"].as_str()? {
        "video" => true,
        "image" => false,
        _ => return None,
    };
    Some(Camera { name: name.clone(), is_video })
}

/// Whether a camera sees distances: versions of the format say it in different places.
fn is_depth(feature: &Value) -> bool {
    let places = [
        ("info", "is_depth_map"),
        ("info", "video.is_depth_map"),
        ("video_info", "video.is_depth_map"),
    ];
    places.iter().any(|(part, key)| feature[part][key] == true)
}

fn check_truth(truth: &str, features: &Map<String, Value>, cameras: &[&str]) -> Result<(), String> {
    let is_column = features.contains_key(truth) && !cameras.contains(&truth);
    if truth == TASK || is_column {
        return Ok(());
    }
    let columns = features.keys().map(String::as_str).filter(|name| !cameras.contains(name));
    let columns: Vec<&str> = columns.chain([TASK]).collect();
    Err(format!(
        "data.robot.truth = {truth:?}: name the column with the true answer, one of {}",
        columns.join(", ")
    ))
}

/// `{"train": "0:50"}`: the first episode of each split, and the one behind its last.
fn splits(info: &Value) -> Result<BTreeMap<String, Range<i64>>, String> {
    let Some(splits) = info["splits"].as_object() else { return Ok(BTreeMap::new()) };
    let range = |text: &str| {
        let (from, to) = text.split_once(':')?;
        Some(from.trim().parse().ok()?..to.trim().parse().ok()?)
    };
    let split = |(name, value): (&String, &Value)| {
        let range = value.as_str().and_then(range);
        let range =
            range.ok_or_else(|| format!("splits.{name}: expected as \"0:50\", got {value}"))?;
        Ok((name.clone(), range))
    };
    splits.iter().map(split).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const V2: &str = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4";

    fn info() -> Value {
        json!({
            "codebase_version": "v2.1", "robot_type": "so100", "total_episodes": 60, "total_frames": 600,
            "total_tasks": 1, "total_videos": 180, "total_chunks": 1, "chunks_size": 1000, "fps": 30,
            "splits": {"train": "0:50", "test": "50:60"}, "video_path": V2,
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "features": {
                "action": {"dtype": "float32", "shape": [6], "names": ["main"]},
                "observation.images.top": {"dtype": "video", "shape": [480, 640, 3], "info": {"video.is_depth_map": false}},
                "observation.images.wrist": {"dtype": "image", "shape": [480, 640, 3], "names": null},
                "observation.images.depth": {"dtype": "video", "shape": [480, 640, 1], "video_info": {"video.is_depth_map": true}},
                "timestamp": {"dtype": "float32", "shape": [1], "names": null},
            },
        })
    }

    fn config() -> RobotConfig {
        RobotConfig { truth: "action".into(), ..RobotConfig::default() }
    }

    #[test]
    fn a_published_file_is_read_as_it_is_meant() {
        let read = Info::of(&info(), &config()).unwrap();
        let cameras: Vec<(&str, bool)> =
            read.cameras.iter().map(|camera| (camera.name.as_str(), camera.is_video)).collect();
        assert_eq!(
            cameras,
            [("observation.images.top", true), ("observation.images.wrist", false)]
        );
        assert_eq!(
            (&read.depths[..], read.is_shared),
            (&["observation.images.depth".to_owned()][..], false)
        );
        assert_eq!(read.n_moments, Some(600));
        assert_eq!((read.episodes(Some("test")), read.episodes(None)), (Some(50..60), None));
    }

    #[test]
    fn a_camera_that_sees_distances_is_shown_if_it_is_named() {
        let name = "observation.images.depth".to_owned();
        let named = RobotConfig { cameras: vec![name.clone()], ..config() };
        let read = Info::of(&info(), &named).unwrap();
        assert_eq!((read.cameras.len(), &read.cameras[0].name, read.depths.len()), (1, &name, 0));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_key() {
        let refused = |key: &str, value: Value, words: &str| {
            let mut changed = info();
            changed[key] = value;
            let error = Info::of(&changed, &config()).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        refused("codebase_version", "v1.6".into(), "codebase_version is \"v1.6\"");
        refused("codebase_version", Value::Null, "v2.0, v2.1 and v3.0 are read");
        refused(
            "video_path",
            Value::Null,
            "\"observation.images.top\" is a video, and video_path is null",
        );
        refused("splits", json!({"train": [0, 50]}), "splits.train: expected as \"0:50\"");
        refused("features", json!({"action": {"dtype": "float32"}}), "it has no camera");
    }
}
