//! From the fields of a row, whatever file they stood in, to the row.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use vrft_messages::{Part, Role, Turn};

use super::annotated::Marked;
use super::classes::is_missing;
use super::conversation::{self, CONVERSATION_KEYS, Conversation};
use super::objects::{Gathered, Objects};
use super::placeholders::{self, Answer};
use super::split_column::SplitColumn;
use super::unread::Unread;
use super::unworded::{self, Asking};
use super::value::NAN;
use super::worded;
use crate::forms::Open;
use crate::pictures::{Cell, PictureIdx, Pictures};
use crate::row::Skipped;
use crate::{DatasetError, FramesConfig, Origin, Question, Selection};

/// Whole numbers below this are written with all their digits.
const MAX_WRITTEN_OUT: f64 = 1e21;

/// Key of an answer that somebody gave before, to be corrected where a reward is for that.
pub(super) const FIRST: &str = "first";

/// What a reader found in a file.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) pictures: Pictures,
    pub(crate) rows: Vec<Result<Draft, Skipped>>,
    /// Annotations without use. They do not count as rows.
    pub(crate) skipped_parts: Vec<Skipped>,
    /// What is odd about a file and should be known.
    pub(crate) notes: Vec<String>,
    /// What is shown of videos.
    pub(crate) frames: FramesConfig,
    /// Whether places in words may count pixels.
    pub(crate) may_be_pixels: bool,
    /// The splits that rows of all files name.
    pub(crate) splits: SplitColumn,
    /// Fields of the last file that nothing is made of.
    pub(super) unread: Unread,
    /// Conversations, equal ones once.
    turns: HashSet<Arc<[Turn]>>,
    asking: Asking,
    /// Rows of the file with boxes and their names, by their pictures.
    gathered: Gathered,
}

/// A row whose pictures were not looked at yet.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) origin: Origin,
    pub(crate) question: Question,
    pub(crate) pictures: Vec<PictureIdx>,
    pub(crate) truth: DraftTruth,
}

/// The true answer as the file has it.
#[derive(Debug)]
pub(crate) enum DraftTruth {
    Text(Arc<str>),
    /// In words that have boxes, beside the width and height of the picture that these are on.
    Sized {
        text: Arc<str>,
        size: (f64, f64),
    },
    Boxes {
        /// The places of the objects.
        marked: Marked,
        /// Width and height of the picture that the annotations speak of, where they say so.
        size: Option<(f64, f64)>,
        /// What was open about the numbers of the places; `None` where they are corners in pixels.
        open: Option<Open>,
    },
}

/// The fields of a row.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// All but the images.
    pub(crate) values: Map<String, Value>,
    /// `None` if there is no such field.
    pub(crate) images: Option<Vec<Cell>>,
    /// Names of video files, of which frames are shown.
    pub(crate) videos: Vec<String>,
}

impl Found {
    /// What is asked of rows that have no question in words, from now on.
    ///
    /// # Errors
    /// A list of classes that cannot be read.
    pub(crate) fn ask(&mut self, selection: &Selection) -> Result<(), DatasetError> {
        self.asking = Asking::new(selection)?;
        self.gathered = Gathered::new(self.rows.len());
        Ok(())
    }

    /// What classes are called whose numbers the rows have.
    pub(crate) fn name_classes(&mut self, names: &[Arc<str>]) {
        self.asking.name_classes(names);
    }

    /// Ends the last file: checks that its rows had what was to be asked about, and adds those about boxes, of which several
    /// may be about one picture.
    ///
    /// # Errors
    /// As [`Asking::check`].
    pub(crate) fn finish_file(&mut self, path: &Path) -> Result<(), DatasetError> {
        self.notes.extend(self.asking.notes());
        self.notes.extend(std::mem::take(&mut self.unread).told());
        self.asking.check(path)?;
        let gathered = std::mem::take(&mut self.gathered);
        self.notes.extend(gathered.notes());
        let (known, selection) = (self.asking.known(), self.asking.selection().clone());
        super::annotated::push_all(&gathered.pictures(), &known, &selection, &path.into(), self)
    }

