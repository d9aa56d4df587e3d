//! What people say of answers, kept as rows to learn from.
//!
//! A remark is written down before it is used, in `remarks.jsonl`. `rows.jsonl` is made of all remarks: one row for each
//! picture and question of which somebody said what is right, in the columns that `data.train` takes. What was decided
//! last counts. Stars decide nothing, but an answer with five is taken for right where nobody decided.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use vrft_answer::{Answered, Picture};
use vrft_stream::{AnswerRemark, Said};

use crate::chat::Refused;
use crate::queue::InUse;

/// Answers that can still be remarked on, and the bytes that their pictures may take together.
const REMEMBERED: usize = 64;
const REMEMBERED_BYTES: usize = 64 << 20;

/// Stars of an answer that is right.
const FULL: u8 = 5;

const REMARKS: &str = "remarks.jsonl";
const ROWS: &str = "rows.jsonl";
const PICTURES: &str = "pictures";

/// The answers that were given last, and the folder of what was said of them.
pub(crate) struct Corrections {
    folder: PathBuf,
    remembered: Mutex<VecDeque<Remembered>>,
}

/// An answer about one picture.
struct Remembered {
    id: String,
    picture: Picture,
    problem: String,
    answered: Answered,
    /// The policy that gave it: its task says how right answers are written.
    by: Arc<InUse>,
}

impl Corrections {
    /// Keeps remarks in this folder; it is made with the first of them.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), remembered: Mutex::default() }
    }

    /// An answer that may be remarked on from now on.
    pub(crate) fn remember(
        &self,
        id: &str,
        (picture, asked): (Picture, String),
        answered: &Answered,
        by: Arc<InUse>,
    ) {
        let problem = by.truths.question(&asked);
        let (id, answered) = (id.to_owned(), answered.clone());
        let answer = Remembered { id, picture, problem, answered, by };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.push_back(answer);
        let n_bytes = |kept: &VecDeque<Remembered>| -> usize {
            kept.iter().map(|answer| answer.picture.file.len()).sum()
        };
        while remembered.len() > REMEMBERED
            || (remembered.len() > 1 && n_bytes(&remembered) > REMEMBERED_BYTES)
        {
            remembered.pop_front();
        }
    }

    /// Takes a remark in: an [`AnswerRemark`], with `labels` of edited boxes or points if the task has labels. Says how many rows
    /// there are now, and where.
    pub(crate) fn take(&self, body: &[u8]) -> Result<Value, Refused> {
        let bad = |why: String| (400, why);
        let mut body: Value =
            serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
        let labels = body.as_object_mut().and_then(|body| body.remove("labels"));
        let remark = AnswerRemark::parse(&body.to_string()).map_err(|e| bad(e.to_string()))?;
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = remembered.iter().find(|answer| answer.id == remark.answer_id);
        let answer = answer.ok_or_else(|| {
            let id = &remark.answer_id;
            (404, format!("answer {id:?} is none of the last {REMEMBERED} about one picture"))
        })?;
        let truth = truth(&remark.remark, labels.as_ref(), answer).map_err(bad)?;
        self.keep(&remark, truth, answer).map_err(|error| {
            (500, format!("the remark could not be written to {:?}: {error}", self.folder))
        })
    }

    fn keep(
        &self,
        remark: &AnswerRemark,
        truth: Option<String>,
        answer: &Remembered,
    ) -> io::Result<Value> {
        let picture = self.keep_picture(&answer.picture)?;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let line = json!({
            "at": at, "answer_id": remark.answer_id, "remark": remark.remark, "user": remark.user,
            "picture": picture, "problem": answer.problem, "truth": truth,
            "version": answer.answered.version, "digest": answer.answered.digest,
            "said": answer.answered.text,
        });
        let path = self.folder.join(REMARKS);
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()?;
        let rows = rows(&fs::read_to_string(&path)?);
        let path = self.folder.join(ROWS);
        vrft_config::replace(&path, rows.concat())?;
        Ok(json!({"rows": rows.len(), "file": path.display().to_string()}))
    }

    /// Writes the picture, unless it is there, and returns its name within the folder.
    fn keep_picture(&self, picture: &Picture) -> io::Result<String> {
        let (bytes, end) = picture.upright().map_err(io::Error::other)?;
        let sum = twox_hash::XxHash3_128::oneshot(&bytes);
        let name = format!("{PICTURES}/{sum:032x}.{end}");
        fs::create_dir_all(self.folder.join(PICTURES))?;
        let path = self.folder.join(&name);
        if !path.exists() {
            vrft_config::replace(&path, &bytes)?;
        }
        Ok(name)
    }
}

