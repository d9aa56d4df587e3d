//! In which coordinates a question asks for places, by its own words.

use vrft_dataset::{Dataset, Question, Row, Truth};
use vrft_reward::{Geometry, Reward, Space};

/// What a question says of coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What they should count.
    pub space: Space,
    /// Width and height of the picture whose pixels are meant, where it names them, as in "640x480".
    pub size: Option<(u32, u32)>,
}

/// Words for spaces; behind a number no further digit may stand.
const WORDS: [(Space, &[&str]); 4] = [
    (
        Space::Thousandths,
        &[
            "thousandth",
            "0 to 1000",
            "0 and 1000",
            "0-1000",
            "0\u{2013}1000",
            "[0, 1000]",
            "[0,1000]",
        ],
    ),
    (
        Space::Percent,
        &["percent", "0 to 100", "0 and 100", "0-100", "0\u{2013}100", "[0, 100]", "[0,100]"],
    ),
    (Space::Unit, &["0 to 1", "0 and 1", "0.0 and 1.0", "0.0 to 1.0", "[0, 1]", "[0,1]"]),
    (Space::Pixels, &["pixel"]),
];

/// What the words of a question say; `None` if they say nothing of coordinates.
pub fn asked(question: &str) -> Option<Asked> {
    let question = question.to_lowercase();
    let has = |phrase: &&str| {
        question.match_indices(*phrase).any(|(start, found)| {
            let is_digit = |c: char| c.is_ascii_digit() || c == '.';
            let goes_on = question[start + found.len()..].starts_with(|c: char| c.is_ascii_digit());
            let began_before = phrase.starts_with('0') && question[..start].ends_with(is_digit);
            !goes_on && !began_before
        })
    };
    let (space, _) = WORDS.iter().find(|(_, phrases)| phrases.iter().any(has))?;
    let size = (*space == Space::Pixels).then(|| size(&question)).flatten();
    Some(Asked { space: *space, size })
}

/// The first two numbers with an x between them.
fn size(text: &str) -> Option<(u32, u32)> {
    let mut signs = text.match_indices(['x', '\u{d7}', '*']);
    signs.find_map(|(at, sign)| {
        let before = text[..at].trim_end();
        let digits = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let after = text[at + sign.len()..].trim_start();
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        Some((before[before.len() - digits..].parse().ok()?, after[..end].parse().ok()?))
    })
}

/// That questions ask for other coordinates than answers are paid in; `None` if they do not, or answers are no places.
pub(crate) fn note(reward: &Reward, dataset: &Dataset) -> Option<String> {
    let answer = &reward.config().answer;
    let own = answer.space()?;
    let geometry = answer.kind.geometry();
    if !matches!(geometry, Some(Geometry::Box | Geometry::Point | Geometry::Region)) {
        return None;
    }
    let other = |question: &Question| {
        asked(&question.words()?).map(|asked| asked.space).filter(|space| *space != own)
    };
    let mut others = dataset.iter().filter_map(|row| Some((row, other(&row.question)?)));
    let (row, space) = others.next()?;
    let (n, all, own) = (1 + others.count(), dataset.len(), own.name());
    Some(format!(
        "warning: the questions of {n} of {all} rows ask for other coordinates than answers are paid in, as {} for {}, and \
         reward.answer.space = {own:?}: take these words out of the questions, or declare what they ask for",
        row.origin.place(),
        space.name()
    ))
}

/// Words for a box by a corner or its middle and its sides.
const SIDES: [&str; 10] = [
    "left, top, width",
    "coco format",
    "width, height]",
    "width, height)",
    "x, y, w, h",
    "xywh",
    "x_center",
    "center_x",
    "x_min, y_min, width",
    "cx, cy",
];

/// That questions ask for boxes by their sides, and answers are their corners; `None` where none does.
pub(crate) fn note_sides(reward: &Reward, dataset: &Dataset) -> Option<String> {
    if reward.config().answer.kind.geometry() != Some(Geometry::Box) {
        return None;
    }
    let asks = |row: &&Row| {
        let words = row.question.words().unwrap_or_default().to_lowercase();
        SIDES.iter().any(|sides| words.contains(sides))
    };
    let mut rows = dataset.iter().filter(asks);
    let row = rows.next()?;
    Some(format!(
        "warning: the questions of {} of {} rows ask for boxes by their sides, as that of {}, and the four numbers of an answer \
         are read as the corners [x1, y1, x2, y2]: if the true answers are sides, write corners, and take these words out of the \
         questions",
        1 + rows.count(),
        dataset.len(),
        row.origin.place()
    ))
}

