//! Units behind numbers.

/// Units of measure by their names: 5 of one are not 5 of another.
const MEASURES: &[&[&str]] = &[
    &["mm", "millimeter", "millimetre"],
    &["cm", "centimeter", "centimetre"],
    &["m", "meter", "metre"],
    &["km", "kilometer", "kilometre"],
    &["in", "inch", "inche", "\""],
    &["ft", "foot", "feet", "'"],
    &["yd", "yard"],
    &["mile", "mi"],
    &["mg", "milligram"],
    &["g", "gram"],
    &["kg", "kilogram", "kilo"],
    &["lb", "pound"],
    &["oz", "ounce"],
    &["ml", "milliliter", "millilitre"],
    &["l", "liter", "litre"],
    &["\u{b0}c", "celsius"],
    &["\u{b0}f", "fahrenheit"],
    &["s", "sec", "second"],
    &["min", "minute"],
    &["h", "hr", "hour"],
    &["ms", "millisecond"],
    &["day"],
    &["week"],
    &["month"],
    &["year", "yr"],
    &["am", "a.m"],
    &["pm", "p.m"],
    &["bc", "bce"],
    &["ad", "ce"],
    &["watt", "w"],
    &["kw", "kilowatt"],
    &["mw", "megawatt"],
    &["volt", "v"],
    &["mv", "millivolt"],
    &["kv", "kilovolt"],
    &["ma", "milliampere"],
    &["hz", "hertz"],
    &["khz"],
    &["mhz"],
    &["ghz"],
    &["kj"],
    &["kpa"],
    &["kb"],
    &["mb"],
    &["gb"],
    &["tb"],
    &["km/h", "kph"],
    &["mph"],
];

/// The unit behind the number that a text begins with: one word, of a unit of measure its short name, without the s of a
/// plural.
pub fn unit(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('.').trim_start_matches(['-', '+']);
    let end = text.find(|c: char| !c.is_ascii_digit() && !".,".contains(c))?;
    let word = text[end..].trim().to_lowercase();
    let is_word = end > 0
        && !word.is_empty()
        && !word.contains(|c: char| c.is_whitespace() || c.is_ascii_digit());
    let singular = word.strip_suffix('s').filter(|word| !word.is_empty()).unwrap_or(&word);
    let measure =
        MEASURES.iter().find(|names| names.contains(&&*word) || names.contains(&singular));
    is_word.then(|| measure.map_or(singular, |names| names[0]).to_owned())
}

/// Whether a [`unit`] is one of measure, or one letter, as in `5A`: a unit to some, part of a name to others.
pub fn is_measure(unit: &str) -> bool {
    let mut letters = unit.chars();
    let is_letter = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    MEASURES.iter().any(|names| names[0] == unit) || is_letter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_their_names() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(unit(text).as_deref(), expected, "{text}")
        };
        check("12 cm", Some("cm"));
        check("1.5 centimeters.", Some("cm"));
        check("-3\u{b0}C", Some("\u{b0}c"));
        check("12 mugs", Some("mug"));
        check("1 inch", Some("in"));
        check("2 inches", Some("in"));
        check("12", None);
        check("12 big mugs", None);
        check("about 12", None);
        assert!(is_measure("cm") && is_measure("b"));
        assert!(!is_measure("mug") && !is_measure("\u{bd}"));
    }
}
