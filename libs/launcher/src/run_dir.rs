//! The folder of a run: a new one, a named one, or that of the run to resume.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use eyre::{WrapErr, ensure, eyre};

/// Makes a new folder named by the run and the time.
pub(crate) fn create(out: &Path, name: &str) -> eyre::Result<PathBuf> {
    let time = chrono::Local::now().format("%Y%m%d-%H%M%S");
    make(&out.join(format!("{name}-{time}")))
}

/// Refuses a folder whose content belongs to another run.
///
/// # Errors
/// It does.
pub(crate) fn check_free(folder: &Path) -> eyre::Result<()> {
    ensure!(
        !folder.join("metrics.jsonl").exists(),
        "{folder:?} holds a run already: choose another --out, or continue it with --resume"
    );
    Ok(())
}

/// Makes a folder that the user named; what is in it already belongs to another run.
pub(crate) fn make(folder: &Path) -> eyre::Result<PathBuf> {
    check_free(folder)?;
    std::fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {folder:?}"))?;
    folder.canonicalize().wrap_err_with(|| format!("{folder:?}"))
}

/// The run to resume: the named one, or the newest.
pub(crate) fn find(named: Option<&Path>, out: &Path) -> eyre::Result<PathBuf> {
    let folder = match named {
        Some(folder) => folder.to_owned(),
        None => newest(out)?,
    };
    let config = folder.join("config.toml");
    ensure!(config.exists(), "{folder:?} is no run folder: it has no config.toml");
    folder.canonicalize().wrap_err_with(|| format!("{folder:?}"))
}

fn newest(out: &Path) -> eyre::Result<PathBuf> {
    let entries = std::fs::read_dir(out).wrap_err_with(|| format!("no runs under {out:?}"))?;
    let mut runs: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let config = entry.path().join("config.toml");
            Some((config.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    runs.sort();
    runs.pop().map(|(_, run)| run).ok_or_else(|| eyre!("no run to resume under {out:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_run_is_not_written_over() {
        let folder = std::env::temp_dir().join(format!("vrft-run-dir-{}", std::process::id()));
        make(&folder).unwrap();
        std::fs::write(folder.join("metrics.jsonl"), "").unwrap();
        let error = make(&folder).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
        let error = find(Some(&folder), Path::new("out")).unwrap_err().to_string();
        assert!(error.contains("no config.toml"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