/// What looks like the place of an image in other programs, and is text here.
const NO_MARKS: [&str; 9] = [
    "<img>",
    "<image1>",
    "<image 1>",
    "<|image|>",
    "<|image_1|>",
    "<image_placeholder>",
    "<imagehere>",
    "[image]",
    "{image}",
];

/// That questions spell what is the place of an image elsewhere; `None` where none does.
pub(crate) fn note_marks(dataset: &Dataset) -> Option<String> {
    let spelled = |row: &Row| {
        let words = row.question.words()?.to_lowercase();
        NO_MARKS.iter().find(|mark| words.contains(*mark)).copied()
    };
    let mut rows = dataset.iter().filter_map(|row| Some((row, spelled(row)?)));
    let (row, mark) = rows.next()?;
    let (n, all) = (1 + rows.count(), dataset.len());
    Some(format!(
        "warning: the questions of {n} of {all} rows have {mark:?} in them, as that of {}: only <image> is the place of an \
         image, this is read as text, and the images come first",
        row.origin.place()
    ))
}

/// That true answers are objects where the task's answers are bare lists, so that questions may ask for another form than
/// the one that is demonstrated; `None` where they are not.
pub(crate) fn note_form(reward: &Reward, dataset: &Dataset) -> Option<String> {
    let answer = &reward.config().answer;
    let is_bare = answer.kind.geometry() == Some(Geometry::Box) && answer.place_key().is_none();
    let is_object = |row: &&Row| matches!(&row.truth, Truth::Text(text) if text.contains('{'));
    let n = dataset.iter().filter(is_object).count();
    (is_bare && n > 0).then(|| {
        let are = if n == 1 { "is an object" } else { "are objects" };
        format!(
            "{n} of {} true answers {are}, of which the list of four numbers is the box: an answer of this task is a \
             bare list. Where questions ask for objects, declare their key by reward.answer.keys.place or take a \
             reward.preset",
            dataset.len()
        )
    })
}

/// That places are read with y before x; `None` where they are not.
pub(crate) fn note_order(reward: &Reward, dataset: &Dataset) -> Option<String> {
    const OVERRIDE: &str = "reward.answer.order = \"xy\" reads x first";
    let answer = &reward.config().answer;
    if answer.is_y_first() {
        let key = answer.place_key().map(|key| format!(" under {key:?}")).unwrap_or_default();
        return Some(format!("places{key} are read and asked for with y before x; {OVERRIDE}"));
    }
    // Where the task has no key of its own, that of an object says it.
    let is_bare = answer.kind.geometry() == Some(Geometry::Box) && answer.place_key().is_none();
    let has_key = |text: &str| text.contains("\"box_2d\"") || text.contains("'box_2d'");
    let is_keyed = |row: &&Row| matches!(&row.truth, Truth::Text(text) if has_key(text));
    let n = dataset.iter().filter(is_keyed).count();
    (is_bare && n > 0 && answer.is_y_first_under("box_2d")).then(|| {
        format!(
            "boxes under \"box_2d\", the key of Gemini's, are read as [y1, x1, y2, x2] in {n} of {} rows; {OVERRIDE}",
            dataset.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_name_their_coordinates() {
        let check = |question: &str, space: Option<Space>, size| {
            assert_eq!(asked(question), space.map(|space| Asked { space, size }), "{question}");
        };
        check("Where is it? Integers from 0 to 1000.", Some(Space::Thousandths), None);
        check("Where is it, in percent?", Some(Space::Percent), None);
        check("Coordinates in [0, 100].", Some(Space::Percent), None);
        check("Coordinates between 0 and 1", Some(Space::Unit), None);
        check("Give the box in pixels.", Some(Space::Pixels), None);
        check("In pixels of the 640x480 picture.", Some(Space::Pixels), Some((640, 480)));
        check("In Pixels (640 \u{d7} 480), max 2 boxes", Some(Space::Pixels), Some((640, 480)));
        check("How many of 10 to 100 mugs?", None, None);
        check("Where is the next mug?", None, None);
    }
}
