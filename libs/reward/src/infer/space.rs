//! Which space coordinates are in, judged by their size and by the images that they are about.

mod percent;
mod sizes;

use sizes::{Sizes, side};

use crate::geometry::{SPACE, Space};

/// Pixels by which annotators draw beyond an image.
const MARGIN: f64 = 2.0;
/// Answers up to this share may be mistakes, and tell no space: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;
/// Thousandths reach beyond small images in at least this share of the answers that do if they are spread evenly.
const MIN_OF_EXPECTED: f64 = 0.25;
/// Answers of a camp that are named.
const N_NAMED: usize = 3;
/// Fewer answers than these are taken for thousandths if any reaches beyond its image.
const MIN_MIXED: usize = 8;

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
    /// Answers that are in another space or beyond their images, by their places among the evidence: so few that they are
    /// taken for mistakes.
    pub odd: Vec<usize>,
}

/// Answers that are in several spaces, so that none can be chosen for all.
#[derive(Debug, Clone, PartialEq)]
pub struct MixedSpaces {
    /// What the answers of either camp look like, and which these are among the evidence.
    pub camps: [(&'static str, Vec<usize>); 2],
}

impl MixedSpaces {
    /// Both camps in words, with the first answers of each by the names that `name` gives.
    pub fn told(&self, name: impl Fn(usize) -> String) -> String {
        let camp = |(look, which): &(&str, Vec<usize>)| {
            let first: Vec<String> = which.iter().take(N_NAMED).map(|idx| name(*idx)).collect();
            let more = if which.len() > N_NAMED { ", ..." } else { "" };
            let n = which.len();
            let have = if n == 1 { "answer has" } else { "answers have" };
            format!("{n} {have} {look} ({}{more})", first.join(", "))
        };
        self.camps.iter().map(camp).collect::<Vec<_>>().join(", and ")
    }
}

/// What the coordinates of one answer look like beside its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// They tell nothing.
    Nothing,
    /// Shares of the sides: none is above 1.
    Shares,
    /// Within the image, and none above 1000.
    Inside,
    /// Beyond the image, and none above 1000.
    Beyond,
    /// Some above 1000, all within the image.
    Large,
    /// Some above 1000 and beyond the image.
    Lost,
}

impl Look {
    fn of(evidence: &Evidence) -> Self {
        let most = evidence.coordinates.iter().copied().fold(0.0, f64::max);
        let is_inside = |size: [u32; 2]| {
            let mut places = evidence.coordinates.iter().enumerate();
            places.all(|(idx, v)| *v <= side(size, idx) + MARGIN)
        };
        match evidence.size {
            _ if most <= 0.0 => Look::Nothing,
            _ if most <= 1.0 => {
                if is_share(evidence) {
                    Look::Shares
                } else {
                    Look::Nothing
                }
            }
            Some(size) if most <= SPACE => {
                if is_inside(size) {
                    Look::Inside
                } else {
                    Look::Beyond
                }
            }
            Some(size) => {
                if is_inside(size) {
                    Look::Large
                } else {
                    Look::Lost
                }
            }
            None if most <= SPACE => Look::Inside,
            None => Look::Large,
        }
    }
}

/// Whether coordinates of which none is above 1 are shares of the sides: a corner pixel may be meant by whole numbers, and
/// an image of a pixel or two is full of them.
pub fn is_share(evidence: &Evidence) -> bool {
    let Evidence { coordinates, size } = evidence;
    let is_large = size.is_none_or(|size| size.into_iter().max() > Some(MARGIN as u32));
    let is_whole = coordinates.iter().all(|v| v.fract() == 0.0);
    let is_at_most_one =
        coordinates.iter().all(|v| *v <= 1.0) && coordinates.iter().any(|v| *v > 0.0);
    is_at_most_one && is_large && (!is_whole || coordinates.len() >= 4)
}

/// The space that coordinates are most likely in.
///
/// Of the spaces that hold nearly all of them it is the smallest: coordinates that are spread over images of 640 × 480
/// pixels stay within these, while thousandths would leave them sooner or later. A few answers that contradict all others
/// are taken for mistakes and told in [`SpaceGuess::odd`].
///
/// # Errors
/// Too many answers in another space than the rest to be mistakes.
///
/// ```
/// use vrft_reward::{Evidence, Space, guess_space};
/// let of = |corners: [f64; 4]| Evidence { coordinates: corners.to_vec(), size: Some([640, 480]) };
/// let boxes = [of([20., 30., 600., 440.]), of([100., 60., 320., 470.])];
/// assert_eq!(guess_space(&boxes)?.space, Space::Pixels);
/// assert_eq!(guess_space(&[of([20., 30., 900., 980.])])?.space, Space::Thousandths);
/// # Ok::<(), vrft_reward::MixedSpaces>(())
/// ```
pub fn guess(evidence: &[Evidence]) -> Result<SpaceGuess, MixedSpaces> {
    let looks: Vec<Look> = evidence.iter().map(Look::of).collect();
    let those = |wanted: &[Look]| -> Vec<usize> {
        let which = looks.iter().enumerate().filter(|(_, look)| wanted.contains(look));
        which.map(|(idx, _)| idx).collect()
    };
    let shares = those(&[Look::Shares]);
    let others = those(&[Look::Inside, Look::Beyond, Look::Large, Look::Lost]);
    let n = shares.len() + others.len();
    if n == 0 {
        let most = evidence.iter().flat_map(|e| &e.coordinates).copied().fold(0.0, f64::max);
        let space = if most > 0.0 { Space::Unit } else { Space::default() };
        let reason = format!("no coordinate is above {}", most.ceil());
        return Ok(SpaceGuess { space, reason, is_doubtful: true, odd: Vec::new() });
    }
    if !shares.is_empty() && are_few(others.len(), n) {
        let reason = match others.len() {
            0 => "no coordinate is above 1".to_owned(),
            k => format!("no coordinate is above 1 but in {k} of {n} answers"),
        };
        return Ok(SpaceGuess { space: Space::Unit, reason, is_doubtful: false, odd: others });
    }
    if !are_few(shares.len(), n) {
        let camps = [("no coordinate above 1", shares), ("coordinates above 1", others)];
        return Err(MixedSpaces { camps });
    }
    if let Some(mut guess) = percent::guess(evidence, &others) {
        guess.odd.extend(shares);
        guess.odd.sort_unstable();
        return Ok(guess);
    }
    let percents = percent::among(evidence, &others);
    if let Some(percents) = percents.as_ref().filter(|found| found.are_sure) {
        return Err(MixedSpaces { camps: percents.camps(&others) });
    }
    let rest: Vec<&Evidence> = others.iter().map(|idx| &evidence[*idx]).collect();
    let larger = Larger {
        inside: those(&[Look::Inside]),
        beyond: those(&[Look::Beyond]),
        large: those(&[Look::Large]),
        lost: those(&[Look::Lost]),
    };
    let mut guess = larger.guess(&rest)?;
    if let Some(percents) = percents {
        guess.reason += &percents.told(others.len());
    }
    guess.odd.extend(shares);
    guess.odd.sort_unstable();
    Ok(guess)
}

/// Whether so few of `n` answers may be mistakes.
fn are_few(k: usize, n: usize) -> bool {
    k as f64 <= MAX_ODD * n as f64
}

/// Answers with coordinates above 1, by their looks.
struct Larger {
    inside: Vec<usize>,
    beyond: Vec<usize>,
    large: Vec<usize>,
    lost: Vec<usize>,
}

/// What the answers of a camp look like.
const BEYOND: &str = "coordinates beyond the image, as thousandths may be";
const WITHIN: &str = "coordinates within the image, as pixels are";
const LARGE: &str = "coordinates above 1000 within the image, as pixels may be";

impl Larger {
    /// Pixels or thousandths; `rest` is the evidence of all of them.
    fn guess(self, rest: &[&Evidence]) -> Result<SpaceGuess, MixedSpaces> {
        let n = rest.len();
        let most = rest.iter().flat_map(|e| &e.coordinates).copied().fold(0.0, f64::max);
        let Some(sizes) = Sizes::of(rest) else {
            return Ok(without_sizes(most, are_few(self.large.len(), n)));
        };
        let Self { inside, beyond, large, lost } = self;
        if !are_few(lost.len(), n) {
            let reason = format!(
                "coordinates go up to {most}, though {} of {n} answers reach beyond their images: are these pixels of \
                 images of another size?",
                lost.len() + beyond.len()
            );
            let (space, odd) = (Space::Pixels, Vec::new());
            return Ok(SpaceGuess { space, reason, is_doubtful: true, odd });
        }
        let k = beyond.len();
        if !large.is_empty() && are_few(k, n) {
            let reason =
                format!("coordinates lie within their images and are up to {most}, above 1000");
            return Ok(SpaceGuess::sure(Space::Pixels, reason, [beyond, lost].concat()));
        }
        if !are_few(large.len(), n) {
            return Err(MixedSpaces { camps: [(BEYOND, beyond), (LARGE, large)] });
        }
        if k == 0 {
            return Ok(SpaceGuess { odd: lost, ..sizes.tightest() });
        }
        let expected = sizes.expected_beyond;
        let is_too_few = (k as f64) < MIN_OF_EXPECTED * expected;
        if is_too_few && are_few(k, n) {
            let reason = format!(
                "all answers but {k} of {n} lie within their images, which thousandths would leave about {expected:.0} \
                 times"
            );
            return Ok(SpaceGuess::sure(Space::Pixels, reason, [beyond, lost].concat()));
        }
        if is_too_few && n >= MIN_MIXED {
            return Err(MixedSpaces { camps: [(BEYOND, beyond), (WITHIN, inside)] });
        }
        let reason = format!(
            "{k} of {n} answers {} beyond their images, as pixels do not, and no coordinate is above 1000",
            if k == 1 { "reaches" } else { "reach" }
        );
        let odd = [large, lost].concat();
        let is_doubtful = is_too_few || are_few(k, n);
        Ok(SpaceGuess { is_doubtful, ..SpaceGuess::sure(Space::Thousandths, reason, odd) })
    }
}

impl SpaceGuess {
    fn sure(space: Space, reason: String, odd: Vec<usize>) -> Self {
        Self { space, reason, is_doubtful: false, odd }
    }
}

fn without_sizes(most: f64, are_few_large: bool) -> SpaceGuess {
    let odd = Vec::new();
    if most > SPACE {
        let reason = format!("some coordinates are above 1000, up to {most}");
        return SpaceGuess { space: Space::Pixels, reason, is_doubtful: are_few_large, odd };
    }
    let reason = "no coordinate is above 1000, and the sizes of the images are not known, by which pixels could be \
                  told"
        .to_owned();
    SpaceGuess { space: Space::Thousandths, reason, is_doubtful: true, odd }
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
        let guess = guess(&evidence.collect::<Vec<_>>()).unwrap();
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
        check(&boxes, PHOTO, Space::Thousandths, false, "1 of 2 answers reaches beyond");
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
        check(&[], PHOTO, Space::Thousandths, true, "above 0");
    }
    #[test]
    fn what_cannot_be_told_is_said_to_be_doubtful() {
        check(&[[10., 20., 500., 600.]], Some([1024, 1024]), Space::Thousandths, true, "as well");
        check(&[[10., 20., 500., 600.]], Some([960, 960]), Space::Pixels, true, "as well");
        check(&[[10., 20., 500., 600.]], None, Space::Thousandths, true, "not known");
    }

