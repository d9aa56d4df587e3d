//! What the numbers of boxes in columns count, and from that to pixels: as the row says, as declared, else pixels, or shares
//! of the sides where none is above 1.

use crate::checked::Checked;
use crate::forms::Open;
use crate::readers::DraftTruth;
use crate::row::Skipped;
use crate::summary::rows;
use crate::{BoxesAre, DataSpace, OpenOptions};

/// Share of the rows that may be otherwise than the rest: as many as a run leaves out by default.
const MAX_ODD: f64 = 0.05;
/// Fewest rows to suspect thousandths by.
const MIN_SUSPECTED: usize = 8;
/// Numbers that are spread over the thousandths of a side go beyond this.
const MIN_REACH: f64 = 900.0;
/// Thousandths of a side.
const THOUSAND: f64 = 1000.0;

/// What rows of which it is open tell of the numbers of their boxes.
#[derive(Debug, Default)]
struct Told {
    n: usize,
    /// Rows of which no number is above 1, by their places.
    shares: Vec<String>,
    others: Vec<String>,
    /// The greatest number.
    most: f64,
    /// The shortest side of a picture.
    shortest: Option<u32>,
}

impl Told {
    fn of(rows: &[Checked]) -> Self {
        let mut told = Self::default();
        for row in rows.iter().filter(|row| row.open().is_some_and(|open| open.space.is_none())) {
            let Some(picture) = row.first().filter(|_| row.numbers().next().is_some()) else {
                continue;
            };
            told.n += 1;
            let place = row.draft.origin.place();
            let camp = if are_shares(row) { &mut told.shares } else { &mut told.others };
            camp.push(place);
            told.most = row.numbers().flatten().copied().fold(told.most, f64::max);
            let side = picture.header().reach().into_iter().min();
            told.shortest = told.shortest.into_iter().chain(side).min();
        }
        told
    }

    /// What the numbers are taken to count, and what the user should know of it.
    fn space(&self, declared: Option<DataSpace>) -> Result<(DataSpace, Option<String>), String> {
        let taken = "the numbers of boxes are taken for";
        match declared {
            Some(DataSpace::Resized) => {
                return Err(
                    "data.space = \"resized\", and boxes in columns are on the picture as it is stored, before any model \
                     sees it: declare pixels, thousandths, unit or percent"
                        .to_owned(),
                );
            }
            Some(DataSpace::Pixels) => return Ok((DataSpace::Pixels, None)),
            Some(space) => {
                return Ok((space, Some(format!("{taken} {}, as data.space says", space.name()))));
            }
            None => {}
        }
        let are_few = |some: &[String]| some.len() as f64 <= MAX_ODD * self.n as f64;
        match (are_few(&self.shares), are_few(&self.others)) {
            (true, _) => Ok((DataSpace::Pixels, self.suspicion())),
            (false, true) => {
                let note = format!("{taken} shares of the sides, since none is above 1");
                Ok((DataSpace::Unit, Some(note)))
            }
            (false, false) => Err(format!(
                "boxes are not in the same unit everywhere: in {} ({}, ...) no number is above 1, as shares of the sides \
                 are, in {} ({}, ...) some are; write all of them alike, or declare data.space, which the others are \
                 skipped by",
                rows(self.shares.len()),
                self.shares[0],
                rows(self.others.len()),
                self.others[0]
            )),
        }
    }

    /// That pixels look like thousandths.
    fn suspicion(&self) -> Option<String> {
        let shortest = self.shortest.map(f64::from).filter(|side| *side > 1.1 * THOUSAND)?;
        let is_suspect = self.n >= MIN_SUSPECTED && (MIN_REACH..=THOUSAND).contains(&self.most);
        is_suspect.then(|| {
            format!(
                "warning: the numbers of boxes are taken for pixels, though none is above {} on pictures of which no side \
                 is below {shortest} pixels: look at a picture; data.space = \"thousandths\" takes them for that",
                self.most
            )
        })
    }
}

/// Makes pixels of the numbers of all boxes of which it is open; rows that are in another unit than the rest are left out.
/// What is told of them is returned.
///
/// # Errors
/// Rows in different units, none of which is declared; a declaration that boxes in columns cannot have.
pub(crate) fn settle(
    rows: &mut Vec<Checked>,
    skipped: &mut Vec<Skipped>,
    options: &OpenOptions,
) -> Result<Option<String>, String> {
    let told = Told::of(rows);
    let (space, note) = match told.n {
        0 => (DataSpace::Pixels, None),
        _ => told.space(options.space)?,
    };
    rows.retain_mut(|row| {
        let Some(open) = row.open() else { return true };
        let own = match (open.space, options.space) {
            (Some(own), Some(declared)) if own != declared => {
                let why = format!(
                    "its boxes are in {}, as the row says (bbox_type), and data.space = {:?}",
                    own.name(),
                    declared.name()
                );
                skipped.push(row.draft.origin.skipped(why));
                return false;
            }
            (own, _) => own.unwrap_or(space),
        };
        if own == DataSpace::Pixels && are_shares(row) {
            let why = "its boxes lie within the first pixel: they are taken for pixels, and these look like shares of the \
                       sides (data.space = \"unit\")";
            skipped.push(row.draft.origin.skipped(why.to_owned()));
            return false;
        }
        scale(row, own, options.boxes_are);
        true
    });
    Ok(note)
}

/// Whether no number is above 1 and some are no whole ones.
fn are_shares(row: &Checked) -> bool {
    let numbers = || row.numbers().flatten();
    numbers().all(|number| *number <= 1.0) && numbers().any(|number| number.fract() != 0.0)
}

/// From a unit to pixels.
fn scale(row: &mut Checked, space: DataSpace, boxes_are: Option<BoxesAre>) {
    let whole = match space {
        DataSpace::Pixels | DataSpace::Resized => return,
        DataSpace::Unit => 1.0,
        DataSpace::Percent => 100.0,
        DataSpace::Thousandths => THOUSAND,
    };
    let Some(picture) = row.first() else { return };
    let header = picture.header();
    let (width, height) = match boxes_are {
        Some(BoxesAre::Displayed) => header.displayed(),
        _ => header.stored,
    };
    let DraftTruth::Boxes { marked, open, .. } = &mut row.draft.truth else { return };
    let sides = [f64::from(width), f64::from(height)];
    for numbers in marked.corners.iter_mut().chain(&mut marked.crowds) {
        for (idx, number) in numbers.iter_mut().enumerate() {
            *number = *number * sides[idx % 2] / whole;
        }
    }
    if let Some(Open { space: told, .. }) = open {
        *told = Some(space);
    }
}
