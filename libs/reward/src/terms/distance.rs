//! How far pairs are apart, where an overlap says too little: points, and boxes in space that miss each other; and how
//! alike boxes in space are in size, wherever they are.

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
/// 2601.07695), as far as that is known (see [`Snra`](super::Snra)). Unlike an overlap it has no end: a center that is far
/// off still earns a little more where it comes nearer.
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
        matches!(kind.geometry(), Some(Geometry::Point | Geometry::Solid | Geometry::Point3d))
    }

    fn required() -> &'static [Required] {
        &[SCALE]
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_error(self.label, self.scale, &self.shape, at, answer)
    }

    fn value(&self, case: &Case) -> f64 {
        let shape = |error| self.shape.reward_of_error(error / self.scale, case.attempt.progress);
        let distance = |predicted: &Place, truth: &Place| match (predicted, truth) {
            (Place::Point(a), Place::Point(b)) => Some(norm(a, b)),
            (Place::Solid(a), Place::Solid(b)) => Some(norm(&a.center, &b.center)),
            (Place::Point3d(a), Place::Point3d(b)) => Some(norm(a, b)),
            _ => None,
        };
        over_errors(case, self.norm, self.label, distance, shape)
    }
}

impl Distance {
    /// Of this scale, and otherwise as by default.
    pub(crate) fn of_scale(scale: f64) -> Self {
        Self { scale, norm: Norm::default(), label: false, shape: Shape::default() }
    }
}

/// Σ shape(size error / scale) / norm over pairs of boxes in space, where the error is the mean over the three sides of
/// |side − true side| / true side. It says nothing of where the boxes are: `gate` it by the term that does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Size {
    /// The error that is one unit of it: at 1, a box whose sides are each off by their own length.
    pub scale: f64,
    /// What the sum is divided by.
    pub norm: Norm,
    /// Pairs whose labels differ earn nothing.
    pub label: bool,
    /// How likeness becomes reward.
    pub shape: Shape,
}

impl Default for Size {
    fn default() -> Self {
        Self { scale: 1.0, norm: Norm::default(), label: false, shape: Shape::default() }
    }
}

impl Evaluate for Size {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.geometry() == Some(Geometry::Solid)
    }

    fn check(&self, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
        check_error(self.label, self.scale, &self.shape, at, answer)
    }

    fn value(&self, case: &Case) -> f64 {
        let shape = |error| self.shape.reward_of_error(error / self.scale, case.attempt.progress);
        let size_error = |predicted: &Place, truth: &Place| match (predicted, truth) {
            (Place::Solid(a), Place::Solid(b)) => Some(a.size_error(b)),
            _ => None,
        };
        over_errors(case, self.norm, self.label, size_error, shape)
    }
}

/// The sum over pairs of the reward for each one's error; a pair that has none, or whose labels differ where they count, earns
/// nothing.
fn over_errors(
    case: &Case,
    norm: Norm,
    label: bool,
    error: impl Fn(&Place, &Place) -> Option<f64>,
    reward: impl Fn(f64) -> f64,
) -> f64 {
    over_pairs(case, norm, 1.0, |predicted, truth, _| {
        if label && !predicted.has_label_of(truth) {
            return 0.0;
        }
        error(&predicted.place, &truth.place).map_or(0.0, &reward)
    })
}

