//! A region of the image as a bitmap: what outlines and run lengths are compared as.

/// Pixels on a side, whatever the size of the image.
const SIDE: usize = 256;
const WORDS: usize = SIDE * SIDE / 64;
/// Half the width of an edge: a fiftieth of the diagonal, as boundary IoU is usually computed.
const EDGE: usize = 7; // round(0.02 · 256 · √2)

/// A set of pixels of a grid of 256 by 256 over the image.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    words: Vec<u64>,
}

impl Mask {
    fn empty() -> Self {
        Self { words: vec![0; WORDS] }
    }

    /// The pixels whose centers lie within an odd number of the outlines; points in a space of length `extent`.
    pub fn from_outlines(outlines: &[Vec<[f64; 2]>], extent: f64) -> Self {
        let mut mask = Self::empty();
        let scale = SIDE as f64 / extent;
        let mut crossings = Vec::new();
        for row in 0..SIDE {
            let y = row as f64 + 0.5;
            crossings.clear();
            for outline in outlines {
                for (idx, a) in outline.iter().enumerate() {
                    let b = outline[(idx + 1) % outline.len()];
                    let (ay, by) = (a[1] * scale, b[1] * scale);
                    if (ay <= y) != (by <= y) {
                        crossings.push((a[0] + (y - ay) / (by - ay) * (b[0] - a[0])) * scale);
                    }
                }
            }
            crossings.sort_by(f64::total_cmp);
            for pair in crossings.chunks_exact(2) {
                mask.fill(row, pair[0], pair[1]);
            }
        }
        mask
    }

    /// The pixels that COCO's run lengths cover: columns first, beginning with pixels outside.
    ///
    /// `None` unless the runs sum up to height times width.
    pub fn from_runs([height, width]: [usize; 2], runs: &[usize]) -> Option<Self> {
        let total = runs.iter().try_fold(0usize, |sum, run| sum.checked_add(*run))?;
        if total == 0 || Some(total) != height.checked_mul(width) {
            return None;
        }
        let mut ends = Vec::with_capacity(runs.len());
        runs.iter().fold(0, |sum, run| {
            ends.push(sum + run);
            sum + run
        });
        let mut mask = Self::empty();
        for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
            let (y, x) =
                ((2 * row + 1) * height / (2 * SIDE), (2 * column + 1) * width / (2 * SIDE));
            let run = ends.partition_point(|end| *end <= x * height + y);
            if run % 2 == 1 {
                mask.set(row, column);
            }
        }
        Some(mask)
    }

    /// Number of pixels that belong to the region.
    pub fn area(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Intersection over union; 0 for two empty masks.
    pub fn iou(&self, other: &Self) -> f64 {
        let (mut shared, mut all) = (0, 0);
        for (a, b) in self.words.iter().zip(&other.words) {
            shared += (a & b).count_ones();
            all += (a | b).count_ones();
        }
        if all == 0 { 0.0 } else { f64::from(shared) / f64::from(all) }
    }

    /// IoU of the edges: the pixels of each region that are near its outside (arXiv 2103.16562).
    pub fn boundary_iou(&self, other: &Self) -> f64 {
        self.edge().iou(&other.edge())
    }

    /// The pixels that have one outside the region, or outside the image, within [`EDGE`] in either direction.
    fn edge(&self) -> Self {
        let mut inner = self.clone();
        for _ in 0..EDGE {
            inner = inner.shrunk();
        }
        let words = self.words.iter().zip(&inner.words).map(|(all, inner)| all & !inner);
        Self { words: words.collect() }
    }

    /// The pixels whose eight neighbors all belong to the region.
    fn shrunk(&self) -> Self {
        const ROW: usize = SIDE / 64;
        let row = |row: usize| &self.words[row * ROW..(row + 1) * ROW];
        let mut shrunk = Self::empty();
        for y in 1..SIDE - 1 {
            let column = |word: usize| row(y - 1)[word] & row(y)[word] & row(y + 1)[word];
            for word in 0..ROW {
                let here = column(word);
                let before = if word > 0 { column(word - 1) >> 63 } else { 0 };
                let after = if word + 1 < ROW { column(word + 1) << 63 } else { 0 };
                shrunk.words[y * ROW + word] = here & (here << 1 | before) & (here >> 1 | after);
            }
        }
        shrunk
    }

    /// Sets the pixels of a row whose centers lie between two edges.
    fn fill(&mut self, row: usize, from: f64, to: f64) {
        let first = (from - 0.5).ceil().max(0.0) as usize;
        let last = (to - 0.5).ceil().clamp(0.0, SIDE as f64) as usize;
        (first..last).for_each(|column| self.set(row, column));
    }

    fn set(&mut self, row: usize, column: usize) {
        let bit = row * SIDE + column;
        self.words[bit / 64] |= 1 << (bit % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(from: f64, to: f64) -> Mask {
        Mask::from_outlines(&[vec![[from, from], [to, from], [to, to], [from, to]]], 256.0)
    }

    #[test]
    fn a_square_has_its_area() {
        assert_eq!(square(10.0, 30.0).area(), 400);
        assert_eq!(square(0.0, 256.0).area(), 65536);
    }
    #[test]
    fn a_hole_is_outside() {
        let outline = |from: f64, to: f64| vec![[from, from], [to, from], [to, to], [from, to]];
        let ring = Mask::from_outlines(&[outline(10.0, 30.0), outline(15.0, 25.0)], 256.0);
        assert_eq!(ring.area(), 300);
    }
    #[test]
    fn iou_counts_pixels() {
        assert_eq!(square(0.0, 20.0).iou(&square(10.0, 20.0)), 0.25);
        assert_eq!(square(0.0, 20.0).iou(&square(20.0, 30.0)), 0.0);
        assert_eq!(Mask::empty().iou(&Mask::empty()), 0.0);
    }
    #[test]
    fn an_edge_is_seven_pixels_wide() {
        assert_eq!(square(50.0, 150.0).edge().area(), 10_000 - 86 * 86);
        assert_eq!(square(0.0, 256.0).edge().area(), 65536 - 242 * 242);
        assert_eq!(square(50.0, 60.0).edge().area(), 100);
    }
    #[test]
    fn runs_go_down_the_columns() {
        // Two by two pixels: only the one at the right top.
        let mask = Mask::from_runs([2, 2], &[2, 1, 1]).unwrap();
        let corner = Mask::from_outlines(&[vec![[1., 0.], [2., 0.], [2., 1.], [1., 1.]]], 2.0);
        assert_eq!(mask, corner);
    }
    #[test]
    fn runs_that_do_not_add_up() {
        assert_eq!(Mask::from_runs([2, 2], &[2, 1]), None);
        assert_eq!(Mask::from_runs([usize::MAX, 2], &[2, usize::MAX]), None);
        assert_eq!(Mask::from_runs([0, 0], &[]), None);
    }
}
