//! A row of a data set, the same whatever file it came from.

use std::path::Path;
use std::sync::Arc;

use vrft_messages::{Role, Turn};
use vrft_vision::{Original, Rect};

use crate::Picture;

/// A question about pictures and its verifiable answer. Pictures stay encoded, mostly on the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it was found.
    pub origin: Origin,
    /// The question of the row.
    pub question: Question,
    /// The pictures, in the order in which the question speaks of them. Rows about one picture share it.
    pub pictures: Vec<Arc<Picture>>,
    /// The true answer.
    pub truth: Truth,
}

/// Where a row was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file that has the row.
    pub file: Arc<Path>,
    /// Number of the row in its file, from 0.
    pub row: usize,
    /// Name of the sample: `sample_id` or `id` of the row, the picture's id and the category for annotations, else
    /// the number of the row. It is data, not a file name.
    pub sample_id: Arc<str>,
}

/// What is asked about the pictures.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// The conversation up to the answer, as the row has it. Rows that ask the same share it. Where the row has a first
    /// answer that is to be corrected, the conversation ends with that, as a turn of the assistant.
    Turns(Arc<[Turn]>),
    /// Where are all objects of this category? How that is asked depends on the declared answer.
    Category(Arc<str>),
    /// Which class is the picture of? How that is asked is up to the configuration.
    Class,
    /// Where, or when, is what these words describe?
    Expression(Arc<str>),
    /// Where is each object in each of the pictures, which are frames of a video?
    Tracks,
}

/// The true answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// In words, as the row has it.
    Text(Arc<str>),
    /// The boxes around the objects of the question's category, in pixels of the upright picture.
    Boxes(Boxes),
}

/// The annotated boxes of one category on one picture, in pixels of the upright picture. It is the list of those that an
/// answer should name, one around each object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boxes {
    objects: Box<[Rect<Original>]>,
    /// Pixels that each object covers: of its outline where the data says so, else of its box.
    pub areas: Box<[f64]>,
    /// Boxes around many objects at once (COCO's `iscrowd`): an answer need not name them, and does no wrong if it does.
    pub crowds: Box<[Rect<Original>]>,
    /// The shape of each object, where it was asked for (`data.masks`); else empty.
    pub outlines: Box<[Outline]>,
    /// What each object is called, where the row's question does not say it; else empty.
    pub labels: Box<[Arc<str>]>,
}

/// The shape of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Outline {
    /// Closed lines around its parts, by their corners in pixels of the picture.
    Polygons(Vec<Vec<[f64; 2]>>),
    /// COCO's run lengths as JSON writes them, `{"size": [height, width], "counts": …}`.
    Runs(String),
}

/// A row, or a part of one, that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is, as in `row 7`, `annotation 12` or `b.xml`.
    pub place: String,
    /// Number of the row in its file, from 0; orders what was skipped.
    pub row: usize,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl Question {
    /// The last question of a conversation in words; `None` where the row has none of its own.
    pub fn words(&self) -> Option<String> {
        let Question::Turns(turns) = self else { return None };
        turns.iter().rfind(|turn| turn.role == Role::User).map(Turn::text)
    }
}

impl Boxes {
    /// Boxes around objects, each with the pixels that its object covers, and boxes around crowds.
    pub fn new(
        objects: Box<[Rect<Original>]>,
        areas: Box<[f64]>,
        crowds: Box<[Rect<Original>]>,
    ) -> Self {
        Self { objects, areas, crowds, ..Self::default() }
    }

    /// The same with the shape of each object.
    pub(crate) fn with_outlines(self, outlines: Vec<Outline>) -> Self {
        Self { outlines: outlines.into(), ..self }
    }

    /// The same with what each object is called.
    pub fn with_labels(self, labels: Vec<Arc<str>>) -> Self {
        Self { labels: labels.into(), ..self }
    }
}

impl From<Vec<Rect<Original>>> for Boxes {
    /// Objects that fill their boxes.
    fn from(objects: Vec<Rect<Original>>) -> Self {
        let area = |[x1, y1, x2, y2]: [f64; 4]| (x2 - x1) * (y2 - y1);
        let areas = objects.iter().map(|rect| area(rect.corners())).collect();
        Self { objects: objects.into(), areas, ..Self::default() }
    }
}

impl std::ops::Deref for Boxes {
    type Target = [Rect<Original>];

    fn deref(&self) -> &Self::Target {
        &self.objects
    }
}

impl Origin {
    /// The row in words: its number, and its name where it has another one.
    pub fn place(&self) -> String {
        let number = format!("row {}", self.row);
        if self.sample_id.chars().all(|c| c.is_ascii_digit()) {
            number
        } else {
            format!("{number} ({})", self.sample_id)
        }
    }

    pub(crate) fn skipped(&self, why: String) -> Skipped {
        Skipped { place: self.place(), row: self.row, why }
    }
}

impl Row {
    /// Name of the sample.
    pub fn sample_id(&self) -> &str {
        &self.origin.sample_id
    }

    /// Reads and decodes all pictures to the last pixel, as a policy will: a file that breaks off has a fine header.
    ///
    /// # Errors
    /// The first picture that cannot be decoded, by its number in the row.
    pub fn decode(&self) -> Result<(), String> {
        for (idx, picture) in self.pictures.iter().enumerate() {
            picture.decode().map_err(|error| format!("image {idx}: {error}"))?;
        }
        Ok(())
    }
}
