//! Rows of COCO annotations: `images`, `annotations`, `categories` in one JSON file; LVIS as well.

mod file;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file::{
    Annotation, Bbox, Category, Coco, FORMAT, Id, Image, Segmentation, Shape, Unread, parsed,
};

use super::annotated::{Annotated, Marked, Shown, count_bad, merged, push_all};
use super::fields::Found;
use super::spellings::Spellings;
use crate::path::Locator;
use crate::row::Skipped;
use crate::{BboxForm, DatasetError, Outline, Selection};

/// Names of several categories that are told.
const N_TWINS: usize = 3;

/// Boxes that must be alike before it is no accident.
const MIN_SUSPECTED: usize = 20;

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
    let mut bad = Vec::new();
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
                let place = annotation.place(number);
                let name = names.get(&annotation.category_id);
                if let Some((image, name)) = known.get(&annotation.image_id).zip(name) {
                    boxes[*image].entry(name.clone()).or_default().lacks(&place);
                }
                let is_asked = name.is_none_or(|name| selection.has(name));
                let of_it = if is_asked { &mut bad } else { &mut found.skipped_parts };
                of_it.push(Skipped { place, row: number, why });
            }
        }
    }
    let mut images = Vec::with_capacity(coco.images.len());
    for (idx, (image, boxes)) in coco.images.iter().zip(boxes).enumerate() {
        found.splits.note_one("split", image.split.as_str().unwrap_or_default());
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
    push_all(&images, &nameable(&coco, names), selection, file, found)?;
    // Behind the questions, whose numbers count from the first one.
    count_bad(bad, found);
    Ok(())
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
    if annotation.rotation % 180.0 != 0.0 {
        return Err(format!(
            "its box is turned by {} degrees (attributes.rotation), which four numbers cannot say: write the box around it, and no \
             rotation",
            annotation.rotation
        ));
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
}

#[cfg(test)]
mod tests;
