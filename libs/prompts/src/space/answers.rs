//! What true answers in words tell of their coordinates: what these count, and of which pixels they are.

use vrft_dataset::{BoxesAre, DataSpace, Row, Truth};
use vrft_reward::{Evidence, MixedSpaces, Reward, Space, SpaceGuess, guess_space};
use vrft_vision::{Header, Orientation};

use super::{Declared, converted, of_data};

/// Pixels that a place may lie outside of its picture.
const MARGIN: f64 = 2.0;

/// Fewer answers than these do not decide alone what they count if others stand beside them.
const MIN_ALONE: usize = 8;

/// The coordinates of one true answer and the row that it is of.
#[derive(Clone)]
pub(super) struct Placed<'a> {
    coordinates: Vec<f64>,
    header: &'a Header,
    row: &'a Row,
}

/// Answers to tell the space of data by: its own, and those of the data that is read by the same conventions.
pub(super) struct Answers<'a> {
    pub(super) own: Vec<Placed<'a>>,
    pub(super) beside: Vec<Placed<'a>>,
    /// Whether both are parts of one data set.
    pub(super) are_one: bool,
}

impl<'a> Placed<'a> {
    /// `None` for a row whose answer is no place in a picture.
    pub(super) fn of(reward: &Reward, row: &'a Row) -> Option<Self> {
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

    /// What they would be with x and y exchanged.
    pub(super) fn evidence_exchanged(&self) -> Evidence {
        Evidence { coordinates: exchanged(&self.coordinates), ..self.evidence() }
    }

    /// Whether they would lie within the image with x and y exchanged.
    pub(super) fn fits_exchanged(&self) -> bool {
        let other = Self { coordinates: exchanged(&self.coordinates), ..*self };
        other.fits_either()
    }

    /// Whether they lie within the image that way alone.
    pub(super) fn fits_only_exchanged(&self) -> bool {
        !self.fits_either() && self.fits_exchanged()
    }

    /// Whether they lie within the image as it is stored, or as it is displayed.
    fn fits_either(&self) -> bool {
        self.fits(self.header.stored) || self.fits(self.header.displayed())
    }

    /// Where the row is, for people.
    pub(super) fn place(&self) -> String {
        self.row.origin.place()
    }

    /// The true answer in words.
    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.row.truth {
            Truth::Text(text) => Some(text),
            Truth::Boxes(_) => None,
        }
    }
}

impl Answers<'_> {
    /// Whether these answers alone leave something open.
    pub(super) fn need_others(&self, declared: Declared) -> bool {
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
    pub(super) fn space(
        &self,
        own: Space,
        declared: Declared,
        notes: &mut Vec<String>,
    ) -> Result<DataSpace, String> {
        let key = declared.key;
        if let Some(declared) = declared.space {
            let name = declared.name();
            notes.push(format!(
                "coordinates of the true answers are {name}, as {key} says{}",
                converted(declared, own)
            ));
            notes.extend(self.looks_otherwise(declared, key));
            return Ok(declared);
        }
        let guess = self.guess(key)?;
        if !guess.is_doubtful {
            let space = of_data(guess.space);
            notes.push(format!(
                "coordinates of the true answers are taken for {}, since {}{}",
                space.name(),
                guess.reason,
                converted(space, own)
            ));
            notes.extend(self.looks_otherwise_alone(guess.space, key));
            return Ok(space);
        }
        let (warning, doubt) = if guess.space == own {
            ("", guess.reason)
        } else {
            ("warning: ", format!("they might be {} ({})", guess.space.name(), guess.reason))
        };
        notes.push(format!(
            "{warning}coordinates of the true answers are taken for {}, as reward.answer.space says; {doubt}: {key} says \
             for sure{}",
            of_data(own).name(),
            converted(of_data(own), own)
        ));
        Ok(of_data(own))
    }

    /// That coordinates look like something else than is declared, as where a configuration speaks of other rows.
    fn looks_otherwise(&self, declared: DataSpace, key: &str) -> Option<String> {
        let guess = self.alone().ok().filter(|guess| self.is_enough(guess))?;
        let is_same = match declared {
            DataSpace::Resized => guess.space == Space::Pixels,
            other => of_data(guess.space) == other,
        };
        (!is_same).then(|| {
            format!(
                "warning: {key} says {}, and the coordinates look like {}, since {}: declare what these rows have",
                declared.name(),
                guess.space.name(),
                guess.reason
            )
        })
    }

    /// That coordinates look like something else by themselves than together with the data beside them.
    fn looks_otherwise_alone(&self, chosen: Space, key: &str) -> Option<String> {
        let alone = self.alone().ok().filter(|_| !self.are_one && !self.beside.is_empty())?;
        (alone.space != chosen).then(|| {
            format!(
                "warning: that is what the data beside these rows tell; by themselves they look like {} ({}): {key} says for \
                 sure",
                alone.space.name(),
                alone.reason
            )
        })
    }

    /// What they look like: those of this data alone if they are enough to tell, else with those beside it.
    fn guess(&self, key: &str) -> Result<SpaceGuess, String> {
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
                "the coordinates of true answers are in different units: {}; convert some of them, or declare {key}, which \
                 the others are skipped by",
                mixed.told(place)
            )
        };
        if self.beside.is_empty() || !self.are_one && alone.as_ref().is_ok_and(is_sure) {
            return alone.map_err(told);
        }
        let together = guess_space(&[evidence(&self.own), evidence(&self.beside)].concat());
        match (together, alone) {
            (Err(_), Ok(alone)) if !self.are_one => Ok(alone),
            (Ok(together), Ok(alone))
                if !self.are_one && !alone.is_doubtful && self.refute(&together) =>
            {
                Ok(alone)
            }
            (together, _) => together.map_err(told),
        }
    }

    /// Whether not one of these answers can be what all together are taken for, however few they are: each leaves its
    /// picture, or is among the odd ones.
    fn refute(&self, together: &SpaceGuess) -> bool {
        let leaves = |placed: &Placed| !placed.fits(placed.header.reach().into());
        let is_pixels = together.space == Space::Pixels || together.is_doubtful;
        is_pixels && self.own.iter().all(leaves)
            || (0..self.own.len()).all(|idx| together.odd.contains(&idx))
    }

    /// Of which pixels the coordinates are where EXIF turns pictures: as configured, as most of them fit, else as stored.
    pub(super) fn boxes_are(
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
                let fit = if fitting == 1 { "fits" } else { "fit" };
                let since = format!("since {fitting} of them{all} {fit} no other way");
                (chosen, if fitting == 0 { "the default".to_owned() } else { since })
            }
        };
        let name = chosen.name();
        notes.push(format!(
            "EXIF turns the pictures of {n_turned} {}: the places of their answers are taken for those of the picture as \
             {name} (data.boxes_are = {name:?}, {reason})",
            if n_turned == 1 { "row" } else { "rows" }
        ));
        Ok(chosen)
    }
}

