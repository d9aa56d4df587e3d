//! In which coordinates the true answers of a data set are: as declared, or as they look beside the pictures.
//!
//! Annotations say it themselves. Answers in words do not, and one number means another place in thousandths, in pixels
//! of the file, and in pixels of what a model sees. They are converted here, once, to what the task declares.

use vrft_dataset::{BoxesAre, DataSpace, Dataset, Mirror, Picture, Row, Truth};
use vrft_reward::{
    Conversion, Evidence, Frame, Geometry, MixedSpaces, Reward, Space, SpaceGuess, Turning,
    answer_text, count_sides, guess_space, is_share,
};
use vrft_vision::{Header, Orientation};

use crate::Resize;

/// Pixels that a place may lie outside of its picture.
const MARGIN: f64 = 2.0;

/// How the coordinates of a data set are read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// What they count; `None` for the same as the answers of the task.
    space: Option<DataSpace>,
    /// Of which pixels they are where EXIF turns a picture.
    boxes_are: BoxesAre,
    /// What was assumed and why.
    pub(crate) notes: Vec<String>,
}

/// What a data set's configuration says of its coordinates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Declared {
    /// `data.space`.
    pub space: Option<DataSpace>,
    /// `data.boxes_are`.
    pub boxes_are: Option<BoxesAre>,
}

/// The coordinates of one true answer and the row that it is of.
struct Placed<'a> {
    coordinates: Vec<f64>,
    header: &'a Header,
    row: &'a Row,
}

/// Answers to tell the space of data by: its own, and those of the data that is read by the same conventions.
struct Answers<'a> {
    own: Vec<Placed<'a>>,
    beside: Vec<Placed<'a>>,
    /// Whether both are parts of one data set.
    are_one: bool,
}

/// Share of the answers that may be odd: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;

/// Fewer answers than these do not decide alone what they count if others stand beside them.
const MIN_ALONE: usize = 8;

impl Reading {
    /// Of data whose coordinates are those of the task.
    pub(crate) fn of_task() -> Self {
        Self { space: None, boxes_are: BoxesAre::Displayed, notes: Vec::new() }
    }

    /// Of these rows, whose answers `reward` reads. Where they leave it open, the data beside them decides.
    ///
    /// # Errors
    /// Rows that contradict each other, so that no reading is right for all.
    pub(crate) fn of(
        reward: &Reward,
        dataset: &Dataset,
        declared: Declared,
    ) -> Result<Self, String> {
        check_corners(reward, dataset)?;
        let of_row = |row| Placed::of(reward, row);
        let own_answers: Vec<Placed> = dataset.iter().filter_map(of_row).collect();
        let Some(own) = reward.config().answer.space().filter(|_| !own_answers.is_empty()) else {
            return Ok(Self { space: declared.space, ..Self::of_task() });
        };
        let are_one = dataset.is_part_of_beside();
        let mut answers = Answers { own: own_answers, beside: Vec::new(), are_one };
        // To open it may take as long as it took to open this one.
        let beside = answers.need_others(declared).then(|| dataset.open_beside()).flatten();
        answers.beside.extend(beside.iter().flat_map(Dataset::iter).filter_map(of_row));
        let mut notes = Vec::new();
        let space = answers.space(own, declared.space, &mut notes)?;
        let boxes_are = answers.boxes_are(space, declared.boxes_are, &mut notes)?;
        Ok(Self { space: Some(space), boxes_are, notes })
    }

    /// What the coordinates of the data are taken to count; `None` for what the task declares.
    pub(crate) fn space(&self) -> Option<DataSpace> {
        self.space
    }

    /// Of which pixels they are taken to be where EXIF turns a picture.
    pub(crate) fn boxes_are(&self) -> BoxesAre {
        self.boxes_are
    }

    /// Refuses coordinates that are shares of the sides where those of the data are not.
    ///
    /// # Errors
    /// They are.
    pub(crate) fn check_units(&self, coordinates: Vec<f64>, row: &Row) -> Result<(), String> {
        let Some(space) = self.space.filter(|space| *space != DataSpace::Unit) else {
            return Ok(());
        };
        let size = row.pictures.first().map(|picture| picture.header().reach());
        if is_share(&Evidence { coordinates, size }) {
            return Err(format!(
                "no coordinate of its answer is above 1, as shares of the sides are, and the data is taken to be in {} \
                 (data.space)",
                space.name()
            ));
        }
        Ok(())
    }

