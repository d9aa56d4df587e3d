//! `vrft doctor`: what is wrong with a run, by its numbers.

use std::path::Path;

use eyre::{bail, eyre};

use crate::origin::Origin;
use crate::print::say;
use crate::{outcome, run_dir};

/// Prints what is wrong with a run.
///
/// # Errors
/// No such run folder, or a run with which something is wrong.
pub(crate) fn doctor(run: Option<&Path>) -> eyre::Result<()> {
    let run_dir = run_dir::find(run, Path::new("out"))?;
    for best in vrft_report::best_policies(&run_dir)? {
        say!("{best}");
        say!("  {}", run_dir.join(&best.checkpoint).display());
    }
    let metrics = std::fs::metadata(run_dir.join("metrics.jsonl"));
    let shown = run_dir.display();
    if !metrics.is_ok_and(|file| file.len() > 0) {
        return Err(match outcome::first_error(&run_dir) {
            Some((node, why)) => eyre!("{shown} made no step: node {node:?} failed: {why}"),
            None => eyre!("{shown} has no numbers yet: no step was made"),
        });
    }
    let mut warnings = vrft_report::data_warnings(&run_dir)?;
    if let Some((origin, _)) = Origin::read(&run_dir)? {
        warnings.splice(0..0, origin.warnings);
    }
    warnings.iter().for_each(|warning| say!("Warning: {warning}."));
    match print_verdicts(&run_dir)? {
        0 if warnings.is_empty() => {
            say!("Nothing is wrong with {shown}, as far as its numbers say.");
        }
        0 => say!(
            "{shown} has learned as it should; its data makes its numbers doubtful (see above)."
        ),
        1 => bail!("{shown} has a problem"),
        n => bail!("{shown} has {n} problems"),
    }
    Ok(())
}

/// Prints a line for each problem of a run and gives their number.
///
/// # Errors
/// A run folder that cannot be read.
pub(crate) fn print_verdicts(run_dir: &Path) -> eyre::Result<usize> {
    let verdicts = vrft_report::diagnose_run(run_dir)?;
    for verdict in &verdicts {
        say!("Problem: {verdict}");
    }
    Ok(verdicts.len())
}
