//! Rows that have boxes with the names of what is in them and ask nothing in words: `objects` as detection sets of Hugging
//! Face's `datasets` have it, or columns of boxes beside one of names. All rows about a picture are asked about together,
//! as annotations are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::annotated::{Annotated, Shown, note_twice};
use super::unworded::LABEL;
use super::value::as_number;
use super::worded;
use crate::forms::Open;
use crate::pictures::PictureIdx;

/// Key of boxes with their names, as `{"bbox": [[x, y, width, height], …], "category": [0, …]}`.
pub(super) const OBJECTS: &str = "objects";
/// Keys of boxes: one, or a list of them.
const BOXES: [&str; 4] = ["bbox", "bboxes", "boxes", "box"];
/// Keys of what is in them: one name or number for all, or one for each.
pub(super) const NAMES: [&str; 10] = [
    LABEL,
    "labels",
    "category",
    "categories",
    "class",
    "classes",
    "category_name",
    "class_name",
    "category_id",
    "class_id",
];
/// Keys of places that are not read in a column, with what they are written as in a solution.
const UNREAD: [(&str, &str); 8] = [
    ("bounding_box", "bbox_2d"),
    ("bbox_2d", "bbox_2d"),
    ("box_2d", "box_2d"),
    ("point", "point_2d"),
    ("points", "point_2d"),
    ("point_2d", "point_2d"),
    ("polygon", "polygon"),
    ("polygons", "polygon"),
];
/// Keys of one side of a box in a column of its own.
const SIDES: [&str; 12] = [
    "xmin",
    "x_min",
    "x1",
    "x_center",
    "ymin",
    "y1",
    "xtl",
    "x_left",
    "bbox_x",
    "bbox_x1",
    "bbox_xmin",
    "bbox_left",
];
/// Keys that are a corner of a box only together, and beside one of those of its other sides: a point alone may be of anything.
const CORNER: [[&str; 2]; 4] = [["x", "y"], ["left", "top"], ["cx", "cy"], ["box_x", "box_y"]];
const BEYOND: [&str; 10] =
    ["width", "height", "w", "h", "x2", "y2", "right", "bottom", "box_w", "box_width"];
/// Keys that mark a box around many objects at once: COCO's, that of TFDS, and others that stand for it.
const CROWDS: [&str; 4] = ["iscrowd", "is_crowd", "isCrowd", "crowd"];

/// The numbers of a box, what is in it by the data's name or number, and whether that is a crowd.
type Object<'a> = ([f64; 4], &'a Value, bool);

/// The objects of a row.
pub(super) struct Objects<'a> {
    boxes: Vec<Object<'a>>,
    size: Option<(f64, f64)>,
    /// Whether they stand in columns of their own, as a class without a box may.
    are_columns: bool,
}

/// The same by their names.
pub(super) struct Named {
    boxes: Vec<([f64; 4], Arc<str>, bool)>,
    size: Option<(f64, f64)>,
    are_columns: bool,
}

/// Whether a row of these keys has boxes and names.
pub(super) fn is_one(has: impl Fn(&str) -> bool) -> bool {
    has(OBJECTS) || BOXES.iter().any(|key| has(key)) && NAMES.iter().any(|key| has(key))
}

/// The keys that are looked at in a row with these keys and a class or boxes.
pub(super) fn keys(has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let unread = UNREAD.map(|(key, _)| key);
    let has_boxes = has(OBJECTS) || BOXES.iter().any(|key| has(key));
    let sizes = if has_boxes { worded::SIZES.as_flattened() } else { &[] };
    let of_boxes = [&BOXES[..], &NAMES, &CROWDS, &[OBJECTS]].concat();
    let of_boxes = if is_one(has) { of_boxes } else { Vec::new() };
    [&unread[..], &SIDES, CORNER.as_flattened(), &BEYOND, sizes, &of_boxes].concat()
}

/// The keys of a corner, where there is one of a box.
pub(super) fn corner_of(has: impl Fn(&str) -> bool) -> Option<[&'static str; 2]> {
    let corner = CORNER.into_iter().find(|keys| keys.iter().all(|key| has(key)));
    corner.filter(|_| BEYOND.iter().any(|key| has(key)))
}

/// Pairs of keys that mean the same and say different things in a row: the one that is read, and another. A number beside a
/// name is one of the same class.
pub(super) fn twins(values: &Map<String, Value>) -> Vec<(&'static str, &'static str)> {
    let lists = values.get(OBJECTS).and_then(Value::as_object).unwrap_or(values);
    let of = |keys: &[&'static str]| {
        let mut there = keys
            .iter()
            .filter_map(|key| Some((*key, lists.get(*key).filter(|value| !value.is_null())?)));
        let first = there.next();
        let other = there.find(|(key, value)| {
            !key.ends_with("_id") && first.is_some_and(|(_, first)| first != *value)
        });
        first.zip(other).map(|((key, _), (other, _))| (key, other))
    };
    of(&NAMES).into_iter().chain(of(&BOXES)).collect()
}

