//! Rows about several frames of a video, which lie as pictures in a folder: tracks of the MOT challenge, and moments of
//! Charades-STA.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::content;
use super::fields::{Draft, DraftTruth, Found};
use crate::path::Locator;
use crate::row::Skipped;
use crate::{DatasetError, OpenOptions, Origin, Question};

/// Where the frames of a sequence of the MOT challenge are, beside `gt`.
const MOT_FRAMES: &str = "img1";
/// Where the frames of Charades' videos are, beside the list.
const CHARADES_FRAMES: &str = "frames";
/// Classes of the MOT challenge that are judged: pedestrians. Without a class every line is one.
const PEDESTRIAN: f64 = 1.0;
/// What stands between the moment and the sentence.
const SENTENCE: &str = "##";

/// A line of the MOT challenge: a box in pixels that count from 1.
struct Marked {
    id: u64,
    corners: [f64; 4],
}

/// Whether a list is one of the MOT challenge: numbers with commas, at least a frame, an id and a box.
pub(crate) fn is_mot(line: &str) -> bool {
    let numbers: Vec<&str> = line.split(',').collect();
    numbers.len() >= 6 && numbers.iter().all(|number| number.trim().parse::<f64>().is_ok())
}

/// Whether a list is Charades-STA: a video, two moments, and behind `##` a sentence.
pub(crate) fn is_charades(line: &str) -> bool {
    charades(line).is_some()
}

fn charades(line: &str) -> Option<(&str, [f64; 2], &str)> {
    let (head, sentence) = line.split_once(SENTENCE)?;
    let mut words = head.split_whitespace();
    let video = words.next()?;
    let start: f64 = words.next()?.parse().ok()?;
    let end: f64 = words.next()?.parse().ok()?;
    words.next().is_none().then_some((video, [start, end], sentence.trim()))
}

/// A row for each stretch of `data.frames.max` frames of a sequence, `gt/gt.txt` with its pictures in `img1`.
pub(crate) fn read_mot(
    path: &Path,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let text = crate::files::read_text(path)?;
    let wrong = |message: String| content(path, "tracks of the MOT challenge", message);
    let mut by_frame: BTreeMap<u64, Vec<Marked>> = BTreeMap::new();
    for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let numbers: Option<Vec<f64>> =
            line.split(',').map(|number| number.trim().parse().ok()).collect();
        let numbers = numbers.filter(|numbers| numbers.len() >= 6);
        let numbers = numbers.ok_or_else(|| wrong(format!("line {}: {line:?}", idx + 1)))?;
        let [frame, id, x, y, width, height] = [0, 1, 2, 3, 4, 5].map(|place| numbers[place]);
        let is_counted = numbers.get(6).is_none_or(|flag| *flag != 0.0)
            && numbers.get(7).is_none_or(|class| *class == PEDESTRIAN);
        if is_counted && width > 0.0 && height > 0.0 {
            let corners = [x - 1.0, y - 1.0, x - 1.0 + width, y - 1.0 + height];
            by_frame.entry(frame as u64).or_default().push(Marked { id: id as u64, corners });
        }
    }
    let sequence = path.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let name = sequence.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = options.image_root.clone().unwrap_or_else(|| sequence.join(MOT_FRAMES));
    let pictures = frames(&folder)?;
    let first = pictures.first().ok_or_else(|| wrong(format!("no pictures in {folder:?}")))?;
    let header = crate::Picture::open(first).map_err(|error| wrong(error.to_string()))?;
    let (width, height) = header.header().displayed();
    found.pictures.locate_with(Locator::new(&folder.join("list"), None, options.allow_outside));
    let file: Arc<Path> = path.into();
    for (stretch, chosen) in pictures.chunks(options.frames.max).enumerate() {
        let start = stretch * options.frames.max;
        let mut items = Vec::new();
        for number in 0..chosen.len() {
            for one in by_frame.get(&((start + number + 1) as u64)).into_iter().flatten() {
                let [x1, y1, x2, y2] = one.corners;
                let per_mille = |value: f64, side: u32| {
                    (1000.0 * value / f64::from(side)).round().clamp(0.0, 1000.0)
                };
                let corners = [
                    per_mille(x1, width),
                    per_mille(y1, height),
                    per_mille(x2, width),
                    per_mille(y2, height),
                ];
                if corners[0] < corners[2] && corners[1] < corners[3] {
                    items.push(
                        json!({"frame": number + 1, "id": one.id.to_string(), "box": corners}),
                    );
                }
            }
        }
        if items.is_empty() {
            continue;
        }
        let row = found.rows.len();
        let sample_id = format!("{name}-{}", start + 1);
        push(found, &file, row, &sample_id, Question::Tracks, chosen, json!(items).to_string());
    }
    Ok(())
}

/// A row for each sentence: frames of the video, evenly spread, and when it happens in seconds.
pub(crate) fn read_charades(
    path: &Path,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let text = crate::files::read_text(path)?;
    let folder = options.image_root.clone();
    let folder = folder.unwrap_or_else(|| path.with_file_name(CHARADES_FRAMES));
    found.pictures.locate_with(Locator::new(&folder.join("list"), None, options.allow_outside));
    let file: Arc<Path> = path.into();
    for (row, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |why: String| Skipped { place: format!("line {}", row + 1), row, why };
        let Some((video, [start, end], sentence)) = charades(line) else {
            found.rows.push(Err(bad(format!("expected VIDEO START END##SENTENCE, got {line:?}"))));
            continue;
        };
        // A name is one folder below that of the frames.
        let is_name = !video.contains(['/', '\\']) && video != "..";
        let all = if is_name { frames(&folder.join(video)).ok() } else { None };
        let Some(all) = all.filter(|all| !all.is_empty()) else {
            found.rows.push(Err(bad(format!("no frames in {:?}", folder.join(video)))));
            continue;
        };
        let n = options.frames.max.min(all.len());
        let chosen: Vec<PathBuf> = (0..n).map(|k| all[k * all.len() / n].clone()).collect();
        let truth = json!({"start_time": start, "end_time": end}).to_string();
        let question = Question::Expression(sentence.into());
        push(found, &file, row, &format!("{video}-{row}"), question, &chosen, truth);
    }
    Ok(())
}

fn push(
    found: &mut Found,
    file: &Arc<Path>,
    row: usize,
    sample_id: &str,
    question: Question,
    frames: &[PathBuf],
    truth: String,
) {
    let origin = Origin { file: file.clone(), row, sample_id: sample_id.into() };
    let names = frames.iter().map(|frame| frame.display().to_string());
    let pictures = names.map(|name| found.pictures.add_name(&name)).collect();
    found.rows.push(Ok(Draft {
        origin,
        question,
        pictures,
        truth: DraftTruth::Text(truth.into()),
    }));
}

/// The pictures of a folder in the order of their names.
fn frames(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let failed = |source| DatasetError::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut frames = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if vrft_vision::endings::is_picture(&path) {
            frames.push(path);
        }
    }
    frames.sort();
    Ok(frames)
}
