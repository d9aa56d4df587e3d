//! Frames that boxes may still come for: a policy answers about a frame that the camera sent a while ago.

use std::collections::VecDeque;
use std::sync::Arc;

use vrft_messages::hub::{Tag, frame_id};
use vrft_node::Live;

/// Most bytes of frames that are kept; of more, the oldest go.
const MAX_BYTES: usize = 256 << 20;

/// The newest frames.
#[derive(Default)]
pub(crate) struct Frames {
    kept: VecDeque<Arc<Live>>,
    n_bytes: usize,
    most: usize,
}

/// Which frame boxes are about, as far as they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Name of the frame.
    pub(crate) frame_id: Option<String>,
    /// Name of the input that it came by.
    pub(crate) input: Option<String>,
}

impl Wanted {
    pub(crate) fn of(boxes: &Live) -> Self {
        let input = match boxes.tags.get("image_id") {
            Some(Tag::Text(input)) => Some(input.clone()),
            _ => None,
        };
        Self { frame_id: frame_id(&boxes.tags).map(str::to_owned), input }
    }
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self { most: MAX_BYTES, ..Self::default() }
    }

    pub(crate) fn keep(&mut self, frame: Live) {
        self.n_bytes += n_bytes(&frame);
        self.kept.push_back(Arc::new(frame));
        while self.n_bytes > self.most && self.kept.len() > 1 {
            let gone = self.kept.pop_front();
            self.n_bytes -= gone.as_deref().map_or(0, n_bytes);
        }
    }

    /// The newest frame that fits. Where boxes name an input that no frame came by, as a node before this one may call its
    /// camera by another name, that does not count.
    pub(crate) fn find(&self, wanted: &Wanted) -> Option<Arc<Live>> {
        let is_named = |frame: &&Arc<Live>| {
            wanted.frame_id.is_none() || frame_id(&frame.tags) == wanted.frame_id.as_deref()
        };
        let is_known = self.kept.iter().any(|frame| Some(&frame.input) == wanted.input.as_ref());
        let is_of_input =
            |frame: &&Arc<Live>| !is_known || Some(&frame.input) == wanted.input.as_ref();
        self.kept.iter().rev().find(|frame| is_named(frame) && is_of_input(frame)).cloned()
    }
}

fn n_bytes(frame: &Live) -> usize {
    frame.data.get_array_memory_size()
}

#[cfg(test)]
mod tests {
    use vrft_messages::hub::RawImage;

    use super::*;

    fn frame(input: &str, id: &str) -> Live {
        let image = RawImage {
            bytes: &[0; 300],
            encoding: "rgb8",
            width: 10,
            height: 10,
            frame_id: Some(id),
        };
        let (tags, data) = image.to_hub();
        Live { input: input.to_owned(), tags, data }
    }

    fn found(frames: &Frames, frame_id: Option<&str>, input: Option<&str>) -> Option<String> {
        let wanted =
            Wanted { frame_id: frame_id.map(str::to_owned), input: input.map(str::to_owned) };
        let frame = frames.find(&wanted)?;
        let id = vrft_messages::hub::frame_id(&frame.tags).unwrap_or_default();
        Some(format!("{} {id}", frame.input))
    }

    #[test]
    fn a_frame_is_found_by_its_name_and_by_its_camera() {
        let mut frames = Frames::new();
        for (input, id) in [("image", "1"), ("image_2", "1"), ("image", "2"), ("image_2", "3")] {
            frames.keep(frame(input, id));
        }
        assert_eq!(found(&frames, Some("1"), Some("image")).as_deref(), Some("image 1"));
        assert_eq!(found(&frames, Some("1"), None).as_deref(), Some("image_2 1"));
        assert_eq!(found(&frames, None, Some("image")).as_deref(), Some("image 2"));
        assert_eq!(found(&frames, None, None).as_deref(), Some("image_2 3"));
        // Another node calls its camera what it likes.
        assert_eq!(found(&frames, Some("2"), Some("camera")).as_deref(), Some("image 2"));
        assert_eq!(found(&frames, Some("4"), None), None);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stays() {
        let mut frames = Frames { most: 2000, ..Frames::default() };
        for n in 0..100 {
            frames.keep(frame("image", &n.to_string()));
        }
        assert!(frames.n_bytes <= 2000 && !frames.kept.is_empty(), "{}", frames.n_bytes);
        assert_eq!(found(&frames, None, None).as_deref(), Some("image 99"));
        let mut small = Frames { most: 1, ..Frames::default() };
        small.keep(frame("image", "0"));
        assert_eq!(found(&small, Some("0"), None).as_deref(), Some("image 0"));
    }
}