    /// From the coordinates of a row to those of the task, on the picture as `mirror` shows it; `None` where nothing has to
    /// be done.
    ///
    /// # Errors
    /// A picture that the model cannot see; several of which it is open which one the places are in.
    pub(crate) fn conversion(
        &self,
        row: &Row,
        own: Space,
        resize: &Resize,
        mirror: Mirror,
    ) -> Result<Option<Conversion>, String> {
        let of_mirrored = (!mirror.is_none()).then(|| of_task(own));
        let (Some(space), Some(picture)) = (self.space.or(of_mirrored), row.pictures.first())
        else {
            return Ok(None);
        };
        let header = picture.header();
        let is_stored = self.boxes_are == BoxesAre::Stored && space != DataSpace::Resized;
        let size = if is_stored { header.stored } else { header.displayed() };
        let needs_resized = own == Space::Pixels || space == DataSpace::Resized;
        let displayed = header.displayed();
        let (width, height) = if needs_resized { resize(displayed)? } else { displayed };
        let data = match space {
            DataSpace::Thousandths => Frame::Thousandths,
            DataSpace::Unit => Frame::Unit,
            DataSpace::Pixels => Frame::pixels(size.0, size.1),
            DataSpace::Resized => Frame::pixels(width, height),
        };
        let mut turning = if is_stored { turning(header.orientation) } else { Turning::default() };
        turning.flips_x ^= mirror.horizontal;
        turning.flips_y ^= mirror.vertical;
        let conversion = Conversion { data, turning, answers: Frame::of(own, width, height) };
        let is_alike = |other: &Picture| {
            let other = other.header();
            (other.stored, other.orientation) == (header.stored, header.orientation)
        };
        if !conversion.is_identity() && !row.pictures.iter().all(|other| is_alike(other)) {
            return Err(format!(
                "its {} pictures differ in size, so that places in {} cannot be converted to {}: declare reward.answer.space \
                 as the data has it",
                row.pictures.len(),
                space.name(),
                own.name()
            ));
        }
        Ok(Some(conversion))
    }
}

impl<'a> Placed<'a> {
    /// `None` for a row whose answer is no place in a picture.
    fn of(reward: &Reward, row: &'a Row) -> Option<Self> {
        let Truth::Text(text) = &row.truth else { return None };
        let coordinates = reward.coordinates(text).filter(|found| !found.is_empty())?;
        Some(Self { coordinates, header: row.pictures.first()?.header(), row })
    }

    /// How far the coordinates lie within an image of this size, in pixels.
    fn fits(&self, (width, height): (u32, u32)) -> bool {
        let sides = [f64::from(width), f64::from(height)];
        let mut places = self.coordinates.iter().enumerate();
        places.all(|(idx, coordinate)| *coordinate <= sides[idx % 2] + MARGIN)
    }

    fn evidence(&self) -> Evidence {
        Evidence { coordinates: self.coordinates.clone(), size: Some(self.header.reach()) }
    }
}

