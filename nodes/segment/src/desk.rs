//! Where masks are made: boxes and their frame in, masks sent and written down.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use eyre::{WrapErr, bail, eyre};
use serde_json::{Value, json};
use vrft_messages::hub::{Boxes2d, Masks, RawImage, Tag, Tags, frame_id};
use vrft_node::{Live, Node};
use vrft_segment::{Seen, Segment, Segmenter};
use vrft_stream::RawFrame;
use vrft_vision::Pixels;

use crate::ports::MASKS;

/// The file in the run folder, a line for each message of boxes.
const JOURNAL: &str = "masks.jsonl";

/// What boxes say of themselves that does not hold of masks.
const OF_BOXES: [&str; 3] = ["format", "encoding", "primitive"];

/// The model, and what it saw last.
pub(crate) struct Desk {
    segmenter: Segmenter,
    /// Several messages of boxes may be about one frame, which is looked at once.
    last: Option<(Arc<Live>, Seen, (u32, u32))>,
    journal: File,
    pub(crate) n_masks: u64,
    n_messages: u64,
}

impl Desk {
    pub(crate) fn open(segmenter: Segmenter, run_dir: &Path) -> eyre::Result<Self> {
        std::fs::create_dir_all(run_dir).wrap_err_with(|| format!("{run_dir:?}"))?;
        let path = run_dir.join(JOURNAL);
        let journal = OpenOptions::new().create(true).append(true).open(&path);
        let journal = journal.wrap_err_with(|| format!("cannot write {path:?}"))?;
        Ok(Self { segmenter, last: None, journal, n_masks: 0, n_messages: 0 })
    }

    /// Makes masks of boxes on a frame, sends them and writes them down. What is wrong with boxes or frame is the inner error,
    /// which ends nothing.
    pub(crate) fn serve(
        &mut self,
        node: &mut Node,
        boxes: &Live,
        frame: &Arc<Live>,
    ) -> eyre::Result<Result<(), String>> {
        let start = Instant::now();
        let made = Boxes2d::from_hub(&boxes.tags, &boxes.data)
            .map_err(eyre::Report::from)
            .and_then(|boxes| Ok((self.segments(&boxes, frame)?, boxes)));
        let ((segments, (width, height)), read) = match made {
            Ok(made) => made,
            Err(why) => return Ok(Err(vrft_node::in_words(&why))),
        };
        self.n_messages += 1;
        self.n_masks += segments.len() as u64;
        let secs = start.elapsed().as_secs_f64();
        self.note(&line(boxes, frame, &read, &segments, (width, height), secs))?;
        node.metric(self.n_messages, "segment/secs", secs);
        node.metric(self.n_messages, "segment/masks", segments.len() as f64);
        if node.has_live_output(&MASKS) {
            let pixels = segments.iter().map(|segment| segment.mask.pixels().to_vec());
            let name = frame_id(&frame.tags).map(str::to_owned);
            let masks = Masks { width, height, masks: pixels.collect(), frame_id: name };
            let (of_masks, data) = masks.to_hub();
            let kept = boxes.tags.iter().filter(|(name, _)| !OF_BOXES.contains(&name.as_str()));
            let mut tags: Tags = kept.map(|(name, tag)| (name.clone(), tag.clone())).collect();
            tags.insert("image_id".to_owned(), Tag::Text(frame.input.clone()));
            tags.extend(of_masks);
            node.send_live(&MASKS, (tags, data))?;
        }
        node.send_metrics()?;
        Ok(Ok(()))
    }

    fn segments(
        &mut self,
        boxes: &Boxes2d,
        frame: &Arc<Live>,
    ) -> eyre::Result<(Vec<Segment>, (u32, u32))> {
        let is_last = self.last.as_ref().is_some_and(|(last, ..)| Arc::ptr_eq(last, frame));
        if !is_last {
            let pixels = pixels(frame)?;
            let seen = self.segmenter.look(&pixels)?;
            self.last = Some((frame.clone(), seen, (pixels.width as u32, pixels.height as u32)));
        }
        let Some((_, seen, size)) = &self.last else { bail!("no frame was looked at") };
        Ok((self.segmenter.segment(seen, &boxes.boxes)?, *size))
    }

    fn note(&mut self, line: &Value) -> eyre::Result<()> {
        writeln!(self.journal, "{line}").wrap_err("cannot write masks.jsonl")
    }
}

/// A line of the journal: masks as COCO's run lengths, beside the boxes that they are of.
fn line(
    message: &Live,
    frame: &Live,
    boxes: &Boxes2d,
    segments: &[Segment],
    (width, height): (u32, u32),
    secs: f64,
) -> Value {
    let text = |name: &str| match message.tags.get(name) {
        Some(Tag::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let found = segments.iter().enumerate().map(|(number, segment)| {
        json!({
            "bbox": boxes.boxes[number],
            "label": boxes.labels.get(number),
            "confidence": boxes.confidences.get(number),
            "iou": segment.iou,
            "mask": {"size": [height, width], "counts": segment.mask.packed_runs()},
        })
    });
    json!({
        "frame_id": frame_id(&frame.tags), "image_id": frame.input, "answer_id": text("answer_id"),
        "policy_version": text("policy_version"), "width": width, "height": height, "secs": secs,
        "found": found.collect::<Vec<_>>(),
    })
}

/// The pixels of a frame.
fn pixels(frame: &Live) -> eyre::Result<Pixels> {
    let image = RawImage::from_hub(&frame.tags, &frame.data)?;
    let RawImage { bytes, encoding, width, height, .. } = image;
    let pixels = RawFrame { bytes, encoding, width, height }.decode();
    let pixels = pixels.wrap_err_with(|| format!("a frame of {:?}", frame.input))?;
    let (width, height) = pixels.dimensions();
    Pixels::try_new(width as usize, height as usize, pixels.into_raw())
        .map_err(|error| eyre!("a frame of {:?}: {error}", frame.input))
}
