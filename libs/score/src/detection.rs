//! Average precision and recall of detections, as COCO and LVIS define them.
//!
//! Detections of one category in one image are matched with its true boxes at ten overlaps (`matching`), then ranked
//! over all images into precision-recall curves (`curve`), whose means are the reported numbers (`summary`).

mod curve;
mod json;
mod matching;
mod questions;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::ScoreError;
use curve::Ranking;
use matching::{ImageMatches, Located};

pub use json::Id;
pub use questions::{FoundBox, Precisions, Question, TrueBox, of_questions, paired_intervals};
pub use summary::Summary;

/// IoU thresholds: 0.5, 0.55 … 0.95.
pub(crate) const N_THRESHOLDS: usize = 10;

/// The benchmark whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Every category is annotated in every image; at most 100 detections of a category in an image
    /// (`pycocotools.cocoeval`, iouType `bbox`).
    Coco,
    /// Federated annotation ([LVIS](https://arxiv.org/abs/1908.03195), section 3): an image is judged only for the
    /// categories that are known to be in it or not in it; at most 300 detections in an image (`lvis.eval`).
    Lvis,
}

/// What is truly there.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// All images, also those without annotations.
    pub images: Vec<Image>,
    /// All categories of the data set.
    pub categories: Vec<Category>,
    /// The true boxes of all images.
    pub annotations: Vec<Annotation>,
}

/// One image of the data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The id that the file gives it.
    pub id: Id,
    /// LVIS: categories that are known to be absent; `None` where the file does not say.
    pub negative: Option<Vec<Id>>,
    /// LVIS: categories of which there may be more than is annotated.
    pub not_exhaustive: Vec<Id>,
}

/// One category of objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// The id that the file gives it.
    pub id: Id,
    /// What it is called.
    pub name: String,
    /// LVIS: in how many training images it is.
    pub frequency: Option<Frequency>,
}

/// LVIS's groups of categories by the number of training images that they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frequency {
    /// Fewer than 10 images.
    Rare,
    /// 10 to 99 images.
    Common,
    /// 100 images or more.
    Frequent,
}

/// One true box.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The id that the file gives it.
    pub id: Id,
    /// The image that it is in.
    pub image: Id,
    /// What is in it.
    pub category: Id,
    /// x, y, width, height in pixels.
    pub bbox: [f64; 4],
    /// Area of the object in pixels, by which it is small, medium or large: that of its outline where it has one.
    pub area: f64,
    /// COCO: it stands for a crowd, which may be detected often and need not be.
    pub crowd: bool,
    /// LVIS: neither a hit nor a miss.
    pub ignore: bool,
}

/// One predicted box.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The image that it is in.
    pub image: Id,
    /// What is in it.
    pub category: Id,
    /// x, y, width, height in pixels.
    pub bbox: [f64; 4],
    /// How sure the detector is; only the order counts.
    pub score: f64,
}

impl Prediction {
    /// Its area in pixels.
    fn area(&self) -> f64 {
        self.bbox[2] * self.bbox[3]
    }
}

/// Average precision of the detections in one image, all of one category, as COCO defines it: the mean over these
/// overlaps. Boxes are x, y, width, height in any unit; a detection has its score behind it. `None` without a true box.
pub fn of_one_image(
    detections: &[([f64; 4], f64)],
    truth: &[[f64; 4]],
    overlaps: &[f64],
) -> Option<f64> {
    let id = Id::Number(1);
    let annotation = |(number, bbox): (i64, &[f64; 4])| Annotation {
        id: Id::Number(number),
        image: id.clone(),
        category: id.clone(),
        bbox: *bbox,
        area: bbox[2] * bbox[3],
        crowd: false,
        ignore: false,
    };
    let truth: Vec<Annotation> = (1..).zip(truth).map(annotation).collect();
    let prediction = |(bbox, score): &([f64; 4], f64)| Prediction {
        image: id.clone(),
        category: id.clone(),
        bbox: *bbox,
        score: *score,
    };
    let predictions: Vec<Prediction> = detections.iter().map(prediction).collect();
    let located =
        Located { truth: truth.iter().collect(), predictions: predictions.iter().collect() };
    let (_, low, high) = AREAS[0];
    let matches = located.matches(0, (low, high), Protocol::Coco, false, overlaps);
    let ranking = Ranking::new([&matches], Protocol::Coco.limit())?;
    let curves = (0..overlaps.len()).map(|number| ranking.curve(number).average_precision);
    Some(curves.sum::<f64>() / overlaps.len() as f64)
}

/// COCO's overlaps from which on a detection may count as right, 0.5, 0.55 … 0.95, as numpy's `linspace` rounds them, so
/// that one of exactly 0.7 falls on the same side.
pub const OVERLAPS: [f64; N_THRESHOLDS] = overlaps();

const fn overlaps() -> [f64; N_THRESHOLDS] {
    let step = (0.95 - 0.5) / (N_THRESHOLDS - 1) as f64;
    let mut overlaps = [0.95; N_THRESHOLDS];
    let mut k = 0;
    while k < N_THRESHOLDS - 1 {
        overlaps[k] = k as f64 * step + 0.5;
        k += 1;
    }
    overlaps
}

/// Ranges of area: all, small, medium, large.
pub(crate) const AREAS: [(&str, f64, f64); 4] = [
    ("", 0.0, 1e10),
    ("s", 0.0, 32.0 * 32.0),
    ("m", 32.0 * 32.0, 96.0 * 96.0),
    ("l", 96.0 * 96.0, 1e10),
];

impl Protocol {
    /// Numbers of detections of a category in an image that count, ascending.
    pub(crate) fn max_detections(self) -> &'static [usize] {
        match self {
            Self::Coco => &[1, 10, 100],
            Self::Lvis => &[300],
        }
    }

    /// The highest of these.
    pub(crate) fn limit(self) -> usize {
        *self.max_detections().last().expect("a protocol has limits")
    }
}

