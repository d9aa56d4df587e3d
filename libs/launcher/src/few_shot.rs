//! `vrft few-shot`: base, SFT and RFT over shot counts and seeds, as a table and a plot.

use std::path::{Path, PathBuf};
use std::process::Command;

use eyre::{WrapErr, ensure};
use vrft_report::{FewShotRun, FewShotTable};

use crate::cli::FewShotOptions;
use crate::print::say;

/// Columns of the table; the first is plotted.
const METRICS: &[&str] = &["miou", "ap50", "ap", "reward"];

/// Runs the cells that are missing, then writes `few_shot.{md,json,svg}`.
pub(crate) fn few_shot(options: &FewShotOptions) -> eyre::Result<()> {
    // Asked for now: a build that replaces the executable meanwhile would change the answer.
    let vrft = std::env::current_exe()?;
    let mut cells = Vec::new();
    for seed in 0..options.seeds {
        for &shots in &options.shots {
            let folder = options.out.join(format!("shots-{shots}-seed-{seed}"));
            if !folder.join("report.html").exists() {
                run_cell(&vrft, options, shots, seed, &folder)?;
            }
            cells.extend(read_cell(&folder, shots, seed)?);
            FewShotTable::new(&cells, METRICS).write(&options.out)?;
        }
    }
    say!("{}", FewShotTable::new(&cells, METRICS).to_text());
    Ok(())
}

/// One run in a process of its own: dora's daemon can be embedded once per process.
fn run_cell(
    vrft: &Path,
    options: &FewShotOptions,
    shots: usize,
    seed: u64,
    folder: &Path,
) -> eyre::Result<()> {
    say!("{shots} shots, seed {seed}");
    if folder.exists() {
        std::fs::remove_dir_all(folder).wrap_err_with(|| format!("unfinished cell {folder:?}"))?;
    }
    let mut command = Command::new(vrft);
    command.arg("run").arg(options.graph.graph()).arg("--out").arg(folder);
    if let Some(config) = &options.graph.config {
        command.arg("--config").arg(config);
    }
    let cell = [format!("data.shots={shots}"), format!("run.seed={seed}")];
    for assignment in options.graph.overrides.iter().chain(&cell) {
        command.args(["--set", assignment]);
    }
    let status = command.status()?;
    ensure!(status.success(), "{shots} shots, seed {seed}: the run failed; see {folder:?}");
    Ok(())
}

/// The last evaluation of each policy of a run.
fn read_cell(folder: &Path, shots: usize, seed: u64) -> eyre::Result<Vec<FewShotRun>> {
    let path: PathBuf = folder.join("evaluations.jsonl");
    let text = std::fs::read_to_string(&path).wrap_err_with(|| format!("{path:?}"))?;
    let mut cells: Vec<FewShotRun> = Vec::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let label = line["label"].as_str().unwrap_or_default().to_owned();
        let metrics = serde_json::from_value(line["metrics"].clone())?;
        cells.retain(|cell| cell.label != label);
        cells.push(FewShotRun { shots, seed, label, metrics });
    }
    Ok(cells)
}
