//! `vrft reward`: test a declared reward, score completions again, propose a reward from data.

mod truths;

use std::path::Path;

use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::{Value, json};
use vrft_config::{Document, Printed};
use vrft_dataset::{Picture, Question};
use vrft_reward::config::{RewardConfig, RewardsConfig};
use vrft_reward::{Attempt, Example, Reward, Score};

use crate::cli::RewardCommand;
use crate::print::say;
use truths::Truths;

/// Runs one of the subcommands.
pub(crate) fn reward(command: &RewardCommand) -> eyre::Result<()> {
    match command {
        RewardCommand::Test { spec, data, json, overrides } => {
            let document = Document::load(spec, overrides)?;
            let rewards = RewardsConfig::read(&document)?;
            match data {
                Some(file) => {
                    let truths = Truths::read(&document, &rewards, file)?;
                    truths.told.iter().filter(|_| !*json).for_each(|line| say!("# {line}"));
                    test(&[&truths.reward], &truths.solutions, *json)
                }
                None => test(&rewards.iter().collect::<Vec<_>>(), &[], *json),
            }
        }
        RewardCommand::Score { spec, file, overrides } => {
            score(&Document::load(spec, overrides)?.section()?, file)
        }
        RewardCommand::Infer { data } => infer(data),
    }
}

/// Tests rewards on these true answers, or on drawn ones where there are none.
fn test(rewards: &[&RewardConfig], solutions: &[String], as_json: bool) -> eyre::Result<()> {
    let mut failed = Vec::new();
    for reward in rewards {
        let report = vrft_reward::self_test(reward, solutions)?;
        if as_json {
            say!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            say!("{report}");
        }
        let failures = report.failures().join("; ");
        if !failures.is_empty() {
            failed.push(format!("{}: {failures}", reward.task));
        }
    }
    ensure!(failed.is_empty(), "the reward fails its self-test: {}", failed.join("\n"));
    Ok(())
}

/// One line of JSON for every line of `file`: reward, terms, and at the end the means.
fn score(config: &RewardConfig, file: &Path) -> eyre::Result<()> {
    let reward = Reward::new(config);
    let text = std::fs::read_to_string(file).wrap_err_with(|| format!("cannot read {file:?}"))?;
    let mut tally = Tally::default();
    for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = || format!("{}, line {}", file.display(), idx + 1);
        let row: Value = serde_json::from_str(line).wrap_err_with(at)?;
        let scored = score_row(&reward, &row, &mut tally).wrap_err_with(at)?;
        let mut fields = serde_json::Map::from_iter([("line".to_owned(), json!(idx + 1))]);
        fields.extend(scored);
        say!("{}", Value::Object(fields));
    }
    ensure!(
        tally.n + tally.unscored > 0,
        "{file:?} has no rows: expected {{\"completion\": …, \"solution\": …}} a line"
    );
    say!("{}", tally.summary());
    Ok(())
}

/// What one row earns; a row with a `first` answer is a correction of it, and both turns earn.
fn score_row(
    reward: &Reward,
    row: &Value,
    tally: &mut Tally,
) -> eyre::Result<serde_json::Map<String, Value>> {
    let completion = field(row, &["completion", "text"])?;
    let truth = reward.parse_answer(&field(row, &["solution", "answer", "truth"])?)?;
    let terms = |score: &Score| -> Value {
        score.terms.iter().map(|term| (term.name.clone(), json!(term.value))).collect()
    };
    let scored = match row.get("first") {
        None => {
            let score = reward.score(&completion, &truth);
            tally.add(score.total);
            json!({"reward": score.total, "terms": terms(&score)})
        }
        Some(_) => {
            let first = field(row, &["first"])?;
            let turns = reward.score_turns([&*first, &*completion].map(Attempt::new), &truth);
            let [before, after] = &turns.scores;
            tally.add(after.total);
            tally.add_change(before.total, after.total);
            json!({"rewards": turns.rewards, "first": terms(before), "terms": terms(after)})
        }
    };
    let Value::Object(scored) = scored else { bail!("a row is an object") };
    Ok(scored)
}

/// What all rows earn together.
#[derive(Default)]
struct Tally {
    n: u32,
    unscored: u32,
    sum: f64,
    pairs: u32,
    change: f64,
    mended: u32,
    spoiled: u32,
}

impl Tally {
    fn add(&mut self, total: Option<f64>) {
        match total {
            Some(total) => (self.sum, self.n) = (self.sum + total, self.n + 1),
            None => self.unscored += 1,
        }
    }

    fn add_change(&mut self, before: Option<f64>, after: Option<f64>) {
        let Some((before, after)) = before.zip(after) else { return };
        self.pairs += 1;
        self.change += after - before;
        self.mended += u32::from(after > before);
        self.spoiled += u32::from(after < before);
    }

    /// A summary of all rewards; for corrections also the mean gain and the shares that got better and worse.
    fn summary(&self) -> Value {
        let mean = self.sum / f64::from(self.n.max(1));
        let mut summary = json!({"n": self.n, "unscored": self.unscored, "mean": mean});
        if self.pairs > 0 {
            let share = |count: u32| f64::from(count) / f64::from(self.pairs);
            summary["change"] = json!(self.change / f64::from(self.pairs));
            summary["mended"] = json!(share(self.mended));
            summary["spoiled"] = json!(share(self.spoiled));
        }
        summary
    }
}

