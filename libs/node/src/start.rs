//! What every node does before it joins: configuration, logging, the run folder.

use std::path::PathBuf;
use std::process::ExitCode;

use eyre::{WrapErr, eyre};
use tracing_subscriber::EnvFilter;
use vrft_config::Document;
use vrft_plan::RunConfig;

/// Environment variable with the path of the configuration; set in the graph or by the launcher.
pub const CONFIG_VARIABLE: &str = "VRFT_CONFIG";

/// Environment variable with the run folder; without it the folder is named by dora's id of the dataflow.
pub const RUN_DIR_VARIABLE: &str = "VRFT_RUN_DIR";

/// dora and zenoh warn of harmless things at every start; what they drop is an error.
const QUIET: &str = "info,dora_node_api=error,zenoh=error";

/// Ends the process. An error is printed in one line, from the outermost context to the cause.
pub fn exit(result: eyre::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Starts logging and reads the configuration that the graph names.
///
/// # Errors
/// No configuration named, or one that cannot be read.
pub fn load_document() -> eyre::Result<Document> {
    start_logging()?;
    let path = std::env::var(CONFIG_VARIABLE).wrap_err_with(|| {
        format!("{CONFIG_VARIABLE} is not set: the graph should name a configuration in its `env`")
    })?;
    Ok(Document::load(path.as_ref(), &[])?)
}

/// The same for a node that can do with the defaults of every section, where the graph names no configuration.
///
/// # Errors
/// A configuration that cannot be read.
pub fn load_document_if_named() -> eyre::Result<Document> {
    match std::env::var_os(CONFIG_VARIABLE) {
        Some(path) if !path.is_empty() => load_document(),
        _ => {
            start_logging()?;
            Ok(Document::empty())
        }
    }
}

fn start_logging() -> eyre::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    // dora puts time and node before each line.
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .try_init();
    started.map_err(|error| eyre!("cannot start logging: {error}"))
}

/// A name as that of a file: what could lead to another folder, or is not plain, becomes `%` and two hexadecimal digits
/// for each byte. Different names stay different.
pub fn file_name(name: &str) -> String {
    let is_plain = |(at, byte): (usize, u8)| match byte {
        b'.' => at > 0,
        b'-' | b'_' | b'@' => true,
        _ => byte.is_ascii_alphanumeric(),
    };
    let encoded = |(at, byte)| {
        if is_plain((at, byte)) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().enumerate().map(encoded).collect()
}

/// Where this run writes, as a whole path.
pub(crate) fn run_dir(run: &RunConfig, dataflow_id: &str) -> PathBuf {
    let dir = match std::env::var_os(RUN_DIR_VARIABLE).filter(|dir| !dir.is_empty()) {
        Some(dir) => dir.into(),
        None => run.out.join(dataflow_id),
    };
    vrft_config::joined(&std::env::current_dir().unwrap_or_default(), &dir)
}

/// An error with its causes in one line. Some say their cause themselves, which is not said again.
pub fn in_words(error: &eyre::Report) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.last().is_none_or(|before| !before.contains(&cause)) {
            said.push(cause);
        }
    }
    said.join(": ")
}

/// The error in one line, with what to do where a GPU was too small.
fn told(error: &eyre::Report) -> String {
    let chain = in_one_line(&in_words(error));
    if !chain.contains("CUDA_ERROR_OUT_OF_MEMORY") {
        return chain;
    }
    format!(
        "{chain}: the GPU has no memory left; `vrft check` prints what each part of a run takes of it. Less is taken with \
         smaller learner.max_tokens_per_micro_batch, rollout.max_rows or evaluation.batch_size, with \
         learner.activation_mib, optimizer.state = \"int8\", adapters (policy.lora.rank) or policy.quantization = \"nf4\""
    )
}

/// A parser draws the line that it speaks of over several of its own. A log is read line by line, so all is said in one:
/// the line itself, and what is wrong with it.
fn in_one_line(text: &str) -> String {
    let mut told = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let shown = line.split_once(" |").filter(|(number, _)| number.parse::<u32>().is_ok());
        match shown {
            Some((_, content)) => told += &format!(": `{}`", content.trim()),
            // The marks below a line.
            None if line.starts_with('|') => {}
            None if told.is_empty() => told += line,
            None if line.starts_with("and ") => told += &format!("; {line}"),
            None => told += &format!(": {line}"),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_draws_is_told_in_one_line() {
        let document = Document::parse("[run]\nnmae = \"a\"\n", "a.toml").unwrap();
        let error = document.section::<RunConfig>().unwrap_err();
        let error = told(&eyre::Report::new(error));
        let start =
            "in a.toml: TOML parse error at line 2, column 1: `nmae = \"a\"`: unknown field `nmae`";
        assert!(error.starts_with(start) && !error.contains('\n'), "{error}");
        assert_eq!(
            told(&eyre::eyre!("a = 1: expected 2\nand b = 2")),
            "a = 1: expected 2; and b = 2"
        );
    }

    #[test]
    fn a_full_gpu_is_told_with_what_takes_less() {
        let of = |cause: &str| told(&eyre::eyre!("{cause}").wrap_err("a step"));
        let full = of("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        assert!(full.starts_with("a step: DriverError(") && full.contains("vrft check"), "{full}");
        assert_eq!(of("no such file"), "a step: no such file");
        let own = eyre::eyre!("it breaks off").wrap_err("image 0: it breaks off");
        assert_eq!(told(&own), "image 0: it breaks off", "a cause is said once");
    }

    #[test]
    fn a_name_cannot_lead_out_of_its_folder() {
        for (name, expected) in [
            ("rft@boxes-2.5_b", "rft@boxes-2.5_b"),
            ("../x", "%2E.%2Fx"),
            ("..", "%2E."),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("Äpfel", "%C3%84pfel"),
        ] {
            assert_eq!(file_name(name), expected);
        }
    }
}
