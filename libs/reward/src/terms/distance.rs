//! How far pairs are apart, where an overlap says too little: points, and boxes in space that miss each other.

use serde::{Deserialize, Serialize};

use super::overlap::over_pairs;
use super::{Evaluate, Norm, Shape, check_labels};
use crate::Place;
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::parts::Required;
use crate::config::{AnswerConfig, ConfigError, ensure};
use crate::geometry::Geometry;

const SCALE: Required = ("scale", "write the distance that is one unit of the error");

/// Σ shape(distance / scale) / norm, where the distance is that of the points, or of the centers of the boxes in space.
///
/// With the shape `snra` and the format as a term of its own, this is the reward of coordinates in AP-GRPO (arXiv
/// 2601.07695). Unlike an overlap it has no end: a center that is far off still earns a little more where it comes nearer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distance {
    /// The distance that is one unit of the error, in the numbers of the answer.
    pub scale: f64,
    /// What the sum is divided by.
    #[serde(default)]
    pub norm: Norm,
    /// Pairs whose labels differ earn nothing.
    #[serde(default)]
    pub label: bool,
    /// How nearness becomes reward.
    #[serde(default)]
    pub shape: Shape,
}

impl Evaluate for Distance {
    fn applies_to(kind: &AnswerKind) -> bool {
        matches!(kind.geometry(), Some(Geometry::Point | Geometry::Solid))
    }

    fn required() -> &'static [Required] {
        &[SCALE]
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_labels(self.label, at, answer)?;
        let fine = self.scale > 0.0 && self.scale.is_finite();
        ensure(fine, &format!("{at}.scale"), self.scale, || "above 0".into())?;
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        over_pairs(case, self.norm, 1.0, |predicted, truth, _| {
            if self.label && !predicted.has_label_of(truth) {
                return 0.0;
            }
            let distance = match (&predicted.place, &truth.place) {
                (Place::Point(a), Place::Point(b)) => norm(a, b),
                (Place::Solid(a), Place::Solid(b)) => norm(&a.center, &b.center),
                _ => return 0.0,
            };
            self.shape.reward_of_error(distance / self.scale, case.attempt.progress)
        })
    }
}

/// The Euclidean distance.
fn norm(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use crate::config::RewardConfig;
    use crate::{Attempt, Reward};

    const BOXES: &str = "[reward]\ntask = \"near\"\n[reward.answer]\ntype = \"box3d\"\nspace = \"pixels\"\n\
                         nothing = \"None\"\nkeys = { place = \"bbox_3d\", label = \"label\" }\n\
                         [reward.match]\nby = \"hungarian\"\nmeasure = \"l1\"\nscale = 100.0\nthreshold = 0.0\n\
                         [reward.terms.near]\nmetric = \"distance\"\nscale = 2.0\n";

    /// What a box of 1 by 1 by 1 earns whose center is so far from the true one.
    #[track_caller]
    fn check(shape: &str, center: [f64; 3], progress: f64, expect: f64) {
        let document = Document::parse(&format!("{BOXES}{shape}"), "test").unwrap();
        let reward = Reward::new(&document.section::<RewardConfig>().unwrap());
        let solid = |[x, y, z]: [f64; 3]| {
            format!("<answer>[{{'bbox_3d': [{x}, {y}, {z}, 1, 1, 1, 0], 'label': 'cup'}}]</answer>")
        };
        let truth = reward.parse_answer(&solid([10.0, 10.0, 1.0])).unwrap();
        let text = solid(center);
        let attempt = Attempt { text: &text, token_ids: None, progress };
        let got = reward.score_attempt(&attempt, &truth).total.unwrap();
        assert!((got - expect).abs() < 1e-9, "{got} should be {expect}");
    }

    #[test]
    fn boxes_that_miss_each_other_earn_by_their_distance() {
        check("", [10.0, 10.0, 1.0], 0.0, 1.0);
        // 3-4-5 in halves: a distance of 1, half of the scale.
        check("", [10.6, 10.8, 1.0], 0.0, 0.5);
        check("", [10.0, 13.0, 1.0], 0.0, 0.0);
    }

    /* Equivalent Python:
    k = lambda t: 1 + 14 / (1 + math.exp(-8 * (t - 0.6)))
    reward = lambda e, t: 2 / (1 + math.exp(k(t) * e * e))
    print(reward(0.5, 0), reward(0.5, 1), reward(1.5, 0)) */
    #[test]
    fn the_mirrored_sigmoid_sharpens_and_has_no_end() {
        let snra = "shape = { snra = {} }";
        check(snra, [10.0, 10.0, 1.0], 0.0, 1.0);
        check(snra, [10.0, 11.0, 1.0], 0.0, 0.861609279741);
        check(snra, [10.0, 11.0, 1.0], 1.0, 0.052529077670);
        check(snra, [10.0, 13.0, 1.0], 0.0, 0.150720954767);
    }
}
