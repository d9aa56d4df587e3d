//! Precision against recall, over all images of one category.

use super::matching::{ImageMatches, Outcome};

/// Recalls at which precision is read: 0, 0.01 … 1.
pub(crate) const N_RECALLS: usize = 101;

/// One category, range of area and overlap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Curve {
    /// Mean over the recalls of the highest precision at that recall or beyond.
    pub(crate) average_precision: f64,
    /// Share of the true boxes that were found at all.
    pub(crate) recall: f64,
}

/// Detections of all images, the most confident first, a limited number of each image. `None` where there is no true box.
pub(crate) struct Ranking<'a> {
    images: Vec<&'a ImageMatches>,
    /// Index into `images` and of the detection in it.
    order: Vec<(u32, u32)>,
    n_truth: usize,
}

impl<'a> Ranking<'a> {
    pub(crate) fn new(
        images: impl IntoIterator<Item = &'a ImageMatches>,
        max_detections: usize,
    ) -> Option<Self> {
        let images: Vec<&ImageMatches> = images.into_iter().collect();
        let n_truth: usize = images.iter().map(|image| image.n_truth).sum();
        if n_truth == 0 {
            return None;
        }
        let mut order: Vec<(u32, u32)> = Vec::new();
        for (idx, image) in (0..).zip(&images) {
            order.extend((0..image.scores.len().min(max_detections) as u32).map(|d| (idx, d)));
        }
        let score = |&(image, d): &(u32, u32)| images[image as usize].scores[d as usize];
        // Stable: equal scores stay in the order of images, as in numpy's merge sort.
        order.sort_by(|a, b| score(b).total_cmp(&score(a)));
        Some(Self { images, order, n_truth })
    }

    /// The curve at an overlap, by its number.
    pub(crate) fn curve(&self, threshold: usize) -> Curve {
        let (mut hits, mut misses) = (0.0, 0.0);
        let mut recalls = Vec::with_capacity(self.order.len());
        let mut precisions = Vec::with_capacity(self.order.len());
        for &(image, d) in &self.order {
            match self.images[image as usize].outcomes[threshold][d as usize] {
                Outcome::Hit => hits += 1.0,
                Outcome::Miss => misses += 1.0,
                Outcome::Ignored => {}
            }
            recalls.push(hits / self.n_truth as f64);
            // The programs add an epsilon to the count instead, so that 0 of 0 is 0.
            let n_counted: f64 = misses + hits;
            precisions.push(if n_counted > 0.0 { hits / n_counted } else { 0.0 });
        }
        for rank in (1..precisions.len()).rev() {
            precisions[rank - 1] = f64::max(precisions[rank - 1], precisions[rank]);
        }
        let at = |idx: usize| {
            let wanted = if idx == N_RECALLS - 1 {
                1.0
            } else {
                idx as f64 * (1.0 / (N_RECALLS - 1) as f64)
            };
            let rank = recalls.partition_point(|recall| *recall < wanted);
            precisions.get(rank).copied().unwrap_or(0.0)
        };
        let average_precision = (0..N_RECALLS).map(at).sum::<f64>() / N_RECALLS as f64;
        Curve { average_precision, recall: recalls.last().copied().unwrap_or(0.0) }
    }
}
