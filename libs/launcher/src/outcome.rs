//! How a run ended, in words that say what to do.

use std::collections::BTreeSet;
use std::path::Path;

use dora_message::common::{NodeError, NodeErrorCause};
use dora_message::coordinator_to_cli::DataflowResult;
use eyre::{bail, eyre};

use crate::print::say;
use crate::progress::LogLine;

/// What a node says when it was asked to stop.
const STOPPED: &str = "Asked to stop.";

/// Tells the result of a run; `dead` is the node that failed while it was under way.
///
/// # Errors
/// The node that failed first, its last lines of log, and how to resume.
pub(crate) fn report(
    result: eyre::Result<DataflowResult>,
    dead: Option<&str>,
    log: &[LogLine],
    run_dir: &Path,
    expendable: &BTreeSet<String>,
) -> eyre::Result<()> {
    let saved = how_to_resume(run_dir, None);
    // Nodes that stop at different moments leave messages undelivered, which dora calls a loss.
    let was_stopped = log.iter().any(|line| line.text.contains(STOPPED));
    let log_file = run_dir.join("run.log");
    let failed_with = |node: &str, why: Option<String>| {
        let said = last_words(node, log);
        let saved = how_to_resume(run_dir, said.as_deref());
        let why = said.or(why).unwrap_or_else(|| "it has died".to_owned());
        eyre!(
            "node {node:?} failed: {why}\nThe log of all nodes is {}. {saved}",
            log_file.display()
        )
    };
    let result = match (result, dead) {
        (Err(_), Some(node)) => return Err(failed_with(node, None)),
        (result, _) => result,
    };
    let result = match result {
        Err(_) if was_stopped => {
            say!("{}", stopped(&saved));
            return Ok(());
        }
        Err(error) => {
            let why = format!("{error:#}");
            bail!("{why}\n{}", how_to_resume(run_dir, Some(&why)))
        }
        Ok(result) => result,
    };
    let failed: Vec<(String, &NodeError)> = result
        .node_results
        .iter()
        .filter_map(|(id, result)| Some((id.to_string(), result.as_ref().err()?)))
        .collect();
    let (lost, failed): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|(id, _)| expendable.contains(id));
    for (id, _) in &lost {
        say!("Node {id:?} was lost on the way; the others answered its prompts.");
    }
    let is_fine = |node: &str| {
        result.node_results.iter().any(|(id, result)| id.to_string() == node && result.is_ok())
    };
    let causes: Vec<&NodeErrorCause> = failed.iter().map(|(_, error)| &error.cause).collect();
    if let Some(node) = never_joined(&causes, is_fine) {
        return Err(failed_with(&node, Some(NEVER_JOINED.to_owned())));
    }
    let Some((node, error)) = first_failure(&failed, log) else {
        if was_stopped {
            say!("{}", stopped(&saved));
        }
        crate::doctor::print_verdicts(run_dir)?;
        if let Some(estimate) = estimate(run_dir) {
            say!("{estimate}");
        }
        return Ok(());
    };
    Err(failed_with(node, Some(in_one_line(&error.to_string()))))
}

/// What a policy would earn, where the run was to say that.
fn estimate(run_dir: &Path) -> Option<String> {
    let path = run_dir.join("estimate.json");
    let text = std::fs::read_to_string(&path).ok()?;
    let written: serde_json::Value = serde_json::from_str(&text).ok()?;
    let of = |place: &str| written.pointer(&format!("/estimate/{place}")).and_then(|v| v.as_f64());
    Some(format!(
        "Expected reward {:.4} (95 % CI {:.4} to {:.4}), from {} recorded answers to {} questions, which count as {:.0} %; \
         they earned {:.4}, so that it gains {:.4} to {:.4}\n  {}",
        of("value")?,
        of("interval/0")?,
        of("interval/1")?,
        of("n_answers")?,
        of("n_questions")?,
        100.0 * of("effective_share")?,
        of("logged")?,
        of("gain/0")?,
        of("gain/1")?,
        path.display()
    ))
}

/// What is said of a run without a step.
const NO_STEP: &str = "No step was made.";

