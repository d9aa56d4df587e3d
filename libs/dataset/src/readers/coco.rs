//! Rows of COCO annotations: `images`, `annotations`, `categories` in one JSON file; LVIS as well.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::annotated::{Annotated, Marked, Shown, merged, push_all};
use super::fields::Found;
use super::json_place;
use super::json_text::{self, WithoutNan};
use super::spellings::Spellings;
use crate::path::Locator;
use crate::row::Skipped;
use crate::{BboxForm, DatasetError, Outline, Selection};

const FORMAT: &str = "COCO annotations";

/// What such a file has, for one that lacks it.
const KEYS: &str = " (annotations have the keys images, annotations and categories; rows are a list of objects, or one \
                    object a line)";

/// Names of several categories that are told.
const N_TWINS: usize = 3;

/// Boxes that must be alike before it is no accident.
const MIN_SUSPECTED: usize = 20;

/// Annotations with the shapes of their objects, or without: those of a large file take more memory than all else.
#[derive(Deserialize)]
#[serde(bound = "S: Deserialize<'de> + Default")]
struct Coco<S> {
    images: Vec<Image>,
    annotations: Vec<Annotation<S>>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    file_name: Option<Box<str>>,
    /// LVIS has no name, but where COCO has the picture.
    coco_url: Option<Box<str>>,
    #[serde(default, deserialize_with = "side")]
    width: Option<f64>,
    #[serde(default, deserialize_with = "side")]
    height: Option<f64>,
    /// LVIS: categories that were looked for and are not there. Of others without a box nothing is known.
    neg_category_ids: Option<Vec<Id>>,
    /// LVIS: categories of which more objects may be there than have a box.
    #[serde(default)]
    not_exhaustive_category_ids: Vec<Id>,
}

#[derive(Deserialize)]
#[serde(bound = "S: Deserialize<'de> + Default")]
struct Annotation<S> {
    #[serde(default)]
    id: Id,
    #[serde(default)]
    image_id: Id,
    #[serde(default)]
    category_id: Id,
    #[serde(default)]
    bbox: Bbox,
    /// Pixels of the object's outline.
    #[serde(default, deserialize_with = "side")]
    area: Option<f64>,
    /// A box around many objects at once: no answer to a question for each of them.
    #[serde(default, deserialize_with = "flag")]
    iscrowd: bool,
    #[serde(default)]
    segmentation: S,
}

/// What is read of the shape of an object.
trait Shape: DeserializeOwned + Default {
    /// The shape, if it is asked for.
    ///
    /// # Errors
    /// It is asked for, and not there or not a shape.
    fn outline(&self) -> Result<Option<Outline>, String>;
}

/// A shape that is not asked for.
#[derive(Default, Deserialize)]
#[serde(from = "IgnoredAny")]
struct Unread;

impl From<IgnoredAny> for Unread {
    fn from(_: IgnoredAny) -> Self {
        Self
    }
}

impl Shape for Unread {
    fn outline(&self) -> Result<Option<Outline>, String> {
        Ok(None)
    }
}

/// A shape as the file has it: lists of corners, or run lengths.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Segmentation(Value);

impl Shape for Segmentation {
    fn outline(&self) -> Result<Option<Outline>, String> {
        let Self(value) = self;
        if value.get("counts").is_some() && value.get("size").is_some() {
            return Ok(Some(Outline::Runs(value.to_string())));
        }
        let line = |line: &Value| -> Option<Vec<[f64; 2]>> {
            let numbers: Vec<f64> =
                line.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            let is_line = numbers.len() >= 6 && numbers.len().is_multiple_of(2);
            is_line.then(|| numbers.chunks(2).map(|pair| [pair[0], pair[1]]).collect())
        };
        let lines: Option<Vec<_>> =
            value.as_array().and_then(|lines| lines.iter().map(line).collect());
        lines
            .filter(|lines| !lines.is_empty())
            .map(|lines| Some(Outline::Polygons(lines)))
            .ok_or_else(|| {
                "its segmentation is neither lists of x and y nor run lengths".to_owned()
            })
    }
}

#[derive(Deserialize)]
struct Category {
    id: Id,
    name: Value,
    supercategory: Option<Box<str>>,
}

impl Category {
    /// Its id and name; `None` if it has no name.
    fn named(&self) -> Option<(&Id, &str)> {
        Some((&self.id, self.name.as_str().filter(|name| !name.trim().is_empty())?))
    }
}

/// A number, or a text as other tools write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id {
    #[default]
    None,
    Number(i64),
    Text(Box<str>),
}

