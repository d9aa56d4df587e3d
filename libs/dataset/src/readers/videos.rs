//! Videos of a row: which it names, and where in its text their frames stand.

use serde_json::{Map, Value};

use super::conversation::{CONVERSATION_KEYS, IMAGE_MARK};

/// Keys under which a row names its videos.
pub(super) const VIDEO_KEYS: [&str; 2] = ["video", "videos"];

/// Where a text has its video.
const VIDEO_MARK: &str = "<video>";

/// Takes the names of video files out of a row: one, or a list. Beside images, `video` only says where they come from.
///
/// # Errors
/// What is no path.
pub(super) fn named(
    values: &mut Map<String, Value>,
    has_images: bool,
) -> Result<Vec<String>, String> {
    let is_shown = |key: &&&str| !has_images || **key != VIDEO_KEYS[0];
    let keys = VIDEO_KEYS.iter().filter(is_shown);
    let mut named = keys.filter_map(|key| values.remove(*key));
    let list = match named.find(|value| !value.is_null()) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    let name = |value: Value| match value {
        Value::String(name) if !name.trim().is_empty() => Ok(name),
        Value::Object(ref parts) => match parts.get("path").and_then(Value::as_str) {
            Some(path) => Ok(path.to_owned()),
            None => Err(format!("video should be the path of a file, got {value}")),
        },
        other => Err(format!("video should be the path of a file, got {other}")),
    };
    list.into_iter().map(name).collect()
}

/// What stands in a text for a video: a mark for each frame, behind the time of it.
pub(super) fn marks(moments: &[f64], times: bool) -> String {
    let mark = |at: &f64| {
        if times { format!("<{at:.1} seconds>{IMAGE_MARK}") } else { IMAGE_MARK.to_owned() }
    };
    moments.iter().map(mark).collect()
}

/// Puts what is shown of each video in the place of its mark, in the order of the texts; without any mark, in front of the
/// question.
///
/// # Errors
/// Another number of marks than of videos.
pub(super) fn place(values: &mut Map<String, Value>, shown: &[String]) -> Result<(), String> {
    let mut texts = Vec::new();
    match CONVERSATION_KEYS.iter().find(|key| values.get(**key).is_some_and(Value::is_array)) {
        Some(key) => values.get_mut(*key).into_iter().for_each(|turns| collect(turns, &mut texts)),
        None => texts.extend(values.get_mut("problem").and_then(text)),
    }
    let n_marks: usize = texts.iter().map(|text| text.matches(VIDEO_MARK).count()).sum();
    if n_marks == 0 && shown.is_empty() {
        return Ok(());
    }
    if n_marks == 0 {
        if let Some(first) = texts.into_iter().next() {
            *first = format!("{}\n{first}", shown.concat());
        }
        return Ok(());
    }
    if n_marks != shown.len() {
        return Err(format!(
            "the text has {n_marks} places for a video ({VIDEO_MARK}), the row has {} videos",
            shown.len()
        ));
    }
    let mut shown = shown.iter();
    for text in texts {
        while let Some((before, after)) = text.split_once(VIDEO_MARK) {
            let frames = shown.next().map_or("", String::as_str);
            *text = format!("{before}{frames}{after}");
        }
    }
    Ok(())
}

/// The texts of what users say in a conversation.
fn collect<'a>(value: &'a mut Value, texts: &mut Vec<&'a mut String>) {
    let turns = value.as_array_mut().into_iter().flatten();
    for turn in turns {
        let speaker = ["from", "role"].iter().find_map(|key| turn[*key].as_str());
        let is_user = matches!(speaker, Some("human" | "user" | "User"));
        let Some(turn) = turn.as_object_mut().filter(|_| is_user) else { continue };
        for (key, said) in turn.iter_mut() {
            match (key.as_str(), said) {
                ("value" | "content", Value::String(words)) => texts.push(words),
                ("value" | "content", Value::Array(parts)) => {
                    let words = parts.iter_mut().filter_map(|part| part.get_mut("text"));
                    texts.extend(words.filter_map(text));
                }
                _ => {}
            }
        }
    }
}

fn text(value: &mut Value) -> Option<&mut String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn placed(row: Value, shown: &[&str]) -> Result<Value, String> {
        let Value::Object(mut row) = row else { panic!("a row is an object") };
        let shown: Vec<String> = shown.iter().map(ToString::to_string).collect();
        place(&mut row, &shown).map(|()| Value::Object(row))
    }

    #[test]
    fn frames_stand_where_the_video_stood_each_behind_its_time() {
        assert_eq!(marks(&[0.0, 2.5], true), "<0.0 seconds><image><2.5 seconds><image>");
        assert_eq!(marks(&[0.0, 2.5], false), "<image><image>");
        let row = placed(json!({"problem": "In <video>, when?"}), &["AB"]).unwrap();
        assert_eq!(row, json!({"problem": "In AB, when?"}));
        let row = placed(json!({"problem": "When?"}), &["A", "B"]).unwrap();
        assert_eq!(row, json!({"problem": "AB\nWhen?"}));
        let said = json!([{"from": "human", "value": "<video><video> Which?"}, {"from": "gpt", "value": "x"}]);
        let row = placed(json!({"conversations": said}), &["A", "B"]).unwrap();
        assert_eq!(row["conversations"][0]["value"], "AB Which?");
        let parts =
            json!([{"role": "user", "content": [{"type": "text", "text": "<video>Where?"}]}]);
        let row = placed(json!({"messages": parts}), &["A"]).unwrap();
        assert_eq!(row["messages"][0]["content"][0]["text"], "AWhere?");
    }

    #[test]
    fn marks_and_videos_that_do_not_match_are_refused() {
        let why = placed(json!({"problem": "<video><video>"}), &["A"]).unwrap_err();
        assert_eq!(why, "the text has 2 places for a video (<video>), the row has 1 videos");
        let why = placed(json!({"problem": "<video>Where?"}), &[]).unwrap_err();
        assert_eq!(why, "the text has 1 places for a video (<video>), the row has 0 videos");
        let still = json!({"problem": "Where?"});
        assert_eq!(placed(still.clone(), &[]).unwrap(), still);
    }

    #[test]
    fn videos_are_named_by_paths() {
        let named = |row: Value| named(row.as_object().cloned().as_mut().unwrap(), false);
        assert_eq!(named(json!({"video": "a.mp4"})), Ok(vec!["a.mp4".to_owned()]));
        assert_eq!(named(json!({"videos": ["a", {"path": "b"}]})).unwrap(), ["a", "b"]);
        assert_eq!(named(json!({"videos": [], "video": null})), Ok(vec![]));
        assert!(named(json!({"video": 7})).unwrap_err().contains("got 7"));
        let mut from = json!({"video": 7, "image": "frame.png"});
        assert_eq!(super::named(from.as_object_mut().unwrap(), true), Ok(vec![]));
    }
}