/// What is said of a run that made steps, none of which was saved.
const NOT_SAVED: &str = "No checkpoint was saved.";

/// What is said of a run that somebody has stopped. A graph that only answers makes no steps, and nothing is amiss with it.
fn stopped(saved: &str) -> String {
    let saved = if saved.starts_with(NO_STEP) { "" } else { saved };
    format!("Stopped. {saved}").trim_end().to_owned()
}

/// The option that an error names where a run cannot go on with what it has saved.
const START_OVER: &str = "--start-over";

/// Sections of the configuration that decide what a node refuses: an error that names a key of one comes again however often
/// the run is resumed with what it was given.
const SECTIONS: [&str; 12] = [
    "policy",
    "data",
    "rollout",
    "pool",
    "reward",
    "semantic",
    "advantage",
    "loss",
    "optimizer",
    "learner",
    "sft",
    "evaluation",
];

/// Whether an error names a key of the configuration, as `data.train`.
fn names_a_key(why: &str) -> bool {
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_./".contains(c);
    why.split(|c: char| !is_key(c)).any(|word| {
        let key = word.split_once('.').filter(|(_, key)| key.starts_with(char::is_alphabetic));
        key.is_some_and(|(section, _)| SECTIONS.contains(&section))
    })
}

/// The last checkpoint of a run, and how to resume from it; `why` is what the node that failed said itself. What it refused it
/// would refuse again, so that nobody is advised to try the same.
fn how_to_resume(run_dir: &Path, why: Option<&str>) -> String {
    let checkpoints = std::fs::read_dir(run_dir.join("checkpoints"));
    let has_any = checkpoints.is_ok_and(|learners| {
        learners.filter_map(Result::ok).any(|learner| {
            std::fs::read_dir(learner.path()).is_ok_and(|mut steps| steps.next().is_some())
        })
    });
    let made_steps =
        std::fs::metadata(run_dir.join("metrics.jsonl")).is_ok_and(|file| file.len() > 0);
    let run_dir = run_dir.display();
    if why.is_some_and(|why| why.contains(START_OVER)) {
        // It says itself how to go on.
        return format!("What was saved is in {run_dir}.");
    }
    let comes_again = why.is_some_and(names_a_key);
    if has_any && comes_again {
        format!(
            "What was saved is in {run_dir}. Mend the cause; `vrft run --resume {run_dir} --with-changes` then goes on with it."
        )
    } else if comes_again || why.is_some() && !made_steps && !has_any {
        format!(
            "{} Mend the cause and start the run again.",
            if made_steps { NOT_SAVED } else { NO_STEP }
        )
    } else if has_any {
        format!("What was saved is in {run_dir}; go on with `vrft run --resume {run_dir}`.")
    } else if made_steps {
        format!("{NOT_SAVED} Begin again with `vrft run --resume {run_dir}`.")
    } else {
        format!(
            "{NO_STEP} Mend the cause and start the run again; with what it was given, `vrft run --resume \
             {run_dir}` begins again."
        )
    }
}

/// The error that a node ended with; one that was killed had no time to say anything.
fn last_words(node: &str, log: &[LogLine]) -> Option<String> {
    let of_node = log.iter().rev().filter(|line| line.node == node);
    // A node says ERROR; the parser of its options says error.
    let error = |line: &LogLine| {
        let (_, error) = line.text.split_once("ERROR ").or(line.text.split_once("error: "))?;
        Some(error.to_owned())
    };
    of_node.filter_map(error).next()
}

/// The first error that a node wrote into the log of a run, and the node: `None` where none did.
pub(crate) fn first_error(run_dir: &Path) -> Option<(String, String)> {
    let log = std::fs::read_to_string(run_dir.join("run.log")).ok()?;
    let errors = || {
        log.lines().filter_map(|line| {
            let (node, text) = line.split_once(": ")?;
            let (_, why) = text.split_once("ERROR ")?;
            Some((node.to_owned(), why.trim().to_owned()))
        })
    };
    let blamed = log.lines().find_map(|line| {
        let (_, rest) = line.split_once("occurred because node `")?;
        rest.split_once("` exited before connecting").map(|(node, _)| node.to_owned())
    });
    // The others say only that they could not join.
    match blamed.filter(|node| errors().all(|(other, _)| other != *node)) {
        Some(node) => Some((node, NEVER_JOINED.to_owned())),
        None => errors().next(),
    }
}

