//! Rows of LeRobot data sets, v2.1 and v3: tables of what a robot's sensors and motors said at each moment, and a video of
//! each camera.
//!
//! `meta/info.json` names columns, cameras and where the videos are. In v2.1 an episode has a table and videos of its own; in
//! v3 several share a file, and `meta/episodes/` says where in it each begins.

mod info;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use serde_json::{Map, Value};

use self::info::Info;
pub(crate) use self::info::splits_of;
use super::fields::{Fields, Found};
use super::value::value;
use super::{content, parquet_file};
use crate::DatasetError;
use crate::moving::RobotConfig;
use crate::path::Locator;
use crate::pictures::Cell;

/// What says that a folder is such a data set.
pub(crate) const INFO: &str = "meta/info.json";

const FORMAT: &str = "a LeRobot data set";

/// What stands for the words of the task, in `data.robot.truth` and in the question.
const TASK: &str = "task";

/// Columns that every table has.
const EPISODE: &str = "episode_index";
const TIME: &str = "timestamp";
const TASK_INDEX: &str = "task_index";
const FRAME: &str = "frame_index";

/// What `meta/` says.
struct Robot<'a> {
    folder: PathBuf,
    config: &'a RobotConfig,
    info: Info,
    /// The episodes of the split; `None` for all.
    episodes: Option<Range<i64>>,
    /// Words of the tasks by their numbers.
    tasks: HashMap<i64, String>,
    /// By episode and camera, v3 only.
    places: HashMap<(i64, String), Place>,
}

/// Where an episode is in the videos of v3.
struct Place {
    chunk: i64,
    file: i64,
    from_secs: f64,
}

/// Reads the rows of a split of a folder, or all.
///
/// # Errors
/// Files of `meta/` that are not there or say something else; no column for the true answer; a table that cannot be read.
pub(crate) fn read(
    folder: &Path,
    split: Option<&str>,
    config: &RobotConfig,
    allow_outside: bool,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let robot = Robot::open(folder, split, config)?;
    found.pictures.locate_with(Locator::new(&folder.join("info.json"), None, allow_outside));
    let mut tables = Vec::new();
    crate::files::tables(&folder.join("data"), &mut tables)?;
    if tables.is_empty() {
        return Err(content(&folder.join("data"), FORMAT, "there is no .parquet file below it"));
    }
    let mut n_moments = 0;
    for table in &tables {
        n_moments += robot.read_table(table, found)?;
    }
    found.notes.extend(robot.notes(n_moments));
    Ok(())
}

impl<'a> Robot<'a> {
    fn open(
        folder: &Path,
        split: Option<&str>,
        config: &'a RobotConfig,
    ) -> Result<Self, DatasetError> {
        let info = Info::read(folder, config)?;
        Ok(Self {
            folder: folder.to_owned(),
            config,
            episodes: info.episodes(split),
            info,
            tasks: tasks(folder)?,
            places: places(folder)?,
        })
    }

    /// What the user should know of a folder of whose tables so many moments were read.
    fn notes(&self, n_moments: u64) -> Vec<String> {
        let Info { depths, n_moments: promised, .. } = &self.info;
        let mut notes = Vec::new();
        if !depths.is_empty() {
            notes.push(format!(
                "{depths:?} see distances and are left out: data.robot.cameras shows them if it names them"
            ));
        }
        if let Some(promised) = promised.filter(|promised| *promised != n_moments) {
            notes.push(format!(
                "{n_moments} moments are in data/, and {INFO} says {promised}: is all of it there?"
            ));
        }
        notes
    }

