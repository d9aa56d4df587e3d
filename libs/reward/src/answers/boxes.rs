//! Any number of boxes.

use serde::{Deserialize, Serialize};

use super::items;
use super::items::coordinates::read_box;
use super::items::keys::named;
use super::items::{Area, AxisOrder, Y_FIRST_KEY, bare_numbers};
use super::{AnswerKind, Examples, ItemKeys, ItemKind};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::json;
use crate::text::value::Value;
use crate::{Answer, BBox, Flaw, Item, Items, Place, official};

/// What boxes are asked for as, and how their coordinates look.
pub(super) const EXAMPLE: &str = "[x1, y1, x2, y2]";
/// The same with y first.
const EXAMPLE_Y_FIRST: &str = "[y1, x1, y2, x2]";

/// The key of coordinates in the objects that several families of models were trained to give: `{"bbox_2d": […], "label": …}`.
const NATIVE_PLACE: &str = "bbox_2d";
/// All keys of these objects.
const NATIVE_KEYS: [&str; 2] = [NATIVE_PLACE, "label"];

/// Any number of boxes `[x1, y1, x2, y2]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoxesAnswer {
    /// What coordinates count.
    pub space: Space,
    /// Which of two coordinates comes first; left out, y under the key `box_2d`, which is Gemini's, and x elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<AxisOrder>,
    /// Names of the parts of a box.
    pub keys: ItemKeys,
    /// The names that boxes have; empty for any.
    pub labels: Vec<String>,
}

impl ItemKind for BoxesAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Box
    }

    items::say_fields!();

    fn order(&self) -> Option<AxisOrder> {
        self.order
    }

    fn instruction(&self) -> String {
        let (space, order) = (in_words(self.space), order_in_words(self));
        format!("Give the bounding boxes {space}{order}{}.", sure(&self.keys))
    }

    fn coordinates_example(&self) -> &'static str {
        example_of_box(self)
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_box(value, self.space)
    }

    fn place_of(&self, object: &Value) -> Result<Place, Flaw> {
        place_of_box(self, object)
    }

    fn is_item(&self, value: &Value) -> bool {
        is_box(self, value)
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_numbers(self, text, 4)
    }

    fn further_keys(&self) -> &'static [&'static str] {
        further_keys_of_box(self)
    }

    /// The list of boxes: doubled brackets and line breaks removed, a cut list repaired, single quotes doubled.
    fn read_official(&self, completion: &str) -> Option<Answer> {
        let text = official::text(completion).trim();
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
        let valid: Option<Vec<Item>> = objects.iter().map(official_item).collect();
        Some(Answer::Items(Items { valid: valid?, ..Items::default() }))
    }

    fn numbers_of(&self, area: Area, _rng: &mut Rng) -> Vec<f64> {
        corners_of(area)
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        Some(vec![0.0, 0.0, self.span(), self.span()])
    }
}

/// An object with both keys, spelled so; its numbers are taken as they are.
fn official_item(object: &Value) -> Option<Item> {
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

/// `[x1, y1, x2, y2]` of an area.
pub(super) fn corners_of(area: Area) -> Vec<f64> {
    vec![area.x, area.y, area.x + area.width, area.y + area.height]
}

/// What coordinates count, for instructions.
pub(super) fn in_words(space: Space) -> &'static str {
    match space {
        Space::Thousandths => "in thousandths of the image, as integers from 0 to 1000",
        Space::Unit => "as shares from 0 to 1",
        Space::Percent => "in percent of the image, from 0 to 100 with one decimal place",
        Space::Pixels => "in pixels",
    }
}

/// What a box looks like in the order that is asked for.
pub(super) fn example_of_box(kind: &dyn ItemKind) -> &'static str {
    match kind.asked_order() {
        AxisOrder::Xy => EXAMPLE,
        AxisOrder::Yx => EXAMPLE_Y_FIRST,
    }
}

/// Which coordinate comes first, for instructions: nothing where it is x, as everybody expects.
pub(super) fn order_in_words(kind: &dyn ItemKind) -> &'static str {
    match kind.asked_order() {
        AxisOrder::Xy => "",
        AxisOrder::Yx => ", y before x",
    }
}

/// How confidence is asked for, where it is.
pub(super) fn sure(keys: &ItemKeys) -> &'static str {
    match named(&keys.confidence) {
        Some(_) => ", each with a confidence from 0 to 1 with two decimal places",
        None => "",
    }
}

/// The coordinates of a box: under the declared key, or in the form that models were trained to give.
///
/// That form is read wherever boxes are in pixels, as that model has them, or have no keys of their own.
pub(super) fn place_of_box(kind: &dyn ItemKind, object: &Value) -> Result<Place, Flaw> {
    let key = kind.keys().place;
    let declared = key.and_then(|key| Some((key, object.get(key)?)));
    match declared.or_else(|| native_place(kind, object)) {
        Some((key, value)) => kind.place_under(Some(key), value),
        None if key.is_none() => kind.place(object),
        None => Err(Flaw::NoPlace),
    }
}

/// Whether a value has the declared key of coordinates, or that of the native form where that is read.
pub(super) fn is_box(kind: &dyn ItemKind, value: &Value) -> bool {
    let declared = kind.keys().place.is_some_and(|key| value.get(key).is_some());
    declared || native_place(kind, value).is_some()
}