/// The true answer that a remark says; `None` where it says none.
fn truth(
    said: &Said,
    labels: Option<&Value>,
    answer: &Remembered,
) -> Result<Option<String>, String> {
    let truths = &answer.by.truths;
    let of_answer = || truths.of_answer(&answer.answered);
    match said {
        Said::Accept => of_answer().map(Some),
        Said::Rate(FULL) => Ok(of_answer().ok()),
        Said::Text(text) => truths.of_text(text, &answer.answered).map(Some),
        Said::Reject | Said::Rate(_) => Ok(None),
        Said::Edit(boxes) => {
            let labels = labels_of(labels, boxes.len())?;
            let boxes: Vec<_> = boxes.iter().copied().zip(labels).collect();
            truths.of_boxes(&boxes).map(Some)
        }
        Said::Points(points) => {
            let labels = labels_of(labels, points.len())?;
            let points: Vec<_> = points.iter().copied().zip(labels).collect();
            truths.of_points(&points).map(Some)
        }
    }
}

/// What is in each of so many boxes, or at each of so many points.
fn labels_of(labels: Option<&Value>, n: usize) -> Result<Vec<String>, String> {
    let Some(labels) = labels else { return Ok(vec![String::new(); n]) };
    let texts = labels.as_array().filter(|list| list.len() == n);
    let texts = texts.and_then(|list| {
        list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>()
    });
    texts.ok_or_else(|| format!("labels: expected a list of {n} texts, got {labels}"))
}

/// What is known of one question about one picture.
#[derive(Default)]
struct Known {
    answer_id: Value,
    /// What was decided last: the true answer, or that there is none.
    decided: Option<Value>,
    /// An answer that got all stars.
    rated: Option<Value>,
}

/// The rows that follow from all remarks, a line each. A line that was cut off by a crash says nothing.
fn rows(remarks: &str) -> Vec<String> {
    let mut known: BTreeMap<(String, String), Known> = BTreeMap::new();
    for remark in remarks.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let text = |key: &str| remark[key].as_str().unwrap_or_default().to_owned();
        let known = known.entry((text("picture"), text("problem"))).or_default();
        let is_rating = remark["remark"].get("rate").is_some();
        let place = if is_rating { &mut known.rated } else { &mut known.decided };
        *place = Some(remark["truth"].clone());
        known.answer_id = remark["answer_id"].clone();
    }
    let row = |((picture, problem), known): ((String, String), Known)| {
        let truth = known.decided.or(known.rated).filter(Value::is_string)?;
        let row = json!({
            "sample_id": known.answer_id, "image": picture, "problem": problem, "solution": truth,
        });
        Some(format!("{row}\n"))
    };
    known.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remark(problem: &str, remark: &Value, truth: &Value) -> String {
        let line = json!({"picture": "a.png", "problem": problem, "remark": remark, "truth": truth,
                          "answer_id": "x"});
        format!("{line}\n")
    }

    fn truths(lines: &[String]) -> Vec<String> {
        let row = |row: String| serde_json::from_str::<Value>(&row).unwrap();
        let solution = |row: Value| row["solution"].as_str().unwrap().to_owned();
        rows(&lines.concat()).into_iter().map(row).map(solution).collect()
    }

    #[test]
    fn what_was_decided_last_counts_and_stars_only_where_nobody_decided() {
        let (accept, reject) = (json!("accept"), json!("reject"));
        let (five, two) = (json!({"rate": 5}), json!({"rate": 2}));
        let (one, other, none) = (json!("one"), json!("other"), Value::Null);
        assert_eq!(truths(&[remark("q", &accept, &one)]), ["one"]);
        assert_eq!(truths(&[remark("q", &accept, &one), remark("q", &accept, &other)]), ["other"]);
        assert!(truths(&[remark("q", &accept, &one), remark("q", &reject, &none)]).is_empty());
        assert_eq!(truths(&[remark("q", &five, &one)]), ["one"]);
        assert!(truths(&[remark("q", &five, &one), remark("q", &two, &none)]).is_empty());
        assert!(truths(&[remark("q", &reject, &none), remark("q", &five, &one)]).is_empty());
        assert_eq!(truths(&[remark("q", &accept, &one), remark("r", &two, &none)]), ["one"]);
    }

    #[test]
    fn a_line_that_was_cut_off_says_nothing() {
        let whole = remark("q", &json!("accept"), &json!("one"));
        assert_eq!(truths(&[whole.clone(), whole[..20].to_owned()]), ["one"]);
    }

    #[test]
    fn labels_are_as_many_as_boxes() {
        assert_eq!(labels_of(None, 2).unwrap(), ["", ""]);
        assert_eq!(labels_of(Some(&json!(["a"])), 1).unwrap(), ["a"]);
        assert!(labels_of(Some(&json!(["a"])), 2).unwrap_err().contains("a list of 2 texts"));
        assert!(labels_of(Some(&json!([1])), 1).is_err());
    }
}