/// x, y, width, height in pixels, or why it is not that.
#[derive(Debug, Clone, PartialEq)]
enum Bbox {
    Corners([f64; 4]),
    Bad(&'static str),
}

/// Reads annotations; the images they name are found as COCO lays them out, see [`locator`].
pub(crate) fn read(
    path: &Path,
    image_root: Option<&Path>,
    allow_outside: bool,
    selection: &Selection,
    found: &mut Found,
) -> Result<(), DatasetError> {
    found.pictures.locate_with(locator(path, image_root, allow_outside));
    if selection.masks {
        collect::<Segmentation>(parsed(path)?, selection, &path.into(), found)
    } else {
        collect::<Unread>(parsed(path)?, selection, &path.into(), found)
    }
}

fn parsed<S: Shape>(path: &Path) -> Result<Coco<S>, DatasetError> {
    let reader = WithoutNan::new(json_text::open(path)?);
    let content = |message: String| super::content(path, FORMAT, message);
    serde_json::from_reader(reader).map_err(|error| {
        let what = if error.is_data() { KEYS } else { "" };
        content(format!("{}{what}", json_place::told(path, &error, false)))
    })
}

/// Names of the categories by their ids; those without a name are left out.
fn names(
    categories: &[Category],
    spellings: &mut Spellings,
) -> Result<HashMap<Id, Arc<str>>, String> {
    let mut names: HashMap<Id, Arc<str>> = HashMap::new();
    if let Some(Category { id, name, .. }) =
        categories.iter().find(|one| !one.name.is_string() && !one.name.is_null())
    {
        return Err(format!(
            "the name of category {id} is {name}, which is no text: write it in quotes, as \"name\": \"{name}\""
        ));
    }
    for (id, name) in categories.iter().filter_map(Category::named) {
        let name = spellings.of(name);
        let before = names.insert(id.clone(), name.clone());
        if let Some(before) = before.filter(|before| *before != name) {
            return Err(format!(
                "category {id} is {before:?} and {name:?}: give each category an id of its own"
            ));
        }
    }
    Ok(names)
}

/// That categories with ids of their own have one name, so that a question for it asks for the objects of all of them.
fn twins(categories: &[Category]) -> Option<String> {
    let mut by_name: BTreeMap<&str, BTreeSet<&Id>> = BTreeMap::new();
    for (id, name) in categories.iter().filter_map(Category::named) {
        by_name.entry(name.trim()).or_default().insert(id);
    }
    let shared = by_name.into_iter().filter(|(_, ids)| ids.len() > 1);
    let told: Vec<String> = shared
        .map(|(name, ids)| {
            let ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
            format!("{} are {name:?}", ids.join(" and "))
        })
        .collect();
    let more = told.len().saturating_sub(N_TWINS);
    let rest = if more > 0 { format!(", and {more} more names") } else { String::new() };
    (!told.is_empty()).then(|| {
        format!(
            "warning: categories of one name are one: {}{rest}; give them names of their own if they are not the same",
            told.iter().take(N_TWINS).cloned().collect::<Vec<_>>().join(", ")
        )
    })
}

/// Corners that were written where COCO has sides are found where they leave the picture; where all lie inside, they can
/// only be suspected.
fn look_like_corners<S>(annotations: &[Annotation<S>]) -> Option<String> {
    let corners = annotations.iter().filter_map(|annotation| match annotation.bbox {
        Bbox::Corners(corners) => Some(corners),
        Bbox::Bad(_) => None,
    });
    let (n, n_alike) = corners.fold((0, 0), |(n, n_alike), [x, y, third, fourth]| {
        (n + 1, n_alike + usize::from(third > x && fourth > y))
    });
    (n >= MIN_SUSPECTED && n == n_alike).then(|| {
        format!(
            "in all {n} annotations the third number of bbox is above the first and the fourth above the second, as in \
             corners [x1, y1, x2, y2]: they are taken for [x, y, width, height], as COCO has them. Look at a picture; \
             data.bbox = \"corners\" takes them for corners"
        )
    })
}

/// Images lie beside the file, or where COCO has them: `annotations/instances_train2017.json` is about the pictures in
/// `../train2017` or `../images/train2017`. Where a root is named, these start at it.
fn locator(path: &Path, image_root: Option<&Path>, allow_outside: bool) -> Locator {
    let locator = Locator::new(path, image_root, allow_outside);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut folders: Vec<PathBuf> = Vec::new();
    // instances_train2017, lvis_v1_train: what stands behind an underscore may be the folder's name.
    let starts = stem.match_indices('_').map(|(place, _)| &stem[place + 1..]);
    for name in std::iter::once(stem.as_str()).chain(starts).filter(|name| !name.is_empty()) {
        folders.extend([PathBuf::from(name), Path::new("images").join(name)]);
    }
    // FiftyOne has its pictures in `data` beside `labels.json`.
    folders.extend(["images".into(), "data".into(), PathBuf::new()]);
    if image_root.is_some() { locator.within(&folders) } else { locator.also_in(&folders) }
}

fn collect<S: Shape>(
    coco: Coco<S>,
    selection: &Selection,
    file: &Arc<Path>,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let mut spellings = Spellings::default();
    let names = names(&coco.categories, &mut spellings);
    let names = &names.map_err(|why| super::content(file, FORMAT, why))?;
    found.notes.extend(spellings.note());
    found.notes.extend(twins(&coco.categories));
    if selection.bbox.is_none() {
        found.notes.extend(look_like_corners(&coco.annotations));
    }
    let known: HashMap<&Id, usize> =
        coco.images.iter().enumerate().map(|(idx, image)| (&image.id, idx)).collect();
    // One picture that is listed twice is no question.
    let is_twin = |image: &&Image| coco.images[known[&image.id]].file_name() != image.file_name();
    let twins: HashSet<&Id> = coco.images.iter().filter(is_twin).map(|image| &image.id).collect();
    let mut boxes: Vec<BTreeMap<Arc<str>, Marked>> = vec![BTreeMap::new(); coco.images.len()];
    let mut n_twice = 0;
    for (number, annotation) in coco.annotations.iter().enumerate() {
        match usable(annotation, &known, names, selection.bbox.unwrap_or_default()) {
            Ok(Usable { image, name, corners, outline }) => {
                let marked = boxes[image].entry(name).or_default();
                if marked.has(&corners, annotation.iscrowd) {
                    n_twice += 1;
                } else if annotation.iscrowd {
                    marked.crowds.push(corners);
                } else {
                    marked.push(corners, annotation.area);
                    marked.outlines.extend(outline);
                }
            }
            // A crowd is no answer, so nothing is lost with it.
            Err(_) if annotation.iscrowd => {}
            Err(why) => {
                let place = match &annotation.id {
                    Id::None => format!("annotation number {number}"),
                    id => format!("annotation {id}"),
                };
                found.skipped_parts.push(Skipped { place, row: number, why });
            }
        }
    }
    let mut images = Vec::with_capacity(coco.images.len());
    for (idx, (image, boxes)) in coco.images.iter().zip(boxes).enumerate() {
        if twins.contains(&image.id) || known[&image.id] != idx {
            let why = "another image has the same id, so that nobody knows whose boxes are whose"
                .to_owned();
            found.skipped_parts.push(Skipped {
                place: format!("image {}", image.id),
                row: idx,
                why,
            });
            continue;
        }
        images.push(image.annotated(boxes, names));
    }
    let (images, notes) = merged(images, n_twice);
    found.notes.extend(notes);
    push_all(&images, &nameable(&coco, names), selection, file, found)
}

/// The names of the categories that can be asked for. Roboflow adds one above all others, which no box belongs to.
fn nameable<S>(coco: &Coco<S>, names: &HashMap<Id, Arc<str>>) -> BTreeSet<Arc<str>> {
    let used: BTreeSet<&Id> = coco.annotations.iter().map(|one| &one.category_id).collect();
    let above: BTreeSet<&str> =
        coco.categories.iter().filter_map(|one| one.supercategory.as_deref()).collect();
    let is_title = |one: &&Category| {
        !used.contains(&one.id) && above.contains(one.name.as_str().unwrap_or_default())
    };
    let categories = coco.categories.iter().filter(|one| !is_title(one));
    categories.filter_map(|one| names.get(&one.id).cloned()).collect()
}

/// An annotation that can be used.
struct Usable {
    /// Number of the image.
    image: usize,
    /// Name of the category.
    name: Arc<str>,
    corners: [f64; 4],
    outline: Option<Outline>,
}

fn usable<S: Shape>(
    annotation: &Annotation<S>,
    images: &HashMap<&Id, usize>,
    names: &HashMap<Id, Arc<str>>,
    form: BboxForm,
) -> Result<Usable, String> {
    let [x, y, width, height] = match (&annotation.bbox, form) {
        (Bbox::Corners(sides), BboxForm::Sides) => *sides,
        (Bbox::Corners([x1, y1, x2, y2]), BboxForm::Corners) => [*x1, *y1, x2 - x1, y2 - y1],
        (Bbox::Bad(why), _) => return Err((*why).to_owned()),
    };
    if !(width > 0.0 && height > 0.0) {
        // Corners are told as they were written.
        let (third, fourth, why) = match form {
            BboxForm::Corners => (x + width, y + height, "has its corners swapped"),
            BboxForm::Sides => (width, height, "has a width or height below 0"),
        };
        let why = if width < 0.0 || height < 0.0 { why } else { "has no area" };
        return Err(format!("its bbox {why}: [{x}, {y}, {third}, {fourth}]"));
    }
    let is_fraction = [x, y, width, height].iter().any(|number| number.fract() != 0.0);
    if is_fraction && x + width <= 1.0 && y + height <= 1.0 {
        return Err(format!(
            "its bbox [{x}, {y}, {width}, {height}] lies within the first pixel: COCO counts pixels, not shares of the \
             sides; multiply these by width and height"
        ));
    }
    let image = images.get(&annotation.image_id);
    let image = image.ok_or_else(|| format!("there is no image {}", annotation.image_id))?;
    let name = names.get(&annotation.category_id).ok_or_else(|| {
        format!("categories has no name for its category {}", annotation.category_id)
    })?;
    let (name, corners) = (name.clone(), [x, y, x + width, y + height]);
    let outline = if annotation.iscrowd { None } else { annotation.segmentation.outline()? };
    Ok(Usable { image: *image, name, corners, outline })
}

impl Image {
    /// The picture with these boxes. Where LVIS does not promise that each object has a box, the picture is marked as a
    /// whole like a crowd, so that finding more of them is no mistake.
    fn annotated(
        &self,
        mut boxes: BTreeMap<Arc<str>, Marked>,
        names: &HashMap<Id, Arc<str>>,
    ) -> Annotated {
        let size = self.width.zip(self.height);
        let unsure = self.not_exhaustive_category_ids.iter().filter_map(|id| names.get(id));
        for name in unsure {
            if let (Some(marked), Some((width, height))) = (boxes.get_mut(name), size) {
                marked.crowds.push([0.0, 0.0, width, height]);
            }
        }
        let absent = self.neg_category_ids.as_ref();
        let absent = absent.map(|ids| ids.iter().filter_map(|id| names.get(id).cloned()).collect());
        let (name, picture) = (self.id.to_string(), self.file_name().map(Shown::Named));
        Annotated { name, picture, size, boxes, absent, ..Annotated::default() }
    }