    /// Adds a row, or one for each of its questions; `row` is its number in the file.
    pub(crate) fn push(&mut self, file: &Arc<Path>, row: usize, fields: Result<Fields, String>) {
        let drafts = fields.and_then(|fields| {
            self.splits.note(&fields.values);
            let is_unworded = unworded::is_one(|key| fields.values.contains_key(key));
            self.unread.note_row(&fields.values, is_unworded);
            if is_unworded {
                return self.unworded(file, row, fields);
            }
            self.asking.note_words();
            self.draft(file, row, fields).map(|draft| vec![draft])
        });
        match drafts {
            Ok(drafts) => self.rows.extend(drafts.into_iter().map(Ok)),
            Err(why) => self.rows.push(Err(Skipped { place: format!("row {row}"), row, why })),
        }
    }

    /// The questions of a row that asks none in words.
    fn unworded(
        &mut self,
        file: &Arc<Path>,
        row: usize,
        fields: Fields,
    ) -> Result<Vec<Draft>, String> {
        let Fields { values, images, .. } = fields;
        let name = sample_id(&values)?;
        if !unworded::is_reference(&values) {
            unworded::check_words(&values)?;
        }
        self.asking.note_twins(&values);
        let mut add = |images: Option<Vec<Cell>>| -> Result<Vec<PictureIdx>, String> {
            let images = images.ok_or("no \"image\"")?.into_iter();
            images.map(|cell| self.pictures.add(cell)).collect()
        };
        let objects = if unworded::is_reference(&values) { Ok(None) } else { Objects::of(&values) };
        let named = objects.and_then(|objects| {
            objects.map(|objects| objects.named(|name| self.asking.class(name))).transpose()
        });
        let named = match named {
            Ok(named) => named,
            Err(why) => {
                // What other rows have about its picture is not all that is there.
                if let Ok(&[picture]) = add(images).as_deref() {
                    self.gathered.lacks(picture, row);
                }
                return Err(why);
            }
        };
        if let Some(named) = named {
            let [picture] = add(images)?[..] else {
                return Err("its boxes are on one image, and it has several or none".to_owned());
            };
            self.gathered.add(row, name, picture, named);
            return Ok(Vec::new());
        }
        if self.asking.is_unlabeled(&values) {
            let why = "its class -1 stands for none, as datasets without labels have it".to_owned();
            self.skipped_parts.push(Skipped { place: format!("row {row}"), row, why });
            return Ok(Vec::new());
        }
        let asked = self.asking.questions(&values)?;
        let name = name.unwrap_or_else(|| row.to_string());
        let pictures = add(images)?;
        let drafts = asked.into_iter().enumerate().map(|(number, (question, truth))| {
            let sample_id = if number == 0 { name.clone() } else { format!("{name}-{number}") };
            let origin = Origin { file: file.clone(), row, sample_id: sample_id.into() };
            Draft { origin, question, pictures: pictures.clone(), truth }
        });
        Ok(drafts.collect())
    }

    /// A true answer in words, with the size of its one picture where its boxes may count pixels of that.
    fn in_words(&self, values: &Map<String, Value>, text: String, n_images: usize) -> DraftTruth {
        let size = worded::size(values).filter(|_| self.may_be_pixels && n_images == 1);
        match size.filter(|size| worded::has_boxes(&text, *size)) {
            Some(size) => DraftTruth::Sized { text: text.into(), size },
            None => DraftTruth::Text(text.into()),
        }
    }

