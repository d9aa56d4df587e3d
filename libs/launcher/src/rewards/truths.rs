//! True answers to test a reward with: read, checked and converted as a run of the same configuration would.

use std::cell::OnceCell;
use std::path::Path;

use eyre::{WrapErr, bail, eyre};
use serde_json::Value;
use vrft_checkpoint::PolicyConfig;
use vrft_config::Document;
use vrft_dataset::{
    DataConfig, DataSpace, Dataset, DatasetError, EvaluationConfig, OpenOptions, Row,
};
use vrft_processor::Processor;
use vrft_prompts::{Declared, Prompter, resized};
use vrft_reward::config::{RewardConfig, RewardsConfig};
use vrft_reward::{Reward, Space};

use super::field;

/// What a reward is tested with.
pub(super) struct Truths {
    /// The reward of the task that the data belongs to.
    pub(super) reward: RewardConfig,
    /// True answers in the coordinates of the reward.
    pub(super) solutions: Vec<String>,
    /// What was skipped and assumed, a line each.
    pub(super) told: Vec<String>,
}

impl Truths {
    /// Those of a file that the configuration names, or that a run would learn from if it named it as `data.train`.
    ///
    /// # Errors
    /// What a run would refuse: by file and row.
    pub(super) fn read(
        document: &Document,
        rewards: &RewardsConfig,
        file: &Path,
    ) -> eyre::Result<Self> {
        let part = Part::of(document, file)?;
        let reward = part.task.as_deref().map_or(&rewards.shared, |task| rewards.of(task)).clone();
        let dataset = match Dataset::open_with(file, &part.options) {
            Ok(dataset) => dataset,
            // Answers alone are enough to test a reward with.
            Err(DatasetError::MissingColumn { column: "image", .. })
                if file.extension().is_some_and(|extension| extension == "jsonl") =>
            {
                let solutions = answers_alone(file, &reward, part.declared.space)?;
                return Ok(Self { reward, solutions, told: Vec::new() });
            }
            Err(error) => return Err(error.into()),
        };
        let policy: PolicyConfig = document.section()?;
        let processor = OnceCell::new();
        let resize = |size| {
            let opened = processor.get_or_init(|| opened(&policy));
            opened.as_ref().map_err(Clone::clone).and_then(|opened| resized(opened, size))
        };
        let prompter =
            Prompter::of_data(&reward, &policy.system, &dataset, &part.data, part.declared)?;
        let check = |row: &Row| {
            prompter.check_question(row)?;
            prompter.check_truth(&prompter.truth(row, &resize)?)
        };
        let dataset = dataset.retain_valid(check, part.data.max_bad_fraction)?;
        let truth = |row: &Row| {
            let place = || format!("{}, {}", row.origin.file.display(), row.origin.place());
            prompter.truth(row, &resize).map_err(|why| eyre!("{}: {why}", place()))
        };
        let solutions = dataset.iter().map(truth).collect::<eyre::Result<_>>()?;
        let mut told = dataset.summary(dataset.len());
        told.extend(prompter.notes().iter().cloned());
        Ok(Self { reward, solutions, told })
    }
}

/// What a file is to the configuration.
struct Part {
    data: DataConfig,
    declared: Declared,
    options: OpenOptions,
    /// Its task, if it is that of one of several.
    task: Option<String>,
}

impl Part {
    fn of(document: &Document, file: &Path) -> eyre::Result<Self> {
        let data: DataConfig = document.section()?;
        let evaluation: EvaluationConfig = document.section()?;
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_it = |path: &Path| whole(path) == whole(file);
        let source = data
            .sources
            .iter()
            .find(|source| is_it(&source.train) || source.test.as_deref().is_some_and(is_it));
        let task = source.map(|source| source.task.clone());
        let is_judged = match source {
            Some(source) => !is_it(&source.train),
            None => is_it(&evaluation.test) && !is_it(&data.train),
        };
        let name = task.as_deref();
        let (mut options, declared) = if is_judged {
            let judged = EvaluationConfig { test: file.to_owned(), ..evaluation.clone() };
            (data.options_to_judge(&judged), Declared::judged(&data, &judged, name))
        } else {
            (data.options_to_learn(name, &evaluation), Declared::learned(&data, name))
        };
        // All rows are tested, whichever side they are on; those that nobody named say nothing of these.
        options.part = None;
        let names_others = document.get("evaluation.test").is_some() || task.is_some();
        if data.is_divided(&evaluation) || !names_others {
            options.beside = None;
        }
        Ok(Self { data, declared, options, task })
    }
}

/// The processor of the policy, by which pixels of what it sees are told.
fn opened(policy: &PolicyConfig) -> Result<Processor, String> {
    let named = format!(
        "how large the model sees a picture is up to the policy (policy.path = {})",
        policy.path.display()
    );
    let checkpoint = vrft_checkpoint::checkpoint_dir(&policy.path);
    let path = checkpoint.map_err(|error| format!("{named}: {error}"))?;
    let policy = PolicyConfig { path, ..policy.clone() };
    Processor::of(&policy).map_err(|error| format!("{named}: {error}"))
}