    /// The name of the file; of an address the folder and the name.
    fn file_name(&self) -> Option<String> {
        if let Some(name) = &self.file_name {
            return Some(name.to_string());
        }
        let url = self.coco_url.as_deref()?;
        let start = url.rmatch_indices('/').map(|(place, _)| place + 1).nth(1).unwrap_or(0);
        Some(url[start..].to_owned())
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::None => f.write_str("(none)"),
            Id::Number(number) => number.fmt(f),
            Id::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Id::None,
            Value::String(text) => match text.parse() {
                Ok(number) => Id::Number(number),
                Err(_) => Id::Text(text.into()),
            },
            // 7.0 is 7; what is too large for either type is told apart by how it is written.
            other => match other.as_i64().or_else(|| other.as_f64().and_then(whole)) {
                Some(number) => Id::Number(number),
                None => Id::Text(other.to_string().into()),
            },
        })
    }
}

/// A number that is whole, and small enough for no other to be rounded to it.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

impl Default for Bbox {
    fn default() -> Self {
        Bbox::Bad("it has no bbox")
    }
}

impl<'de> Deserialize<'de> for Bbox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Some(list) = value.as_array() else {
            let is_null = value.is_null();
            return Ok(Bbox::Bad(if is_null { "its bbox is null" } else { "its bbox is no list" }));
        };
        if list.is_empty() {
            return Ok(Bbox::Bad("its bbox is empty"));
        }
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        let numbers: Option<Vec<f64>> = list.iter().map(number).collect();
        let numbers = numbers.filter(|numbers| numbers.iter().all(|number| number.is_finite()));
        let corners = numbers.and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
        Ok(corners.map_or(Bbox::Bad("its bbox is not four numbers"), Bbox::Corners))
    }
}

/// A side of an image, or an area; tools write -1 or 0 where they do not know it.
fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    Ok(number.filter(|side| *side > 0.0))
}

/// 0 or 1, or as JSON has it.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_bool().or_else(|| value.as_f64().map(|n| n != 0.0)).unwrap_or(false))
}

#[cfg(test)]
mod tests;
