//! The loader, driven without dora.

use vrft_dataset::{Flip, SourceConfig};
use vrft_messages::{Credit, PromptBatch};
use vrft_node::testing::Script;

use crate::Config;
use crate::ports::PORTS;
use crate::sources::Sources;

fn config() -> Config {
    let mut config = Config::default();
    config.data.train =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/digits/shots.parquet").into();
    config.data.shots = 4;
    config.data.flip = Flip::Both;
    config.learner.prompts_per_step = 3;
    config
}

/// With a picture of a digit, `a.png`.
fn folder_with_a_picture() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let digits = vrft_dataset::Dataset::open(&config().data.train).unwrap();
    let picture = digits.get(0).pictures[0].bytes().unwrap();
    std::fs::write(folder.path().join("a.png"), picture).unwrap();
    folder
}

fn processor() -> vrft_processor::Processor {
    let starter = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/starter");
    vrft_processor::Processor::load(starter.as_ref()).unwrap()
}

fn prompts(config: &Config, credits: &[Credit]) -> Vec<PromptBatch> {
    let processor = processor();
    let mut sources = Sources::open(config, &processor).unwrap();
    let script =
        credits.iter().fold(Script::new(&PORTS), |script, credit| script.message("credit", credit));
    let (node, sent) = script.end("credit").node();
    super::run(node, config, &mut sources).unwrap();
    assert_eq!(sent.ended("prompts"), !credits.is_empty());
    sent.all("prompts")
}

fn credit(step: u64) -> Credit {
    Credit { prompts: 3, policy_version: step, first_prompt_id: 3 * step }
}

#[test]
fn a_credit_is_answered_with_the_prompts_it_names() {
    let batches = prompts(&config(), &[credit(5)]);
    let ids: Vec<u64> = batches[0].prompts.iter().map(|prompt| prompt.prompt_id).collect();
    assert_eq!(ids, [15, 16, 17]);
    let prompt = &batches[0].prompts[0];
    assert_eq!((prompt.policy_version, prompt.task.as_str()), (5, "detection"));
    assert_eq!((prompt.images[0].width, prompt.images[0].height), (64, 64));
    assert!(prompt.answer.contains("Position"), "{}", prompt.answer);
}

#[test]
fn an_answer_has_the_form_that_the_task_accepts_as_best() {
    let folder = folder_with_a_picture();
    let boxes = "[{'Position': [1, 2, 3, 4], 'Confidence': 1}]";
    let row = |solution: String| {
        let row = format!(
            "{{\"image\": \"a.png\", \"problem\": \"Where?\", \"solution\": {solution:?}}}"
        );
        std::fs::write(folder.path().join("rows.jsonl"), row).unwrap();
        let mut config = Config { answer_prefix: "<think>a</think>".into(), ..config() };
        config.data.train = folder.path().join("rows.jsonl");
        (config.data.shots, config.data.flip) = (0, Flip::None);
        prompts(&config, &[credit(0)])[0].prompts[0].answer.clone()
    };
    let tagged = format!("<answer>{boxes}</answer>");
    assert_eq!(row(boxes.to_owned()), tagged);
    let own = format!("<think>Bright.</think>{tagged}");
    assert_eq!(row(own.clone()), own);
}

#[test]
fn no_credit_no_prompts() {
    assert!(prompts(&config(), &[]).is_empty());
}

#[test]
fn prompts_depend_on_their_number_alone() {
    let straight = prompts(&config(), &[credit(0), credit(1), credit(2)]);
    let resumed = prompts(&config(), &[credit(2)]);
    assert_eq!(straight[2], resumed[0]);
}

#[test]
fn only_the_shots_are_shown() {
    let batches = prompts(&config(), &[credit(0), credit(1), credit(2), credit(3)]);
    let samples: std::collections::BTreeSet<&str> =
        batches.iter().flat_map(|batch| &batch.prompts).map(|p| p.sample_id.as_str()).collect();
    assert_eq!(samples.len(), 4);
}

#[test]
fn more_shots_than_rows_is_an_error() {
    let mut config = config();
    config.data.shots = 1_000;
    let error = format!("{:#}", Sources::open(&config, &processor()).err().unwrap());
    assert!(error.contains("data.shots") && error.contains("1000"), "{error}");
}

