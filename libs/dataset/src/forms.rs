//! Four numbers that may be a box in two ways, as two corners or as a corner with width and height: what they are is told by
//! all rows together.

use vrft_vision::Header;

use crate::checked::Checked;
use crate::readers::{DraftTruth, Marked};
use crate::row::Skipped;
use crate::{BboxForm, DataSpace, Picture};

/// Pixels that a box may reach over the edge of its picture.
const MAX_OUTSIDE: f64 = 2.0;
/// Share of the telling rows that may tell otherwise than the rest: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;
/// Rows that are named of each kind.
const N_NAMED: usize = 3;

/// What is open about four numbers of a box when they are read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Open {
    /// In which form they are a box; `None` for what is declared, or all rows tell.
    pub(crate) form: Option<BboxForm>,
    /// What they count, where the row says it; `None` for what is declared, or all rows tell.
    pub(crate) space: Option<DataSpace>,
}

/// The corners of a box.
///
/// # Errors
/// It has no area.
pub(crate) fn corners(numbers: [f64; 4], form: BboxForm) -> Result<[f64; 4], String> {
    let [x, y, third, fourth] = numbers;
    let corners = match form {
        BboxForm::Corners => numbers,
        BboxForm::Sides => [x, y, x + third, y + fourth],
    };
    if corners[0] < corners[2] && corners[1] < corners[3] {
        return Ok(corners);
    }
    let are_swapped = corners[0] > corners[2] || corners[1] > corners[3];
    let why = match form {
        BboxForm::Corners if are_swapped => "has its corners swapped",
        BboxForm::Sides if are_swapped => "has a width or height below 0",
        _ => "has no area",
    };
    Err(format!("its bbox {why}: [{x}, {y}, {third}, {fourth}] as {}", in_words(form)))
}

/// Rows by what their numbers can be.
#[derive(Debug, Default)]
struct Told {
    n: usize,
    /// Rows whose numbers are a box within the picture as a center with width and height, too.
    n_centers: usize,
    /// Rows whose numbers are a box within the picture in this way alone.
    sides: Vec<String>,
    corners: Vec<String>,
}

impl Told {
    fn of(rows: &[Checked]) -> Self {
        let mut told = Self::default();
        for (row, header) in rows.iter().filter_map(|row| Some((row, open(row)?))) {
            told.n += 1;
            let is_centered = row.numbers().all(|numbers| is_center(*numbers, header));
            told.n_centers += usize::from(is_centered);
            let fits = |form| row.numbers().all(|numbers| fits(*numbers, form, header));
            match [BboxForm::Sides, BboxForm::Corners].map(fits) {
                [true, false] => told.sides.push(row.draft.origin.place()),
                [false, true] => told.corners.push(row.draft.origin.place()),
                _ => {}
            }
        }
        told
    }

    /// The way that nearly all telling rows tell; `None` where no row does.
    fn decide(&self) -> Result<Option<BboxForm>, String> {
        let n = self.sides.len() + self.corners.len();
        let are_few = |rows: &[String]| rows.len() as f64 <= MAX_ODD * n as f64;
        match (are_few(&self.corners), are_few(&self.sides)) {
            _ if n == 0 => Ok(None),
            (true, _) => Ok(Some(BboxForm::Sides)),
            (false, true) => Ok(Some(BboxForm::Corners)),
            (false, false) => {
                let camp = |rows: &[String], form| {
                    let named = &rows[..rows.len().min(N_NAMED)];
                    let more = if rows.len() > named.len() { " ..." } else { "" };
                    format!(
                        "in {} ({}{more}) it can only be {}",
                        crate::summary::rows(rows.len()),
                        named.join(", "),
                        in_words(form)
                    )
                };
                Err(format!(
                    "\"bbox\" is not the same everywhere: {}, {}; write all of them alike, or declare data.bbox, which the \
                     others are skipped by",
                    camp(&self.sides, BboxForm::Sides),
                    camp(&self.corners, BboxForm::Corners)
                ))
            }
        }
    }

