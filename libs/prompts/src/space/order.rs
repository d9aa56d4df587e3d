//! Whether the coordinates of places are written in the other order than they are read in.

use vrft_dataset::DataSpace;
use vrft_reward::{Evidence, Geometry, Reward, Space, guess_space};

use super::MAX_ODD;
use super::answers::Placed;

/// Fewer answers than these may lie within their pictures by chance, one way or the other.
const MIN_ANSWERS: usize = 3;

/// Refuses answers in pixels that lie within their pictures only if x and y are exchanged: read as they are, they would be
/// other places, or thousandths.
///
/// # Errors
/// They are such.
pub(super) fn check(
    reward: &Reward,
    placed: &[Placed<'_>],
    declared: Option<DataSpace>,
) -> Result<(), String> {
    let geometry = reward.config().answer.kind.geometry();
    let has_order = matches!(geometry, Some(Geometry::Box | Geometry::Point));
    let may_be_pixels = matches!(declared, None | Some(DataSpace::Pixels));
    if !has_order || !may_be_pixels {
        return Ok(());
    }
    let count = |is: &dyn Fn(&Placed<'_>) -> bool| placed.iter().filter(|one| is(one)).count();
    let exchanged = count(&|one| one.fits_only_exchanged());
    let are_few = |n: usize| n as f64 <= MAX_ODD * placed.len() as f64;
    let others = count(&|one| !one.fits_exchanged());
    if are_few(exchanged) || !are_few(others) {
        return Ok(());
    }
    if declared.is_none() && (placed.len() < MIN_ANSWERS || !are_pixels_exchanged(placed)) {
        return Ok(());
    }
    let first = placed.iter().find(|one| one.fits_only_exchanged());
    let place = first.map(Placed::place).unwrap_or_default();
    Err(format!(
        "{exchanged} of {} true answers, as that of {place}, reach beyond their pictures as they are read, {}; {}",
        placed.len(),
        read_as(reward, placed),
        remedy(reward, placed)
    ))
}

/// What is said of one answer that lies within its picture only if x and y are exchanged.
pub(super) fn hint(reward: &Reward, placed: &Placed<'_>) -> String {
    let placed = std::slice::from_ref(placed);
    format!("it is read {}; {}", read_as(reward, placed), remedy(reward, placed))
}

fn read_as(reward: &Reward, placed: &[Placed<'_>]) -> &'static str {
    if is_y_first(reward, placed) { "with y before x" } else { "with x before y" }
}

fn remedy(reward: &Reward, placed: &[Placed<'_>]) -> &'static str {
    if is_y_first(reward, placed) {
        "with x first they lie within: if they are written so, declare reward.answer.order = \"xy\""
    } else {
        "with y first they lie within: if they are written so, declare reward.answer.order = \"yx\""
    }
}

fn is_y_first(reward: &Reward, placed: &[Placed<'_>]) -> bool {
    let answer = &reward.config().answer;
    let is_keyed = || placed.iter().any(|one| one.text().is_some_and(|t| t.contains("box_2d")));
    answer.is_y_first()
        || answer.place_key().is_none() && answer.is_y_first_under("box_2d") && is_keyed()
}

/// Whether the exchanged coordinates are surely pixels, and not thousandths that happen to lie within.
fn are_pixels_exchanged(placed: &[Placed<'_>]) -> bool {
    let evidence: Vec<Evidence> = placed.iter().map(Placed::evidence_exchanged).collect();
    guess_space(&evidence).is_ok_and(|guess| guess.space == Space::Pixels && !guess.is_doubtful)
}
