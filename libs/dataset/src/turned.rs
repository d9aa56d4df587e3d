//! In which pixels boxes are where EXIF turns pictures and their own size does not tell: as those of the other pictures.

use std::path::PathBuf;

use crate::BoxesAre;
use crate::checked::Checked;
use crate::geometry::Frame;
use crate::summary::{rows, verb};

/// Share of the pictures that may tell otherwise than the rest: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;

/// Rows that are named of each kind.
const N_NAMED: usize = 3;

/// Rows with boxes on pictures that EXIF turns, by what their annotated sizes tell, and without these the boxes themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    /// Rows whose sizes do not tell.
    n_unknown: usize,
    stored: Camp,
    displayed: Camp,
    /// Of the rows whose sizes do not tell, those whose boxes lie within the picture in one way alone.
    fit_stored: Camp,
    fit_displayed: Camp,
    /// Of the rows whose sizes tell, those whose boxes lie within the picture in the other way alone.
    against_stored: Camp,
    against_displayed: Camp,
    /// Of the rows whose sizes tell, those whose boxes lie within the picture in no other way.
    n_agreeing: usize,
}

/// Rows that tell the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Camp {
    n: usize,
    /// The first of them.
    named: Vec<String>,
}

/// What was decided, and what the user should know of it.
pub(crate) struct Decision {
    pub(crate) chosen: BoxesAre,
    pub(crate) note: Option<String>,
}

impl BoxesAre {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            BoxesAre::Stored => "stored",
            BoxesAre::Displayed => "displayed",
        }
    }

    /// Not this one.
    pub(crate) fn other(self) -> Self {
        match self {
            BoxesAre::Stored => BoxesAre::Displayed,
            BoxesAre::Displayed => BoxesAre::Stored,
        }
    }

    /// What most of the pictures tell: `n_stored` of them are read as stored, `n_displayed` as displayed. Without any, it is
    /// `stored`. `None` where too many tell the other to be mistakes.
    pub fn by_majority(n_stored: usize, n_displayed: usize) -> Option<Self> {
        let are_few = |n: usize| n as f64 <= MAX_ODD * (n_stored + n_displayed) as f64;
        match (are_few(n_displayed), are_few(n_stored)) {
            (true, _) => Some(BoxesAre::Stored),
            (false, true) => Some(BoxesAre::Displayed),
            (false, false) => None,
        }
    }
}

impl Camp {
    fn add(&mut self, row: &Checked) {
        if self.named.len() < N_NAMED {
            self.named.push(row.draft.origin.place());
        }
        self.n += 1;
    }

    fn told(&self) -> String {
        let more = if self.n > self.named.len() { " ..." } else { "" };
        format!("{} ({}{more})", rows(self.n), self.named.join(", "))
    }
}

impl Turned {
    pub(crate) fn of(rows: &[Checked]) -> Self {
        let mut turned = Self::default();
        for row in rows {
            match row.frame {
                Frame::Upright => {}
                Frame::Known(told) => turned.add_known(told, row),
                Frame::Unknown => {
                    turned.n_unknown += 1;
                    match (row.fits(BoxesAre::Stored), row.fits(BoxesAre::Displayed)) {
                        (true, false) => turned.fit_stored.add(row),
                        (false, true) => turned.fit_displayed.add(row),
                        _ => {}
                    }
                }
            }
        }
        turned
    }

    /// Adds a row whose size tells.
    fn add_known(&mut self, told: BoxesAre, row: &Checked) {
        let (camp, against) = match told {
            BoxesAre::Stored => (&mut self.stored, &mut self.against_stored),
            BoxesAre::Displayed => (&mut self.displayed, &mut self.against_displayed),
        };
        camp.add(row);
        match (row.fits(told), row.fits(told.other())) {
            (true, false) => self.n_agreeing += 1,
            (false, true) => against.add(row),
            _ => {}
        }
    }

    /// Rows that tell the one or the other: by their sizes, and by where their boxes lie.
    fn n_told(&self, what: BoxesAre) -> [usize; 2] {
        match what {
            BoxesAre::Stored => [self.stored.n, self.fit_stored.n],
            BoxesAre::Displayed => [self.displayed.n, self.fit_displayed.n],
        }
    }