    /// The number of moments in the table, used or not.
    ///
    /// # Errors
    /// A table that cannot be read.
    fn read_table(&self, path: &Path, found: &mut Found) -> Result<u64, DatasetError> {
        let images = self.info.cameras.iter().filter(|camera| !camera.is_video);
        let mut wanted: Vec<&str> = vec![EPISODE, TIME, TASK_INDEX, FRAME];
        wanted.extend(images.map(|camera| camera.name.as_str()));
        if self.config.truth != TASK {
            wanted.push(&self.config.truth);
        }
        let file: Arc<Path> = path.into();
        let mut last: Option<(i64, f64)> = None;
        let mut n_moments = 0;
        parquet_file::batches(path, &wanted, |first_row, batch| {
            n_moments += batch.num_rows() as u64;
            for row in 0..batch.num_rows() {
                let number = |name: &str| cell(batch, name, row).ok().and_then(|v| v.as_f64());
                let (Some(episode), Some(at)) = (number(EPISODE), number(TIME)) else { continue };
                let episode = episode as i64;
                if self.episodes.as_ref().is_some_and(|of_split| !of_split.contains(&episode)) {
                    continue;
                }
                let is_due = last.is_none_or(|(of, next)| of != episode || at >= next);
                if is_due {
                    // Clocks tick in parts of a second that no number has exactly.
                    last = Some((episode, at + self.config.every_secs - 1e-4));
                    found.push(&file, first_row + row, self.fields(batch, row, episode, at));
                }
            }
            Ok(())
        })?;
        Ok(n_moments)
    }

    fn fields(
        &self,
        batch: &RecordBatch,
        row: usize,
        episode: i64,
        at: f64,
    ) -> Result<Fields, String> {
        let task = cell(batch, TASK_INDEX, row)?.as_i64().and_then(|idx| self.tasks.get(&idx));
        let task = task.ok_or_else(|| "its task_index is not in meta/tasks".to_owned())?;
        let truth = match self.config.truth.as_str() {
            TASK => Value::from(task.as_str()),
            column => cell(batch, column, row)?,
        };
        let mut images = Vec::new();
        for camera in &self.info.cameras {
            images.push(if camera.is_video {
                self.video(&camera.name, episode, at)?
            } else {
                super::columns::image(batch.column_by_name(&camera.name).ok_or("no image")?, row)?
            });
        }
        let frame = cell(batch, FRAME, row)?;
        let problem = self.config.question.replace("{task}", task);
        let id = format!("episode-{episode:06}-frame-{:06}", frame.as_i64().unwrap_or(0));
        let values = [("problem", problem.into()), ("solution", truth), ("id", id.into())];
        let values: Map<String, Value> =
            values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(Fields { values, images: Some(images), ..Fields::default() })
    }

    /// The frame of a camera at a moment of an episode.
    fn video(&self, camera: &str, episode: i64, at: f64) -> Result<Cell, String> {
        let place = self.places.get(&(episode, camera.to_owned()));
        let (chunk, file, from) = match place {
            Some(Place { chunk, file, from_secs }) => (*chunk, *file, *from_secs),
            None if self.info.is_shared => {
                return Err(format!(
                    "meta/episodes does not say where {camera} of episode {episode} is"
                ));
            }
            None => (episode / self.info.chunk_size, episode, 0.0),
        };
        let numbers = BTreeMap::from([
            ("episode_chunk", chunk),
            ("chunk_index", chunk),
            ("episode_index", episode),
            ("file_index", file),
        ]);
        let name = filled(&self.info.video_path, camera, &numbers)?;
        let video = self.folder.join(name).display().to_string();
        Ok(Cell::Frame { video, at_secs: from + at, group: format!("episode {episode}") })
    }
}

fn cell(batch: &RecordBatch, name: &str, row: usize) -> Result<Value, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("no column {name:?}"))?;
    if column.is_null(row) {
        return Err(format!("{name} is null"));
    }
    value(column, row)
}

