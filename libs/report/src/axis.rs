//! The axis of a chart: its range, with ticks at round numbers.

/// A range of values with its ticks.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Widened to whole ticks, for values: begins at 0 when the data come near it.
    pub(crate) fn values(low: f64, high: f64, about: usize) -> Axis {
        let low = if low > 0.0 && low < 0.6 * high { 0.0 } else { low };
        let (low, high) = spread(low, high);
        let step = nice_step(high - low, about);
        let low = (low / step + 1e-9).floor() * step;
        let high = (high / step - 1e-9).ceil() * step;
        Axis { low, high, ticks: ticks(low, high, step) }
    }

    /// Exactly the range given, for steps and seconds.
    pub(crate) fn exact(low: f64, high: f64, about: usize) -> Axis {
        let (low, high) = spread(low, high);
        // Steps are whole numbers: half a step is no place for a tick.
        let step = nice_step(high - low, about);
        let step = if high - low >= 2.0 { step.max(1.0) } else { step };
        Axis { low, high, ticks: ticks(low, high, step) }
    }

    /// One place for each name, evenly spaced, at 0, 1, 2, …
    pub(crate) fn named(names: &[String]) -> Axis {
        let ticks = names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
        Axis { low: -0.35, high: names.len() as f64 - 0.65, ticks }
    }

    /// Place within the range, 0 at its low end and 1 at its high end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// A range that is not empty: a constant curve gets some air around it.
fn spread(low: f64, high: f64) -> (f64, f64) {
    if high > low && (high - low) > 1e-9 * high.abs().max(low.abs()) {
        return (low, high);
    }
    let air = if low == 0.0 { 1.0 } else { 0.5 * low.abs() };
    (low - air, low + air)
}

/// The distance between ticks: 1, 2 or 5 times a power of ten, so that the span has `about` of them.
fn nice_step(span: f64, about: usize) -> f64 {
    let raw = span / about.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= raw * 0.999).unwrap_or(10.0);
    factor * power
}

fn ticks(low: f64, high: f64, step: f64) -> Vec<(f64, String)> {
    let first = (low / step - 1e-6).ceil() as i64;
    let last = (high / step + 1e-6).floor() as i64;
    (first..=last)
        .take(64)
        .map(|k| {
            let value = k as f64 * step;
            (value, tick_label(value, step))
        })
        .collect()
}

/// As many decimals as the step needs; very small and very large numbers as powers of ten.
fn tick_label(value: f64, step: f64) -> String {
    let magnitude = |x: f64| (x.abs().log10() + 1e-9).floor() as i32;
    let text = if value == 0.0 {
        "0".to_owned()
    } else if step < 0.9e-3 || value.abs() >= 1e6 {
        let digits = (magnitude(value) - magnitude(step)).max(0) as usize;
        format!("{value:.digits$e}")
    } else {
        let decimals = (-magnitude(step)).max(0) as usize;
        format!("{value:.decimals$}")
    };
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(axis: Axis, expected: &[&str]) {
        let got: Vec<&str> = axis.ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn values_are_widened_to_whole_ticks() {
        check(Axis::values(0.41, 0.56, 4), &["0.40", "0.45", "0.50", "0.55", "0.60"]);
        check(Axis::values(0.12, 2.9, 4), &["0", "1", "2", "3"]);
        check(Axis::values(-0.3, 0.3, 4), &["\u{2212}0.4", "\u{2212}0.2", "0", "0.2", "0.4"]);
    }

    #[test]
    fn small_values_are_powers_of_ten() {
        check(
            Axis::values(0.0, 2e-6, 4),
            &["0", "5e\u{2212}7", "1.0e\u{2212}6", "1.5e\u{2212}6", "2.0e\u{2212}6"],
        );
    }

    #[test]
    fn steps_have_whole_ticks() {
        check(Axis::exact(1.0, 300.0, 5), &["100", "200", "300"]);
        check(Axis::exact(0.0, 3.0, 8), &["0", "1", "2", "3"]);
    }

    #[test]
    fn a_constant_has_an_axis() {
        let axis = Axis::values(1.0, 1.0, 4);
        assert!(axis.low < 1.0 && axis.high > 1.0);
        let axis = Axis::values(0.0, 0.0, 4);
        assert!(axis.low < axis.high && axis.ticks.len() < 8, "{axis:?}");
    }
}
