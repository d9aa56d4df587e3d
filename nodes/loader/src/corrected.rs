//! Frames about which people said what is right, kept on the disk: a run that is resumed learns from them again.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use tracing::{info, warn};
use vrft_stream::{Curator, Feedback, Frame, Labels, StreamConfig, Truth, Verdict};

/// Folder within that of the run.
const FOLDER: &str = "corrected";

/// Writes a frame into a run folder. Beside its place first, so that no half of it is ever read.
///
/// # Errors
/// A disk that is full or gone.
pub(crate) fn save(run_dir: &Path, frame: &Frame) -> eyre::Result<()> {
    let path = file(run_dir, &frame.id);
    let written = fs::create_dir_all(run_dir.join(FOLDER))
        .and_then(|()| vrft_config::replace(&path, &frame.jpeg));
    written.wrap_err_with(|| format!("cannot write {path:?}"))
}

/// Takes in the frames that were corrected before this process began, with the last word on each. A camera may count its
/// frames from the start again, so they get names that none of its frames has.
///
/// # Errors
/// A file that is there and cannot be read.
pub(crate) fn restore(
    run_dir: &Path,
    known: &[Feedback],
    stream: &StreamConfig,
    labels: &mut Labels,
    curator: &mut Curator,
) -> eyre::Result<()> {
    let named = |id: &str| format!("earlier-{id}");
    for feedback in known {
        let frame_id = named(&feedback.frame_id);
        labels.remark(&Feedback { frame_id, ..feedback.clone() });
    }
    let ids: BTreeSet<&str> = known.iter().map(|feedback| feedback.frame_id.as_str()).collect();
    let (mut n_restored, mut n_gone) = (0, 0);
    for id in ids {
        let is_right = match stream.truth {
            Truth::Person => labels.right(&named(id)).is_some(),
            Truth::Teacher | Truth::Puzzles => labels.can_ask(&named(id)),
        };
        if !is_right {
            continue;
        }
        match load(&file(run_dir, id), &named(id))? {
            // Others are set aside to be judged on, or are like what is.
            Some(frame) => n_restored += usize::from(curator.restore(frame) == Verdict::Kept),
            None => n_gone += 1,
        }
    }
    if n_restored > 0 {
        info!(frames = n_restored, "Frames that people corrected before are learned from again.");
    }
    if n_gone > 0 {
        warn!(
            frames = n_gone,
            "People corrected frames before of which no picture is kept: those set aside to judge by, which are never learned \
             from, or pictures that were removed."
        );
    }
    Ok(())
}

fn load(path: &Path, id: &str) -> eyre::Result<Option<Frame>> {
    let jpeg = match fs::read(path) {
        Ok(jpeg) => jpeg,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).wrap_err_with(|| format!("cannot read {path:?}")),
    };
    Ok(Some(Frame::of_jpeg(id, jpeg).wrap_err_with(|| format!("{path:?}"))?))
}

fn file(run_dir: &Path, id: &str) -> PathBuf {
    run_dir.join(FOLDER).join(format!("{}.jpg", vrft_node::file_name(id)))
}