    /// What to do where all boxes may have their centers in place of their corners.
    fn centers(&self, form: BboxForm) -> &'static str {
        if form == BboxForm::Sides && self.n_centers == self.n {
            "; all of them would also lie within their pictures as [center x, center y, width, height], as YOLO has boxes, \
             which is not read: where they are that, subtract half of the width from the first number and half of the height \
             from the second"
        } else {
            ""
        }
    }

    fn note(&self, decided: Option<BboxForm>, beside: Option<BboxForm>) -> String {
        let n = self.n;
        match (decided, beside) {
            (Some(form), _) => {
                let k = if form == BboxForm::Sides { &self.sides } else { &self.corners }.len();
                format!(
                    "the four numbers of \"bbox\" are taken for {}, since in {k} of {n} rows they are a box within the picture \
                     so, and as {} they are none{}",
                    in_words(form),
                    in_words(opposite(form)),
                    self.centers(form)
                )
            }
            (None, Some(form)) => format!(
                "the four numbers of \"bbox\" are taken for {}, as in the data beside these rows{}",
                in_words(form),
                self.centers(form)
            ),
            (None, None) => {
                let form = BboxForm::default();
                format!(
                    "the four numbers of \"bbox\" are taken for {}, though in all {n} rows they may be {} as well: look at a \
                     picture; data.bbox = \"corners\" takes them for that{}",
                    in_words(form),
                    in_words(opposite(form)),
                    self.centers(form)
                )
            }
        }
    }
}

/// Rows of which none is open any more.
pub(crate) struct Settled {
    pub(crate) rows: Vec<Checked>,
    /// What the numbers are; `None` where nothing tells, or no row was open.
    pub(crate) form: Option<BboxForm>,
    /// What the user should know.
    pub(crate) note: Option<String>,
}

/// Makes boxes of the numbers of all rows: as declared, else as they tell. Rows with a box that has no area then are left
/// out: without it, finding its object would be a mistake. What the data beside them was read by is asked for only where
/// these rows do not tell.
///
/// # Errors
/// Rows of which some can only be one thing and some the other.
pub(crate) fn settle(
    rows: Vec<Checked>,
    skipped: &mut Vec<Skipped>,
    declared: Option<BboxForm>,
    beside: impl FnOnce() -> Option<BboxForm>,
) -> Result<Settled, String> {
    let told = if declared.is_some() { Told::default() } else { Told::of(&rows) };
    let decided = if told.n > 0 { told.decide()? } else { None };
    let of_others = if told.n > 0 && decided.is_none() { beside() } else { None };
    let form = declared.or(decided).or(of_others);
    let settled = rows.into_iter().filter_map(|mut row| {
        let DraftTruth::Boxes { marked, open: Some(open), .. } = &mut row.draft.truth else {
            return Some(row);
        };
        let bad = make_boxes(marked, open.form.or(form).unwrap_or_default());
        let Some(why) = bad.into_iter().next() else { return Some(row) };
        skipped.push(row.draft.origin.skipped(why));
        None
    });
    let rows = settled.collect();
    let note = (told.n > 0).then(|| told.note(decided, of_others));
    let form = form.filter(|_| told.n > 0);
    Ok(Settled { rows, form, note })
}

/// Makes corners of the numbers. Boxes without area are left out, with the reasons.
fn make_boxes(marked: &mut Marked, form: BboxForm) -> Vec<String> {
    let mut bad = Vec::new();
    marked.areas.clear();
    for numbers in std::mem::take(&mut marked.corners) {
        match corners(numbers, form) {
            Ok(corners) => marked.push(corners, None),
            Err(why) => bad.push(why),
        }
    }
    // A crowd is no answer, so nothing is lost with it.
    let crowds = std::mem::take(&mut marked.crowds).into_iter();
    marked.crowds = crowds.filter_map(|numbers| corners(numbers, form).ok()).collect();
    bad
}

/// Numbers of which the form is open, by the picture that they are on.
fn open(row: &Checked) -> Option<&Header> {
    let is_open = row.open().is_some_and(|open| open.form.is_none());
    let has_some = is_open && row.numbers().next().is_some();
    has_some.then(|| row.first().map(Picture::header)).flatten()
}

/// Whether a box of its center, width and height lies within the picture.
fn is_center([x, y, width, height]: [f64; 4], header: &Header) -> bool {
    fits([x - width / 2.0, y - height / 2.0, width, height], BboxForm::Sides, header)
}

