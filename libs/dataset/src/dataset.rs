//! A data set: its rows, opened and not decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checked::Checked;
use crate::readers::{self, Found};
use crate::row::Skipped;
use crate::summary::{self, verb};
use crate::turned::Turned;
use crate::{
    BboxForm, Beside, BoxesAre, ClassShots, DatasetError, OpenOptions, Row, alike, files, forms,
    hold_out, pictures, select, shots, units,
};

/// Rows of one file or folder; at least one. Pictures stay where they are until they are asked for.
#[derive(Debug, Clone)]
pub struct Dataset {
    path: PathBuf,
    split: Option<String>,
    rows: Vec<Row>,
    /// Rows of the files, whether usable, used or not.
    n_total: usize,
    skipped: Vec<Skipped>,
    skipped_parts: Vec<Skipped>,
    notes: Vec<String>,
    turned: Turned,
    boxes_are: BoxesAre,
    bbox: Option<BboxForm>,
    beside: Option<Box<Beside>>,
    rest: Rest,
}

/// What the other part of a divided data set has: the limit of bad rows is one of the whole file.
#[derive(Debug, Clone, Default)]
struct Rest {
    /// Its rows, until they are checked.
    rows: Vec<Row>,
    n_rows: usize,
    /// How many of all rows are known to be bad and are not among those that were left out here.
    n_bad: usize,
}