impl Answers<'_> {
    /// Whether these answers alone leave something open.
    fn need_others(&self, declared: Declared) -> bool {
        let is_turned = |p: &Placed| p.header.orientation != Orientation::NoTransforms;
        let is_sure = || self.alone().is_ok_and(|guess| self.is_enough(&guess));
        declared.space.is_none() && (self.are_one || !is_sure())
            || declared.boxes_are.is_none() && self.own.iter().any(is_turned)
    }

    fn alone(&self) -> Result<SpaceGuess, MixedSpaces> {
        guess_space(&evidence(&self.own))
    }

    /// Whether a guess from these answers alone is sure.
    fn is_enough(&self, guess: &SpaceGuess) -> bool {
        !guess.is_doubtful && self.own.len() >= MIN_ALONE
    }

    /// What the coordinates count: as declared, as they look, and where that is doubtful as the task has it.
    fn space(
        &self,
        own: Space,
        declared: Option<DataSpace>,
        notes: &mut Vec<String>,
    ) -> Result<DataSpace, String> {
        if let Some(declared) = declared {
            let name = declared.name();
            notes.push(format!(
                "coordinates of the true answers are {name}, as data.space says{}",
                converted(declared, own)
            ));
            return Ok(declared);
        }
        let guess = self.guess()?;
        if !guess.is_doubtful {
            let space = of_data(guess.space);
            notes.push(format!(
                "coordinates of the true answers are taken for {}, since {}{}",
                space.name(),
                guess.reason,
                converted(space, own)
            ));
            return Ok(space);
        }
        let doubt = if guess.space == own {
            guess.reason
        } else {
            format!("they might be {} ({})", guess.space.name(), guess.reason)
        };
        notes.push(format!(
            "coordinates of the true answers are taken for {}, as reward.answer.space says; {doubt}: data.space says for \
             sure{}",
            of_data(own).name(),
            converted(of_data(own), own)
        ));
        Ok(of_data(own))
    }

    /// What they look like: those of this data alone if they are enough to tell, else with those beside it.
    fn guess(&self) -> Result<SpaceGuess, String> {
        let alone = self.alone();
        let is_sure = |guess: &SpaceGuess| self.is_enough(guess);
        let told = |mixed: MixedSpaces| {
            let place = |idx: usize| match self.own.get(idx) {
                Some(placed) => placed.row.origin.place(),
                None => {
                    let origin = &self.beside[idx - self.own.len()].row.origin;
                    format!("{} of {}", origin.place(), origin.file.display())
                }
            };
            format!(
                "the coordinates of true answers are in different units: {}; convert some of them, or declare data.space, \
                 which the others are skipped by",
                mixed.told(place)
            )
        };
        if self.beside.is_empty() || !self.are_one && alone.as_ref().is_ok_and(is_sure) {
            return alone.map_err(told);
        }
        let together = guess_space(&[evidence(&self.own), evidence(&self.beside)].concat());
        match (together, alone) {
            (Err(_), Ok(alone)) if !self.are_one => Ok(alone),
            (together, _) => together.map_err(told),
        }
    }

    /// Of which pixels the coordinates are where EXIF turns pictures: as configured, as most of them fit, else as stored.
    fn boxes_are(
        &self,
        space: DataSpace,
        declared: Option<BoxesAre>,
        notes: &mut Vec<String>,
    ) -> Result<BoxesAre, String> {
        let is_turned = |p: &&Placed| p.header.orientation != Orientation::NoTransforms;
        let n_turned = self.own.iter().filter(is_turned).count();
        if n_turned == 0 || space == DataSpace::Resized {
            return Ok(declared.unwrap_or(BoxesAre::Stored));
        }
        let turned: Vec<&Placed> = self.own.iter().chain(&self.beside).filter(is_turned).collect();
        let fits_one = |stored: bool| -> Vec<&Placed> {
            let only = |p: &&&Placed| {
                let header = p.header;
                p.fits(header.stored) == stored && p.fits(header.displayed()) != stored
            };
            if space != DataSpace::Pixels {
                return Vec::new();
            }
            turned.iter().filter(only).copied().collect()
        };
        let (stored, displayed) = (fits_one(true), fits_one(false));
        let (chosen, reason) = match declared {
            Some(declared) => (declared, "as configured".to_owned()),
            None => {
                let chosen = BoxesAre::by_majority(stored.len(), displayed.len());
                let chosen = chosen.ok_or_else(|| contradiction(&stored, &displayed))?;
                let fitting =
                    if chosen == BoxesAre::Stored { stored.len() } else { displayed.len() };
                let all = if self.beside.is_empty() { "" } else { " and of those beside them" };
                let since = format!("since {fitting} of them{all} fit no other way");
                (chosen, if fitting == 0 { "the default".to_owned() } else { since })
            }
        };
        let name = chosen.name();
        notes.push(format!(
            "EXIF turns the pictures of {n_turned} rows: the places of their answers are taken for those of the picture as \
             {name} (data.boxes_are = {name:?}, {reason})"
        ));
        Ok(chosen)
    }
}