/// A task's weight acts on its advantages, and there alone.
#[test]
fn several_tasks_share_the_prompts_by_their_size_and_not_by_their_weight() {
    let mut config = config();
    let source = |task: &str, weight| SourceConfig {
        task: task.to_owned(),
        train: config.data.train.clone(),
        split: None,
        space: None,
        shots: 4,
        weight,
        share: None,
        test: None,
        reward: None,
    };
    config.data.sources = vec![source("seen", 3.0), source("other", 1.0)];
    let batches = prompts(&config, &(0..34).map(credit).collect::<Vec<_>>());
    let tasks: Vec<&str> =
        batches.iter().flat_map(|batch| &batch.prompts).map(|p| p.task.as_str()).collect();
    let seen = tasks[..100].iter().filter(|task| **task == "seen").count();
    assert_eq!(seen, 50);
    assert_eq!(prompts(&config, &[credit(20)])[0], batches[20]);
}

/// Three prompts of one task to one of the other, although both have as many rows.
#[test]
fn shares_that_are_given_are_the_shares_of_the_prompts() {
    let mut config = config();
    let source = |task: &str, share| SourceConfig {
        task: task.to_owned(),
        train: config.data.train.clone(),
        split: None,
        space: None,
        shots: 4,
        weight: 1.0,
        share: Some(share),
        test: None,
        reward: None,
    };
    config.data.sources = vec![source("seen", 1.5), source("other", 0.5)];
    let batches = prompts(&config, &(0..34).map(credit).collect::<Vec<_>>());
    let tasks: Vec<&str> =
        batches.iter().flat_map(|batch| &batch.prompts).map(|p| p.task.as_str()).collect();
    let seen = tasks[..100].iter().filter(|task| **task == "seen").count();
    assert!((74..=76).contains(&seen), "{seen}");
}

