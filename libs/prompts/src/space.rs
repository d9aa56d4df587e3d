//! In which coordinates the true answers of a data set are: as declared, or as they look beside the pictures.
//!
//! Annotations say it themselves. Answers in words do not, and one number means another place in thousandths, in pixels
//! of the file, and in pixels of what a model sees. They are converted here, once, to what the task declares.

mod answers;
mod declared;
mod order;

use answers::{Answers, Placed};
use vrft_dataset::{BoxesAre, DataSpace, Dataset, Mirror, Picture, Row, Truth};
use vrft_reward::answers::AnswerKind;
use vrft_reward::{
    Conversion, Evidence, Frame, Geometry, Reward, Space, Turning, count_sides, is_share,
    true_answer,
};
use vrft_vision::Orientation;

pub use declared::Declared;

use crate::Resize;

/// How the coordinates of a data set are read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// What they count; `None` for the same as the answers of the task.
    space: Option<DataSpace>,
    /// Of which pixels they are where EXIF turns a picture.
    boxes_are: BoxesAre,
    /// The key that says what they count, or would.
    key: &'static str,
    /// What was assumed and why.
    pub(crate) notes: Vec<String>,
}

/// Share of the answers that may be odd: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;

impl Reading {
    /// Of data whose coordinates are those of the task.
    pub(crate) fn of_task() -> Self {
        let Declared { key, .. } = Declared::default();
        Self { space: None, boxes_are: BoxesAre::Displayed, key, notes: Vec::new() }
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
        check_kind(reward, dataset)?;
        check_corners(reward, dataset)?;
        let of_row = |row| Placed::of(reward, row);
        let own_answers: Vec<Placed> = dataset.iter().filter_map(of_row).collect();
        let Some(own) = reward.config().answer.space().filter(|_| !own_answers.is_empty()) else {
            return Ok(Self { space: declared.space, key: declared.key, ..Self::of_task() });
        };
        order::check(reward, &own_answers, declared.space)?;
        let are_one = dataset.is_part_of_beside();
        let mut answers = Answers { own: own_answers, beside: Vec::new(), are_one };
        // To open it may take as long as it took to open this one, unless both were opened together.
        let needed = answers.need_others(declared);
        let opens = needed && dataset.rest().is_empty();
        let beside = opens.then(|| dataset.open_beside()).flatten();
        let rest = dataset.rest().iter().filter(|_| needed);
        let others = beside.iter().flat_map(Dataset::iter).chain(rest);
        answers.beside.extend(others.filter_map(of_row));
        let mut notes = Vec::new();
        let space = answers.space(own, declared, &mut notes)?;
        let boxes_are = answers.boxes_are(space, declared.boxes_are, &mut notes)?;
        Ok(Self { space: Some(space), boxes_are, key: declared.key, notes })
    }

    /// What the coordinates of the data are taken to count, and by which key that is said, for the error about a place that is
    /// out of bounds; with what to declare if it lies within with x and y exchanged.
    pub(crate) fn blamed(&self, reward: &Reward, row: &Row) -> Option<String> {
        let space = self.space?;
        let placed = Placed::of(reward, row).filter(|_| space == DataSpace::Pixels);
        if let Some(placed) = placed.filter(Placed::fits_only_exchanged) {
            return Some(order::hint(reward, &placed));
        }
        let key = self.key;
        Some(format!(
            "the coordinates of the data are taken for {} ({key} says what they count)",
            space.name()
        ))
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
                "no coordinate of its answer is above 1, as shares of the sides are, and the data is taken to be in {} ({})",
                space.name(),
                self.key
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
            DataSpace::Percent => Frame::Percent,
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

/// Refuses places as the true answers of a task whose answers are names: they would be learned by their letters.
fn check_kind(reward: &Reward, dataset: &Dataset) -> Result<(), String> {
    if !matches!(reward.config().answer.kind, AnswerKind::Label(_)) {
        return Ok(());
    }
    let is_place = |text: &str| {
        let text = true_answer(text);
        let n_numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.');
        let n_numbers = n_numbers.filter(|part| part.parse::<f64>().is_ok()).count();
        text.starts_with(['[', '{', '(']) && text.ends_with([']', '}', ')']) && n_numbers >= 2
    };
    let of_text = |row: &Row| match &row.truth {
        Truth::Text(text) => is_place(text),
        Truth::Boxes(_) => false,
    };
    let mut places = dataset.iter().filter(|row| of_text(row));
    let Some(first) = places.next() else { return Ok(()) };
    let n = 1 + places.count();
    if n as f64 <= MAX_ODD * dataset.len() as f64 {
        return Ok(());
    }
    Err(format!(
        "{n} of {} true answers are places, as that of {}, and the task asks for names (reward.answer.type = \"label\"): \
         declare what the answers are, as one of configs/rewards/ does (reward.preset), or by `vrft reward infer`",
        dataset.len(),
        first.origin.place()
    ))
}

/// Refuses boxes that were written by their width and height: read as corners, many of them would be no boxes, and the
/// others wrong ones.
fn check_corners(reward: &Reward, dataset: &Dataset) -> Result<(), String> {
    if reward.config().answer.kind.geometry() != Some(Geometry::Box) {
        return Ok(());
    }
    let rows = dataset.iter().chain(dataset.rest());
    let texts = rows.filter_map(|row| match &row.truth {
        Truth::Text(text) => Some(true_answer(text)),
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

/// The coordinates of data that are those of the task already.
fn of_task(own: Space) -> DataSpace {
    if own == Space::Pixels { DataSpace::Resized } else { of_data(own) }
}

fn of_data(space: Space) -> DataSpace {
    match space {
        Space::Thousandths => DataSpace::Thousandths,
        Space::Unit => DataSpace::Unit,
        Space::Percent => DataSpace::Percent,
        Space::Pixels => DataSpace::Pixels,
    }
}

/// What is done to them, in words.
fn converted(space: DataSpace, own: Space) -> &'static str {
    match (space, own) {
        (DataSpace::Thousandths, Space::Thousandths)
        | (DataSpace::Unit, Space::Unit)
        | (DataSpace::Percent, Space::Percent)
        | (DataSpace::Resized, Space::Pixels) => "",
        (_, Space::Thousandths) => "; they are converted to thousandths",
        (_, Space::Unit) => "; they are converted to shares of the sides",
        (_, Space::Percent) => "; they are converted to percent of the sides",
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
    use vrft_vision::{Header, Rect, Stored};

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