/// Coordinates and their key. Where a kind has no key of its own, whatever key the only list of four numbers has is as good.
fn native_place<'a>(kind: &dyn ItemKind, object: &'a Value) -> Option<(&'a str, &'a Value)> {
    let has_no_key = kind.keys().place.is_none();
    let is_read = kind.space() == Space::Pixels || has_no_key;
    let native = is_read.then(|| object.get(NATIVE_PLACE)).flatten();
    let native = native.map(|value| (NATIVE_PLACE, value));
    native.or_else(|| has_no_key.then(|| only_list(object)).flatten())
}

/// The one list of four numbers in an object, with its key; `None` if it has none or several.
fn only_list(object: &Value) -> Option<(&str, &Value)> {
    let Value::Object(fields) = object else { return None };
    let is_number = |value: &Value| matches!(value, Value::Number(_));
    let is_four = |value: &Value| matches!(value, Value::List(items) if items.len() == 4 && items.iter().all(is_number));
    let fields = fields.iter().map(|(key, value)| (key.as_str(), value));
    let mut lists = fields.filter(|(_, value)| is_four(value));
    lists.next().filter(|_| lists.next().is_none())
}

/// The keys of the native form, where boxes have no keys of their own.
pub(super) fn further_keys_of_box(kind: &dyn ItemKind) -> &'static [&'static str] {
    if kind.keys().place.is_none() { &NATIVE_KEYS } else { &[] }
}

/// Objects with lists of numbers, as a list of boxes if nothing else is particular about them.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    let (keys, n) = examples.item_keys()?;
    let mut reason = format!("objects with {n} numbers under {:?}: boxes", keys.place);
    reason += &examples.further();
    // It is written down, so that whoever reads the configuration sees it.
    let order = (AxisOrder::of(None, Some(&keys.place)) == AxisOrder::Yx).then_some(AxisOrder::Yx);
    if order.is_some() {
        reason += &format!(
            ", read as {EXAMPLE_Y_FIRST}, since {Y_FIRST_KEY:?} is the key under which Gemini gives these; \
             reward.answer.order = \"xy\" reads x first"
        );
    }
    let space = examples.space();
    Some((AnswerKind::Boxes(BoxesAnswer { space, order, keys, labels: Vec::new() }), reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AnswerConfig;
    use crate::reading::{read_answer, read_strictly, read_truth};

    const CAT: &str = "{'Position': [1, 2, 3, 4], 'Confidence': 1}";

    #[track_caller]
    fn check_official(answer: &str, n_boxes: Option<usize>) {
        let completion = format!("<think>hm</think><answer>{answer}</answer>");
        let answer = BoxesAnswer::default().read_official(&completion);
        assert_eq!(answer.map(|answer| answer.n_items()), n_boxes);
    }

    #[test]
    fn lists_that_the_official_program_reads() {
        check_official(&format!("[{CAT}]"), Some(1));
        check_official(&format!("[[{CAT}, {CAT}]]"), Some(2));
        check_official(&format!("[{CAT}, {{'Position': [1, 2"), Some(1));
        check_official("[{'Position': [1, 2, 3, 4], 'Confidence': NaN}]", Some(1));
    }
    #[test]
    fn what_the_official_program_cannot_read() {
        check_official(&format!("Here: [{CAT}]"), None);
        check_official("[]", None);
        check_official("No Objects", None);
        check_official("[{'Position': [1, 2, 3], 'Confidence': 1}]", None);
        check_official("[{'Position': [1, 2, 3, 4]}]", None);
        check_official("[{'Position': [1, 2, 3, 4], 'Confidence': '1'}]", None);
        check_official(&format!("[\n{CAT}]"), None);
    }

    fn pixels(place: &str) -> AnswerConfig {
        let keys = ItemKeys { place: place.into(), ..ItemKeys::default() };
        let kind = BoxesAnswer { space: Space::Pixels, keys, ..BoxesAnswer::default() };
        AnswerConfig::of(AnswerKind::Boxes(kind))
    }

    #[test]
    fn the_form_of_qwen_is_read_where_boxes_are_in_pixels() {
        let text = "```json\n[{\"bbox_2d\": [10, 20, 1110, 120], \"label\": \"cat\"}]\n```";
        for place in ["", "bbox_2d", "box"] {
            let answer = read_answer(text, &pixels(place)).unwrap();
            assert_eq!(answer.detections()[0].bbox.corners(), [10.0, 20.0, 1110.0, 120.0]);
            assert!(read_truth(text, &pixels(place)).is_ok(), "{place}");
        }
        let visual_rft = AnswerConfig::visual_rft();
        assert_eq!(read_answer(text, &visual_rft).map(|answer| answer.detections().len()), Some(0));
    }
    #[test]
    fn to_the_letter_the_form_of_qwen_counts_where_no_keys_are_declared() {
        let text = "[{\"bbox_2d\": [10, 20, 110, 120], \"label\": \"cat\"}]";
        assert!(read_strictly(text, &pixels("")).is_some());
        assert!(read_strictly(text, &pixels("box")).is_none());
    }
}