#[test]
fn a_run_of_distinct_prompts_asks_the_same_again() {
    let mut config = config();
    config.data.flip = Flip::Both;
    config.learner.distinct_prompts = 6;
    let n = u64::from(credit(0).prompts);
    let batches = prompts(&config, &(0..12 / n).map(credit).collect::<Vec<_>>());
    let asked: Vec<_> = batches.iter().flat_map(|batch| &batch.prompts).collect();
    assert_eq!(asked.iter().map(|p| p.prompt_id).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
    for (first, again) in asked[..6].iter().zip(&asked[6..]) {
        assert_eq!(
            (&first.sample_id, &first.images, &first.answer),
            (&again.sample_id, &again.images, &again.answer)
        );
    }
    config.learner.distinct_prompts = 0;
    let endless = prompts(&config, &(0..12 / n).map(credit).collect::<Vec<_>>());
    let others = endless.iter().flat_map(|batch| &batch.prompts).skip(6);
    assert!(others.zip(&asked[6..]).any(|(other, again)| other.images != again.images));
}

#[test]
fn each_task_asks_in_its_own_words() {
    let text = "[reward.format]\ninstruct = true\n[reward.answer]\ntype = \"label\"\n\
                [reward.terms.right]\nmetric = \"accuracy\"";
    let names = vrft_config::Document::parse(text, "names").unwrap().section().unwrap();
    let folder = folder_with_a_picture();
    let named = folder.path().join("named.jsonl");
    let row = |name: &str| {
        format!("{{\"image\": \"a.png\", \"problem\": \"Which?\", \"solution\": \"{name}\"}}\n")
    };
    std::fs::write(&named, ["zero", "one", "two", "three"].map(row).concat()).unwrap();
    let mut config = config();
    let source = |task: &str, train: &std::path::Path| SourceConfig {
        task: task.to_owned(),
        train: train.to_owned(),
        split: None,
        space: None,
        shots: 4,
        weight: 1.0,
        share: None,
        test: None,
        reward: None,
    };
    config.data.sources = vec![source("boxes", &config.data.train), source("names", &named)];
    config.rewards.own.insert("names".to_owned(), names);
    let batches = prompts(&config, &(0..8).map(credit).collect::<Vec<_>>());
    for prompt in batches.iter().flat_map(|batch| &batch.prompts) {
        let instructed = prompt.text().contains("Give one name.");
        assert_eq!(instructed, prompt.task == "names", "{}: {}", prompt.task, prompt.text());
    }
}

#[test]
fn it_is_said_what_is_learned_from_and_judged_on_alike() {
    let mut config = config();
    config.data.shots = 0;
    config.evaluation.test = config.data.train.clone();
    let processor = processor();
    let sources = Sources::open(&config, &processor).unwrap();
    let counts = sources.counts();
    assert_eq!((counts.skipped, counts.used), (0, counts.total));
    let n = counts.total;
    let told = crate::overlap::found(&config, sources.datasets());
    let words = format!(
        "evaluation.test: {n} of {n} rows are also learned from, and {n} have a picture that is"
    );
    assert!(told.len() == 1 && told[0].starts_with(&words), "{told:?}");
    config.evaluation.test =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/digits/test.parquet").into();
    assert!(crate::overlap::found(&config, sources.datasets()).is_empty());
    // Rows that the best policy is chosen on are compared with both.
    config.evaluation.validation = Some(config.evaluation.test.clone());
    let told = crate::overlap::found(&config, sources.datasets());
    assert!(told.len() == 1 && told[0].contains("also in evaluation.test"), "{told:?}");
}

/// A file of rows about PNG files of which some break off.
fn with_damaged(folder: &std::path::Path, n_rows: usize, damaged: &[usize]) -> Config {
    let image = image::DynamicImage::from(image::RgbImage::from_fn(16, 16, |x, y| {
        image::Rgb([x as u8 * 16, y as u8 * 16, 7])
    }));
    let mut png = std::io::Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let png = png.into_inner();
    let mut lines = String::new();
    for row in 0..n_rows {
        let n_bytes = if damaged.contains(&row) { png.len() / 2 } else { png.len() };
        std::fs::write(folder.join(format!("{row}.png")), &png[..n_bytes]).unwrap();
        lines += &format!(
            "{{\"image\": \"{row}.png\", \"problem\": \"Where?\", \
             \"solution\": \"[{{'Position': [1, 2, 3, 4], 'Confidence': 1}}]\"}}\n"
        );
    }
    let path = folder.join("rows.jsonl");
    std::fs::write(&path, lines).unwrap();
    let mut config = config();
    config.data.train = path;
    config.data.shots = 0;
    config
}

#[test]
fn a_damaged_picture_is_replaced_by_a_rule_that_a_resumed_run_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let config = with_damaged(folder.path(), 60, &[3, 40]);
    let credits: Vec<Credit> = (0..20).map(credit).collect();
    let straight = prompts(&config, &credits);
    let ids: Vec<String> = straight
        .iter()
        .flat_map(|batch| &batch.prompts)
        .map(|prompt| prompt.sample_id.clone())
        .collect();
    assert_eq!(ids.len(), 60);
    assert!(!ids.contains(&"3".to_owned()) && !ids.contains(&"40".to_owned()));
    for step in 0..20 {
        assert_eq!(prompts(&config, &[credit(step)])[0], straight[step as usize]);
    }
}

#[test]
fn too_many_damaged_pictures_end_the_run_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let config = with_damaged(folder.path(), 20, &[3, 7]);
    let processor = processor();
    let mut sources = Sources::open(&config, &processor).unwrap();
    let error = (0..20).find_map(|k| sources.prompt(&config, k, 0).err()).unwrap().to_string();
    assert!(error.contains("2 of 20 rows") && error.contains("row 3: image 0"), "{error}");
}

#[test]
fn rows_that_the_model_cannot_be_asked_about_are_found_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = with_damaged(folder.path(), 40, &[]);
    config.data.max_bad_fraction = 0.01;
    let strip = image::DynamicImage::from(image::RgbImage::new(1000, 4));
    strip.save(folder.path().join("5.png")).unwrap();
    let text = std::fs::read_to_string(&config.data.train).unwrap();
    let long = text.replacen("Where?", &"Please look carefully. ".repeat(200), 1);
    std::fs::write(&config.data.train, long).unwrap();
    let processor = processor();
    let error = Sources::open(&config, &processor).err().unwrap().to_string();
    for words in [
        "2 of 40 rows",
        "row 0: the question takes",
        "has 1024 positions",
        "row 5: image",
        "1000 × 4",
    ] {
        assert!(error.contains(words), "{error}");
    }
    config.data.max_bad_fraction = 0.05;
    assert_eq!(Sources::open(&config, &processor).unwrap().counts().skipped, 2);
}
