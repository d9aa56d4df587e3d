//! Which space coordinates are in, judged by their size and by the images that they are about.

use crate::geometry::{SPACE, Space};

/// Pixels by which annotators draw beyond an image.
const MARGIN: f64 = 2.0;
/// Images whose sides are so much like 1000 pixels, by ratio, say nothing.
const ALIKE: f64 = 1.1;
/// A guess is doubtful where coordinates of the other space would look the same with a higher probability than this.
const MAX_CHANCE: f64 = 0.05;
/// Fewest answers to be sure by.
const MIN_ANSWERS: usize = 3;
/// Fewer answers than this share that reach beyond their image may be annotated badly, and tell no space.
const MIN_BEYOND: f64 = 0.05;

/// Coordinates of one answer, and the image that it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// x and y in turn.
    pub coordinates: Vec<f64>,
    /// Width and height of the image in pixels, where they are known.
    pub size: Option<[u32; 2]>,
}

/// A space, and why it is the most likely one.
#[derive(Debug, Clone, PartialEq)]
pub struct SpaceGuess {
    /// What the coordinates count.
    pub space: Space,
    /// What speaks for it, as a sentence that goes on after "since".
    pub reason: String,
    /// Whether another space would fit almost as well.
    pub is_doubtful: bool,
}

/// The space that coordinates are most likely in.
///
/// Of the spaces that hold all of them it is the smallest: coordinates that are spread over images of 640 × 480 pixels
/// stay within these, while thousandths would leave them sooner or later.
///
/// ```
/// use vrft_reward::{Evidence, Space, guess_space};
/// let of = |corners: [f64; 4]| Evidence { coordinates: corners.to_vec(), size: Some([640, 480]) };
/// let boxes = [of([20., 30., 600., 440.]), of([100., 60., 320., 470.])];
/// assert_eq!(guess_space(&boxes).space, Space::Pixels);
/// assert_eq!(guess_space(&[of([20., 30., 900., 980.])]).space, Space::Thousandths);
/// ```
pub fn guess(evidence: &[Evidence]) -> SpaceGuess {
    let most = evidence.iter().flat_map(|e| &e.coordinates).copied().fold(0.0, f64::max);
    let sure = |space, reason| SpaceGuess { space, reason, is_doubtful: false };
    if most <= 0.0 {
        let (space, reason) = (Space::default(), "no coordinate is above 0".to_owned());
        return SpaceGuess { space, reason, is_doubtful: true };
    }
    if most <= 1.0 {
        return sure(Space::Unit, "no coordinate is above 1".to_owned());
    }
    let Some(sizes) = Sizes::of(evidence) else {
        return without_sizes(most);
    };
    match (sizes.n_beyond, most <= SPACE) {
        (0, true) => sizes.tightest(most),
        (0, false) => sure(
            Space::Pixels,
            format!(
                "all coordinates lie within their images, and some are above 1000, up to {most}"
            ),
        ),
        (n, true) => SpaceGuess {
            space: Space::Thousandths,
            reason: format!(
                "{n} of {} answers reach beyond their images, as pixels do not, and no coordinate is above 1000",
                sizes.n
            ),
            is_doubtful: (n as f64) < MIN_BEYOND * sizes.n as f64,
        },
        (n, false) => SpaceGuess {
            space: Space::Pixels,
            reason: format!(
                "coordinates go up to {most}, though {n} of {} answers reach beyond their images: are these pixels of \
                 images of another size?",
                sizes.n
            ),
            is_doubtful: true,
        },
    }
}

fn without_sizes(most: f64) -> SpaceGuess {
    if most > SPACE {
        let reason = format!("some coordinates are above 1000, up to {most}");
        return SpaceGuess { space: Space::Pixels, reason, is_doubtful: false };
    }
    let reason = "no coordinate is above 1000, and the sizes of the images are not known, by which pixels could be \
                  told"
        .to_owned();
    SpaceGuess { space: Space::Thousandths, reason, is_doubtful: true }
}

/// What the sizes of the images say.
struct Sizes {
    /// Answers whose image is known.
    n: usize,
    /// Those with a coordinate beyond it.
    n_beyond: usize,
    /// Geometric mean of the sides, over all coordinates.
    mean_side: f64,
    /// The greatest coordinate as a share of its side.
    farthest: f64,
    /// The first of the images.
    first: [u32; 2],
    /// How probable it is that coordinates of the other space, spread evenly, look like these.
    chance: f64,
}

