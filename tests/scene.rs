//! A camera whose scene changes, with a detector that knows the truth: pictures of a data set, and after some frames of
//! another one. It stands in for both in the graph of a robot.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, UInt8Array};
use dora_node_api::{DoraArray, DoraNode, Event, MetadataParameters, Parameter, get_string_param};
use eyre::eyre;
use vrft_dataset::{Dataset, Truth};
use vrft_reward::{Place, Reward, config::RewardConfig};

/// A picture file, its width and height, and the true boxes in its pixels.
struct Frame {
    file: Vec<u8>,
    size: (u32, u32),
    boxes: Vec<f32>,
}

fn main() -> eyre::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [before, after, change, n_frames] = &arguments[..] else {
        return Err(eyre!(
            "expected two data sets, the frame of the change, and the number of frames"
        ));
    };
    let (change, n_frames): (usize, usize) = (change.parse()?, n_frames.parse()?);
    let scenes = [frames(before.as_ref())?, frames(after.as_ref())?];
    let (mut node, mut events) = DoraNode::init_from_env().map_err(|error| eyre!("{error}"))?;
    let mut n_sent = 0;
    while let Some(event) = events.recv() {
        let Event::Input { metadata, .. } = event else { continue };
        if n_sent == n_frames {
            break;
        }
        let scene = &scenes[usize::from(n_sent >= change)];
        let frame = &scene[n_sent % scene.len()];
        let own = n_sent.to_string();
        let id = get_string_param(&metadata.parameters, "frame_id").unwrap_or(&own);
        n_sent += 1;
        let image: ArrayRef = Arc::new(UInt8Array::from(frame.file.clone()));
        let sides = [("width", frame.size.0), ("height", frame.size.1)];
        let mut about = tags(&[("encoding", "png"), ("primitive", "image"), ("frame_id", id)]);
        about.extend(sides.map(|(key, side)| (key.to_owned(), Parameter::Integer(side.into()))));
        node.send_output("image".to_owned().into(), about, DoraArray::from_array(image))?;
        let boxes: ArrayRef = Arc::new(Float32Array::from(frame.boxes.clone()));
        let about = tags(&[("format", "xyxy"), ("frame_id", id)]);
        node.send_output("boxes2d".to_owned().into(), about, DoraArray::from_array(boxes))?;
    }
    Ok(())
}

fn tags(pairs: &[(&str, &str)]) -> MetadataParameters {
    let of = |(key, value): &(&str, &str)| ((*key).to_owned(), Parameter::String((*value).into()));
    pairs.iter().map(of).collect()
}

fn frames(path: &Path) -> eyre::Result<Vec<Frame>> {
    let reward = Reward::new(&RewardConfig::default());
    let dataset = Dataset::open(path)?;
    let frame = |n: usize| {
        let row = dataset.get(n);
        let picture = &row.pictures[0];
        let (width, height) = picture.header().displayed();
        let Truth::Text(text) = &row.truth else { return Err(eyre!("{path:?}: truth in words")) };
        let sides = [width, height, width, height].map(f64::from);
        let truth = reward.parse_answer(text)?;
        let corners = truth.answer.items().iter().filter_map(|item| match &item.place {
            Place::Box(bbox) => Some(bbox.corners()),
            _ => None,
        });
        let boxes = corners.flat_map(|corners| {
            corners.into_iter().zip(sides).map(|(value, side)| (value / 1000.0 * side) as f32)
        });
        Ok(Frame { file: picture.bytes()?, size: (width, height), boxes: boxes.collect() })
    };
    (0..dataset.len()).map(frame).collect()
}