/// Prints a specification that passes its self-test on the data.
fn infer(data: &Path) -> eyre::Result<()> {
    let rows = rows(data)?;
    let examples: Vec<Example> = rows.iter().map(Row::example).collect();
    let proposal = if rows.iter().all(|row| row.is_class) {
        vrft_reward::infer_names(&examples)
    } else {
        vrft_reward::infer(&examples)
    };
    let proposal = proposal.wrap_err_with(|| format!("{data:?}"))?;
    say!("# {}", proposal.reason);
    if let Some(guess) = &proposal.space {
        let doubt = if guess.is_doubtful { " Look at an image to be sure." } else { "" };
        say!("# Coordinates are taken for {}, since {}.{doubt}", guess.space.name(), guess.reason);
    }
    say!("# The self-test on {} of the rows:", proposal.report.n);
    for line in &proposal.odd {
        say!("# Left out: {line}");
    }
    for line in proposal.report.to_string().lines() {
        say!("# {line}");
    }
    let mut section = Printed::default();
    section.add(&proposal.config);
    say!("\n{}", section.finish());
    Ok(())
}

/// Keys of a true answer.
const SOLUTIONS: [&str; 2] = ["solution", "answer"];

/// A question with its true answer.
struct Row {
    /// Where it stands, as in `row 7`.
    place: String,
    question: String,
    solution: String,
    /// Whether it is the class of a picture, whatever that is called.
    is_class: bool,
    /// Width and height of its first image, if that can be read.
    size: Option<[u32; 2]>,
}

impl Row {
    fn example(&self) -> Example<'_> {
        Example {
            place: &self.place,
            question: &self.question,
            solution: &self.solution,
            size: self.size,
        }
    }
}

/// Questions and true answers: JSON lines with solutions and no images are enough, anything else is a data set.
fn rows(data: &Path) -> eyre::Result<Vec<Row>> {
    if data.extension().is_some_and(|extension| extension == "jsonl") {
        let text =
            std::fs::read_to_string(data).wrap_err_with(|| format!("cannot read {data:?}"))?;
        let mut rows = Vec::new();
        for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let at = || format!("{}, line {}", data.display(), idx + 1);
            let row: Value = serde_json::from_str(line).wrap_err_with(at)?;
            let has_solution = SOLUTIONS.iter().any(|key| row.get(key).is_some());
            if rows.is_empty() && !has_solution {
                // Classes, boxes or turns.
                return rows_of_dataset(data);
            }
            rows.push(json_row(&row, data, format!("line {}", idx + 1)).wrap_err_with(at)?);
        }
        return Ok(rows);
    }
    rows_of_dataset(data)
}

/// The same of data as a run reads it.
fn rows_of_dataset(data: &Path) -> eyre::Result<Vec<Row>> {
    let dataset = vrft_dataset::Dataset::open(data)?;
    // Boxes of annotations are asked for and answered as Visual-RFT does, which is the default.
    let prompter = vrft_prompts::Prompter::new(&RewardConfig::default(), "");
    let row = |row: &vrft_dataset::Row| {
        let turns = prompter.turns(row);
        Ok(Row {
            place: row.origin.place(),
            question: turns.last().map(|turn| turn.text()).unwrap_or_default(),
            solution: prompter
                .truth(row, &|size| Ok(size))
                .map_err(|why| eyre!("{}: {why}", row.origin.place()))?,
            is_class: row.question == Question::Class,
            size: row.pictures.first().map(|picture| size(picture)),
        })
    };
    dataset.iter().map(row).collect()
}

fn json_row(row: &Value, data: &Path, place: String) -> eyre::Result<Row> {
    let image = row.get("image").or_else(|| row.get("images").and_then(|images| images.get(0)));
    let path = image.and_then(Value::as_str).map(|name| data.with_file_name(name));
    let picture = path.and_then(|path| Picture::open(&path).ok());
    Ok(Row {
        place,
        question: field(row, &["problem", "question", "prompt"]).unwrap_or_default(),
        solution: field(row, &SOLUTIONS)?,
        is_class: false,
        size: picture.as_ref().map(size),
    })
}

/// How far places in a picture may reach along its sides.
fn size(picture: &Picture) -> [u32; 2] {
    picture.header().reach()
}

/// The first of these fields that is there; what is no text is taken as it is written.
fn field(row: &Value, names: &[&str]) -> eyre::Result<String> {
    let found = names.iter().find_map(|name| row.get(name));
    match found.ok_or_else(|| eyre!("expected a field {}", names.join(" or ")))? {
        Value::String(text) => Ok(text.clone()),
        Value::Null => bail!("expected text in {}, got null", names[0]),
        other => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_solutions_are_read_as_a_run_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        image::RgbImage::new(64, 64).save(folder.path().join("a.png")).unwrap();
        let read = |line: Value| {
            let file = folder.path().join("rows.jsonl");
            std::fs::write(&file, [line.to_string(), line.to_string()].join("\n")).unwrap();
            let rows = rows(&file).unwrap();
            (rows.len(), rows[0].solution.clone(), rows[0].is_class)
        };
        let class = json!({"image": "a.png", "label": "mug"});
        assert_eq!(read(class), (2, "mug".to_owned(), true));
        let turns = json!([
            {"role": "user", "content": "<image>What?"},
            {"role": "assistant", "content": "A mug"},
        ]);
        let turns = json!({"images": ["a.png"], "messages": turns});
        assert_eq!(read(turns), (2, "A mug".to_owned(), false));
        // Pictures need not be there where the answers are.
        let alone = json!({"image": "nowhere.png", "problem": "What?", "solution": "a cup"});
        assert_eq!(read(alone), (2, "a cup".to_owned(), false));
    }
}
