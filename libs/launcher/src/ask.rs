//! `vrft ask`: what a policy says about pictures.

use eyre::{WrapErr, eyre};
use serde_json::json;
use vrft_answer::{Answered, Answerer, Found, Picture, Place, Reading, Settings, Target};
use vrft_config::{ConfigError, Document};
use vrft_rollout::FinishReason;

use crate::cli::{AskOptions, PolicyOptions};
use crate::print::{remark, say};

/// Asks one question and prints the answer.
pub(crate) fn ask(options: &AskOptions) -> eyre::Result<()> {
    // Before a model is loaded for it.
    let drawn_as = options.draw.as_deref().map(vrft_answer::drawn_as).transpose();
    let drawn_as = drawn_as.map_err(|why| eyre!("--draw {why}"))?;
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
    if let Some((path, format)) = options.draw.as_deref().zip(drawn_as) {
        let file = vrft_answer::draw(&pictures[0], &answered.found, format);
        let file = file.map_err(|why| eyre!("--draw {path:?}: {why}"))?;
        std::fs::write(path, file).wrap_err_with(|| format!("--draw: cannot write {path:?}"))?;
    }
    // Beside the answer, which a program may read.
    remarks(&answered, answerer.settings()).iter().for_each(|line| remark!("{line}"));
    if options.json {
        say!("{}", serde_json::to_string_pretty(&as_json(&answered))?);
    } else {
        say!("{}", as_text(&answered));
    }
    Ok(())
}

/// The policy that the options name, with the configuration of the run that made it unless another one is named.
pub(crate) fn load(options: &PolicyOptions) -> eyre::Result<Answerer> {
    let target = options.loading.named(&options.checkpoint)?;
    let settings = settings(options, &target)?;
    options.loading.verify(&target.checkpoint, settings.policy.base.as_deref())?;
    Ok(Answerer::load(&settings, &target)?)
}

/// How a checkpoint is asked: by the configuration that the options name, else by that of the run which made it.
///
/// # Errors
/// A configuration that cannot be used.
pub(crate) fn settings(options: &PolicyOptions, target: &Target) -> Result<Settings, ConfigError> {
    let document = match options.config.as_ref().or(target.config.as_ref()) {
        Some(file) => Document::load(file, &options.overrides)?,
        None => Document::parse_with("", "--set", &options.overrides)?,
    };
    let mut settings = Settings::read(&document)?;
    if options.loading.base.is_some() {
        settings.policy.base.clone_from(&options.loading.base);
    }
    settings.answer.served.clone_from(&options.loading.served);
    Ok(settings)
}

/// What somebody should know of an answer that does not show in its words.
fn remarks(answered: &Answered, settings: &Settings) -> Vec<String> {
    let mut remarks = Vec::new();
    if answered.finish_reason == FinishReason::Length {
        let n = answered.n_tokens;
        remarks.push(format!(
            "The answer was cut after {n} tokens: --set answer.max_tokens={} lets it go on.",
            2 * n
        ));
    }
    let is_declared = settings.reward.is_some();
    match (answered.reading, answered.kind) {
        (Reading::Unread, Some(kind)) if is_declared => remarks.push(format!(
            "The answer could not be read: it is not of the form that the task declares (reward.answer, type {kind})."
        )),
        (Reading::Unread, _) => remarks.push(
            "No places were read from the answer: no task is declared (--config), and it is no list of objects as the \
             model's family writes them."
                .to_owned(),
        ),
        (Reading::Something, _) if answered.frame.is_some() && answered.found.is_empty() => {
            remarks.push("Nothing that the answer says has a box or a point within the picture.".to_owned());
        }
        _ => {}
    }
    remarks
}

/// An answer as a program wants it.
pub(crate) fn as_json(answered: &Answered) -> serde_json::Value {
    json!({
        "version": answered.version,
        "digest": answered.digest,
        "text": answered.text,
        "reading": answered.reading,
        "kind": answered.kind,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vrft_reward::Frame;
    use vrft_reward::config::RewardConfig;

    use super::*;

    #[test]
    fn an_answer_that_could_not_be_read_or_was_cut_is_told_in_words() {
        let answered = |reading, finish_reason| Answered {
            text: "Hm.".into(),
            version: "v".into(),
            digest: "d".into(),
            reading,
            kind: Some("boxes"),
            frame: Some(Frame::Thousandths),
            found: Vec::new(),
            finish_reason,
            n_prompt_tokens: 1,
            n_tokens: 128,
            took: Duration::ZERO,
        };
        let declared = Settings { reward: Some(RewardConfig::default()), ..Settings::default() };
        let told =
            |reading, reason, settings| remarks(&answered(reading, reason), settings).join(" ");
        let unread = told(Reading::Unread, FinishReason::Length, &declared);
        assert!(unread.contains("could not be read") && unread.contains("type boxes"), "{unread}");
        assert!(unread.contains("cut after 128 tokens: --set answer.max_tokens=256"), "{unread}");
        let undeclared = Settings::default();
        let free = told(Reading::Unread, FinishReason::Stop, &undeclared);
        assert!(free.contains("no task is declared"), "{free}");
        let outside = told(Reading::Something, FinishReason::Stop, &declared);
        assert!(outside.contains("within the picture"), "{outside}");
        assert_eq!(told(Reading::Nothing, FinishReason::Stop, &declared), "");
    }
}