fn fits(numbers: [f64; 4], form: BboxForm, header: &Header) -> bool {
    let [width, height] = header.reach().map(f64::from);
    corners(numbers, form).is_ok_and(|[x1, y1, x2, y2]| {
        [-x1, -y1, x2 - width, y2 - height].into_iter().all(|outside| outside <= MAX_OUTSIDE)
    })
}

fn opposite(form: BboxForm) -> BboxForm {
    match form {
        BboxForm::Sides => BboxForm::Corners,
        BboxForm::Corners => BboxForm::Sides,
    }
}

fn in_words(form: BboxForm) -> &'static str {
    match form {
        BboxForm::Sides => "[x, y, width, height]",
        BboxForm::Corners => "two corners [x1, y1, x2, y2]",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Folder, black};
    use crate::{BboxForm, Dataset, Truth};

    /// Rows of pictures of 200 × 100 pixels.
    fn open(boxes: &[[u32; 4]]) -> Result<Dataset, String> {
        let row = |bbox: &[u32; 4]| {
            json!({"image": "a.png", "bbox": bbox, "expression": "it"}).to_string()
        };
        let rows: Vec<String> = boxes.iter().map(row).collect();
        let folder =
            Folder::new(&[("a.png", &black(200, 100)), ("rows.jsonl", rows.join("\n").as_bytes())]);
        Dataset::open(&folder.path("rows.jsonl")).map_err(|error| error.to_string())
    }

    fn first(dataset: &Dataset) -> [f64; 4] {
        match &dataset.get(0).truth {
            Truth::Boxes(boxes) => boxes[0].corners(),
            Truth::Text(text) => panic!("{text}"),
        }
    }

    const OPEN: [u32; 4] = [20, 10, 60, 40];

    #[test]
    fn other_rows_tell_what_the_numbers_are() {
        let corners = open(&[OPEN, [150, 20, 190, 90]]).unwrap();
        assert_eq!(
            (first(&corners), corners.bbox()),
            ([20., 10., 60., 40.], Some(BboxForm::Corners))
        );
        assert!(corners.notes()[0].contains("in 1 of 2 rows"), "{:?}", corners.notes());
        let sides = open(&[OPEN, [150, 60, 40, 30]]).unwrap();
        assert_eq!((first(&sides), sides.bbox()), ([20., 10., 80., 50.], Some(BboxForm::Sides)));
    }

    #[test]
    fn what_no_row_tells_is_said() {
        let dataset = open(&[OPEN; 3]).unwrap();
        assert_eq!((first(&dataset), dataset.bbox()), ([20., 10., 80., 50.], None));
        let note = &dataset.notes()[0];
        assert!(
            note.contains("in all 3 rows") && note.contains("data.bbox = \"corners\""),
            "{note}"
        );
    }

    #[test]
    fn boxes_that_may_have_their_centers_are_told_what_to_do() {
        const WITHIN: [u32; 4] = [40, 30, 60, 40];
        // As corners the second is none.
        let note = |boxes: &[[u32; 4]]| open(boxes).unwrap().notes()[0].clone();
        let centers = note(&[WITHIN, [150, 60, 40, 30]]);
        for words in [
            "in 1 of 2 rows they are a box within the picture so, and as two corners",
            "as YOLO has boxes",
            "subtract half of the width",
        ] {
            assert!(centers.contains(words), "{centers}");
        }
        // A box at the edge has no room for its other half, and corners are no sides.
        for boxes in
            [[WITHIN, [150, 60, 40, 30], [0, 10, 40, 30]], [WITHIN, [150, 20, 190, 90], WITHIN]]
        {
            assert!(!note(&boxes).contains("YOLO"), "{}", note(&boxes));
        }
    }

    #[test]
    fn a_few_rows_of_the_other_kind_are_left_out_and_many_are_refused() {
        let corners = [[150, 20, 190, 90]; 39];
        let few = open(&[corners.as_slice(), &[[150, 60, 40, 30]]].concat()).unwrap();
        assert_eq!(few.len(), 39);
        assert!(few.skipped()[0].to_string().contains("corners swapped"), "{:?}", few.skipped());
        let error = open(&[[150, 20, 190, 90], [150, 60, 40, 30]]).unwrap_err();
        assert!(error.contains("row 0") && error.contains("declare data.bbox"), "{error}");
    }
}
