//! In which pixels boxes are where EXIF turns pictures and their own size does not tell: as those of the other pictures.

use std::path::PathBuf;

use crate::BoxesAre;
use crate::checked::Checked;
use crate::geometry::Frame;

/// Share of the pictures that may tell otherwise than the rest: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;

/// Rows that are named of each kind.
const N_NAMED: usize = 3;

/// Rows with boxes on pictures that EXIF turns, by what their annotated sizes tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    n_unknown: usize,
    stored: Camp,
    displayed: Camp,
}

/// Rows whose sizes tell the same.
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
        format!("{} ({} ...)", self.n, self.named.join(", "))
    }
}

impl Turned {
    pub(crate) fn of(rows: &[Checked]) -> Self {
        let mut turned = Self::default();
        for row in rows {
            match row.frame {
                Frame::Upright => {}
                Frame::Known(BoxesAre::Stored) => turned.stored.add(row),
                Frame::Known(BoxesAre::Displayed) => turned.displayed.add(row),
                Frame::Unknown => turned.n_unknown += 1,
            }
        }
        turned
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
        if self.n_unknown == 0 {
            // Nothing is read by it, but a new configuration says it for rows to come.
            let told = || BoxesAre::by_majority(self.stored.n, self.displayed.n);
            let chosen = configured.or_else(told).unwrap_or(BoxesAre::Stored);
            return Ok(Decision { chosen, note: None });
        }
        if let Some(chosen) = configured {
            return Ok(self.decision(chosen, "as configured"));
        }
        let (path, other) = beside().unwrap_or_default();
        let (n_stored, n_displayed) =
            (self.stored.n + other.stored.n, self.displayed.n + other.displayed.n);
        let chosen = BoxesAre::by_majority(n_stored, n_displayed).ok_or_else(|| {
            format!(
                "EXIF turns pictures, and the sizes in the annotations tell different things of which pixels boxes are: \
                 {} rows are as stored, {} as displayed, and {} do not tell: declare data.boxes_are = \"stored\" or \
                 \"displayed\" for the latter",
                self.stored.told(), self.displayed.told(), self.n_unknown
            )
        })?;
        let n = if chosen == BoxesAre::Stored { n_stored } else { n_displayed };
        let n_other = if chosen == BoxesAre::Stored { other.stored.n } else { other.displayed.n };
        let reason = match (n, n_other) {
            (0, _) => "the default".to_owned(),
            (n, 0) => format!("as in {n} other rows, whose sizes tell"),
            (n, _) => format!(
                "as in {n} other rows, {n_other} of them in {}, whose sizes tell",
                path.display()
            ),
        };
        Ok(self.decision(chosen, &reason))
    }

    fn decision(&self, chosen: BoxesAre, reason: &str) -> Decision {
        let note = format!(
            "EXIF turns the pictures of {} rows and their sizes do not tell of which pixels their boxes are: \
             data.boxes_are = {:?}, {reason}",
            self.n_unknown,
            chosen.name()
        );
        Decision { chosen, note: Some(note) }
    }
}