/// What dora says of a node, with the last line that the node wrote to its standard error: where a program in another
/// language breaks off, the reason stands there.
fn in_one_line(error: &str) -> String {
    let mut lines = error.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let is_text = |line: &&str| line.chars().any(char::is_alphanumeric);
    match (first.strip_suffix(" with stderr output:"), lines.rfind(is_text)) {
        (Some(first), Some(last)) => format!("{first}: {last}"),
        _ => first.to_owned(),
    }
}

/// What is said of a node that ended too early, and of which dora says that it did well.
const NEVER_JOINED: &str = "its program ended, without an error, before it joined the dataflow";

/// The node because of which all that failed did so, where it has itself ended as one that has done its work: as a script that
/// forgets to join.
fn never_joined(failed: &[&NodeErrorCause], is_fine: impl Fn(&str) -> bool) -> Option<String> {
    let mut causes = failed.iter().map(|cause| match cause {
        NodeErrorCause::Cascading { caused_by_node } => Some(caused_by_node.to_string()),
        _ => None,
    });
    let first = causes.next()??;
    (is_fine(&first) && causes.all(|cause| cause.as_ref() == Some(&first))).then_some(first)
}

/// The node that failed first; the others ended because of it. One that misses another's end marker did so too, even
/// where the other's process, which may have a GPU to clear, took longer to end.
fn first_failure<'a>(
    failed: &'a [(String, &'a NodeError)],
    log: &[LogLine],
) -> Option<&'a (String, &'a NodeError)> {
    let because_of_another = |(node, error): &(String, &NodeError)| {
        matches!(error.cause, NodeErrorCause::Cascading { .. }) || misses_another(node, log)
    };
    failed.iter().min_by_key(|failure| (because_of_another(failure), failure.1.timestamp))
}