    fn photos(boxes: &[[f64; 4]]) -> Vec<Evidence> {
        let of = |b: &[f64; 4]| Evidence { coordinates: b.to_vec(), size: PHOTO };
        boxes.iter().map(of).collect()
    }
    const INSIDE: [f64; 4] = [20., 30., 600., 440.];

    #[test]
    fn one_box_beyond_its_picture_does_not_turn_pixels_into_thousandths() {
        for odd in [[20., 30., 646., 440.], [20., 30., 600., 990.], [0., 0., 3000., 2000.]] {
            let guess = guess(&photos(&[[INSIDE; 199].as_slice(), &[odd]].concat())).unwrap();
            assert_eq!(
                (guess.space, guess.is_doubtful),
                (Space::Pixels, false),
                "{}",
                guess.reason
            );
            assert_eq!(guess.odd, [199]);
        }
    }
    #[test]
    fn one_tiny_picture_does_not_turn_pixels_into_thousandths() {
        let mut all = photos(&[INSIDE; 200]);
        all[7].size = Some([1, 1]);
        let found = guess(&all).unwrap();
        assert_eq!((found.space, found.odd.as_slice()), (Space::Pixels, [7].as_slice()));
        // A box that is as small as its picture says nothing.
        all[7].coordinates = vec![0., 0., 1., 1.];
        let found = guess(&all).unwrap();
        assert_eq!((found.space, found.odd.len()), (Space::Pixels, 0));
    }
    #[test]
    fn two_units_in_one_file_are_no_space() {
        let share = [0.1, 0.2, 0.5, 0.9];
        let mixed = guess(&photos(&[[INSIDE; 100], [share; 100]].concat())).unwrap_err();
        let [(_, shares), (_, others)] = mixed.camps;
        assert_eq!((shares[0], shares.len(), others[0], others.len()), (100, 100, 0, 100));
        let few = guess(&photos(&[[INSIDE; 98].as_slice(), &[share; 2]].concat())).unwrap();
        assert_eq!((few.space, few.odd.as_slice()), (Space::Pixels, [98, 99].as_slice()));
        let few = guess(&photos(&[[share; 98].as_slice(), &[INSIDE; 2]].concat())).unwrap();
        assert_eq!((few.space, few.odd.as_slice()), (Space::Unit, [98, 99].as_slice()));
        let tenth = [[INSIDE; 90].as_slice(), &[[20., 30., 600., 990.]; 10]].concat();
        assert!(guess(&photos(&tenth)).is_err());
    }
}
