//! Masks: filled outlines, and COCO's run lengths.

use crate::runs::{compress, decompress};

/// Corners further out than this are damage, and would not fit into the numbers that edges are followed with.
const FAR: i64 = 1 << 24;

/// Which pixels of a picture belong to something, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    pixels: Vec<bool>,
}

impl Mask {
    /// No pixel.
    pub fn empty(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![false; width * height] }
    }

    /// These pixels, row by row.
    ///
    /// # Panics
    /// Another number of pixels than the sides say.
    pub fn of_pixels(width: usize, height: usize, pixels: Vec<bool>) -> Self {
        assert_eq!(pixels.len(), width * height, "a mask has a pixel for each of its picture");
        Self { width, height, pixels }
    }

    /// The pixels, row by row.
    pub fn pixels(&self) -> &[bool] {
        &self.pixels
    }

    /// The pixels inside of an outline and on it, as OpenCV's `polylines` and `fillPoly` draw them: corners lose what is behind
    /// the point, and what is enclosed an even number of times is outside.
    pub fn polygon(width: usize, height: usize, points: &[[f64; 2]]) -> Self {
        let mut mask = Self::empty(width, height);
        let points: Vec<[i64; 2]> =
            points.iter().map(|point| point.map(|side| (side as i64).clamp(-FAR, FAR))).collect();
        let edges = || points.iter().zip(points.iter().cycle().skip(1));
        for y in 0..height as i64 {
            let mut crossings: Vec<i64> = edges().filter_map(|(a, b)| crossing(a, b, y)).collect();
            crossings.sort_unstable();
            for pair in crossings.chunks_exact(2) {
                let from = (pair[0] + (1 << FRACTION) - 1) >> FRACTION;
                let to = (pair[1] >> FRACTION).min(width as i64 - 1);
                (from.max(0)..=to).for_each(|x| mask.set(x, y));
            }
        }
        edges().for_each(|(a, b)| mask.line(a, b));
        mask
    }

    /// The pixels of a box, given by two corners.
    pub fn rectangle(width: usize, height: usize, [x1, y1, x2, y2]: [f64; 4]) -> Self {
        let mut mask = Self::empty(width, height);
        let inside = |low: f64, high: f64, side: usize| {
            let last = high.round().min(side as f64).max(0.0) as usize;
            (low.round().max(0.0) as usize).min(last)..last
        };
        for y in inside(y1, y2, height) {
            for x in inside(x1, x2, width) {
                mask.pixels[y * width + x] = true;
            }
        }
        mask
    }

    /// COCO's run lengths: pixels outside and inside by turns, column by column.
    ///
    /// # Errors
    /// Runs that are not as many pixels as the picture has.
    pub fn from_runs(width: usize, height: usize, runs: &[usize]) -> Result<Self, String> {
        let total = runs.iter().try_fold(0_usize, |sum, run| sum.checked_add(*run));
        if total != Some(width * height) {
            let total = total.map_or("too many".to_owned(), |total| total.to_string());
            return Err(format!("its runs are {total} pixels, the picture has {width} x {height}"));
        }
        let mut mask = Self::empty(width, height);
        let mut start = 0;
        for (idx, run) in runs.iter().enumerate() {
            if idx % 2 == 1 {
                for place in start..start + run {
                    mask.pixels[place % height * width + place / height] = true;
                }
            }
            start += run;
        }
        Ok(mask)
    }

    /// The same from the text that COCO packs them into.
    ///
    /// # Errors
    /// A text that is none; as [`Mask::from_runs`].
    pub fn from_packed_runs(width: usize, height: usize, text: &str) -> Result<Self, String> {
        let runs = decompress(text);
        let runs = runs.ok_or("its counts are no run lengths in COCO's text, or break off")?;
        Self::from_runs(width, height, &runs)
    }

    /// COCO's run lengths: pixels outside and inside by turns, column by column.
    pub fn runs(&self) -> Vec<usize> {
        let mut runs = vec![0];
        let mut is_inside = false;
        for column in 0..self.width {
            for row in 0..self.height {
                if self.pixels[row * self.width + column] != is_inside {
                    is_inside = !is_inside;
                    runs.push(0);
                }
                *runs.last_mut().expect("there is a first run") += 1;
            }
        }
        runs
    }

    /// The same as the text that COCO packs them into.
    pub fn packed_runs(&self) -> String {
        compress(&self.runs())
    }

    /// Number of pixels.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|pixel| **pixel).count()
    }

    /// Pixels of both and of either, without those of `ignored`; all have the same size.
    pub fn overlap(&self, other: &Self, ignored: &Self) -> (usize, usize) {
        let mut counts = (0, 0);
        let pixels = self.pixels.iter().zip(&other.pixels).zip(&ignored.pixels);
        for ((a, b), _) in pixels.filter(|(_, ignored)| !**ignored) {
            counts.0 += usize::from(*a && *b);
            counts.1 += usize::from(*a || *b);
        }
        counts
    }

    /// Adds the pixels of another mask of the same size.
    pub fn add(&mut self, other: &Self) {
        self.pixels.iter_mut().zip(&other.pixels).for_each(|(a, b)| *a |= b);
    }

    /// Takes the pixels of another mask of the same size away.
    pub fn remove(&mut self, other: &Self) {
        self.pixels.iter_mut().zip(&other.pixels).for_each(|(a, b)| *a &= !b);
    }

    fn set(&mut self, x: i64, y: i64) {
        if (0..self.width as i64).contains(&x) && (0..self.height as i64).contains(&y) {
            self.pixels[y as usize * self.width + x as usize] = true;
        }
    }

    /// A line with both ends, from left to right, with the roundings of OpenCV.
    fn line(&mut self, a: &[i64; 2], b: &[i64; 2]) {
        // What lies far outside of the picture has no pixels; without a bound, a damaged file could take for ever.
        let reach = 4 * (self.width + self.height) as i64;
        if a.iter().chain(b).any(|side| side.abs() > reach) {
            return;
        }
        let ([mut x, mut y], [to_x, to_y]) = if b[0] < a[0] { (*b, *a) } else { (*a, *b) };
        let step_y = if to_y > y { 1 } else { -1 };
        let (dx, dy) = (to_x - x, (to_y - y).abs());
        let is_steep = dy > dx;
        let (long, short) = if is_steep { (dy, dx) } else { (dx, dy) };
        let mut error = long - 2 * short;
        for _ in 0..=long {
            self.set(x, y);
            let turns = error < 0;
            error += if turns { 2 * long } else { 0 } - 2 * short;
            if is_steep {
                y += step_y;
                x += i64::from(turns);
            } else {
                x += 1;
                y += step_y * i64::from(turns);
            }
        }
    }
}

/// Bits behind the point of a place that an edge crosses, as in OpenCV.
const FRACTION: u32 = 16;

/// Where an edge crosses a row of pixels; each end belongs to one of the two edges that meet there.
fn crossing(a: &[i64; 2], b: &[i64; 2], y: i64) -> Option<i64> {
    let ([x1, y1], [x2, y2]) = if a[1] > b[1] { (*b, *a) } else { (*a, *b) };
    let slope = |dx: i64| (dx.checked_mul(1 << FRACTION)?).checked_div(y2 - y1);
    (y1 <= y && y < y2).then(|| Some((x1 << FRACTION) + slope(x2 - x1)? * (y - y1)))?
}
