//! In which coordinates the true answers of a data set are: as declared, or as they look beside the pictures.
//!
//! Annotations say it themselves. Answers in words do not, and one number means another place in thousandths, in pixels
//! of the file, and in pixels of what a model sees. They are converted here, once, to what the task declares.

use vrft_dataset::{BoxesAre, DataSpace, Mirror, Picture, Row, Truth};
use vrft_reward::{Conversion, Evidence, Frame, Reward, Space, Turning, guess_space};
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

/// The coordinates of one true answer and the picture that it is about.
struct Placed<'a> {
    coordinates: Vec<f64>,
    header: &'a Header,
}

impl Reading {
    /// Of data whose coordinates are those of the task.
    pub(crate) fn of_task() -> Self {
        Self { space: None, boxes_are: BoxesAre::Displayed, notes: Vec::new() }
    }

    /// Of these rows, whose answers `reward` reads.
    pub(crate) fn of<'a>(
        reward: &Reward,
        rows: impl Iterator<Item = &'a Row>,
        declared: Declared,
    ) -> Self {
        let placed: Vec<Placed> = rows.filter_map(|row| Placed::of(reward, row)).collect();
        let Some(own) = reward.config().answer.space().filter(|_| !placed.is_empty()) else {
            return Self { space: declared.space, ..Self::of_task() };
        };
        let mut notes = Vec::new();
        let space = space(&placed, own, declared.space, &mut notes);
        let boxes_are = boxes_are(&placed, space, declared.boxes_are, &mut notes);
        Self { space: Some(space), boxes_are, notes }
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
        Some(Self { coordinates, header: row.pictures.first()?.header() })
    }

    /// How far the coordinates lie within an image of this size, in pixels.
    fn fits(&self, (width, height): (u32, u32)) -> bool {
        let sides = [f64::from(width), f64::from(height)];
        let mut places = self.coordinates.iter().enumerate();
        places.all(|(idx, coordinate)| *coordinate <= sides[idx % 2] + MARGIN)
    }

    fn evidence(&self) -> Evidence {
        let (width, height) = self.header.displayed();
        // It is not known yet which side is which.
        let size = if self.header.swaps_sides() { [width.max(height); 2] } else { [width, height] };
        Evidence { coordinates: self.coordinates.clone(), size: Some(size) }
    }
}

/// What the coordinates count: as declared, as they look, and where that is doubtful as the task has it.
fn space(
    placed: &[Placed],
    own: Space,
    declared: Option<DataSpace>,
    notes: &mut Vec<String>,
) -> DataSpace {
    if let Some(declared) = declared {
        let name = declared.name();
        notes.push(format!(
            "coordinates of the true answers are {name}, as data.space says{}",
            converted(declared, own)
        ));
        return declared;
    }
    let evidence: Vec<Evidence> = placed.iter().map(Placed::evidence).collect();
    let guess = guess_space(&evidence);
    if !guess.is_doubtful {
        let space = of_data(guess.space);
        notes.push(format!(
            "coordinates of the true answers are taken for {}, since {}{}",
            space.name(),
            guess.reason,
            converted(space, own)
        ));
        return space;
    }
    let doubt = if guess.space == own {
        guess.reason
    } else {
        format!("they might be {} ({})", guess.space.name(), guess.reason)
    };
    notes.push(format!(
        "coordinates of the true answers are taken for {}, as reward.answer.space says; {doubt}: data.space says for sure{}",
        of_data(own).name(),
        converted(of_data(own), own)
    ));
    of_data(own)
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

/// Of which pixels the coordinates are where EXIF turns pictures: as configured, as they fit, else as stored.
fn boxes_are(
    placed: &[Placed],
    space: DataSpace,
    declared: Option<BoxesAre>,
    notes: &mut Vec<String>,
) -> BoxesAre {
    let turned = placed.iter().filter(|p| p.header.orientation != Orientation::NoTransforms);
    let turned: Vec<&Placed> = turned.collect();
    if turned.is_empty() || space == DataSpace::Resized {
        return declared.unwrap_or(BoxesAre::Stored);
    }
    let fits_one = |stored: bool| {
        let only = |p: &&&Placed| {
            let header = p.header;
            p.fits(header.stored) == stored && p.fits(header.displayed()) != stored
        };
        if space == DataSpace::Pixels { turned.iter().filter(only).count() } else { 0 }
    };
    let (n_stored, n_displayed) = (fits_one(true), fits_one(false));
    let (chosen, reason) = match (declared, n_stored, n_displayed) {
        (Some(declared), ..) => (declared, "as configured".to_owned()),
        (None, 0, 1..) => {
            (BoxesAre::Displayed, format!("since {n_displayed} of them fit no other way"))
        }
        (None, 1.., 0) => (BoxesAre::Stored, format!("since {n_stored} of them fit no other way")),
        (None, ..) => (BoxesAre::Stored, "the default".to_owned()),
    };
    let name = match chosen {
        BoxesAre::Stored => "stored",
        BoxesAre::Displayed => "displayed",
    };
    notes.push(format!(
        "EXIF turns the pictures of {} rows: the places of their answers are taken for those of the picture as {name} \
         (data.boxes_are = {name:?}, {reason})",
        turned.len()
    ));
    chosen
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
