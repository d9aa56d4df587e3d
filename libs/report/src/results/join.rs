//! Tables that were made in parts, on other days or machines, put together from what each wrote.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ResultRun, Results, ResultsHead};
use crate::ReportError;

/// A `table.json` that is part of a larger table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// What its trained method is called in the larger table, as where it has another objective; its policies that were
    /// not trained are then left out.
    pub label: Option<String>,
}

/// A table as it was written: the rest follows from its runs.
#[derive(Deserialize)]
struct Written {
    #[serde(flatten)]
    head: ResultsHead,
    #[serde(default)]
    runs: Vec<ResultRun>,
}

/// A larger table while it is put together.
struct Joined {
    head: ResultsHead,
    runs: Vec<ResultRun>,
}

/// Puts together the tables of several files, those of one title into one. `command` is written into each.
///
/// # Errors
/// A file that cannot be read or that names no runs; a label for tables of two trained methods; tables of one title with
/// other metrics or numbers of questions; a run that two files have different values for.
pub fn join_results(parts: &[Part], command: &str) -> Result<Vec<Results>, ReportError> {
    let mut all: Vec<Joined> = Vec::new();
    for part in parts {
        for written in read(part)? {
            let runs = labelled(part, written.runs)?;
            let known = all.iter().position(|one| one.head.title == written.head.title);
            let joined = match known {
                Some(known) => &mut all[known],
                None => {
                    let head = ResultsHead { command: command.to_owned(), ..written.head.clone() };
                    all.push(Joined { head, runs: Vec::new() });
                    all.last_mut().expect("pushed above")
                }
            };
            joined.add(part, &written.head, runs)?;
        }
    }
    Ok(all.into_iter().map(|joined| Results::new(joined.head, &joined.runs)).collect())
}

fn read(part: &Part) -> Result<Vec<Written>, ReportError> {
    let path = &part.path;
    let text = std::fs::read_to_string(path)
        .map_err(|source| ReportError::Read { path: path.clone(), source })?;
    let no_table = |why: String| ReportError::NoTable { path: path.clone(), why };
    let all: Vec<Written> =
        serde_json::from_str(&text).map_err(|error| no_table(error.to_string()))?;
    match all.iter().find(|one| one.runs.is_empty()) {
        Some(one) => Err(no_table(format!(
            "its table {:?} does not name the runs that it is of, as tables of earlier versions",
            one.head.title
        ))),
        None => Ok(all),
    }
}

/// The runs by the name that the part's method has in the larger table.
fn labelled(part: &Part, runs: Vec<ResultRun>) -> Result<Vec<ResultRun>, ReportError> {
    let Some(label) = &part.label else { return Ok(runs) };
    let trained: Vec<ResultRun> = runs.into_iter().filter(|run| run.is_trained).collect();
    if let Some(pair) = trained.windows(2).find(|pair| pair[0].label != pair[1].label) {
        let (one, other) = (&pair[0].label, &pair[1].label);
        let why = format!("{label:?} cannot stand for two methods, {one:?} and {other:?}");
        return Err(ReportError::Join { path: part.path.clone(), why });
    }
    let renamed = trained.into_iter().map(|run| ResultRun { label: label.clone(), ..run });
    Ok(renamed.collect())
}

impl Joined {
    fn add(
        &mut self,
        part: &Part,
        head: &ResultsHead,
        runs: Vec<ResultRun>,
    ) -> Result<(), ReportError> {
        let clash = |why: String| ReportError::Join { path: part.path.clone(), why };
        if self.head.metrics != head.metrics || self.head.shots_per != head.shots_per {
            return Err(clash(format!(
                "{:?} has the metrics {:?} by shots a {}, an earlier file {:?} by shots a {}",
                head.title, head.metrics, head.shots_per, self.head.metrics, self.head.shots_per
            )));
        }
        let questions = |runs: &[ResultRun]| runs.iter().find_map(|run| run.n_questions);
        if let (Some(known), Some(n)) = (questions(&self.runs), questions(&runs))
            && known != n
        {
            return Err(clash(format!(
                "{:?} is judged by {n} questions, and an earlier file by {known}: differences are of the same questions",
                head.title
            )));
        }
        for run in runs {
            let is_same = |known: &&ResultRun| {
                known.label == run.label
                    && (!run.is_trained || (known.seed, known.shots) == (run.seed, run.shots))
            };
            match self.runs.iter().find(is_same) {
                Some(known) if known.metrics != run.metrics => {
                    return Err(clash(format!(
                        "{:?}: {} with seed {} and {} has other values in an earlier file",
                        head.title,
                        run.label,
                        run.seed,
                        run.shots.map_or("all rows".to_owned(), |shots| format!("{shots} shots")),
                    )));
                }
                // A policy that was not trained is a pair of every seed's.
                Some(known) if run.is_trained || known.seed == run.seed => {}
                _ => self.runs.push(run),
            }
        }
        self.name_part(part, head);
        Ok(())
    }