/// Refuses labels that the answer does not have, a unit of the error that is none, and a shape that makes no sense.
fn check_error(
    label: bool,
    scale: f64,
    shape: &Shape,
    at: &str,
    answer: &AnswerConfig,
) -> Result<(), ConfigError> {
    check_labels(label, at, answer)?;
    let fine = scale > 0.0 && scale.is_finite();
    ensure(fine, &format!("{at}.scale"), scale, || "above 0".into())?;
    shape.check(at)
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

    const PAIRED: &str =
        "[reward.match]\nby = \"hungarian\"\nmeasure = \"l1\"\nscale = 100.0\nthreshold = 0.0\n";
    const BOXES: &str =
        "type = \"box3d\"\nspace = \"pixels\"\nkeys = { place = \"bbox_3d\", label = \"label\" }\n";
    const POINTS: &str = "type = \"points3d\"\n";
    const NEAR: &str = "metric = \"distance\"\nscale = 2.0\n";

    /// What an answer earns at a share of the training.
    #[track_caller]
    fn check(kind: &str, term: &str, [truth, said]: [&str; 2], progress: f64, expect: f64) {
        let text = format!(
            "[reward]\ntask = \"near\"\n[reward.answer]\n{kind}nothing = \"None\"\n{PAIRED}[reward.terms.near]\n{term}"
        );
        let config: RewardConfig = Document::parse(&text, "test").unwrap().section().unwrap();
        config.validate().unwrap();
        let reward = Reward::new(&config);
        let whole = |answer: &str| format!("<answer>{answer}</answer>");
        let truth = reward.parse_answer(&whole(truth)).unwrap();
        let text = whole(said);
        let attempt = Attempt { text: &text, token_ids: None, progress };
        let got = reward.score_attempt(&attempt, &truth).total.unwrap();
        assert!((got - expect).abs() < 1e-9, "{got} should be {expect}");
    }

    /// What a box of 1 by 1 by 1 earns whose center is here, where the true one is at 10, 10, 1.
    #[track_caller]
    fn check_center(shape: &str, center: [f64; 3], progress: f64, expect: f64) {
        let solid = |[x, y, z]: [f64; 3]| {
            format!("[{{'bbox_3d': [{x}, {y}, {z}, 1, 1, 1, 0], 'label': 'cup'}}]")
        };
        let [truth, said] = [solid([10.0, 10.0, 1.0]), solid(center)];
        check(BOXES, &format!("{NEAR}{shape}"), [&truth, &said], progress, expect);
    }

    #[test]
    fn boxes_that_miss_each_other_earn_by_their_distance() {
        check_center("", [10.0, 10.0, 1.0], 0.0, 1.0);
        // 3-4-5 in halves: a distance of 1, half of the scale.
        check_center("", [10.6, 10.8, 1.0], 0.0, 0.5);
        check_center("", [10.0, 13.0, 1.0], 0.0, 0.0);
    }

    /* Equivalent Python:
    k = lambda t: 1 + 14 / (1 + math.exp(-8 * (t - 0.6)))
    reward = lambda e, t: 2 / (1 + math.exp(k(t) * e * e))
    print(reward(0.5, 0), reward(0.5, 1), reward(1.5, 0)) */
    #[test]
    fn the_mirrored_sigmoid_sharpens_and_has_no_end() {
        let snra = "shape = { snra = {} }";
        check_center(snra, [10.0, 10.0, 1.0], 0.0, 1.0);
        check_center(snra, [10.0, 11.0, 1.0], 0.0, 0.861609279741);
        check_center(snra, [10.0, 11.0, 1.0], 1.0, 0.052529077670);
        check_center(snra, [10.0, 13.0, 1.0], 0.0, 0.150720954767);
    }

    #[test]
    fn points_in_space_earn_by_their_distance_on_either_side_of_the_camera() {
        // 2-3-6 in tenths: a distance of 0.7.
        check(POINTS, NEAR, ["[-1.0, 0.5, 2]", "[-0.8, 0.2, 2.6]"], 0.0, 0.65);
        // Of two, each is compared with the nearer one.
        check(POINTS, NEAR, ["[[0, 0, 1], [0, 0, -1]]", "[[0, 0, -1], [0, 0, 2]]"], 0.0, 0.75);
        // Two numbers are no point in space.
        check(POINTS, NEAR, ["[-1.0, 0.5, 2]", "[-1.0, 0.5]"], 0.0, 0.0);
    }

    #[test]
    fn sizes_earn_wherever_the_boxes_are() {
        let solid = |size: &str| format!("[{{'bbox_3d': [7, 8, 9, {size}, 0], 'label': 'cup'}}]");
        let truth = "[{'bbox_3d': [1, 2, 3, 2, 1, 4, 0], 'label': 'cup'}]";
        let size = "metric = \"size\"\n";
        check(BOXES, size, [truth, &solid("2, 1, 4")], 0.0, 1.0);
        // Off by a half, by a fifth and by a fifth of its side: 0.3 on average.
        check(BOXES, size, [truth, &solid("1, 1.2, 4.8")], 0.0, 0.7);
        check(BOXES, &format!("{size}scale = 0.6\n"), [truth, &solid("1, 1.2, 4.8")], 0.0, 0.5);
        check(BOXES, size, [truth, &solid("20, 1, 4")], 0.0, 0.0);
        let other = solid("2, 1, 4").replace("cup", "mug");
        check(BOXES, &format!("{size}label = true\n"), [truth, &other], 0.0, 0.0);
    }
}