/// True answers of JSON lines that have no pictures.
///
/// # Errors
/// A line that cannot be read, by its number; coordinates that would have to be converted, for which the sizes of the
/// pictures are needed.
fn answers_alone(
    file: &Path,
    reward: &RewardConfig,
    space: Option<DataSpace>,
) -> eyre::Result<Vec<String>> {
    // Pixels of the picture are not those of what the model sees of it.
    let is_same = |space: DataSpace, own: Space| match own {
        Space::Pixels => space == DataSpace::Resized,
        _ => space.name() == own.name(),
    };
    if let (Some(space), Some(own)) = (space, reward.answer.space())
        && !is_same(space, own)
    {
        bail!(
            "{}: its rows have no \"image\", without which data.space = {:?} cannot be converted to \
             reward.answer.space = {:?}",
            file.display(),
            space.name(),
            own.name()
        );
    }
    let reader = Reward::new(reward);
    let text = std::fs::read_to_string(file).wrap_err_with(|| format!("cannot read {file:?}"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let solution = |(idx, line): (usize, &str)| {
        let at = || format!("{}, line {}", file.display(), idx + 1);
        let row: Value = serde_json::from_str(line).wrap_err_with(at)?;
        let solution = field(&row, &["solution", "answer"]).wrap_err_with(at)?;
        reader.parse_answer(&solution).wrap_err_with(at)?;
        Ok(solution)
    };
    lines.map(solution).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    /// A folder with pictures of 400 × 200 pixels and rows about them.
    fn rows(solutions: &[Value]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        image::GrayImage::new(400, 200).save(folder.path().join("a.png")).unwrap();
        let row = |solution: &Value| {
            json!({"image": "a.png", "problem": "Where?", "solution": solution}).to_string()
        };
        let lines: Vec<String> = solutions.iter().map(row).collect();
        let file = folder.path().join("rows.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        (folder, file)
    }

    fn read(config: &str, file: &Path) -> Result<Truths, String> {
        let document = Document::parse(config, "test").unwrap();
        let rewards = RewardsConfig::read(&document).unwrap();
        Truths::read(&document, &rewards, file).map_err(|error| format!("{error:#}"))
    }

    fn boxes(corners: [u32; 4]) -> Value {
        json!([{"Position": corners, "Confidence": 1}])
    }

    #[test]
    fn coordinates_are_converted_as_the_configuration_declares() {
        let (_folder, file) = rows(&vec![boxes([40, 20, 160, 80]); 3]);
        let truths = read("[data]\nspace = \"pixels\"", &file).unwrap();
        assert!(truths.solutions[0].contains("[100, 100, 400, 400]"), "{:?}", truths.solutions);
        assert!(truths.told.join("\n").contains("as data.space says"), "{:?}", truths.told);
        let truths = read("[data]\nspace = \"thousandths\"", &file).unwrap();
        assert!(truths.solutions[0].contains("[40,20,160,80]"), "{:?}", truths.solutions);
    }

    #[test]
    fn what_a_run_would_refuse_is_named_by_file_and_row() {
        let (_folder, file) = rows(&[boxes([40, 20, 160, 80]), boxes([40, 20, 900, 80])]);
        let error = read("[data]\nspace = \"pixels\"", &file).err().unwrap();
        for words in ["rows.jsonl", "row 1", "(900, 80)", "data.space"] {
            assert!(error.contains(words), "{words:?} is not in {error}");
        }
        // As many as a run tolerates are skipped and told.
        let truths = read("[data]\nspace = \"pixels\"\nmax_bad_fraction = 0.5", &file).unwrap();
        assert_eq!(truths.solutions.len(), 1);
        assert!(truths.told.join("\n").contains("skipped row 1"), "{:?}", truths.told);
    }

    #[test]
    fn the_task_of_a_source_is_tested_with_its_own_data() {
        let (_folder, file) = rows(&vec![json!("3"); 3]);
        let config = format!(
            "[[data.sources]]\ntask = \"count\"\ntrain = {file:?}\n[data.sources.reward.answer]\ntype = \"number\"\n\
             [data.sources.reward.terms.near]\nmetric = \"closeness\"\nscale = 2.0"
        );
        let truths = read(&config, &file).unwrap();
        assert_eq!((truths.reward.task.as_str(), truths.solutions.len()), ("count", 3));
    }

    #[test]
    fn answers_without_pictures_are_read_where_nothing_has_to_be_converted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("answers.jsonl");
        let row = json!({"solution": boxes([40, 20, 160, 80])}).to_string();
        std::fs::write(&file, format!("{row}\n{{\"solution\": \"a cat\"}}\n")).unwrap();
        let error = read("", &file).err().unwrap();
        assert!(error.contains("answers.jsonl, line 2"), "{error}");
        std::fs::write(&file, &row).unwrap();
        assert_eq!(read("", &file).unwrap().solutions.len(), 1);
        let error = read("[data]\nspace = \"pixels\"", &file).err().unwrap();
        assert!(error.contains("answers.jsonl") && error.contains("data.space"), "{error}");
    }
}