impl Dataset {
    /// Reads all rows and the headers of their pictures; no pixel is decoded.
    ///
    /// # Errors
    /// A file that is absent, of an unknown format or damaged; a column that is missing or of a wrong type; several
    /// splits and no choice; no usable row at all.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// [`Dataset::open`], told what the files do not say.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, DatasetError> {
        let files = files::find(path, options.split.as_deref())?;
        let found = readers::read(&files, options)?;
        Self::finish(path, files.split, found, options)
    }

    /// Rows that did not come from a file.
    ///
    /// # Errors
    /// No rows.
    pub fn of(rows: Vec<Row>) -> Result<Self, DatasetError> {
        let empty = Self {
            path: "(in memory)".into(),
            split: None,
            rows: Vec::new(),
            n_total: rows.len(),
            skipped: Vec::new(),
            skipped_parts: Vec::new(),
            notes: Vec::new(),
            turned: Turned::default(),
            boxes_are: BoxesAre::Stored,
            bbox: None,
            beside: None,
            rest: Rest::default(),
        };
        Self { rows, ..empty }.not_empty()
    }

    /// Looks at the pictures, and compares the rows with them.
    fn finish(
        path: &Path,
        split: Option<String>,
        found: Found,
        options: &OpenOptions,
    ) -> Result<Self, DatasetError> {
        let mut notes = found.notes;
        notes.extend(files::shards::note(path));
        let n_spilled = found.pictures.n_spilled();
        if n_spilled > 0 {
            notes.push(format!(
                "{} MiB of pictures inside of the data are kept in a temporary file (TMPDIR says where)",
                n_spilled >> 20
            ));
        }
        let pictures = found.pictures.open();
        let mut ready = Vec::with_capacity(found.rows.len());
        let mut skipped = Vec::new();
        for row in found.rows {
            match row.and_then(|draft| Checked::new(draft, &pictures)) {
                Ok(row) => ready.push(row),
                Err(why) => skipped.push(why),
            }
        }
        if ready.is_empty() {
            pictures::check_any(&pictures, &skipped, path)?;
        }
        let contradictory = |why| DatasetError::Contradictory { path: path.to_owned(), why };
        notes.extend(units::settle(&mut ready, &mut skipped, options).map_err(contradictory)?);
        let beside = || Self::beside_of(path, options)?.1.bbox;
        let declared = options.selection.bbox;
        let settled =
            forms::settle(ready, &mut skipped, declared, beside).map_err(contradictory)?;
        notes.extend(settled.note);
        let (ready, bbox) = (settled.rows, settled.form);
        let turned = Turned::of(&ready);
        let beside = || Self::beside_of(path, options).map(|(path, other)| (path, other.turned));
        let decision = turned.decide(options.boxes_are, beside).map_err(contradictory)?;
        notes.extend(decision.note);
        let boxes_are = decision.chosen;
        let mut rows = Vec::with_capacity(ready.len());
        for row in ready {
            match row.finish(boxes_are, options.boxes_are.is_some(), declared) {
                Ok(row) => rows.push(row),
                Err(why) => skipped.push(why),
            }
        }
        let n_blind = rows.iter().filter(|row: &&Row| row.pictures.is_empty()).count();
        if n_blind > 0 {
            notes.push(format!(
                "{} {} an empty list of images and {} asked in words alone",
                summary::rows(n_blind),
                verb(n_blind, "has", "have"),
                verb(n_blind, "is", "are")
            ));
        }
        notes.extend(alike::notes(&rows));
        let mut n_total = rows.len() + skipped.len();
        let mut rest = Rest::default();
        if let Some(part) = options.part {
            let n_all = rows.len();
            if rows.is_empty() {
                return Err(DatasetError::Empty { path: path.to_owned(), bad: skipped });
            }
            rest.rows = hold_out::divide(part, &mut rows, path, &skipped)?;
            notes.push(hold_out::note(part, rows.len(), n_all));
            if part.is_held_out {
                // They are told where the other part is learned from.
                rest.n_bad = std::mem::take(&mut skipped).len();
                rest.n_rows = n_total - rows.len();
                n_total = rows.len();
            }
        }
        if let Some(list) = &options.selection.rows {
            let named = select::listed(list)?;
            let there: BTreeSet<&str> = rows.iter().map(Row::sample_id).collect();
            if let Some(name) = named.iter().find(|name| !there.contains(name.as_str())) {
                let (path, list, name) = (path.to_owned(), list.clone(), name.clone());
                return Err(DatasetError::UnknownRow { path, list, name });
            }
            rows.retain(|row| named.contains(row.sample_id()));
            n_total = rows.len() + skipped.len();
            let (n, are) = (summary::rows(rows.len()), verb(rows.len(), "is", "are"));
            notes.push(format!("{n} {are} used, as {list:?} names them"));
        }
        skipped.sort_by_key(|skipped| skipped.row);
        let path = path.to_owned();
        let beside = options.beside.clone();
        Self {
            path,
            split,
            rows,
            n_total,
            skipped,
            skipped_parts: found.skipped_parts,
            notes,
            turned,
            boxes_are,
            bbox,
            beside,
            rest,
        }
        .not_empty()
    }

    /// The other data set that is read by the same conventions; nothing if it is the same file, or cannot be opened.
    fn beside_of(path: &Path, options: &OpenOptions) -> Option<(PathBuf, Self)> {
        let beside = options.beside.as_ref()?;
        let is_same = beside.path == path && beside.options.split == options.split;
        let other = Self::open_with(&beside.path, &beside.options).ok().filter(|_| !is_same)?;
        Some((beside.path.clone(), other))
    }

    /// What the four numbers of `bbox` are, in rows with an expression where the configuration leaves it open; `None` where
    /// nothing tells, or there are no such rows.
    pub fn bbox(&self) -> Option<BboxForm> {
        self.bbox
    }

    /// Opens the data set that is read by the same conventions; `None` if there is none, or if it cannot be opened, which
    /// is told where it is itself to be used.
    pub fn open_beside(&self) -> Option<Self> {
        let Beside { path, options } = self.beside.as_deref()?;
        Self::open_with(path, options).ok()
    }

    /// Of which pixels annotated boxes are taken to be where EXIF turns a picture; `None` where it turns none of them, or
    /// where their sizes tell different things.
    pub fn boxes_are(&self) -> Option<BoxesAre> {
        self.turned.may_declare(self.boxes_are).then_some(self.boxes_are)
    }

    /// Whether the data set that is read by the same conventions is another part of the same.
    pub fn is_part_of_beside(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| beside.path == self.path)
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the split, if the files have one.
    pub fn split(&self) -> Option<&str> {
        self.split.as_deref()
    }

    /// Number of rows; never 0.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// False: a data set without rows cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row at a place from 0 to [`Dataset::len`]; as with a slice, no other place may be asked for.
    pub fn get(&self, idx: usize) -> &Row {
        &self.rows[idx]
    }

    /// All rows in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.rows.iter()
    }

    /// The rows of the other part of a divided data set, until [`Dataset::check_rest`]: what is assumed about the data is
    /// assumed of both.
    pub fn rest(&self) -> &[Row] {
        &self.rest.rows
    }

    /// Rows that were left out, in the order of the file.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// What was left out and does not count as bad rows: what is meant to be, and questions whose objects are not all known,
    /// since an annotation that counts as bad cannot be used.
    pub fn skipped_parts(&self) -> &[Skipped] {
        &self.skipped_parts
    }

    /// What was assumed about the data and should be known.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Rows of the files, whether usable, used or not.
    pub fn n_total(&self) -> usize {
        self.n_total
    }

    /// Checks the rows of the other part of a divided data set, so that a bad row counts the same on whichever side it is:
    /// the limit is one of the whole file. Where the other part is what is set aside, its bad rows are told here too.
    pub fn check_rest(mut self, check: impl Fn(&Row) -> Result<(), String>) -> Self {
        let rest = std::mem::take(&mut self.rest.rows).into_iter();
        let bad = rest.filter_map(|row| Some(row.origin.skipped(check(&row).err()?)));
        if self.rest.n_rows == 0 {
            self.skipped.extend(bad);
        } else {
            self.rest.n_bad += bad.count();
        }
        self
    }

    /// Leaves out rows that `check` refuses, with its reason.
    ///
    /// # Errors
    /// More than `max_bad_fraction` of all rows left out (those that [`Dataset::open`] skipped count), or all.
    pub fn retain_valid(
        mut self,
        mut check: impl FnMut(&Row) -> Result<(), String>,
        max_bad_fraction: f64,
    ) -> Result<Self, DatasetError> {
        let total = self.n_total() + self.rest.n_rows;
        for row in std::mem::take(&mut self.rows) {
            match check(&row) {
                Ok(()) => self.rows.push(row),
                Err(why) => self.skipped.push(row.origin.skipped(why)),
            }
        }
        self.skipped.sort_by_key(|skipped| skipped.row);
        let n_bad = self.skipped.len() + self.rest.n_bad;
        if n_bad as f64 > max_bad_fraction * total as f64 {
            let path = self.path;
            let bad = self.skipped;
            return Err(DatasetError::TooManyBad { path, n_bad, bad, total, max_bad_fraction });
        }
        self.not_empty()
    }

    /// Keeps the first `n` rows that `check` accepts, 0 all of them. Rows behind these are not checked.
    ///
    /// # Errors
    /// As [`Dataset::retain_valid`].
    pub fn first_valid(
        mut self,
        n: usize,
        check: impl FnMut(&Row) -> Result<(), String>,
        max_bad_fraction: f64,
    ) -> Result<Self, DatasetError> {
        if n == 0 {
            return self.retain_valid(check, max_bad_fraction);
        }
        let mut check = check;
        let mut n_valid = 0;
        let checked = |row: &Row| {
            if n_valid == n {
                return Ok(());
            }
            let result = check(row);
            n_valid += usize::from(result.is_ok());
            result
        };
        self = self.retain_valid(checked, max_bad_fraction)?;
        self.rows.truncate(n);
        Ok(self)
    }

    /// Keeps `n` rows drawn with the seed, in the order of the file; 0 keeps all. The pictures of the drawn rows are
    /// decoded: a row with a damaged one is left out and the draw repeated.
    ///
    /// # Errors
    /// Fewer rows than `n`; more than `max_bad_fraction` of all rows left out.
    pub fn shots(self, n: usize, seed: u64, max_bad_fraction: f64) -> Result<Self, DatasetError> {
        if n == 0 {
            return Ok(self);
        }
        self.draw(max_bad_fraction, |dataset| {
            let got = dataset.len();
            if n > got {
                let path = dataset.path.clone();
                return Err(DatasetError::TooFewRows { path, expected: n, got });
            }
            Ok(shots::draw(got, n, seed))
        })
    }

    /// Keeps rows of each class drawn with the seed, in the order of the file. Of questions for what is not there, so many
    /// are kept for each one that is kept as `shots.absent` says.
    ///
    /// # Errors
    /// As [`Dataset::shots`]; a row without a class; a class with fewer rows.
    pub fn shots_per_class(
        self,
        shots: ClassShots,
        seed: u64,
        class: impl Fn(&Row) -> Option<Arc<str>>,
    ) -> Result<Self, DatasetError> {
        if shots.n == 0 {
            return Ok(self);
        }
        self.draw(shots.max_bad_fraction, |dataset| {
            shots::draw_by_class(&dataset.rows, &dataset.path, shots, seed, &class)
        })
    }

    /// Keeps the rows at the places that are drawn, and draws again without those whose pictures turn out to be damaged.
    fn draw(
        mut self,
        max_bad_fraction: f64,
        places: impl Fn(&Self) -> Result<BTreeSet<usize>, DatasetError>,
    ) -> Result<Self, DatasetError> {
        loop {
            let got = self.len();
            let kept = places(&self)?;
            let damaged: BTreeMap<usize, String> = kept
                .iter()
                .filter_map(|idx| Some((*idx, self.rows[*idx].decode().err()?)))
                .collect();
            let is_final = damaged.is_empty();
            let mut idx = 0..got;
            self = self.retain_valid(
                |_| match idx.next().map(|idx| (damaged.get(&idx), idx)) {
                    Some((Some(why), _)) => Err(why.clone()),
                    _ => Ok(()),
                },
                max_bad_fraction,
            )?;
            if is_final {
                let mut idx = 0..got;
                self.rows.retain(|_| idx.next().is_some_and(|idx| kept.contains(&idx)));
                return Ok(self);
            }
        }
    }

    fn not_empty(self) -> Result<Self, DatasetError> {
        if self.rows.is_empty() {
            let bad = [self.skipped, self.skipped_parts].concat();
            return Err(DatasetError::Empty { path: self.path, bad });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