/// Whether a node says that another has failed.
fn misses_another(node: &str, log: &[LogLine]) -> bool {
    last_words(node, log).is_some_and(|words| words.contains(vrft_node::NO_END_MARKER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(node: &str, text: &str) -> LogLine {
        LogLine { node: node.into(), text: text.into() }
    }

    #[test]
    fn an_estimate_is_told_with_its_interval() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(estimate(folder.path()), None);
        let text = "{\"estimate\": {\"value\": 1.25, \"interval\": [1.0, 1.5], \"logged\": 1.0, \
                    \"gain\": [0.05, 0.45], \"effective_share\": 0.5, \"n_questions\": 4, \"n_answers\": 32}}";
        std::fs::write(folder.path().join("estimate.json"), text).unwrap();
        let told = estimate(folder.path()).unwrap();
        for words in
            ["1.2500 (95 % CI 1.0000 to 1.5000)", "32 recorded", "50 %", "gains 0.0500 to 0.4500"]
        {
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_node_is_quoted_with_its_own_reason() {
        let log = [
            line("loader", "ERROR data.train: no usable row"),
            line("sft", "error: unexpected argument '--objectiv' found"),
            line("sft", "Usage: vrft-learner [OPTIONS]"),
        ];
        assert_eq!(last_words("loader", &log).unwrap(), "data.train: no usable row");
        assert_eq!(last_words("sft", &log).unwrap(), "unexpected argument '--objectiv' found");
        assert_eq!(last_words("reward", &log), None);
    }

    #[test]
    fn a_node_that_misses_another_is_not_the_one_that_failed() {
        let log = [
            line("evaluator", "ERROR cannot evaluate \"step-000004\""),
            line("monitor", "ERROR evaluator/metrics ended without an end marker"),
        ];
        assert!(misses_another("monitor", &log) && !misses_another("evaluator", &log));
    }

    #[test]
    fn a_program_that_breaks_off_is_quoted_with_its_last_line() {
        let error = "exited with code 1 with stderr output:\n---\nTraceback:\n  File x\nModuleNotFoundError: dora\n---\n";
        assert_eq!(in_one_line(error), "exited with code 1: ModuleNotFoundError: dora");
        assert_eq!(in_one_line("was killed by SIGKILL"), "was killed by SIGKILL");
    }

    #[test]
    fn the_first_error_of_a_log_is_that_of_its_node() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first_error(folder.path()), None);
        let log = "loader:  INFO Opened.\nloader: ERROR \"a\": several splits\nrollout: ERROR the loader is gone\n";
        std::fs::write(folder.path().join("run.log"), log).unwrap();
        let expected = ("loader".to_owned(), "\"a\": several splits".to_owned());
        assert_eq!(first_error(folder.path()), Some(expected));
    }

    #[test]
    fn a_node_that_ends_without_joining_is_named_and_not_those_that_wait_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = "advantage: ERROR cannot join the dataflow\nadvantage: exited with code 1. This error occurred because node `reward` \
                   exited before connecting to dora.\n";
        std::fs::write(folder.path().join("run.log"), log).unwrap();
        assert_eq!(
            first_error(folder.path()),
            Some(("reward".to_owned(), NEVER_JOINED.to_owned()))
        );
        // One that says why it ended is quoted.
        std::fs::write(folder.path().join("run.log"), format!("reward: ERROR no config\n{log}"))
            .unwrap();
        assert_eq!(first_error(folder.path()).unwrap().1, "no config");
        let by = |node: &str| NodeErrorCause::Cascading { caused_by_node: node.parse().unwrap() };
        let (one, other) = (by("reward"), by("loader"));
        let is_fine = |node: &str| node == "reward";
        assert_eq!(never_joined(&[&one, &one], is_fine).as_deref(), Some("reward"));
        assert_eq!(never_joined(&[&one, &other], is_fine), None);
        assert_eq!(never_joined(&[&one], |_| false), None);
        assert_eq!(never_joined(&[], |_| true), None);
    }

    #[test]
    fn a_graph_that_was_stopped_before_a_step_is_not_told_to_be_mended() {
        assert_eq!(stopped(&how_to_resume("nowhere".as_ref(), None)), "Stopped.");
        assert_eq!(stopped("What was saved is in out/a."), "Stopped. What was saved is in out/a.");
    }

    #[test]
    fn what_was_saved_is_named_only_where_something_was() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("checkpoints/learner")).unwrap();
        let told = |why| how_to_resume(folder.path(), why);
        let refused = Some("data.train: 3 of 4 rows cannot be used");
        let broken = Some("the disk is full");
        assert!(told(None).starts_with("No step was made. Mend the cause"));
        assert!(told(None).contains("--resume"));
        for why in [refused, broken] {
            assert_eq!(told(why), "No step was made. Mend the cause and start the run again.");
        }
        std::fs::write(folder.path().join("metrics.jsonl"), "{}").unwrap();
        for why in [None, broken] {
            assert!(told(why).starts_with("No checkpoint was saved. Begin again with `vrft run"));
        }
        assert!(told(refused).ends_with("was saved. Mend the cause and start the run again."));
        std::fs::create_dir_all(folder.path().join("checkpoints/learner/step-000001")).unwrap();
        assert!(told(None).starts_with("What was saved is in") && told(broken) == told(None));
        assert!(told(refused).contains("--with-changes` then goes on"), "{}", told(refused));
        let damaged = "none is intact: begin again with `vrft run --resume DIR --start-over`";
        assert_eq!(
            told(Some(damaged)),
            format!("What was saved is in {}.", folder.path().display())
        );
    }

    #[test]
    fn an_error_that_names_a_key_is_told_from_others() {
        for why in ["more than data.max_bad_fraction = 0.05", "policy.path: it has no weights"] {
            assert!(names_a_key(why), "{why}");
        }
        for why in
            ["learner/policy ended", "no data. Stop.", "model.safetensors is damaged", "data"]
        {
            assert!(!names_a_key(why), "{why}");
        }
    }
}
