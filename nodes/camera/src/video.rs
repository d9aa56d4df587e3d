//! A video file, decoded by the `ffmpeg` program: no crate decodes H.264 well with cargo alone.

use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use eyre::{WrapErr, ensure, eyre};

use crate::Arguments;
use crate::source::{Picture, Source};

/// Names the program where it is not on the search path.
const PROGRAM_VARIABLE: &str = "FFMPEG";

/// Largest header or side that is believed.
const MAX_SIDE: u32 = 16_384;

/// Frames of one pass over the file, as binary PPM: each says its own size.
pub(crate) struct Video {
    path: PathBuf,
    once: bool,
    child: Child,
    frames: BufReader<ChildStdout>,
}

impl Video {
    pub(crate) fn open(arguments: &Arguments) -> eyre::Result<Self> {
        let path = arguments.path()?.to_owned();
        let (child, frames) = decode(&path)?;
        Ok(Self { path, once: arguments.once, child, frames })
    }

    fn frame(&mut self) -> eyre::Result<Option<Picture>> {
        let Some((width, height)) = header(&mut self.frames)? else { return Ok(None) };
        let mut bytes = vec![0; width as usize * height as usize * 3];
        self.frames.read_exact(&mut bytes).wrap_err("ffmpeg broke off within a frame")?;
        Ok(Some(Picture { bytes, encoding: "rgb8".to_owned(), width, height }))
    }
}

impl Source for Video {
    fn next(&mut self) -> eyre::Result<Option<Picture>> {
        if let Some(frame) = self.frame()? {
            return Ok(Some(frame));
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "ffmpeg cannot read {:?}: {status}", self.path);
        if self.once {
            return Ok(None);
        }
        (self.child, self.frames) = decode(&self.path)?;
        self.frame()
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        // The process may have ended already.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn decode(path: &std::path::Path) -> eyre::Result<(Child, BufReader<ChildStdout>)> {
    let program = std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| "ffmpeg".to_owned());
    let mut command = Command::new(&program);
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    command.args(["-f", "image2pipe", "-c:v", "ppm", "-"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().wrap_err_with(|| {
        format!(
            "video files are read by ffmpeg, and {program:?} does not start: install it, name it in \
             {PROGRAM_VARIABLE}, or use a folder of pictures"
        )
    })?;
    let frames = child.stdout.take().ok_or_else(|| eyre!("ffmpeg has no output"))?;
    Ok((child, BufReader::new(frames)))
}

/// Width and height from `P6\n640 272\n255\n`; `None` at the end of all frames.
fn header(frames: &mut impl Read) -> eyre::Result<Option<(u32, u32)>> {
    let mut words = Vec::new();
    for expected in ["P6", "width", "height", "255"] {
        match word(frames)? {
            None if words.is_empty() => return Ok(None),
            None => return Err(eyre!("ffmpeg broke off before {expected}")),
            Some(word) => words.push(word),
        }
    }
    let side = |word: &str| word.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
    match (words[0].as_str(), side(&words[1]), side(&words[2]), words[3].as_str()) {
        ("P6", Some(width), Some(height), "255") => Ok(Some((width, height))),
        _ => Err(eyre!("expected a PPM header from ffmpeg, got {words:?}")),
    }
}

fn word(frames: &mut impl Read) -> eyre::Result<Option<String>> {
    let mut word = String::new();
    let mut byte = [0];
    while word.len() < 16 {
        match frames.read(&mut byte)? {
            0 => break,
            _ if byte[0].is_ascii_whitespace() => return Ok(Some(word)),
            _ => word.push(char::from(byte[0])),
        }
    }
    if word.is_empty() {
        return Ok(None);
    }
    Err(eyre!("expected a PPM header from ffmpeg, got {word:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_the_size() {
        assert_eq!(header(&mut &b"P6\n640 272\n255\nxyz"[..]).unwrap(), Some((640, 272)));
        assert_eq!(header(&mut &b""[..]).unwrap(), None);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in
            ["P5\n1 1\n255\n", "P6\n0 1\n255\n", "P6\n1 99999\n255\n", "P6\n1", "P6\n1 1\n65535\n"]
        {
            assert!(header(&mut text.as_bytes()).is_err(), "{text}");
        }
        assert!(header(&mut &[0xff; 40][..]).is_err());
    }
}
