//! Annotated boxes of one category as a question and its answer, in the form that the task declares.

use vrft_dataset::{Boxes, Outline};
use vrft_reward::answers::{AnswerKind, BoxesAnswer, ItemKeys};
use vrft_reward::config::{AnswerConfig, FormatConfig, RewardConfig};
use vrft_reward::{BBox, Geometry, Region, Reward, Space, instructions, visual_rft_question};
use vrft_vision::{Original, Rect, Resized, Sides, Thousandths};

/// The question for all objects of a category, with what the answer should look like.
pub(crate) fn question(category: &str, reward: &RewardConfig) -> String {
    if is_visual_rft(&reward.answer, &reward.format) {
        return visual_rft_question(category);
    }
    let asked = match reward.answer.kind {
        AnswerKind::Box(_) => format!("Where in the image is the {category}?"),
        AnswerKind::Polygon(_) | AnswerKind::Mask(_) => {
            format!("Outline all objects belonging to the category '{category}' in the image.")
        }
        AnswerKind::Points(_) => {
            format!("Point to all objects belonging to the category '{category}' in the image.")
        }
        _ => format!("Detect all objects belonging to the category '{category}' in the image."),
    };
    format!("{asked}\n{}", instructions(reward))
}

/// The question for the class of a picture.
pub(crate) fn class_question(reward: &RewardConfig) -> String {
    format!("What is in the image?\n{}", instructions(reward))
}

/// The question for all objects in the frames of a video.
pub(crate) fn tracks_question(reward: &RewardConfig) -> String {
    format!("Where is each object in each frame?\n{}", instructions(reward))
}

/// The question for what an expression refers to.
pub(crate) fn reference_question(expression: &str, reward: &RewardConfig) -> String {
    let asked = match reward.answer.kind {
        AnswerKind::Interval(_) => "When does this happen",
        AnswerKind::Points(_) => "Point to what this describes",
        _ => "Where in the image is what this describes",
    };
    format!("{asked}: {expression}\n{}", instructions(reward))
}

/// The category that a question in the words of Visual-RFT asks for: its data sets name it nowhere else.
pub fn category_in(question: &str) -> Option<&str> {
    let (_, rest) = question.split_once("objects belonging to the category '")?;
    rest.split_once("' in the image").map(|(name, _)| name)
}

/// Whether answers have the form that the data sets of Visual-RFT ask for.
fn is_visual_rft(answer: &AnswerConfig, format: &FormatConfig) -> bool {
    let AnswerKind::Boxes(BoxesAnswer { space, keys, .. }) = &answer.kind else { return false };
    let ItemKeys { place, confidence, label } = keys;
    let form = (*space, answer.nothing.as_str(), place.as_str(), confidence.as_str());
    form == (Space::Thousandths, "No Objects", "Position", "Confidence")
        && !answer.is_y_first()
        && label.is_empty()
        && format.think
        && format.tags
}

/// The true answer; `annotated` has the shapes of the objects and what each is called, where the category does not say it.
///
/// # Errors
/// A task whose answers are no places.
pub(crate) fn answer(
    category: &str,
    boxes: &[Rect<Original>],
    annotated: &Boxes,
    sides: &Sides,
    reward: &RewardConfig,
) -> Result<String, String> {
    let answer = &reward.answer;
    let no_places = || {
        let kind = answer.kind.name();
        format!(
            "annotated boxes cannot be the true answer where reward.answer.type = {kind:?}, expected a type with places \
             in an image: boxes, box, points, polygon, mask, track or json"
        )
    };
    let space = answer.space().ok_or_else(no_places)?;
    let Boxes { outlines, labels, .. } = annotated;
    if !outlines.is_empty() && answer.kind.geometry() == Some(Geometry::Region) {
        let regions: Vec<Region> =
            outlines.iter().map(|outline| region(outline, sides, space)).collect();
        let text = Reward::new(reward).write_regions(&regions, category).ok_or_else(|| {
            "several shapes of which one is run lengths cannot be one region".to_owned()
        })?;
        return Ok(enclosed(&text, reward));
    }
    let label = |idx: usize| labels.get(idx).map_or(category, |label| label);
    let bbox = |(idx, rect)| {
        let [x1, y1, x2, y2] = place(rect, sides, space);
        (BBox { x1, y1, x2, y2 }, label(idx))
    };
    let boxes: Vec<(BBox, &str)> = boxes.iter().enumerate().map(bbox).collect();
    let mut text = Reward::new(reward).write_boxes(&boxes).ok_or_else(no_places)?;
    if is_visual_rft(answer, &reward.format) {
        // Visual-RFT writes its keys as Python does.
        text = text.replace('"', "'");
    }
    Ok(enclosed(&text, reward))
}

fn enclosed(text: &str, reward: &RewardConfig) -> String {
    if reward.format.tags { format!("<answer>{text}</answer>") } else { text.to_owned() }
}

/// A shape in the space that the task declares.
fn region(outline: &Outline, sides: &Sides, space: Space) -> Region {
    let lines = match outline {
        Outline::Runs(runs) => return Region::Runs(runs.clone()),
        Outline::Polygons(lines) => lines,
    };
    let (width, height) = sides.original();
    let within = |value: f64, side: f64| {
        let thousandths = (1000.0 * value / side).round().clamp(0.0, 1000.0);
        thousandths / per_thousandth(space)
    };
    let corner = |&[x, y]: &[f64; 2]| [within(x, width), within(y, height)];
    Region::Outlines(lines.iter().map(|line| line.iter().map(corner).collect()).collect())
}

/// Corners in the space that the task declares, in whole thousandths or pixels.
fn place(rect: &Rect<Original>, sides: &Sides, space: Space) -> [f64; 4] {
    match space {
        Space::Pixels => rect.to::<Resized>(sides).rounded(sides).corners(),
        bounded => {
            let corners = rect.to::<Thousandths>(sides).rounded(sides).corners();
            corners.map(|corner| corner / per_thousandth(bounded))
        }
    }
}

/// How many thousandths one of a space's units is, where it has no pixels.
fn per_thousandth(space: Space) -> f64 {
    match space {
        Space::Unit => 1000.0,
        Space::Percent => 10.0,
        Space::Thousandths | Space::Pixels => 1.0,
    }
}
