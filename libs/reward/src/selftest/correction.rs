//! Whether a second try is paid for the right thing: for mending mistakes, not for making them first.

use super::{Check, EPS, MAX_TRICK, SEED, Tester};
use crate::correction::combine;
use crate::rng::Rng;

/// How far off an answer is that nothing is right about.
const ALL_WRONG: f64 = 2.0;

/// Checks of `reward.correction`; none where there is no second try.
pub(super) fn correction(tester: &Tester) -> Vec<Check> {
    let Some(config) = &tester.config().correction else { return Vec::new() };
    let (_, most) = tester.reward.range();
    let mut rng = Rng::new(SEED);
    let mut right = 0.0;
    let mut wrong = 0.0;
    for (draft, truth) in &tester.gold {
        right += tester.answer_terms(&tester.perfect(draft), truth);
        let off = tester.config().answer.kind.kind().corrupt(draft, ALL_WRONG, &mut rng);
        wrong += tester.answer_terms(&tester.perfect(&off), truth);
    }
    let n = tester.gold.len().max(1) as f64;
    let right = right / n;
    let wrong = wrong / n;
    let turns = |r1, r2| combine(r1, r2, config, most);
    let [honest, kept] = turns(right, right);
    let [sly, mended] = turns(wrong, right);
    let [_, repeated] = turns(wrong, wrong);
    let [_, spoiled] = turns(right, wrong);
    let least = |name, holds, than: f64, got| Check::new(name, holds, format!("> {than:.3}"), got);
    let most = |name, holds, than: f64, got| Check::new(name, holds, format!("≤ {than:.3}"), got);
    let share = sly / honest;
    vec![
        least("second try: mending beats repeating", mended > repeated + EPS, repeated, mended),
        least("second try: mending beats having been right", mended > kept + EPS, kept, mended),
        most("second try: spoiling costs", spoiled < wrong - EPS, wrong, spoiled),
        Check::new(
            "trick: wrong first, to be mended (its own turn)",
            share < MAX_TRICK,
            format!("< {MAX_TRICK} of honest"),
            share,
        ),
        most(
            "trick: wrong first, to be mended (both turns)",
            sly + mended <= honest + kept + EPS,
            honest + kept,
            sly + mended,
        ),
    ]
}