    /// As configured, else as in most of the pictures of this data and of that beside it, else as stored. What is beside
    /// is asked for only where it matters.
    ///
    /// # Errors
    /// Pictures of which some tell one thing and some the other.
    pub(crate) fn decide(
        &self,
        configured: Option<BoxesAre>,
        beside: impl FnOnce() -> Option<(PathBuf, Turned)>,
    ) -> Result<Decision, String> {
        if let Some(chosen) = configured {
            return Ok(Decision { chosen, note: self.declared(chosen) });
        }
        self.check_sizes()?;
        if self.n_unknown == 0 {
            // Nothing is read by it.
            let told = BoxesAre::by_majority(self.stored.n, self.displayed.n);
            return Ok(Decision { chosen: told.unwrap_or(BoxesAre::Stored), note: None });
        }
        let (path, other) = beside().unwrap_or_default();
        let n_told = |what| [self.n_told(what), other.n_told(what)].concat().iter().sum();
        let chosen = BoxesAre::by_majority(n_told(BoxesAre::Stored), n_told(BoxesAre::Displayed));
        let chosen = chosen.ok_or_else(|| self.contradiction())?;
        let ([n_own, n_fit], [n_other, n_fit_other]) = (self.n_told(chosen), other.n_told(chosen));
        let there = |n: usize| match n {
            0 => String::new(),
            n => format!(", {n} of them in {}", path.display()),
        };
        let mut reasons = Vec::new();
        if n_own + n_other > 0 {
            let n = n_own + n_other;
            let one = verb(n, "one other row", "other rows");
            let n = if n == 1 { String::new() } else { format!("{n} ") };
            reasons.push(format!("as in {n}{one}{}, whose sizes tell", there(n_other)));
        }
        if n_fit + n_fit_other > 0 {
            let (n, there) = (n_fit + n_fit_other, there(n_fit_other));
            reasons.push(format!(
                "since the boxes of {}{there} lie within their pictures in no other way",
                rows(n)
            ));
        }
        let reason =
            if reasons.is_empty() { "the default".to_owned() } else { reasons.join(" and ") };
        Ok(self.decision(chosen, &reason))
    }

    /// What is known of the pictures that are read as it is declared, and what their sizes say against that.
    fn declared(&self, chosen: BoxesAre) -> Option<String> {
        let against = match chosen {
            BoxesAre::Stored => &self.displayed,
            BoxesAre::Displayed => &self.stored,
        };
        let mut note = (self.n_unknown > 0).then(|| self.told(chosen, "as configured"));
        if against.n > 0 {
            let and = note.take().map(|note| format!("{note}; ")).unwrap_or_default();
            note = Some(format!(
                "{and}the annotated sizes of {} are those of the picture as {}, and their boxes are read by data.boxes_are = \
                 {:?}, as configured",
                against.told(),
                chosen.other().name(),
                chosen.name()
            ));
        }
        note
    }

    /// Checks that boxes lie within their pictures as the annotated sizes tell.
    ///
    /// # Errors
    /// More than a few that do so in the other way alone.
    fn check_sizes(&self) -> Result<(), String> {
        let (stored, displayed) = (&self.against_stored, &self.against_displayed);
        let n_against = stored.n + displayed.n;
        if n_against as f64 <= MAX_ODD * (n_against + self.n_agreeing) as f64 {
            return Ok(());
        }
        let (against, told) = if stored.n >= displayed.n {
            (stored, BoxesAre::Stored)
        } else {
            (displayed, BoxesAre::Displayed)
        };
        let other = told.other().name();
        Err(format!(
            "EXIF turns pictures, and their annotated sizes tell otherwise than their boxes: by the sizes boxes are as {}, \
             and those of {} leave the pictures so and lie within them as {other}: data.boxes_are = {other:?} reads all boxes \
             on turned pictures as {other}",
            told.name(),
            against.told()
        ))
    }

    fn contradiction(&self) -> String {
        let told = |by_size: &Camp, by_fit: &Camp| match (by_size.n, by_fit.n) {
            (_, 0) => format!("{} by their sizes", by_size.told()),
            (0, _) => format!("{} by where their boxes lie", by_fit.told()),
            _ => format!(
                "{} by their sizes and {} by where their boxes lie",
                by_size.told(),
                by_fit.told()
            ),
        };
        format!(
            "EXIF turns pictures, and the annotations tell different things of which pixels boxes are, {} that they are \
             as stored, {} that they are as displayed; the sizes of {} do not tell: declare data.boxes_are = \"stored\" or \
             \"displayed\" for the latter",
            told(&self.stored, &self.fit_stored),
            told(&self.displayed, &self.fit_displayed),
            rows(self.n_unknown)
        )
    }

    fn decision(&self, chosen: BoxesAre, reason: &str) -> Decision {
        Decision { chosen, note: Some(self.told(chosen, reason)) }
    }

    fn told(&self, chosen: BoxesAre, reason: &str) -> String {
        format!(
            "EXIF turns the pictures of {} and their sizes do not tell of which pixels their boxes are: \
             data.boxes_are = {:?}, {reason}",
            rows(self.n_unknown),
            chosen.name()
        )
    }

    /// Whether there are turned pictures and the sizes of none tell otherwise: only then it may be declared, since what is
    /// declared counts for all.
    pub(crate) fn may_declare(&self, chosen: BoxesAre) -> bool {
        let against = match chosen {
            BoxesAre::Stored => &self.displayed,
            BoxesAre::Displayed => &self.stored,
        };
        *self != Self::default() && against.n == 0
    }
}