/// Pairs of coordinates the other way round.
fn exchanged(coordinates: &[f64]) -> Vec<f64> {
    coordinates.chunks_exact(2).flat_map(|pair| [pair[1], pair[0]]).collect()
}

fn evidence(placed: &[Placed]) -> Vec<Evidence> {
    placed.iter().map(Placed::evidence).collect()
}

/// Which pictures tell one thing, and which the other.
fn contradiction(stored: &[&Placed], displayed: &[&Placed]) -> String {
    let first = |placed: &[&Placed]| {
        let named: Vec<String> = placed.iter().take(3).map(|p| p.row.origin.place()).collect();
        let answers = if placed.len() == 1 { "answer" } else { "answers" };
        let more = if placed.len() > named.len() { " ..." } else { "" };
        format!("{} {answers} ({}{more})", placed.len(), named.join(", "))
    };
    format!(
        "EXIF turns pictures, and {} fit these only as they are stored, {} only as they are displayed: declare \
         data.boxes_are = \"stored\" or \"displayed\"",
        first(stored),
        first(displayed)
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use vrft_dataset::{Origin, Question};

    use super::*;

    /// The space that these boxes are read in, and why, beside 64 boxes in pixels that were learned from.
    fn read(boxes: &[[f64; 4]], side: u32) -> (DataSpace, String) {
        let origin = Origin { file: PathBuf::from("a").into(), row: 0, sample_id: "a".into() };
        let truth = Truth::Text("".into());
        let row = Row { origin, question: Question::Class, pictures: Vec::new(), truth };
        let orientation = Orientation::NoTransforms;
        let header =
            |side| Header { format: image::ImageFormat::Png, stored: (side, side), orientation };
        let (own, other) = (header(side), header(640));
        let place = |numbers: &[f64; 4], header| Placed {
            coordinates: numbers.to_vec(),
            header,
            row: &row,
        };
        let answers = Answers {
            own: boxes.iter().map(|numbers| place(numbers, &own)).collect(),
            beside: vec![place(&[20., 30., 600., 440.], &other); 64],
            are_one: false,
        };
        let mut notes = Vec::new();
        let space = answers.space(Space::Thousandths, Declared::default(), &mut notes).unwrap();
        (space, notes.join("\n"))
    }

    #[test]
    fn few_boxes_that_all_leave_their_small_pictures_are_thousandths_whatever_stands_beside_them() {
        for n in 1..=5 {
            let (space, note) = read(&vec![[156., 187., 625., 687.]; n], 64);
            assert_eq!(space, DataSpace::Thousandths, "{n}: {note}");
            assert!(note.contains("thousandths, since") && note.contains("beyond"), "{note}");
        }
        // One that leaves its picture among others that do not is a mistake.
        let (space, note) = read(&[[20., 30., 60., 62.], [20., 30., 60., 90.]], 64);
        assert_eq!(space, DataSpace::Pixels, "{note}");
    }

    #[test]
    fn few_shares_beside_pixels_are_shares() {
        assert_eq!(read(&[[0.1, 0.2, 0.5, 0.9]; 2], 640).0, DataSpace::Unit);
    }
}
