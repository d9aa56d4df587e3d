//! The camera: a frame for every tick, from a folder of pictures, a video or a device.
//!
//! It speaks as the cameras of dora's hub do, and takes its settings from the same variables, so that either can
//! stand in for the other in a graph.

mod device;
mod folder;
mod ports;
mod source;
mod video;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use eyre::eyre;
use tracing::{info, warn};
use vrft_messages::hub::{RawImage, frame_id};
use vrft_node::{Arrival, Node};

use crate::ports::{IMAGE, PORTS, TICK};
use crate::source::Source;

/// How often the camera checks whether frames are still asked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends a frame for every tick.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Arguments {
    /// A folder of pictures, a video file (read by ffmpeg), or a device such as /dev/video0.
    #[arg(long, env = "CAPTURE_PATH")]
    path: Option<PathBuf>,
    /// `keep` sends pictures as they are in their files; rgb8, bgr8 or jpeg converts them.
    #[arg(long, env = "ENCODING", default_value = "keep")]
    pub(crate) encoding: String,
    /// End after the last picture instead of beginning again.
    #[arg(long)]
    pub(crate) once: bool,
}

impl Arguments {
    /// Where frames come from.
    ///
    /// # Errors
    /// Nothing named.
    pub(crate) fn path(&self) -> eyre::Result<&Path> {
        let named = self.path.as_deref().filter(|path| !path.as_os_str().is_empty());
        named.ok_or_else(|| {
            eyre!(
                "CAPTURE_PATH is not set: it should name a folder of pictures, a video file or a device such as \
                 /dev/video0; `--path` does the same"
            )
        })
    }
}

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let arguments = Arguments::parse();
    let document = vrft_node::load_document_if_named()?;
    let source = source::open(&arguments)?;
    run(Node::join(&PORTS, &document)?, source)
}

/// Ends when the ticks do, or after the last frame of a source that has one.
fn run(mut node: Node, mut source: Box<dyn Source>) -> eyre::Result<()> {
    let mut n_sent = 0_u64;
    loop {
        let tick = match node.recv_only_live(PATIENCE)? {
            Arrival::Live(live) if live.is_of(&TICK) => live,
            Arrival::Gone(_) | Arrival::End => break,
            Arrival::Live(_) | Arrival::Message(_) | Arrival::Nothing => continue,
        };
        let frame = match source.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            // One bad picture is no reason to stop; a source that is gone ends the loop.
            Err(error) => {
                warn!(error = vrft_node::in_words(&error), "A frame could not be read.");
                continue;
            }
        };
        let own_id = n_sent.to_string();
        let image = RawImage {
            bytes: &frame.bytes,
            encoding: &frame.encoding,
            width: frame.width,
            height: frame.height,
            frame_id: Some(frame_id(&tick.tags).unwrap_or(&own_id)),
        };
        node.send_live(&IMAGE, image.to_hub())?;
        n_sent += 1;
    }
    info!(n_sent, "Frames sent.");
    node.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrft_messages::hub::tick;
    use vrft_node::testing::Script;

    fn arguments(path: &Path, encoding: &str, once: bool) -> Arguments {
        Arguments { path: Some(path.to_owned()), encoding: encoding.to_owned(), once }
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, width) in [("b.png", 4), ("a.png", 2), ("c.png", 6)] {
            image::RgbImage::from_pixel(width, 2, image::Rgb([10, 20, 30]))
                .save(folder.path().join(name))
                .unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        folder
    }

    fn sent(arguments: &Arguments, n_ticks: u64) -> Vec<(String, u32, usize)> {
        let script = (0..n_ticks)
            .fold(Script::new(&PORTS), |script, n| script.live_data("tick", tick(n + 40)));
        let (node, sent) = script.close("tick").node();
        run(node, source::open(arguments).unwrap()).unwrap();
        let frames = sent.live_data();
        let images = frames.iter().map(|(_, tags, data)| RawImage::from_hub(tags, data).unwrap());
        images.map(|i| (i.frame_id.unwrap().to_owned(), i.width, i.bytes.len())).collect()
    }

    #[test]
    fn every_tick_is_a_frame_in_order_of_names_again_and_again() {
        let folder = folder();
        let frames = sent(&arguments(folder.path(), "bgr8", false), 4);
        let expected = [(40, 2, 12), (41, 4, 24), (42, 6, 36), (43, 2, 12)];
        assert_eq!(frames, expected.map(|(id, width, n)| (id.to_string(), width, n)));
    }

    #[test]
    fn once_is_once() {
        assert_eq!(sent(&arguments(folder().path(), "rgb8", true), 9).len(), 3);
    }

    #[test]
    fn files_may_stay_as_they_are() {
        let folder = folder();
        let bytes = std::fs::read(folder.path().join("a.png")).unwrap();
        assert_eq!(sent(&arguments(folder.path(), "keep", false), 1)[0].2, bytes.len());
    }

    #[test]
    fn a_bad_picture_is_skipped() {
        let folder = folder();
        std::fs::write(folder.path().join("a0.png"), "broken").unwrap();
        assert_eq!(sent(&arguments(folder.path(), "rgb8", true), 9).len(), 3);
    }

    #[test]
    fn pictures_of_any_format_that_is_decoded_are_sent() {
        let folder = folder();
        image::RgbImage::new(5, 2).save(folder.path().join("aa.TIF")).unwrap();
        std::fs::write(folder.path().join("ab.heic"), "of a phone").unwrap();
        assert_eq!(sent(&arguments(folder.path(), "keep", true), 9).len(), 4);
        let raw: Vec<_> = sent(&arguments(folder.path(), "bgr8", true), 9);
        assert_eq!(raw.iter().map(|frame| frame.1).collect::<Vec<_>>(), [2, 5, 4, 6]);
    }

    #[test]
    fn a_folder_of_pictures_that_are_not_decoded_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.heic"), "of a phone").unwrap();
        let error = source::open(&arguments(folder.path(), "keep", false)).err().unwrap();
        assert!(error.to_string().ends_with("no pictures of a format that is decoded"), "{error}");
    }

    #[test]
    fn without_a_source_it_says_what_to_set() {
        for path in [None, Some(PathBuf::new())] {
            let arguments = Arguments { path, encoding: "keep".to_owned(), once: false };
            let error = source::open(&arguments).err().unwrap().to_string();
            assert!(error.starts_with("CAPTURE_PATH is not set"), "{error}");
        }
    }

    #[test]
    fn a_source_that_is_not_there_is_named() {
        let error = |path: &str| {
            format!("{:#}", source::open(&arguments(path.as_ref(), "keep", false)).err().unwrap())
        };
        assert!(error("nowhere/at/all").contains("nowhere/at/all"));
        let empty = tempfile::tempdir().unwrap();
        assert!(error(empty.path().to_str().unwrap()).contains("no pictures"));
        assert!(error("/dev/video4711").contains("/dev/video4711"));
        // A device, but no camera: with and without the feature it is said what is wrong with it.
        let device = error("/dev/null");
        assert!(device.contains("/dev/null") && device.contains("device"), "{device}");
    }
}