/// Refuses boxes that were written by their width and height: read as corners, many of them would be no boxes, and the
/// others wrong ones.
fn check_corners(reward: &Reward, dataset: &Dataset) -> Result<(), String> {
    if reward.config().answer.kind.geometry() != Some(Geometry::Box) {
        return Ok(());
    }
    let texts = dataset.iter().filter_map(|row| match &row.truth {
        Truth::Text(text) => Some(answer_text(text).unwrap_or(text)),
        Truth::Boxes(_) => None,
    });
    let texts: Vec<&str> = texts.collect();
    let n = count_sides(&texts);
    if n as f64 <= MAX_ODD * texts.len() as f64 {
        return Ok(());
    }
    Err(format!(
        "{n} boxes of {} true answers have their right edge left of the left one, or their lower edge above the upper one: \
         are they [x, y, width, height]? Answers have the corners [x1, y1, x2, y2]",
        texts.len()
    ))
}

fn evidence(placed: &[Placed]) -> Vec<Evidence> {
    placed.iter().map(Placed::evidence).collect()
}

/// Which pictures tell one thing, and which the other.
fn contradiction(stored: &[&Placed], displayed: &[&Placed]) -> String {
    let first = |placed: &[&Placed]| {
        let named: Vec<String> = placed.iter().take(3).map(|p| p.row.origin.place()).collect();
        format!("{} answers ({} ...)", placed.len(), named.join(", "))
    };
    format!(
        "EXIF turns pictures, and {} fit these only as they are stored, {} only as they are displayed: declare \
         data.boxes_are = \"stored\" or \"displayed\"",
        first(stored),
        first(displayed)
    )
}

/// The coordinates of data that are those of the task already.
fn of_task(own: Space) -> DataSpace {
    if own == Space::Pixels { DataSpace::Resized } else { of_data(own) }
}

fn of_data(space: Space) -> DataSpace {
    match space {
        Space::Thousandths => DataSpace::Thousandths,
        Space::Unit => DataSpace::Unit,
        Space::Pixels => DataSpace::Pixels,
    }
}

/// What is done to them, in words.
fn converted(space: DataSpace, own: Space) -> &'static str {
    match (space, own) {
        (DataSpace::Thousandths, Space::Thousandths)
        | (DataSpace::Unit, Space::Unit)
        | (DataSpace::Resized, Space::Pixels) => "",
        (_, Space::Thousandths) => "; they are converted to thousandths",
        (_, Space::Unit) => "; they are converted to shares of the sides",
        (_, Space::Pixels) => "; they are converted to pixels of the picture as the model sees it",
    }
}

/// How an image has to be turned, as the reward's crate says it.
fn turning(orientation: Orientation) -> Turning {
    use Orientation::{
        FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270,
        Rotate270FlipH,
    };
    let (swaps_axes, flips_x, flips_y) = match orientation {
        NoTransforms => (false, false, false),
        FlipHorizontal => (false, true, false),
        Rotate180 => (false, true, true),
        FlipVertical => (false, false, true),
        Rotate90FlipH => (true, false, false),
        Rotate90 => (true, true, false),
        Rotate270FlipH => (true, true, true),
        Rotate270 => (true, false, true),
    };
    Turning { swaps_axes, flips_x, flips_y }
}

#[cfg(test)]
mod tests {
    use vrft_vision::{Rect, Stored};

    use super::*;

    /// What turns annotated boxes and what turns answers in words must agree.
    #[test]
    fn answers_turn_as_annotations_do() {
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let header = Header { format: image::ImageFormat::Jpeg, stored: (50, 30), orientation };
            let (width, height) = header.displayed();
            let conversion = Conversion {
                data: Frame::pixels(50, 30),
                turning: turning(orientation),
                answers: Frame::pixels(width, height),
            };
            let expected = Rect::<Stored>::new([5.0, 6.0, 20.0, 27.0]).upright(&header).corners();
            let ([a, b], [c, d]) = (conversion.point([5.0, 6.0]), conversion.point([20.0, 27.0]));
            let got = [a.min(c), b.min(d), a.max(c), b.max(d)];
            let error = got.iter().zip(expected).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max);
            assert!(error < 1e-9, "orientation {exif}: {got:?} instead of {expected:?}");
        }
    }
}