/// Detections matched with the truth; what is reported follows from it.
#[derive(Debug, Clone)]
pub struct Evaluation {
    protocol: Protocol,
    categories: Vec<Category>,
    n_images: usize,
    /// By category, then by range of area: the images where the category was annotated or predicted, in order.
    matches: Vec<[Vec<ImageMatches>; AREAS.len()]>,
}

impl Evaluation {
    /// Matches predictions with the truth. Predictions of categories that the truth does not have are left out, as both
    /// programs do.
    ///
    /// # Errors
    /// An annotation or a prediction of an image that the truth does not have, an id that occurs twice; by LVIS's protocol an
    /// image that does not say which categories are not on it.
    pub fn new(
        truth: &Truth,
        predictions: &[Prediction],
        protocol: Protocol,
    ) -> Result<Self, ScoreError> {
        check_unique("images", truth.images.iter().map(|image| &image.id))?;
        check_unique("categories", truth.categories.iter().map(|category| &category.id))?;
        check_unique("annotations", truth.annotations.iter().map(|annotation| &annotation.id))?;
        let is_federated = truth.images.iter().all(|image| image.negative.is_some());
        if protocol == Protocol::Lvis && !is_federated {
            return Err(ScoreError::NotFederated);
        }
        let mut images: Vec<&Image> = truth.images.iter().collect();
        images.sort_by(|a, b| a.id.cmp(&b.id));
        let mut categories: Vec<&Category> = truth.categories.iter().collect();
        categories.sort_by(|a, b| a.id.cmp(&b.id));
        let located = locate(&images, truth, predictions, protocol)?;
        let none = BTreeMap::new();
        let matches = categories.par_iter().map(|category| {
            let of_category = located.get(&category.id).unwrap_or(&none);
            AREAS.map(|(_, low, high)| {
                let of_image = |(idx, located): (&usize, &Located)| {
                    let partial = images[*idx].not_exhaustive.contains(&category.id);
                    located.matches(*idx, (low, high), protocol, partial, &OVERLAPS)
                };
                of_category.iter().map(of_image).collect()
            })
        });
        let matches = matches.collect();
        let categories = categories.into_iter().cloned().collect();
        Ok(Self { protocol, categories, n_images: images.len(), matches })
    }
}

/// Truth and predictions by category, then by the image's place in the order of ids.
fn locate<'a>(
    images: &[&Image],
    truth: &'a Truth,
    predictions: &'a [Prediction],
    protocol: Protocol,
) -> Result<BTreeMap<&'a Id, BTreeMap<usize, Located<'a>>>, ScoreError> {
    let places: BTreeMap<&Id, usize> =
        (0..).zip(images).map(|(idx, image)| (&image.id, idx)).collect();
    let mut located: BTreeMap<&Id, BTreeMap<usize, Located>> =
        truth.categories.iter().map(|category| (&category.id, BTreeMap::new())).collect();
    // lvis-api asks for what has an area before anything else, so that what has none neither counts nor is missed.
    let has_area = |area: f64| protocol == Protocol::Coco || (area > 0.0 && area < f64::INFINITY);
    for annotation in &truth.annotations {
        // pycocotools evaluates only the images that the file lists: a subset often keeps all annotations.
        let Some(place) = places.get(&annotation.image) else { continue };
        if !has_area(annotation.area) {
            continue;
        }
        // pycocotools evaluates only the categories that the file lists.
        if let Some(of_category) = located.get_mut(&annotation.category) {
            of_category.entry(*place).or_default().truth.push(annotation);
        }
    }
    for (index, prediction) in most_likely(predictions, protocol) {
        let place = places.get(&prediction.image).ok_or_else(|| ScoreError::Prediction {
            index,
            message: unknown(&prediction.image, &places),
        })?;
        if !has_area(prediction.area()) {
            continue;
        }
        let Some(of_category) = located.get_mut(&prediction.category) else { continue };
        let known = protocol == Protocol::Coco
            || of_category.get(place).is_some_and(|located| !located.truth.is_empty())
            || images[*place].negative.iter().flatten().any(|id| *id == prediction.category);
        if known {
            of_category.entry(*place).or_default().predictions.push(prediction);
        }
    }
    Ok(located)
}

/// Why an image is not known, and what may be meant.
fn unknown(image: &Id, places: &BTreeMap<&Id, usize>) -> String {
    let hint = match image.otherwise().filter(|other| places.contains_key(other)) {
        Some(other) => format!("; there it is {other}"),
        None => String::new(),
    };
    format!("its image {image} is not among the images of the truth{hint}")
}

/// LVIS keeps the most likely detections of each image, whatever their category; COCO limits each category later.
fn most_likely(predictions: &[Prediction], protocol: Protocol) -> Vec<(usize, &Prediction)> {
    let all: Vec<(usize, &Prediction)> = predictions.iter().enumerate().collect();
    if protocol == Protocol::Coco {
        return all;
    }
    let max = protocol.max_detections()[0];
    let mut of_images: BTreeMap<&Id, Vec<(usize, &Prediction)>> = BTreeMap::new();
    for (index, prediction) in all {
        of_images.entry(&prediction.image).or_default().push((index, prediction));
    }
    for of_image in of_images.values_mut().filter(|of_image| of_image.len() > max) {
        of_image.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
        of_image.truncate(max);
    }
    of_images.into_values().flatten().collect()
}

fn check_unique<'a>(
    what: &'static str,
    ids: impl Iterator<Item = &'a Id>,
) -> Result<(), ScoreError> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(ScoreError::Duplicate { what, id: id.to_string() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
