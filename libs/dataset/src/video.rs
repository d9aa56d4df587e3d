//! Video files: which of their frames are shown, and the pixels of one, decoded by the `ffmpeg` program when they are asked
//! for. No crate decodes H.264 well with cargo alone.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image::ImageFormat;
use twox_hash::XxHash3_128;
use vrft_vision::{Header, Orientation};

use crate::FramesConfig;

/// Names the program where it is not on the search path.
const PROGRAM_VARIABLE: &str = "FFMPEG";

/// Most bytes of a frame that are taken from the program.
const MAX_FRAME: u64 = 1 << 30;

/// A video of known size and length.
#[derive(Debug, PartialEq)]
pub(crate) struct Video {
    path: PathBuf,
    width: u32,
    height: u32,
    secs: f64,
}

/// A moment of a video.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) video: std::sync::Arc<Video>,
    pub(crate) at_secs: f64,
    /// What belongs together where data is divided: the video, or an episode in it.
    pub(crate) group: Box<str>,
}

impl Video {
    /// Looks at a video: its first frame is decoded, and the length is read.
    ///
    /// # Errors
    /// No such file, no `ffmpeg`, a file that it cannot read.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let metadata = std::fs::metadata(path)
            .map_err(|error| format!("video: cannot read {path:?}: {error}"))?;
        if !metadata.is_file() {
            return Err(format!("video: {path:?} is not a regular file"));
        }
        let arguments = ["-hide_banner", "-nostdin", "-i"];
        let (frame, said) = run(path, &arguments, &["-frames:v", "1", "-c:v", "ppm"])?;
        let size = ppm_size(&frame);
        let (width, height) = size.ok_or_else(|| unreadable(path, &said))?;
        let secs = duration(&said).ok_or_else(|| {
            format!("video {path:?}: ffmpeg does not know how long it is: `ffmpeg -i IN -c copy OUT.mp4` writes that")
        })?;
        Ok(Self { path: path.to_owned(), width, height, secs })
    }

    /// What is known of every frame without decoding it.
    pub(crate) fn header(&self) -> Header {
        let (format, orientation) = (ImageFormat::Png, Orientation::NoTransforms);
        Header { format, stored: (self.width, self.height), orientation }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The moments to show, in seconds from the start: evenly spaced from the first frame on, at the rate that is set, or
    /// further apart where that would be too many.
    pub(crate) fn moments(&self, frames: &FramesConfig) -> Vec<f64> {
        let wanted = (self.secs * frames.rate).round().max(1.0);
        let n = wanted.min(frames.max as f64) as usize;
        (0..n).map(|k| self.secs * k as f64 / n as f64).collect()
    }
}

impl Frame {
    /// The frame that is shown at its moment, as PNG.
    ///
    /// # Errors
    /// A file that cannot be read any more, or a moment behind its end.
    pub(crate) fn png(&self) -> Result<Vec<u8>, String> {
        let (path, at) = (&self.video.path, format!("{:.6}", self.at_secs));
        let arguments = ["-v", "error", "-nostdin", "-ss", &at, "-i"];
        let (frame, said) = run(path, &arguments, &["-frames:v", "1", "-c:v", "png"])?;
        if frame.is_empty() {
            let secs = self.video.secs;
            return Err(format!(
                "video {path:?} has no frame at {at} s of {secs} s: {}",
                said.trim()
            ));
        }
        Ok(frame)
    }

    /// A number that is the same for the same frame, on any machine.
    pub(crate) fn key(&self) -> u128 {
        XxHash3_128::oneshot(format!("{}@{}", self.video.path.display(), self.at_secs).as_bytes())
    }
}

/// What the program writes of a file, and what it says.
fn run(path: &Path, before: &[&str], after: &[&str]) -> Result<(Vec<u8>, String), String> {
    let program = std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| "ffmpeg".to_owned());
    let mut command = Command::new(&program);
    command.args(before).arg(path).args(after).args(["-f", "image2pipe", "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        format!(
            "video files are read by ffmpeg, and {program:?} does not start ({error}): install it, or name it in \
             {PROGRAM_VARIABLE}"
        )
    })?;
    // Few words are said, which the pipe holds until the frame was read.
    let mut frame = Vec::new();
    let output = child.stdout.take();
    let read = output.map(|output| output.take(MAX_FRAME).read_to_end(&mut frame)).transpose();
    let ended = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    read.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    if !ended.status.success() {
        return Err(unreadable(path, &said));
    }
    Ok((frame, said))
}

fn unreadable(path: &Path, said: &str) -> String {
    let last = said.trim().lines().last().unwrap_or("it says nothing").trim();
    format!("video: ffmpeg cannot read {path:?}: {last}")
}

/// Width and height from `P6\n640 272\n255\n`.
fn ppm_size(frame: &[u8]) -> Option<(u32, u32)> {
    let head = String::from_utf8_lossy(frame.get(..frame.len().min(32))?).into_owned();
    let mut words = head.split_ascii_whitespace();
    let is_ppm = words.next() == Some("P6");
    let side = |word: Option<&str>| word?.parse().ok().filter(|side| (1..=1 << 14).contains(side));
    is_ppm.then_some(())?;
    Some((side(words.next())?, side(words.next())?))
}

/// Seconds from `Duration: 00:00:10.04, start: ...`.
fn duration(said: &str) -> Option<f64> {
    let (_, rest) = said.split_once("Duration: ")?;
    let (clock, _) = rest.split_once(',')?;
    let mut parts = clock.trim().split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, secs) = (parts.next()??, parts.next()??, parts.next()??);
    let secs = hours * 3600.0 + minutes * 60.0 + secs;
    (secs > 0.0).then_some(secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(secs: f64) -> Video {
        Video { path: "a.mp4".into(), width: 4, height: 3, secs }
    }

    #[test]
    fn moments_are_even_and_no_more_than_are_wanted() {
        let frames = FramesConfig { rate: 2.0, max: 4, ..FramesConfig::default() };
        assert_eq!(video(1.5).moments(&frames), [0.0, 0.5, 1.0]);
        assert_eq!(video(40.0).moments(&frames), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(video(0.1).moments(&frames), [0.0]);
    }

    #[test]
    fn what_the_program_says_is_read() {
        let said = "Input #0, mov, from 'a.mp4':\n  Duration: 01:01:10.25, start: 0.000000, bitrate: 1 kb/s\n";
        assert_eq!(duration(said), Some(3670.25));
        assert_eq!(duration("  Duration: N/A, start: 0.0"), None);
        assert_eq!(ppm_size(b"P6\n640 272\n255\nabc"), Some((640, 272)));
        assert_eq!(ppm_size(b"P6\n0 272\n255\n"), None);
        assert_eq!(ppm_size(b""), None);
    }
}
