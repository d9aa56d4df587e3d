//! The numbers that are reported: means over categories and overlaps.

use super::curve::Ranking;
use super::matching::ImageMatches;
use super::{AREAS, Category, Evaluation, Frequency, N_THRESHOLDS, Protocol};
use crate::percentile_intervals;

/// Number of the overlap 0.5.
pub(super) const AT_50: usize = 0;
/// Number of the overlap 0.75.
pub(super) const AT_75: usize = 5;

/// Numbers by their usual names, in the usual order: `AP`, `AP50`, … `ARl` (COCO), `AP` … `APf`, `AR@300` … (LVIS).
///
/// `None` is what the programs print as -1: no category has anything to be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary(pub Vec<(String, Option<f64>)>);

impl Summary {
    /// A number by its name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(own, _)| own == name).and_then(|(_, value)| *value)
    }
}

/// One category, range of area and limit of detections: average precision and recall at each overlap.
#[derive(Clone, Copy)]
struct Cell {
    precision: [f64; N_THRESHOLDS],
    recall: [f64; N_THRESHOLDS],
}

impl Evaluation {
    /// The numbers that the evaluation reports.
    pub fn summary(&self) -> Summary {
        let by_area: Vec<_> = (0..AREAS.len()).map(|area| self.cells(area, self.limit())).collect();
        let numbers = match self.protocol {
            Protocol::Coco => self.coco(&by_area),
            Protocol::Lvis => self.lvis(&by_area),
        };
        Summary(numbers)
    }

    /// Average precision of each category over all overlaps and at 0.5; `None` where nothing is to be found.
    pub fn per_category(&self) -> Vec<(&Category, Option<(f64, f64)>)> {
        let cells = self.cells(0, self.limit());
        let of = |cell: Option<Cell>| cell.map(|c| (mean(c.precision), c.precision[AT_50]));
        self.categories.iter().zip(cells.into_iter().map(of)).collect()
    }

    /// 95% intervals of AP and AP50 over the choice of images (percentile bootstrap of `n_resamples`).
    pub fn intervals(&self, n_resamples: usize) -> [Option<(f64, f64)>; 2] {
        let by_image = ByImage::of(self);
        percentile_intervals(self.n_images, n_resamples, |drawn| {
            by_image.precisions(drawn, [None, Some(AT_50)])
        })
    }

    fn coco(&self, by_area: &[Vec<Option<Cell>>]) -> Vec<(String, Option<f64>)> {
        let mut numbers = precisions(by_area);
        for &limit in self.protocol.max_detections() {
            numbers.push((format!("AR{limit}"), recall(&self.cells(0, limit))));
        }
        numbers.extend(sizes(by_area).map(|(size, cells)| (format!("AR{size}"), recall(cells))));
        numbers
    }

    fn lvis(&self, by_area: &[Vec<Option<Cell>>]) -> Vec<(String, Option<f64>)> {
        let mut numbers = precisions(by_area);
        let groups =
            [("APr", Frequency::Rare), ("APc", Frequency::Common), ("APf", Frequency::Frequent)];
        for (name, group) in groups {
            let of_group = self.categories.iter().zip(&by_area[0]);
            let of_group = of_group.filter(|(category, _)| category.frequency == Some(group));
            let cells: Vec<_> = of_group.map(|(_, cell)| *cell).collect();
            numbers.push((name.to_owned(), precision(&cells, None)));
        }
        let limit = self.limit();
        numbers.push((format!("AR@{limit}"), recall(&by_area[0])));
        let of_size = |(size, cells)| (format!("AR{size}@{limit}"), recall(cells));
        numbers.extend(sizes(by_area).map(of_size));
        numbers
    }

    /// The highest number of detections that count.
    fn limit(&self) -> usize {
        self.protocol.limit()
    }

    /// One cell a category, `None` where nothing is to be found.
    fn cells(&self, area: usize, limit: usize) -> Vec<Option<Cell>> {
        self.matches.iter().map(|areas| cell(&areas[area], limit)).collect()
    }
}

/// The matches of all areas by category, then by image: for precisions of images that were drawn by chance.
pub(super) struct ByImage<'a> {
    categories: Vec<Vec<Option<&'a ImageMatches>>>,
    limit: usize,
}

impl<'a> ByImage<'a> {
    pub(super) fn of(evaluation: &'a Evaluation) -> Self {
        let categories = evaluation.matches.iter().map(|areas| {
            let mut of_image: Vec<Option<&ImageMatches>> = vec![None; evaluation.n_images];
            areas[0].iter().for_each(|matches| of_image[matches.image] = Some(matches));
            of_image
        });
        Self { categories: categories.collect(), limit: evaluation.limit() }
    }

    /// Mean average precision on these images, each as often as it is named: over all overlaps, or at one.
    pub(super) fn precisions<const N: usize>(
        &self,
        drawn: &[usize],
        thresholds: [Option<usize>; N],
    ) -> [Option<f64>; N] {
        let cells = self
            .categories
            .iter()
            .map(|of_image| cell(drawn.iter().filter_map(|idx| of_image[*idx]), self.limit));
        let cells: Vec<_> = cells.collect();
        thresholds.map(|threshold| precision(&cells, threshold))
    }
}

fn cell<'a>(images: impl IntoIterator<Item = &'a ImageMatches>, limit: usize) -> Option<Cell> {
    let ranking = Ranking::new(images, limit)?;
    let curves: [_; N_THRESHOLDS] = std::array::from_fn(|threshold| ranking.curve(threshold));
    Some(Cell {
        precision: curves.map(|curve| curve.average_precision),
        recall: curves.map(|curve| curve.recall),
    })
}

/// The average precisions that both protocols report, from the cells of each range of area.
fn precisions(by_area: &[Vec<Option<Cell>>]) -> Vec<(String, Option<f64>)> {
    let mut numbers = vec![
        ("AP".to_owned(), precision(&by_area[0], None)),
        ("AP50".to_owned(), precision(&by_area[0], Some(AT_50))),
        ("AP75".to_owned(), precision(&by_area[0], Some(AT_75))),
    ];
    numbers
        .extend(sizes(by_area).map(|(size, cells)| (format!("AP{size}"), precision(cells, None))));
    numbers
}

/// Letter and cells of small, medium and large.
fn sizes(by_area: &[Vec<Option<Cell>>]) -> impl Iterator<Item = (&'static str, &[Option<Cell>])> {
    AREAS.iter().zip(by_area).skip(1).map(|((size, ..), cells)| (*size, &cells[..]))
}

/// Mean average precision over categories, and over overlaps or at one.
fn precision(cells: &[Option<Cell>], threshold: Option<usize>) -> Option<f64> {
    let of = |cell: &Cell| match threshold {
        Some(threshold) => cell.precision[threshold],
        None => mean(cell.precision),
    };
    mean_of(cells.iter().flatten().map(of))
}

fn recall(cells: &[Option<Cell>]) -> Option<f64> {
    mean_of(cells.iter().flatten().map(|cell| mean(cell.recall)))
}

fn mean(values: [f64; N_THRESHOLDS]) -> f64 {
    values.iter().sum::<f64>() / N_THRESHOLDS as f64
}

fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}