    /// The frames of a row's videos; the marks of the videos become those of their frames.
    fn frames_of(
        &mut self,
        values: &mut Map<String, Value>,
        videos: &[String],
    ) -> Result<Vec<Cell>, String> {
        let mut cells = Vec::new();
        let mut shown = Vec::new();
        for name in videos {
            let moments = self.pictures.video(name)?.moments(&self.frames);
            shown.push(super::videos::marks(&moments, self.frames.times));
            let cell = |at_secs| Cell::Frame { video: name.clone(), at_secs, group: String::new() };
            cells.extend(moments.into_iter().map(cell));
        }
        super::videos::place(values, &shown)?;
        Ok(cells)
    }

    fn draft(&mut self, file: &Arc<Path>, row: usize, fields: Fields) -> Result<Draft, String> {
        let Fields { mut values, images, videos } = fields;
        let images = match (videos.is_empty(), images) {
            (true, images) => {
                super::videos::place(&mut values, &[])?;
                images
            }
            (false, Some(images)) if !images.is_empty() => {
                return Err("it has images and videos: only one of them can be shown".to_owned());
            }
            (false, _) => Some(self.frames_of(&mut values, &videos)?),
        };
        let mut spoken = CONVERSATION_KEYS.iter().filter_map(|key| values.get(*key));
        let mut conversation = match spoken.find(|value| value.is_array()) {
            Some(turns) => conversation::read(turns)?,
            None => question(&text(&values, "problem")?),
        };
        add_system(&mut conversation.turns, &values);
        worded::check_answer(&values)?;
        worded::check_one_answer(&values)?;
        worded::check_choices(&values, &conversation.turns)?;
        let first = values.get(FIRST).and_then(Value::as_str).map(Turn::answer);
        let brings_its_own = conversation.pictures.iter().any(Option::is_some);
        let images = match images {
            None if !brings_its_own => return Err("no \"image\"".to_owned()),
            images => images.unwrap_or_default(),
        };
        let cells = place_images(&mut conversation, images)?;
        conversation.turns.extend(first);
        let answer = match values.get("solution").map(the_one).filter(|value| !value.is_null()) {
            Some(Value::String(none)) if is_missing(none.trim()) => {
                return Err(format!("its solution {none:?} stands for none"));
            }
            Some(solution) => answer(solution)?,
            None => conversation.answer.ok_or_else(|| no_answer(&values))?,
        };
        let truth = match placeholders::replace(&values, &mut conversation.turns, answer)? {
            Answer::Text(text) => self.in_words(&values, text, cells.len()),
            Answer::Boxes(truth) => truth,
        };
        let sample_id = sample_id(&values)?.unwrap_or_else(|| row.to_string());
        let pictures = cells.into_iter().map(|cell| self.pictures.add(cell));
        Ok(Draft {
            pictures: pictures.collect::<Result<_, _>>()?,
            origin: Origin { file: file.clone(), row, sample_id: sample_id.into() },
            question: Question::Turns(interned(&mut self.turns, conversation.turns.as_slice())),
            truth,
        })
    }
}

/// The one copy of equal values.
fn interned<'a, T>(known: &mut HashSet<Arc<T>>, value: &'a T) -> Arc<T>
where
    T: ?Sized + Eq + std::hash::Hash,
    Arc<T>: From<&'a T>,
{
    if let Some(found) = known.get(value) {
        return found.clone();
    }
    let new: Arc<T> = value.into();
    known.insert(new.clone());
    new
}

/// A single question.
fn question(problem: &str) -> Conversation {
    let mut pictures = Vec::new();
    let parts = conversation::marked(problem, &mut pictures);
    Conversation { turns: vec![Turn { role: Role::User, parts }], answer: None, pictures }
}

fn add_system(turns: &mut Vec<Turn>, values: &Map<String, Value>) {
    let system = values.get("system").and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(system) = system
        && turns.iter().all(|turn| turn.role != Role::System)
    {
        turns.insert(0, Turn::system(system));
    }
}

