//! Annotated boxes of one category as a question and its answer, in the form that the task declares.

use vrft_reward::config::{AnswerConfig, AnswerType, FormatConfig, RewardConfig, Space};
use vrft_reward::instructions;
use vrft_vision::{Original, Rect, Resized, Sides, Thousandths};

/// The question for all objects of a category, and whether it says what the answer should look like.
pub(crate) fn question(category: &str, reward: &RewardConfig) -> (String, bool) {
    if is_visual_rft(&reward.answer, &reward.format) {
        return (visual_rft(category), false);
    }
    let asked = match reward.answer.kind {
        AnswerType::Box => format!("Where in the image is the {category}?"),
        AnswerType::Points => {
            format!("Point to all objects belonging to the category '{category}' in the image.")
        }
        _ => format!("Detect all objects belonging to the category '{category}' in the image."),
    };
    (format!("{asked}\n{}", instructions(reward)), true)
}

/// Whether answers have the form that the data sets of Visual-RFT ask for.
fn is_visual_rft(answer: &AnswerConfig, format: &FormatConfig) -> bool {
    let AnswerConfig { kind, space, nothing, keys, .. } = answer;
    let form = (*kind, *space, nothing.as_str(), keys.place.as_str(), keys.confidence.as_str());
    form == (AnswerType::Boxes, Space::Thousandths, "No Objects", "Position", "Confidence")
        && keys.label.is_empty()
        && format.think
        && format.tags
}

/// The question of Visual-RFT (arXiv 2503.01785, table 1) as its data sets have it, to the letter: policies that
/// it tuned have seen exactly this.
fn visual_rft(category: &str) -> String {
    format!(
        "Detect all objects belonging to the category '{category}' in the image, and provide the bounding boxes \
         (between 0 and 1000, integer) and confidence (between 0 and 1, with two decimal places).\n\
         If no object belonging to the category '{category}' in the image, return 'No Objects'.\n\
         Output the thinking process in <think> </think> and final answer in <answer> </answer> tags.\
         The output answer format should be as follows:\n\
         <think> ... </think> <answer>[{{'Position': [x1, y1, x2, y2], 'Confidence': number}}, ...]</answer>\n\
         Please strictly follow the format."
    )
}

/// The true answer.
///
/// # Errors
/// A task whose answers are no places.
pub(crate) fn answer(
    category: &str,
    boxes: &[Rect<Original>],
    sides: &Sides,
    reward: &RewardConfig,
) -> Result<String, String> {
    let answer = &reward.answer;
    let text = match answer.kind {
        AnswerType::Boxes | AnswerType::Box | AnswerType::Points => {
            let items: Vec<String> = boxes
                .iter()
                .map(|rect| item(category, &place(rect, sides, answer.space), reward))
                .collect();
            match answer.kind {
                _ if items.is_empty() => answer.nothing.clone(),
                AnswerType::Box => items.join(", "),
                _ => format!("[{}]", items.join(", ")),
            }
        }
        other => {
            return Err(format!(
                "annotated boxes cannot be the true answer where reward.answer.type = {:?}, expected boxes, box or \
                 points",
                format!("{other:?}").to_lowercase()
            ));
        }
    };
    Ok(if reward.format.tags { format!("<answer>{text}</answer>") } else { text })
}

/// Corners in the space that the task declares; in whole numbers but for shares of the sides.
fn place(rect: &Rect<Original>, sides: &Sides, space: Space) -> [f64; 4] {
    match space {
        Space::Thousandths => rect.to::<Thousandths>(sides).rounded(sides).corners(),
        Space::Unit => {
            rect.to::<Thousandths>(sides).rounded(sides).corners().map(|side| side / 1000.0)
        }
        Space::Pixels => rect.to::<Resized>(sides).rounded(sides).corners(),
    }
}

fn item(category: &str, [x1, y1, x2, y2]: &[f64; 4], reward: &RewardConfig) -> String {
    let keys = &reward.answer.keys;
    let place = if reward.answer.kind == AnswerType::Points {
        format!("[{}, {}]", (x1 + x2) / 2.0, (y1 + y2) / 2.0)
    } else {
        format!("[{x1}, {y1}, {x2}, {y2}]")
    };
    if keys.place.is_empty() {
        return place;
    }
    // Visual-RFT writes its keys as Python does.
    let quote = if is_visual_rft(&reward.answer, &reward.format) { '\'' } else { '"' };
    let mut fields = vec![format!("{quote}{}{quote}: {place}", keys.place)];
    if !keys.label.is_empty() {
        fields.push(format!("{quote}{}{quote}: {}", keys.label, serde_json::json!(category)));
    }
    if !keys.confidence.is_empty() {
        fields.push(format!("{quote}{}{quote}: 1", keys.confidence));
    }
    format!("{{{}}}", fields.join(", "))
}