impl Sizes {
    fn of(evidence: &[Evidence]) -> Option<Self> {
        let known = evidence.iter().filter(|e| !e.coordinates.is_empty());
        let known: Vec<(&Evidence, [u32; 2])> = known.filter_map(|e| Some((e, e.size?))).collect();
        let first = known.first()?.1;
        let side = |size: [u32; 2], idx: usize| f64::from(size[idx % 2].max(1));
        let is_beyond = |(e, size): &&(&Evidence, [u32; 2])| {
            e.coordinates.iter().enumerate().any(|(idx, v)| *v > side(*size, idx) + MARGIN)
        };
        let shares = known.iter().flat_map(|(e, size)| {
            e.coordinates.iter().enumerate().map(|(idx, v)| (*v, side(*size, idx)))
        });
        let (mut log_sum, mut n_coordinates, mut farthest) = (0.0, 0, 0.0f64);
        for (coordinate, side) in shares {
            log_sum += side.ln();
            n_coordinates += 1;
            farthest = farthest.max(coordinate / side);
        }
        let shared = |side: f64| (side / SPACE).min(SPACE / side);
        let chance = known.iter().map(|(_, size)| shared(side(*size, 0)) * shared(side(*size, 1)));
        Some(Self {
            chance: chance.product(),
            n: known.len(),
            n_beyond: known.iter().filter(is_beyond).count(),
            mean_side: (log_sum / f64::from(n_coordinates)).exp(),
            farthest,
            first,
        })
    }

    /// Where pixels and thousandths both hold all coordinates.
    fn tightest(&self, most: f64) -> SpaceGuess {
        let are_alike = (1.0 / ALIKE..=ALIKE).contains(&(self.mean_side / SPACE));
        let are_few = self.chance > MAX_CHANCE || self.n < MIN_ANSWERS;
        let is_doubtful = are_alike || are_few;
        let doubt = match (are_alike, are_few) {
            (true, _) => {
                "; the images are about 1000 pixels wide and high, so that the other would do as well"
            }
            (false, true) => "; so few answers may look like this by chance",
            (false, false) => "",
        };
        let [width, height] = self.first;
        if self.mean_side < SPACE {
            let reason = format!(
                "all coordinates lie within their images, of {width} × {height} pixels the first, and go up to {:.0}% of a \
                 side, where thousandths would go beyond{doubt}",
                100.0 * self.farthest
            );
            return SpaceGuess { space: Space::Pixels, reason, is_doubtful };
        }
        let reason = format!(
            "no coordinate is above 1000, up to {most}, though the images, of {width} × {height} pixels the first, are \
             larger{doubt}"
        );
        SpaceGuess { space: Space::Thousandths, reason, is_doubtful }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        boxes: &[[f64; 4]],
        size: Option<[u32; 2]>,
        space: Space,
        is_doubtful: bool,
        why: &str,
    ) {
        let evidence = boxes.iter().map(|b| Evidence { coordinates: b.to_vec(), size });
        let guess = guess(&evidence.collect::<Vec<_>>());
        assert_eq!((guess.space, guess.is_doubtful), (space, is_doubtful), "{}", guess.reason);
        assert!(guess.reason.contains(why), "{}", guess.reason);
    }
    const PHOTO: Option<[u32; 2]> = Some([640, 480]);

    #[test]
    fn boxes_within_small_images_are_pixels() {
        let boxes = [[243., 17., 343., 119.], [54., 160., 347., 338.], [195., 139., 638., 253.]];
        check(&boxes, PHOTO, Space::Pixels, false, "640 × 480 pixels");
    }
    #[test]
    fn boxes_that_leave_small_images_are_thousandths() {
        let boxes = [[243., 17., 343., 119.], [54., 160., 347., 638.]];
        check(&boxes, PHOTO, Space::Thousandths, false, "1 of 2 answers reach beyond");
    }
    #[test]
    fn boxes_below_a_thousand_in_large_images_are_thousandths() {
        let boxes = [[243., 17., 943., 119.], [54., 160., 347., 938.], [195., 139., 638., 253.]];
        check(&boxes, Some([4000, 3000]), Space::Thousandths, false, "are larger");
        check(&boxes[..2], Some([4000, 3000]), Space::Thousandths, true, "by chance");
    }
    #[test]
    fn boxes_above_a_thousand_are_pixels() {
        check(&[[243., 17., 1943., 119.]], Some([4000, 3000]), Space::Pixels, false, "above 1000");
        check(&[[243., 17., 1943., 119.]], None, Space::Pixels, false, "above 1000");
        check(&[[243., 17., 1943., 119.]], PHOTO, Space::Pixels, true, "another size");
    }
    #[test]
    fn boxes_below_one_are_shares() {
        check(&[[0.1, 0.2, 0.5, 1.0]], PHOTO, Space::Unit, false, "above 1");
    }
    #[test]
    fn few_answers_may_fit_by_chance() {
        check(&[[243., 17., 343., 119.]], PHOTO, Space::Pixels, true, "by chance");
        check(&[[10., 10., 300., 900.]], Some([1500, 1200]), Space::Thousandths, true, "by chance");
        let one_bad = [[20., 30., 600., 440.]; 30].into_iter().chain([[20., 30., 600., 700.]]);
        let one_bad: Vec<_> = one_bad.collect();
        check(&one_bad, PHOTO, Space::Thousandths, true, "1 of 31 answers");
        check(&[], PHOTO, Space::Thousandths, true, "above 0");
    }
    #[test]
    fn what_cannot_be_told_is_said_to_be_doubtful() {
        check(&[[10., 20., 500., 600.]], Some([1024, 1024]), Space::Thousandths, true, "as well");
        check(&[[10., 20., 500., 600.]], Some([960, 960]), Space::Pixels, true, "as well");
        check(&[[10., 20., 500., 600.]], None, Space::Thousandths, true, "not known");
    }
}
