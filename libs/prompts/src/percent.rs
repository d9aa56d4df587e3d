//! Percentages among true answers that are numbers: 50% is not the 50 of the others.

use vrft_dataset::{Dataset, Row, Truth};
use vrft_reward::answers::{Form, is_percent};
use vrft_reward::{Reward, true_answer};

/// Share of the answers that may be odd: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;

/// Whether the numbers of a data set are percentages; `None` where they are no numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Percent(Option<bool>);

impl Percent {
    /// As most true answers have it.
    ///
    /// # Errors
    /// Too many of either kind for mistakes.
    pub(crate) fn of(reward: &Reward, dataset: &Dataset) -> Result<Self, String> {
        if reward.config().answer.kind.form() != Form::Number {
            return Ok(Self(None));
        }
        let (percent, plain): (Vec<&Row>, Vec<&Row>) = dataset
            .iter()
            .chain(dataset.rest())
            .filter(|row| text(row).is_some())
            .partition(|row| text(row).is_some_and(is_percent));
        let n = percent.len() + plain.len();
        let are_few = |rows: &[&Row]| rows.len() as f64 <= MAX_ODD * n as f64;
        match (are_few(&percent), are_few(&plain)) {
            (true, _) => Ok(Self(Some(false))),
            (false, true) => Ok(Self(Some(true))),
            (false, false) => {
                let told = |rows: &[&Row]| match rows {
                    [one] => format!("1 ({})", one.origin.place()),
                    rows => format!("{} ({} ...)", rows.len(), rows[0].origin.place()),
                };
                Err(format!(
                    "of the true answers, percentages are {}, and plain numbers are {}: write all of them alike",
                    told(&percent),
                    told(&plain)
                ))
            }
        }
    }

    /// Refuses a true answer of the other kind.
    ///
    /// # Errors
    /// It is one.
    pub(crate) fn check(self, solution: &str) -> Result<(), String> {
        let answer = true_answer(solution);
        match self.0 {
            Some(expected) if is_percent(answer) != expected => {
                let others = if expected { "percentages" } else { "plain numbers" };
                Err(format!(
                    "its true answer is {:?}, those of the other rows are {others}",
                    answer.trim()
                ))
            }
            _ => Ok(()),
        }
    }
}

fn text(row: &Row) -> Option<&str> {
    match &row.truth {
        Truth::Text(text) => Some(true_answer(text)),
        Truth::Boxes(_) => None,
    }
}