/// The names that the features of a table have for numbers: of objects, else of a column of classes.
pub(super) fn class_names(features: &Value) -> Option<Vec<Arc<str>>> {
    let of = |key: &str| names_below(key, features.get(key)?);
    of(OBJECTS).or_else(|| NAMES.iter().find_map(|key| of(key)))
}

/// The names of a feature with this key, or of one at any depth below it that is called as classes are.
fn names_below(key: &str, feature: &Value) -> Option<Vec<Arc<str>>> {
    let is_class = feature.get("_type").and_then(Value::as_str) == Some("ClassLabel");
    if is_class && NAMES.contains(&key) {
        let names = feature["names"].as_array()?;
        return names.iter().map(|name| Some(name.as_str()?.into())).collect();
    }
    match feature {
        // What a list is of goes by the name of the list.
        Value::Object(parts) => parts.iter().find_map(|(part, value)| {
            names_below(if part == "feature" { key } else { part }, value)
        }),
        Value::Array(list) => list.iter().find_map(|value| names_below(key, value)),
        _ => None,
    }
}

impl<'a> Objects<'a> {
    /// Those of a row; `None` for one that has no boxes.
    ///
    /// # Errors
    /// Places in a column that is not read; boxes that are no numbers or have no names.
    pub(super) fn of(values: &'a Map<String, Value>) -> Result<Option<Self>, String> {
        let is_there = |key: &str| values.get(key).is_some_and(|value| !value.is_null());
        let objects = values.get(OBJECTS).filter(|value| {
            let first = value.as_array().and_then(|list| list.first()).unwrap_or(value);
            let of_one = first.as_object();
            of_one.is_some_and(|one| BOXES.iter().any(|key| one.contains_key(*key)))
                || value.as_array().is_some_and(Vec::is_empty)
        });
        let column = BOXES.iter().find(|key| values.contains_key(**key));
        if objects.is_none() && column.is_none() {
            let is_number = |key: &&str| values.get(*key).is_some_and(|v| as_number(v).is_some());
            let side = SIDES.iter().find(|key| is_there(key)).copied();
            if let Some(key) = side.or_else(|| corner_of(|key| is_number(&key)).map(|[x, _]| x)) {
                return Err(in_one_column(key));
            }
            return match UNREAD.iter().find(|(key, _)| is_there(key)) {
                Some((key, written)) => Err(unread(key, written)),
                None if values.contains_key(LABEL) => Ok(None),
                None => Err(format!(
                    "its {OBJECTS:?} has no boxes: expected lists under \"bbox\" and \"category\""
                )),
            };
        }
        let boxes = match objects {
            Some(Value::Array(list)) => listed(list)?,
            Some(Value::Object(lists)) => of_lists(lists)?,
            _ => of_lists(values)?,
        };
        let size = worded::size(values);
        Ok(Some(Self { boxes, size, are_columns: objects.is_none() }))
    }

    /// The same with the names that `name` gives to what they are called in the data.
    ///
    /// # Errors
    /// What it says.
    pub(super) fn named(
        self,
        mut name: impl FnMut(&Value) -> Result<Arc<str>, String>,
    ) -> Result<Named, String> {
        let Self { boxes, size, are_columns } = self;
        let boxes = boxes.into_iter();
        let boxes = boxes.map(|(numbers, called, is_crowd)| Ok((numbers, name(called)?, is_crowd)));
        Ok(Named { boxes: boxes.collect::<Result<_, String>>()?, size, are_columns })
    }
}

/// Why a side of a box in a column of its own is not read, and how it is written instead.
fn in_one_column(key: &str) -> String {
    format!(
        "it has {key:?}, which is not read beside {LABEL:?}: write the box into one column, as \"bbox\": [x1, y1, x2, y2] \
         with data.bbox = \"corners\", or [x, y, width, height] with \"sides\"; or take {key:?} out where the classes alone \
         are to be learned"
    )
}

/// Why a place in a column is not read, and how it is written instead.
fn unread(key: &str, written: &str) -> String {
    let (numbers, pixels) = match written {
        "bbox_2d" | "box_2d" => (
            "[x1, y1, x2, y2]",
            "; or call it \"bbox\" if it is in pixels of the picture (data.bbox = \"corners\")",
        ),
        "point_2d" => ("[x, y]", ""),
        _ => ("[x1, y1, x2, y2, …]", ""),
    };
    format!(
        "it has {key:?}, which is not read beside {LABEL:?}: write {{\"problem\": \"Where is the mug?\", \"solution\": \
         [{{{written:?}: {numbers}, {LABEL:?}: \"mug\"}}]}}, of which data.space says what the numbers count{pixels}; or \
         take {key:?} out where the classes alone are to be learned"
    )
}

/// Objects of which each has its box and its name.
fn listed(list: &[Value]) -> Result<Vec<Object<'_>>, String> {
    let mut boxes = Vec::with_capacity(list.len());
    for one in list {
        let object = one.as_object().ok_or_else(|| format!("an object has no box: {one}"))?;
        boxes.extend(of_lists(object)?);
    }
    Ok(boxes)
}