/// Fills `videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4`.
fn filled(pattern: &str, camera: &str, numbers: &BTreeMap<&str, i64>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        let (field, after) = behind.split_once('}').ok_or_else(|| unfilled(pattern))?;
        filled.push_str(before);
        let (name, format) = field.split_once(':').unwrap_or((field, ""));
        if name == "video_key" {
            filled.push_str(camera);
        } else {
            let number = numbers.get(name).ok_or_else(|| unfilled(pattern))?;
            let width = format.trim_start_matches('0').trim_end_matches('d').parse().unwrap_or(0);
            filled.push_str(&format!("{number:0width$}"));
        }
        rest = after;
    }
    if pattern.is_empty() { Err(unfilled(pattern)) } else { Ok(filled + rest) }
}

fn unfilled(pattern: &str) -> String {
    format!("meta/info.json: video_path = {pattern:?} is not understood")
}

/// Words of the tasks: `meta/tasks.jsonl` in v2.1, `meta/tasks.parquet` in v3, where they are the table's index.
fn tasks(folder: &Path) -> Result<HashMap<i64, String>, DatasetError> {
    let table = folder.join("meta/tasks.parquet");
    if table.exists() {
        let mut tasks = HashMap::new();
        parquet_file::batches(&table, &[TASK_INDEX, TASK, "__index_level_0__"], |_, batch| {
            let words =
                [TASK, "__index_level_0__"].into_iter().find(|c| batch.column_by_name(c).is_some());
            for row in 0..batch.num_rows() {
                let text = cell(batch, words.unwrap_or(TASK), row)?;
                let number = cell(batch, TASK_INDEX, row)?;
                let text = text.as_str().ok_or("a task that is no text")?;
                tasks.insert(number.as_i64().ok_or("a task without a number")?, text.to_owned());
            }
            Ok(())
        })?;
        return Ok(tasks);
    }
    let path = folder.join("meta/tasks.jsonl");
    let text = crate::files::read_text(&path)?;
    let task = |line: &str| {
        let task: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let number = task[TASK_INDEX].as_i64().zip(task[TASK].as_str());
        let (number, words) = number.ok_or("a task without task_index or task")?;
        Ok((number, words.to_owned()))
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(task).collect::<Result<_, String>>().map_err(|why| content(&path, FORMAT, why))
}

/// Where each episode is in the videos of v3; empty for v2.1.
fn places(folder: &Path) -> Result<HashMap<(i64, String), Place>, DatasetError> {
    let mut places = HashMap::new();
    let mut tables = Vec::new();
    let episodes = folder.join("meta/episodes");
    if episodes.is_dir() {
        crate::files::tables(&episodes, &mut tables)?;
    }
    for table in &tables {
        parquet_file::batches(table, &[EPISODE, "videos/"], |_, batch| {
            let schema = batch.schema();
            let cameras = schema.fields().iter().filter_map(|field| {
                field.name().strip_prefix("videos/")?.strip_suffix("/from_timestamp")
            });
            for camera in cameras {
                for row in 0..batch.num_rows() {
                    let of = |what: &str| cell(batch, &format!("videos/{camera}/{what}"), row);
                    let whole = |value: Value| value.as_i64().ok_or("a number that is not whole");
                    let place = Place {
                        chunk: whole(of("chunk_index")?)?,
                        file: whole(of("file_index")?)?,
                        from_secs: of("from_timestamp")?.as_f64().ok_or("a time that is none")?,
                    };
                    let episode = whole(cell(batch, EPISODE, row)?)?;
                    places.insert((episode, camera.to_owned()), place);
                }
            }
            Ok(())
        })?;
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_videos_are_filled_in() {
        let numbers = BTreeMap::from([("episode_chunk", 1), ("episode_index", 1007)]);
        let pattern =
            "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4";
        let name = filled(pattern, "observation.images.top", &numbers).unwrap();
        assert_eq!(name, "videos/chunk-001/observation.images.top/episode_001007.mp4");
        for wrong in ["", "videos/{chunk", "videos/{nobody:03d}.mp4"] {
            assert!(filled(wrong, "top", &numbers).unwrap_err().contains("video_path"));
        }
    }
}
