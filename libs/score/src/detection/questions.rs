//! Average precision of questions about pictures, and of two methods' answers to the same ones, compared in pairs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::summary::{AT_50, AT_75, ByImage};
use super::{Annotation, Category, Evaluation, Id, Image, Prediction, Protocol, Truth};
use crate::{ScoreError, percentile_intervals};

/// A question about objects on one picture: what is there, and what was answered. Boxes are x, y, width, height in any unit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Question {
    /// Number of the picture. Questions about one picture come and go together when pictures are drawn by chance.
    pub picture: usize,
    /// What is there.
    pub truth: Vec<TrueBox>,
    /// What was answered.
    pub found: Vec<FoundBox>,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueBox {
    /// What it is.
    pub category: String,
    /// Where it is.
    pub bbox: [f64; 4],
    /// Of the object in pixels, by which it is small, medium or large.
    pub area: f64,
    /// Whether it stands for many objects: it may be found often and need not be.
    pub crowd: bool,
}

/// An object that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundBox {
    /// What it is said to be.
    pub category: String,
    /// Where it is said to be.
    pub bbox: [f64; 4],
    /// How sure the answer is; only the order counts.
    pub score: f64,
}

/// COCO's evaluation of questions. Each counts as an image of its own, which changes nothing: predictions are compared with the
/// true boxes of one category in one image, and that is what is asked about.
///
/// # Errors
/// None that can occur: the ids are unique and of what is there.
pub fn of_questions(questions: &[Question]) -> Result<Evaluation, ScoreError> {
    let mut categories: Vec<&str> = Vec::new();
    let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
    let mut number = |name| {
        let next = categories.len() as i64;
        Id::Number(*numbers.entry(name).or_insert_with(|| {
            categories.push(name);
            next
        }))
    };
    let mut truth = Truth { images: Vec::new(), categories: Vec::new(), annotations: Vec::new() };
    let mut predictions = Vec::new();
    for (question, image) in questions.iter().zip((1..).map(Id::Number)) {
        truth.images.push(Image { id: image.clone(), negative: None, not_exhaustive: vec![] });
        for one in &question.found {
            let category = number(&one.category);
            predictions.push(Prediction {
                image: image.clone(),
                category,
                bbox: one.bbox,
                score: one.score,
            });
        }
        for one in &question.truth {
            truth.annotations.push(Annotation {
                // Not 0: pycocotools takes a match with that for none.
                id: Id::Number(truth.annotations.len() as i64 + 1),
                image: image.clone(),
                category: number(&one.category),
                bbox: one.bbox,
                area: one.area,
                crowd: one.crowd,
                ignore: false,
            });
        }
    }
    let named = categories.iter().zip(0..);
    truth.categories = named
        .map(|(name, id)| Category {
            id: Id::Number(id),
            name: (*name).to_owned(),
            frequency: None,
        })
        .collect();
    Evaluation::new(&truth, &predictions, Protocol::Coco)
}

/// Average precisions, or differences of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precisions<T> {
    /// The mean over the overlaps 0.5 to 0.95.
    pub ap: T,
    /// At an overlap of 0.5.
    pub ap50: T,
    /// At an overlap of 0.75.
    pub ap75: T,
}

