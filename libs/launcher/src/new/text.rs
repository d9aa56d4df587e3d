//! The new configuration as text: what was found stands in comments beside the values.

use std::fmt::Write;
use std::path::Path;

use vrft_config::Printed;

use super::proposal::{HOLD_OUT, Model, Proposal};

/// Characters of a question or an answer that are quoted on one line.
const MAX_QUOTED: usize = 300;

/// The whole file.
pub(super) fn configuration(proposal: &Proposal) -> String {
    let mut text = String::new();
    head(&mut text, proposal);
    policy(&mut text, proposal);
    data(&mut text, proposal);
    reward(&mut text, proposal);
    training(&mut text, proposal);
    text
}

/// What was looked at.
fn head(text: &mut String, proposal: &Proposal) {
    line(
        text,
        "# Written by `vrft new` after a look at the rows. Every value may be changed; `vrft check` prints all",
    );
    line(text, "# that there are, and docs/src/configuration.md says what they mean.");
    line(text, "#");
    for note in &proposal.notes {
        comment(text, note);
    }
    line(text, "#");
    line(text, "# What the policy reads about the first row:");
    comment(text, &proposal.question);
    line(text, "# and the best answer to it:");
    comment(text, &proposal.answer);
}

fn policy(text: &mut String, proposal: &Proposal) {
    line(text, "\n[run]");
    line(text, &format!("name = {}", toml::Value::String(proposal.given.name.clone())));
    line(text, "\n[policy]");
    value(
        text,
        "path",
        &proposal.given.checkpoint,
        "a folder, or owner/name of the Hugging Face hub",
    );
    if proposal.model == Model::Large {
        line(
            text,
            "dtype = \"bf16\"                # half the memory; loss and optimizer stay in f32",
        );
        line(
            text,
            "\n[policy.lora]                 # adapters are trained, the weights stay; leave this out to train all",
        );
        line(text, "rank = 16\nalpha = 32");
        line(text, "target_modules = \"all-linear\"");
    }
}

fn data(text: &mut String, proposal: &Proposal) {
    let given = &proposal.given;
    line(text, "\n[data]");
    let (rows, pictures) =
        (counted(proposal.n_rows, "row"), counted(proposal.n_pictures, "picture"));
    let n = format!("{rows} about {pictures}");
    value(text, "train", &given.data, &n);
    if let Some(split) = &given.learned {
        value(text, "split", split, "of several");
    }
    if let Some(root) = &given.image_root {
        value(text, "image_root", root, "where the names of pictures start");
    }
    if let Some(classes) = &given.classes {
        value(text, "classes", classes, "names of the classes by their numbers");
    }
    if let Some((space, _)) = &proposal.space {
        value(
            text,
            "space",
            space.name(),
            "thousandths, unit, percent, pixels, or resized: pixels of what the model sees",
        );
    }
    if let Some(boxes_are) = proposal.boxes_are {
        let why = "pixels of places on photos that EXIF turns: \"stored\" as in the file, or \"displayed\"";
        value(text, "boxes_are", boxes_are.name(), why);
    }
    let is_divided = given.test.is_none() && given.judged.is_none();
    if is_divided {
        let why = "share of the pictures that is judged on and not learned from";
        line(text, &format!("hold_out = {HOLD_OUT:<19}# {why}"));
    }
    line(text, "shots = 0                      # all rows");
    line(
        text,
        "flip = \"none\"                  # \"horizontal\" adds mirror images where left and right mean the same",
    );
    if let Some(truth) = &given.truth {
        line(text, "\n[data.robot]");
        value(text, "truth", truth, "column with the true answer");
        line(text, "question = \"{task}\"            # {task}: the words of the episode's task");
        line(text, "every_secs = 1.0               # between two rows of an episode");
    }
    line(text, "\n[evaluation]");
    let (test, why) = match &given.test {
        Some(test) if given.shares_rows => (test, "some of these are learned from, see above"),
        Some(test) => (test, "rows that are never learned from"),
        None if is_divided => (&given.data, "the same data: what data.hold_out sets aside"),
        None => (&given.data, "the same folder, another split"),
    };
    value(text, "test", test, why);
    let (split, why) = match (&given.judged, is_divided) {
        (Some(split), _) => (Some(split), "never learned from"),
        (_, true) => (given.learned.as_ref(), "the same split"),
        _ => (None, ""),
    };
    if let Some(split) = split {
        value(text, "split", split, why);
    }
}

/// A number of things; one of them has no s.
fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn reward(text: &mut String, proposal: &Proposal) {
    text.push('\n');
    comment(text, &format!("The task: {}.", proposal.reason));
    line(
        text,
        "# `vrft reward test` on this file looks for ways to cheat it; docs/src/rewards.md lists the metrics.",
    );
    match &proposal.given.reward {
        Some(file) => {
            line(text, "[reward]");
            value(text, "preset", file, "");
        }
        None => {
            let mut printed = Printed::default();
            printed.add(&proposal.reward);
            text.push_str(&printed.finish());
        }
    }
}

fn training(text: &mut String, proposal: &Proposal) {
    let tokens = proposal.max_completion_tokens;
    line(text, "\n[rollout]");
    line(
        text,
        "group_size = 8                 # answers to each question, which are compared with each other",
    );
    line(
        text,
        &format!("max_completion_tokens = {tokens:<6} # thinking, and the longest true answer"),
    );
    line(text, "\n[learner]");
    let steps = proposal.steps;
    line(
        text,
        &format!(
            "steps = {steps:<22} # a first try: each row a few times, or as far as 500 steps go"
        ),
    );
    line(text, &format!("prompts_per_step = {}", proposal.prompts_per_step));
    line(text, "checkpoint_every = 25");
    let (rate, why) = match proposal.model {
        Model::Tiny => ("1e-4", "a small model"),
        Model::Small => ("1e-5", "a small model; a large one: 1e-6"),
        Model::Large => ("1e-5", "adapters; all weights of a large model: 1e-6"),
    };
    line(text, "\n[optimizer]");
    line(text, &format!("learning_rate = {rate}           # {why}"));
    line(text, "\n[sft.optimizer]                # only for graphs that tune with supervision");
    line(text, "learning_rate = 1e-5");
}

fn line(text: &mut String, words: &str) {
    // Writing into a text cannot fail.
    let _written = writeln!(text, "{words}").is_ok();
}

/// Words as comment lines, cut where they are long.
fn comment(text: &mut String, words: &str) {
    for words in words.lines() {
        let shown: String = words.chars().filter(|c| !c.is_control()).take(MAX_QUOTED).collect();
        let more = if words.chars().count() > MAX_QUOTED { " ..." } else { "" };
        line(text, format!("#   {shown}{more}").trim_end());
    }
}

/// A key with a text, which may be a path of any letters.
fn value(text: &mut String, key: &str, value: impl AsRef<Path>, why: &str) {
    let value = toml::Value::String(value.as_ref().display().to_string());
    let shown = format!("{key} = {value}");
    line(text, format!("{shown:<30} # {why}").trim_end_matches([' ', '#']));
}