/// All pictures of a row in the order of their places. Without any mark, they come first.
fn place_images(conversation: &mut Conversation, images: Vec<Cell>) -> Result<Vec<Cell>, String> {
    let places = std::mem::take(&mut conversation.pictures);
    if places.is_empty() {
        let first = conversation.turns.iter_mut().find(|turn| turn.role == Role::User);
        let parts = first.map(|turn| &mut turn.parts).ok_or("no turn of the user")?;
        parts.splice(0..0, images.iter().map(|_| Part::Image));
        return Ok(images);
    }
    let n_marks = places.iter().filter(|cell| cell.is_none()).count();
    if n_marks != images.len() {
        return Err(format!(
            "the text has {n_marks} places for an image (<image>), the row has {} images",
            images.len()
        ));
    }
    let mut images = images.into_iter();
    Ok(places.into_iter().filter_map(|cell| cell.or_else(|| images.next())).collect())
}

fn text(values: &Map<String, Value>, key: &str) -> Result<String, String> {
    match values.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) => Err(format!("{key} is null")),
        Some(other) => Err(format!("{key:?} should be text, got {other}")),
        None => Err(format!("no {key:?}")),
    }
}

/// The element of a list of one name or number, which is what is meant; else the value itself.
pub(super) fn the_one(value: &Value) -> &Value {
    match value.as_array().map(Vec::as_slice) {
        Some([one]) if !one.is_array() && !one.is_object() => one,
        _ => value,
    }
}

/// A true answer as text.
///
/// # Errors
/// Several names in a list, of which an answer can be only one; JSON that was written as JSON once more.
fn answer(solution: &Value) -> Result<String, String> {
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    let is_name = |value: &Value| value.as_str().is_some_and(|text| !is_number(text));
    match solution {
        Value::Array(list) if list.iter().any(is_name) => Err(format!(
            "its solution is a list of several names, {solution}, and a question has one true answer: keep the right one, or \
             make one text of them that an answer has to say as a whole, as {:?}",
            list.iter().map(written).collect::<Vec<_>>().join(", ")
        )),
        Value::String(text) if is_text_of_json(text) => Err(
            "its solution is a text in a text: the JSON was written as JSON once more, so that quotes and backslashes stand \
             around it; call json.dumps once"
                .to_owned(),
        ),
        _ => Ok(written(solution)),
    }
}

/// Whether a text is a JSON text in quotes, in which a list or an object stands.
fn is_text_of_json(text: &str) -> bool {
    let inner = || serde_json::from_str::<String>(text).ok();
    text.trim_start().starts_with('"')
        && inner().is_some_and(|inner| {
            let inner = inner.trim_start();
            inner.starts_with(['[', '{']) || is_text_of_json(inner)
        })
}

/// A text as it is, any other value as JSON writes it; but for NaN, which it does not have, and whole numbers that it writes
/// with an exponent.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            let text = number.to_string();
            let large = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < MAX_WRITTEN_OUT);
            large.filter(|_| text.contains('e')).map_or(text, |large| large.to_string())
        }
        other => other.to_string().replace(&format!("{NAN:?}"), NAN),
    }
}

fn no_answer(values: &Map<String, Value>) -> String {
    if CONVERSATION_KEYS.iter().any(|key| values.contains_key(*key)) {
        "the conversation ends without an answer, and there is no \"solution\"".to_owned()
    } else if values.contains_key("solution") {
        "solution is null, or no number (NaN)".to_owned()
    } else {
        "no \"solution\"".to_owned()
    }
}

fn sample_id(values: &Map<String, Value>) -> Result<Option<String>, String> {
    let found = ["sample_id", "id", "question_id"].iter().find_map(|key| values.get(*key));
    match found.unwrap_or(&Value::Null) {
        // As a column of numbers has it where an id is missing.
        Value::String(none) if none == NAN => Ok(None),
        Value::String(id) => Ok(Some(id.clone())),
        Value::Number(id) => Ok(Some(id.to_string())),
        Value::Null => Ok(None),
        other => Err(format!("sample_id should be text or a number, got {other}")),
    }
}