    /// Says by which command the part was made.
    fn name_part(&mut self, part: &Part, head: &ResultsHead) {
        let name = part.path.file_name().unwrap_or_default().to_string_lossy();
        let stands_for = part.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
        self.head.remarks.push(format!("{name}{stands_for}: {}", head.command));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::write_results;
    use super::*;

    fn run(label: &str, seed: u64, miou: f64) -> ResultRun {
        ResultRun {
            label: label.to_owned(),
            shots: Some(4),
            is_trained: label != "base",
            seed,
            n_questions: Some(200),
            metrics: BTreeMap::from([("miou".to_owned(), miou)]),
        }
    }

    fn head() -> ResultsHead {
        let metrics = vec!["miou".to_owned()];
        ResultsHead { title: "Ground".to_owned(), metrics, ..ResultsHead::default() }
    }

    /// A file with a table of these runs.
    fn part(folder: &tempfile::TempDir, name: &str, runs: &[ResultRun]) -> Part {
        let dir = folder.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        write_results(&[Results::new(head(), runs)], &dir).unwrap();
        Part { path: dir.join("table.json"), label: None }
    }

    #[test]
    fn parts_with_other_seeds_are_the_table_of_all_seeds() {
        let folder = tempfile::tempdir().unwrap();
        let all = [
            run("base", 0, 0.30),
            run("sft", 0, 0.31),
            run("rft", 0, 0.35),
            run("base", 1, 0.30),
            run("sft", 1, 0.29),
            run("rft", 1, 0.37),
        ];
        let parts = [part(&folder, "first", &all[..3]), part(&folder, "second", &all[3..])];
        let joined = join_results(&parts, "vrft table --join").unwrap();
        let whole = Results::new(head(), &all);
        assert_eq!((&joined[0].rows, &joined[0].runs), (&whole.rows, &whole.runs));
        assert_eq!(joined[0].differences, whole.differences);
        assert_eq!(joined[0].head.command, "vrft table --join");
        // The same runs a second time are no further ones.
        let again = [parts[0].clone(), parts[1].clone(), parts[0].clone()];
        assert_eq!(join_results(&again, "").unwrap()[0].rows, whole.rows);
    }

    #[test]
    fn another_objective_is_a_method_of_its_own_compared_with_rft_by_seed() {
        let folder = tempfile::tempdir().unwrap();
        let plain = [run("base", 0, 0.3), run("rft", 0, 0.4), run("rft", 1, 0.5)];
        let other = [run("base", 0, 0.9), run("rft", 0, 0.45), run("rft", 1, 0.57)];
        let mut parts = [part(&folder, "plain", &plain), part(&folder, "other", &other)];
        parts[1].label = Some("chord".to_owned());
        let [joined] = &join_results(&parts, "").unwrap()[..] else { panic!("one title") };
        let labels: Vec<&str> = joined.rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, ["base", "rft", "chord"]);
        let pair = joined.differences.iter().find(|d| (&*d.from, &*d.to) == ("rft", "chord"));
        let pair = pair.unwrap();
        assert!((pair.mean - 0.06).abs() < 1e-12 && pair.n == 2, "{pair:?}");
        assert!(joined.differences.iter().any(|d| (&*d.from, &*d.to) == ("base", "chord")));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let one = part(&folder, "one", &[run("sft", 0, 0.3), run("rft", 0, 0.4)]);
        let other = part(&folder, "other", &[run("rft", 0, 0.5)]);
        let refused = |parts: &[Part]| join_results(parts, "").unwrap_err().to_string();
        let said = refused(&[one.clone(), other]);
        assert!(said.contains("other") && said.contains("seed 0 and 4 shots"), "{said}");
        let two = Part { label: Some("mine".to_owned()), ..one.clone() };
        assert!(refused(&[two]).contains("two methods"));
        let fewer = [ResultRun { n_questions: Some(20), ..run("rft", 0, 0.5) }];
        let fewer = Part { label: Some("mine".to_owned()), ..part(&folder, "fewer", &fewer) };
        assert!(
            refused(&[one.clone(), fewer]).contains("by 20 questions, and an earlier file by 200")
        );
        let text = std::fs::read_to_string(&one.path).unwrap();
        let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
        old[0].as_object_mut().unwrap().remove("runs");
        std::fs::write(&one.path, old.to_string()).unwrap();
        assert!(refused(std::slice::from_ref(&one)).contains("earlier versions"));
        std::fs::write(&one.path, "{}").unwrap();
        assert!(refused(&[one]).contains("table.json"));
    }
}
