//! An answer as the text that a perfect policy would write, in the declared form.

use crate::config::{AnswerConfig, AnswerType, FormatConfig};

/// An item before it is text: its numbers and the other parts that its task may have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sketch {
    pub(crate) numbers: Vec<f64>,
    pub(crate) label: String,
    pub(crate) confidence: f64,
    pub(crate) frame: u64,
    pub(crate) id: String,
}

/// An answer before it is text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Draft {
    Items { items: Vec<Sketch>, target: usize },
    Text(String),
    Number(f64),
    Order(Vec<usize>),
}

/// The text of an answer.
pub(crate) fn render(draft: &Draft, answer: &AnswerConfig) -> String {
    match draft {
        Draft::Text(text) => text.clone(),
        Draft::Number(number) => number.to_string(),
        Draft::Order(order) => order.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Draft::Items { items, .. } if items.is_empty() => answer.nothing.clone(),
        Draft::Items { items, target } => {
            let each: Vec<String> = items.iter().map(|sketch| item(sketch, answer)).collect();
            match answer.kind {
                AnswerType::Json => format!(
                    "{{\"{}\": [{}], \"{}\": {target}}}",
                    answer.keys.objects,
                    each.join(", "),
                    answer.keys.target
                ),
                AnswerType::Box | AnswerType::Mask | AnswerType::Interval => each.join(", "),
                _ => format!("[{}]", each.join(", ")),
            }
        }
    }
}

/// A whole completion with this answer.
pub(crate) fn complete(thinking: &str, answer: &str, format: &FormatConfig) -> String {
    let think = if format.think { format!("<think>{thinking}</think>") } else { String::new() };
    match format.tags {
        true => format!("{think}<answer>{answer}</answer>"),
        false => format!("{think}{answer}"),
    }
}

fn item(sketch: &Sketch, answer: &AnswerConfig) -> String {
    let keys = &answer.keys;
    let place = place(&sketch.numbers, answer);
    if answer.kind == AnswerType::Interval && !keys.start.is_empty() {
        let label = match keys.label.is_empty() {
            true => String::new(),
            false => format!(", \"{}\": \"{}\"", keys.label, sketch.label),
        };
        return format!(
            "{{\"{}\": \"{}\", \"{}\": \"{}\"{label}}}",
            keys.start, sketch.numbers[0], keys.end, sketch.numbers[1]
        );
    }
    if keys.place.is_empty() {
        return place;
    }
    let parts = [
        (&keys.frame, sketch.frame.to_string()),
        (&keys.id, format!("\"{}\"", sketch.id)),
        (&keys.place, place),
        (&keys.label, format!("\"{}\"", sketch.label)),
        (&keys.confidence, sketch.confidence.to_string()),
    ];
    let fields: Vec<String> = parts
        .iter()
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn place(numbers: &[f64], answer: &AnswerConfig) -> String {
    let list = |numbers: &[f64]| {
        let each: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        format!("[{}]", each.join(", "))
    };
    match answer.kind {
        AnswerType::Polygon | AnswerType::Mask => {
            let points: Vec<String> = numbers.chunks(2).map(list).collect();
            format!("[{}]", points.join(", "))
        }
        AnswerType::Box if answer.reader == crate::config::Reader::Official => {
            let [x1, y1, x2, y2] = numbers else { return list(numbers) };
            format!("({x1},{y1}),({x2},{y2})")
        }
        _ => list(numbers),
    }
}
