//! How the program that the Visual-RFT paper's numbers were made with reads answers, its bugs included.
//!
//! Kept apart and used only where a task asks for `reader = "official"`, so that published numbers can be compared.

use crate::config::{AnswerConfig, AnswerType};

use crate::value::Value;
use crate::{Answer, BBox, Flaw, Item, Items, Place, SPACE, json};

/// The inside of the first answer block; a block with a line break counts only where `lines` may break.
pub(crate) fn block(completion: &str, lines: bool) -> Option<&str> {
    let mut rest = completion;
    loop {
        rest = rest.split_once("<answer>")?.1;
        let (inside, _) = rest.split_once("</answer>")?;
        if lines || !inside.contains('\n') {
            return Some(inside);
        }
    }
}

/// Reads a whole completion. `None` where the program ends in an exception, which it counts as 0.
pub(crate) fn read(completion: &str, answer: &AnswerConfig) -> Option<Answer> {
    match answer.kind {
        AnswerType::Boxes => boxes(block(completion, false).unwrap_or(completion).trim()),
        AnswerType::Box => corners(block(completion, true)?),
        _ => Some(Answer::Words(block(completion, false).unwrap_or(completion).trim().to_owned())),
    }
}

/// The list of boxes: doubled brackets and line breaks removed, a cut list repaired, single quotes doubled.
fn boxes(text: &str) -> Option<Answer> {
    let mut text = text.replace("[[", "[").replace("]]", "]").replace('\n', "");
    if let Some((inside, _)) = text.split_once("</answer>") {
        text = inside.to_owned();
    }
    if !text.ends_with(']')
        && let Some(end) = text.rfind("},")
    {
        text.replace_range(end.., "}]");
    }
    let Value::List(objects) = json::read(&text.replace('\'', "\""))? else { return None };
    if objects.is_empty() {
        return None;
    }
    let valid: Option<Vec<Item>> = objects.iter().map(item).collect();
    Some(Answer::Items(Items { valid: valid?, ..Items::default() }))
}

/// An object with both keys, spelled so; its numbers are taken as they are.
fn item(object: &Value) -> Option<Item> {
    let Value::Object(fields) = object else { return None };
    let field =
        |key: &str| fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value);
    let (Some(Value::List(position)), Some(&Value::Number(confidence))) =
        (field("Position"), field("Confidence"))
    else {
        return None;
    };
    let &[Value::Number(x1), Value::Number(y1), Value::Number(x2), Value::Number(y2)] =
        &position[..]
    else {
        return None;
    };
    Some(Item { confidence: Some(confidence), ..Item::at(Place::Box(BBox { x1, y1, x2, y2 })) })
}

/// `(x1,y1),(x2,y2)` of whole numbers, anywhere in the block.
///
/// With several of them the program joins all upper left corners before all lower right ones and takes the first
/// four numbers, which is a box between two upper left corners.
fn corners(text: &str) -> Option<Answer> {
    let found = pairs_of_points(text);
    let bbox = match &found[..] {
        [] => return None,
        [[x1, y1, x2, y2]] => BBox { x1: *x1, y1: *y1, x2: *x2, y2: *y2 },
        [first, second, ..] => BBox { x1: first[0], y1: first[1], x2: second[0], y2: second[1] },
    };
    if bbox.x1 < bbox.x2 && bbox.y1 < bbox.y2 {
        return Some(Answer::Items(Items {
            valid: vec![Item::at(Place::Box(bbox))],
            ..Items::default()
        }));
    }
    let flaws = vec![Flaw::Coordinate { got: bbox.x2, extent: SPACE }];
    Some(Answer::Items(Items { flaws, ..Items::default() }))
}

fn pairs_of_points(text: &str) -> Vec<[f64; 4]> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('(') {
        rest = &rest[start..];
        match pair_of_points(rest) {
            Some((numbers, after)) => {
                found.push(numbers);
                rest = after;
            }
            None => rest = &rest[1..],
        }
    }
    found
}

fn pair_of_points(text: &str) -> Option<([f64; 4], &str)> {
    let mut rest = text;
    let mut numbers = [0.0; 4];
    let tokens = ["(", "0", ",", "1", ")", ",", "(", "2", ",", "3", ")"];
    for token in tokens {
        match token.parse::<usize>() {
            Ok(idx) => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                numbers[idx] = rest[..end].parse().ok()?;
                rest = &rest[end..];
            }
            Err(_) => rest = rest.strip_prefix(token)?,
        }
        rest = rest.trim_start();
    }
    Some((numbers, rest))
}

/// Whether the program pays in full before it looks at anything: it hands both texts to a checker of formulas,
/// which finds one number in each, and compares these.
///
/// The number is the first one after white space that follows the word "answer" closely, which for a list of boxes
/// in answer tags is y1 of the first box; without one, the last number after white space.
pub(crate) fn shortcut(completion: &str, solution: &str) -> bool {
    let (said, truth) = (formula(completion), formula(solution));
    said.is_some() && said == truth
}

/// Characters after "answer" within which a number is looked for.
const REACH: usize = 50;

fn formula(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let mut found = None;
    let mut from = 0;
    while let Some(at) = lower[from..].find("answer") {
        from += at + "answer".len();
        let line = text[from..].lines().next().unwrap_or("");
        let reach = line.char_indices().nth(REACH).map_or(line.len(), |(idx, _)| idx);
        let near = spaced_numbers(line).find(|(start, _)| *start <= reach);
        found = near.map(|(_, number)| number).or(found);
    }
    found.or_else(|| spaced_numbers(text).last().map(|(_, number)| number))
}

/// Numbers at the start or after white space or `=`, with the place they start at.
fn spaced_numbers(text: &str) -> impl Iterator<Item = (usize, f64)> {
    let starts = text.char_indices().filter(|&(idx, _)| {
        let before = text[..idx].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || c == '=')
    });
    starts.filter_map(|(idx, _)| {
        let word = &text[idx..];
        let part = |c: char| !(c.is_ascii_digit() || c == '.');
        let digits = word.strip_prefix('-').unwrap_or(word);
        let end = word.len() - digits.len() + digits.find(part).unwrap_or(digits.len());
        let number = word[..end].trim_end_matches('.');
        number.parse().ok().map(|number| (idx, number))
    })
}

#[cfg(test)]
#[path = "official_tests.rs"]
mod tests;