/// 95% intervals of the differences `after` minus `before` over the choice of pictures: pictures are drawn with repetition, the
/// same ones for both, and both precisions are computed again on what was drawn (percentile bootstrap). `None` where nothing was
/// to be found.
///
/// # Errors
/// Answers to different questions.
pub fn paired_intervals(
    before: &[Question],
    after: &[Question],
    n_resamples: usize,
) -> Result<Precisions<Option<(f64, f64)>>, String> {
    let is_same =
        |(a, b): (&Question, &Question)| a.picture == b.picture && a.truth.len() == b.truth.len();
    if before.len() != after.len() || !before.iter().zip(after).all(is_same) {
        return Err("the two did not answer the same questions".to_owned());
    }
    let evaluate = |questions| of_questions(questions).map_err(|error| error.to_string());
    let (before_evaluation, after_evaluation) = (evaluate(before)?, evaluate(after)?);
    let sides = [ByImage::of(&before_evaluation), ByImage::of(&after_evaluation)];
    let mut pictures: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, question) in before.iter().enumerate() {
        pictures.entry(question.picture).or_default().push(number);
    }
    let pictures: Vec<Vec<usize>> = pictures.into_values().collect();
    let [ap, ap50, ap75] = percentile_intervals(pictures.len(), n_resamples, |drawn| {
        let questions: Vec<usize> =
            drawn.iter().flat_map(|picture| &pictures[*picture]).copied().collect();
        let [from, to] = sides
            .each_ref()
            .map(|side| side.precisions(&questions, [None, Some(AT_50), Some(AT_75)]));
        std::array::from_fn(|idx| Some(to[idx]? - from[idx]?))
    });
    Ok(Precisions { ap, ap50, ap75 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(picture: usize, category: &str, found: &[(f64, f64)]) -> Question {
        let square = |from: f64| [from, 0.0, 10.0, 10.0];
        let truth =
            TrueBox { category: category.into(), bbox: square(0.0), area: 100.0, crowd: false };
        let found = found.iter().map(|(from, score)| FoundBox {
            category: category.into(),
            bbox: square(*from),
            score: *score,
        });
        Question { picture, truth: vec![truth], found: found.collect() }
    }

    /// Twenty pictures with a cat and a dog each; cats are found on some of them.
    fn answers(finds: impl Fn(usize) -> bool) -> Vec<Question> {
        let of = |picture: usize| {
            let found: &[(f64, f64)] = if finds(picture) { &[(0.5, 0.9)] } else { &[(40.0, 0.8)] };
            [question(picture, "cat", found), question(picture, "dog", &[(0.0, 0.5)])]
        };
        (0..20).flat_map(of).collect()
    }

    #[test]
    fn the_same_answers_do_not_differ_and_better_ones_do() {
        let (half, all) = (answers(|picture| picture % 2 == 0), answers(|_| true));
        let same = paired_intervals(&half, &half, 50).unwrap();
        assert_eq!(
            (same.ap, same.ap50, same.ap75),
            (Some((0.0, 0.0)), Some((0.0, 0.0)), Some((0.0, 0.0)))
        );
        let better = paired_intervals(&half, &all, 200).unwrap();
        let delta = |questions: &[Question]| {
            of_questions(questions).unwrap().summary().get("AP50").unwrap()
        };
        let delta = delta(&all) - delta(&half);
        let (low, high) = better.ap50.unwrap();
        assert!(0.0 < low && low < delta && delta < high && high < 0.6, "{low} {delta} {high}");
        // Narrower than the two intervals for themselves: what is hard is hard for both.
        let [_, Some((alone_low, alone_high))] = of_questions(&half).unwrap().intervals(200) else {
            panic!()
        };
        assert!(alone_high - alone_low > 0.0);
        assert!(paired_intervals(&half, &all[..10], 5).is_err());
    }

    /// What a resample computes is what an evaluation of a data set computes in which pictures are there several times.
    #[test]
    fn drawn_pictures_count_as_often_as_they_were_drawn() {
        let answers = answers(|picture| picture % 3 == 0);
        let evaluation = of_questions(&answers).unwrap();
        let by_image = ByImage::of(&evaluation);
        for drawn in [vec![0, 0, 3, 7], vec![5, 5, 5], (0..40).rev().collect(), vec![12, 1, 30, 12]]
        {
            let repeated: Vec<Question> = drawn.iter().map(|idx| answers[*idx].clone()).collect();
            let expected = of_questions(&repeated).unwrap().summary();
            let [ap, ap50] = by_image.precisions(&drawn, [None, Some(AT_50)]);
            assert_eq!((ap, ap50), (expected.get("AP"), expected.get("AP50")), "{drawn:?}");
        }
    }

    #[test]
    fn nothing_to_be_found_has_no_interval() {
        let none = vec![Question { picture: 0, ..Question::default() }];
        assert_eq!(paired_intervals(&none, &none, 10).unwrap().ap, None);
        assert_eq!(paired_intervals(&[], &[], 10).unwrap().ap50, None);
    }
}