/// Boxes and names in lists of equal length, or one for all.
fn of_lists(lists: &Map<String, Value>) -> Result<Vec<Object<'_>>, String> {
    let found = BOXES.iter().find_map(|key| Some((*key, lists.get(*key)?)));
    let (key, boxes) = found.ok_or("an object has no \"bbox\"")?;
    let boxes: Vec<&Value> = match boxes {
        Value::Array(list) if list.first().is_some_and(Value::is_number) => vec![boxes],
        Value::Array(list) if list.first().is_some_and(Value::is_object) => return listed(list),
        Value::Array(list) => list.iter().collect(),
        other => {
            return Err(format!("{key:?} should be four numbers, or a list of these, got {other}"));
        }
    };
    let names = NAMES.iter().find_map(|key| Some((*key, lists.get(*key)?)));
    let (called, names) = names.ok_or_else(|| {
        format!("its boxes ({key:?}) have no names: expected \"category\", or {LABEL:?}")
    })?;
    let crowds: Vec<&Value> = CROWDS.iter().filter_map(|key| lists.get(*key)).collect();
    let is_crowd = |idx: usize| {
        crowds.iter().any(|crowds| {
            crowds.as_array().map_or(Some(*crowds), |list| list.get(idx)).is_some_and(is_true)
        })
    };
    let name = |idx: usize| names.as_array().map_or(Some(names), |names| names.get(idx));
    if let Some(n) = names.as_array().map(Vec::len).filter(|n| *n != boxes.len()) {
        return Err(format!("{key:?} has {} boxes, and {called:?} {n} names", boxes.len()));
    }
    let one = |(idx, value): (usize, &&'_ Value)| {
        let list = value.as_array().into_iter().flatten();
        let numbers: Option<Vec<f64>> = list.map(Value::as_f64).collect();
        let numbers = numbers.and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
        let numbers = numbers
            .ok_or_else(|| format!("a box of {key:?} should be four numbers, got {value}"))?;
        Ok((numbers, name(idx).unwrap_or(&Value::Null), is_crowd(idx)))
    };
    boxes.iter().enumerate().map(one).collect()
}

/// A number above 1 is how many there are.
fn is_true(value: &Value) -> bool {
    value.as_bool().or_else(|| value.as_f64().map(|n| n == 1.0)).unwrap_or(false)
}

/// The pictures of a file whose rows have boxes, each once.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pictures: Vec<Annotated>,
    places: BTreeMap<PictureIdx, usize>,
    /// Rows before this file.
    first_row: usize,
    /// Rows with columns of boxes beside one of classes.
    n_columns: usize,
    /// Boxes that were there already.
    n_twice: usize,
    /// Pictures that a row is about which cannot be used, with the row's number.
    lacking: BTreeMap<PictureIdx, usize>,
}

impl Gathered {
    /// Of a file that comes behind so many rows of others.
    pub(super) fn new(first_row: usize) -> Self {
        Self { first_row, ..Self::default() }
    }

    /// Adds the boxes of a row to those on the same picture.
    pub(super) fn add(
        &mut self,
        row: usize,
        name: Option<String>,
        picture: PictureIdx,
        named: Named,
    ) {
        let Named { boxes, size, are_columns } = named;
        self.n_columns += usize::from(are_columns);
        let (pictures, first_row) = (&mut self.pictures, self.first_row);
        let place = *self.places.entry(picture).or_insert_with(|| {
            pictures.push(Annotated {
                name: name.unwrap_or_else(|| (first_row + row).to_string()),
                row: Some(row),
                picture: Some(Shown::Known(picture)),
                open: Some(Open::default()),
                size,
                ..Annotated::default()
            });
            pictures.len() - 1
        });
        for (numbers, name, is_crowd) in boxes {
            let marked = pictures[place].boxes.entry(name).or_default();
            if marked.has(&numbers, is_crowd) {
                self.n_twice += 1;
            } else if is_crowd {
                marked.crowds.push(numbers);
            } else {
                marked.push(numbers, None);
            }
        }
    }

    /// Notes that a row about this picture cannot be used.
    pub(super) fn lacks(&mut self, picture: PictureIdx, row: usize) {
        self.lacking.entry(picture).or_insert(row);
    }

    /// The pictures. Of one that a bad row is about nobody knows all objects, nor what is not there.
    pub(super) fn pictures(self) -> Vec<Annotated> {
        let Self { mut pictures, places, lacking, .. } = self;
        for (picture, row) in lacking {
            let Some(place) = places.get(&picture) else { continue };
            let Annotated { boxes, absent, .. } = &mut pictures[*place];
            *absent = Some(BTreeSet::new());
            boxes.values_mut().for_each(|marked| marked.lacks(&format!("row {row}")));
        }
        pictures
    }

    /// That boxes beside classes make another task than classes alone, and that some were there twice.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let columns = (self.n_columns > 0).then(|| {
            format!(
                "{} a box and a class: they are asked where the objects of the class are; where the classes alone are to \
                 be learned, take the column of boxes out",
                match self.n_columns {
                    1 => "1 row has".to_owned(),
                    n => format!("{n} rows have"),
                }
            )
        });
        columns.into_iter().chain(note_twice(self.n_twice))
    }
}
