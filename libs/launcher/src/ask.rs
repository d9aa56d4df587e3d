//! `vrft ask`: what a policy says about pictures.

use std::path::Path;

use eyre::{WrapErr, eyre};
use serde_json::json;
use vrft_answer::{Answered, Answerer, Found, Picture, Place, Reading, Settings, Target};
use vrft_config::Document;

use crate::cli::{AskOptions, PolicyOptions};
use crate::print::say;

/// Asks one question and prints the answer.
pub(crate) fn ask(options: &AskOptions) -> eyre::Result<()> {
    let pictures = options.images.iter().map(|path| Picture::open(path));
    let pictures = pictures.collect::<Result<Vec<_>, _>>()?;
    let answerer = load(&options.policy)?;
    let asked = &answerer.settings().answer;
    let question = options.question.as_ref().unwrap_or(&asked.question);
    let category = options.category.as_ref().unwrap_or(&asked.category);
    let turns = match (options.question.is_some(), category.is_empty(), question.is_empty()) {
        (false, false, _) => answerer.category(category, pictures.len()),
        (_, _, false) => answerer.question(question, pictures.len()),
        _ => {
            return Err(eyre!(
                "nothing is asked: write a question, or --category NAME for all objects of a category"
            ));
        }
    };
    let answered = answerer.answer(&turns, &pictures, options.seed)?;
    if let Some(path) = &options.draw {
        draw(&pictures[0], &answered.found, path)?;
    }
    if options.json {
        say!("{}", serde_json::to_string_pretty(&as_json(&answered))?);
    } else {
        say!("{}", as_text(&answered));
    }
    Ok(())
}

/// The policy that the options name, with the configuration of the run that made it unless another one is named.
pub(crate) fn load(options: &PolicyOptions) -> eyre::Result<Answerer> {
    let target = Target::find(&options.checkpoint, &options.served)?;
    if let Some(choice) = &target.choice {
        // Beside the answer, which a program may read.
        eprintln!("# {}: {choice}", options.checkpoint);
    }
    let document = match options.config.as_ref().or(target.config.as_ref()) {
        Some(file) => Document::load(file, &options.overrides)?,
        None => Document::parse_with("", "--set", &options.overrides)?,
    };
    let mut settings = Settings::read(&document)?;
    if options.base.is_some() {
        settings.policy.base.clone_from(&options.base);
    }
    if !options.no_verify {
        vrft_checkpoint::verify(&target.checkpoint, settings.policy.base.as_deref())?;
    }
    settings.answer.served.clone_from(&options.served);
    Ok(Answerer::load(&settings, &target)?)
}

fn draw(picture: &Picture, found: &[Found], path: &Path) -> eyre::Result<()> {
    let file = vrft_answer::draw(picture, found).map_err(|why| eyre!("--draw: {why}"))?;
    std::fs::write(path, file).wrap_err_with(|| format!("--draw: cannot write {path:?}"))
}

/// An answer as a program wants it.
pub(crate) fn as_json(answered: &Answered) -> serde_json::Value {
    json!({
        "version": answered.version,
        "text": answered.text,
        "reading": answered.reading,
        "found": answered.found,
        "finish_reason": answered.finish_reason.as_str(),
        "prompt_tokens": answered.n_prompt_tokens,
        "completion_tokens": answered.n_tokens,
        "secs": answered.took.as_secs_f64(),
    })
}

/// An answer as a person wants it.
fn as_text(answered: &Answered) -> String {
    let mut lines = vec![answered.text.clone()];
    if answered.reading == Reading::Nothing {
        lines.push("nothing".into());
    }
    for Found { place, label, confidence } in &answered.found {
        let mut line = match place {
            Place::Box(corners) => format!("box {}", in_pixels(corners)),
            Place::Point(point) => format!("point {}", in_pixels(point)),
        };
        line.extend(label.iter().map(|label| format!(", {label}")));
        line.extend(confidence.iter().map(|sure| format!(", confidence {sure:.2}")));
        lines.push(line);
    }
    lines.join("\n")
}

fn in_pixels(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:.1}")).collect();
    numbers.join(" ")
}
