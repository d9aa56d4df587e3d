//! Numbers as text: three decimals, a real minus sign, spans of time.

/// A metric with three decimals.
pub(crate) fn fixed(value: f64) -> String {
    minus(format!("{:.3}", rounded(value)))
}

/// A difference with three decimals and its sign.
pub(crate) fn signed(value: f64) -> String {
    minus(format!("{:+.3}", rounded(value)))
}

/// To three decimals: −0.0001 has no sign worth showing.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0 + 0.0
}

/// Three significant digits, for the ends of a curve.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-3..1e5).contains(&size) => format!("{value:.1e}"),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    minus(text)
}

/// Seconds in the unit a reader would choose.
pub(crate) fn duration(secs: f64) -> String {
    match secs {
        _ if secs < 1.0 => format!("{:.0} ms", secs * 1e3),
        _ if secs < 90.0 => format!("{secs:.1} s"),
        _ if secs < 5400.0 => format!("{:.1} min", secs / 60.0),
        _ => format!("{:.1} h", secs / 3600.0),
    }
}

/// `1 sample`, `2 samples`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn minus(text: String) -> String {
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_its_sign() {
        assert_eq!(signed(0.1489), "+0.149");
        assert_eq!(signed(-0.02), "\u{2212}0.020");
        assert_eq!(signed(-0.0001), "+0.000");
    }

    #[test]
    fn short_numbers_keep_three_digits() {
        let shown: Vec<String> =
            [0.0, 2e-6, 0.01234, 0.4567, 12.34, 345.6].map(short).into_iter().collect();
        assert_eq!(shown, ["0", "2.0e\u{2212}6", "0.012", "0.46", "12.3", "346"]);
    }

    #[test]
    fn time_has_a_unit() {
        assert_eq!(duration(0.25), "250 ms");
        assert_eq!(duration(600.0), "10.0 min");
    }
}
