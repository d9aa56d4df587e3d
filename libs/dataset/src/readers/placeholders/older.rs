//! `objects` as ms-swift 2 had them: a list, or the same as JSON in a text, of
//! `{"caption": "mug", "bbox": [x1, y1, x2, y2], "bbox_type": "real", "image": 0}`, one for each placeholder.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::readers::objects::OBJECTS;

/// The objects of a row as today's ms-swift has them; `None` where there are none.
///
/// # Errors
/// Objects of this older form that cannot be put into the other: of several units, or one with several boxes.
pub(super) fn as_today(value: &Value) -> Result<Option<Cow<'_, Map<String, Value>>>, String> {
    match value {
        Value::Object(objects) => Ok(Some(Cow::Borrowed(objects))),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(objects)) => Ok(Some(Cow::Owned(objects))),
            Ok(Value::Array(list)) => Ok(of_list(&list)?.map(Cow::Owned)),
            _ => Ok(None),
        },
        Value::Array(list) => Ok(of_list(list)?.map(Cow::Owned)),
        _ => Ok(None),
    }
}

/// `None` for a list of something else.
fn of_list(list: &[Value]) -> Result<Option<Map<String, Value>>, String> {
    let of =
        |key: &str| -> Vec<Value> { list.iter().filter_map(|one| one.get(key)).cloned().collect() };
    let boxes = of("bbox");
    if boxes.is_empty() || boxes.len() < list.len() {
        return Ok(None);
    }
    if let Some(several) = boxes.iter().find(|numbers| numbers.get(0).is_some_and(Value::is_array))
    {
        return Err(format!(
            "an object of {OBJECTS:?} has several boxes, {several}, for one <bbox>: write one object and one <bbox> for each"
        ));
    }
    let kinds = of("bbox_type");
    if kinds.iter().any(|kind| *kind != kinds[0]) || ![0, list.len()].contains(&kinds.len()) {
        return Err(format!(
            "the \"bbox_type\" of its {OBJECTS:?} should be the same for all of them"
        ));
    }
    let objects = json!({
        "ref": of("caption"),
        "bbox": boxes,
        "bbox_type": kinds.first().unwrap_or(&Value::Null),
        "image_id": of("image"),
    });
    Ok(objects.as_object().cloned())
}
