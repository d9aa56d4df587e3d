//! What stands beside the digits of a number and changes it: `3 million`, `2k`, `2½`, `minus 5`.

use std::borrow::Cow;

/// Words that multiply the number before them.
const WORDS: [(&str, f64); 21] = [
    ("dozen", 12.0),
    ("hundred", 1e2),
    ("thousand", 1e3),
    ("million", 1e6),
    ("billion", 1e9),
    ("trillion", 1e12),
    ("lakh", 1e5),
    ("crore", 1e7),
    ("mio", 1e6),
    ("mn", 1e6),
    ("mln", 1e6),
    ("bn", 1e9),
    ("mrd", 1e9),
    ("bln", 1e9),
    ("trn", 1e12),
    ("millionen", 1e6),
    ("millone", 1e6),
    ("milliard", 1e9),
    ("milliarde", 1e9),
    ("milliarden", 1e9),
    ("tausend", 1e3),
];

/// Characters that multiply the number before them.
const CHARACTERS: [(char, f64); 9] = [
    ('十', 1e1),
    ('百', 1e2),
    ('千', 1e3),
    ('万', 1e4),
    ('萬', 1e4),
    ('亿', 1e8),
    ('億', 1e8),
    ('만', 1e4),
    ('억', 1e8),
];

/// Fractions of one character.
const FRACTIONS: [(char, f64); 9] = [
    ('½', 0.5),
    ('¼', 0.25),
    ('¾', 0.75),
    ('⅓', 1.0 / 3.0),
    ('⅔', 2.0 / 3.0),
    ('⅛', 0.125),
    ('⅜', 0.375),
    ('⅝', 0.625),
    ('⅞', 0.875),
];

/// Words before a number that make it negative.
const NEGATIVE: [&str; 2] = ["minus", "negative"];

/// A number with what stands behind it, `None` where that cannot be told: a power, or a letter that is a magnitude to some.
///
/// `behind` follows the digits directly.
pub(super) fn with_magnitude(number: f64, behind: &str) -> Option<f64> {
    let mut number = number;
    let mut rest = behind;
    if let Some(next) = rest.chars().next() {
        if let Some((_, fraction)) = FRACTIONS.iter().find(|(c, _)| *c == next) {
            let is_whole = number.fract() == 0.0;
            number = is_whole.then(|| number + fraction.copysign(number))?;
            rest = &rest[next.len_utf8()..];
        } else if is_power(next) || is_doubtful(rest) {
            return None;
        }
    }
    if let Some(after) = rest.strip_prefix(['k', 'K']).filter(|after| ends_word(after)) {
        (number, rest) = (number * 1e3, after);
    }
    loop {
        let next = rest.trim_start();
        if let Some((c, factor)) = CHARACTERS.iter().find(|(c, _)| next.starts_with(*c)) {
            (number, rest) = (number * factor, &next[c.len_utf8()..]);
            continue;
        }
        let end = next.find(|c: char| !c.is_alphabetic()).unwrap_or(next.len());
        let word = next[..end].to_lowercase();
        let singular = word.strip_suffix('s').unwrap_or(&word);
        let Some((_, factor)) = WORDS.iter().find(|(name, _)| *name == singular) else { break };
        (number, rest) = (number * factor, &next[end..]);
    }
    Some(number)
}

/// A text that begins with the fraction of a character as the number is written in digits, `½ cup` as `0.5 cup`.
pub(super) fn leading_fraction(text: &str) -> Cow<'_, str> {
    let first = text.chars().next();
    match first.and_then(|first| FRACTIONS.iter().find(|(c, _)| *c == first)) {
        Some((c, fraction)) => Cow::Owned(format!("{fraction}{}", &text[c.len_utf8()..])),
        None => Cow::Borrowed(text),
    }
}

/// Whether the word before a number makes it negative.
pub(super) fn is_negative(before: &str) -> bool {
    let word = before.split_whitespace().next_back().unwrap_or_default().to_lowercase();
    NEGATIVE.contains(&&*word)
}

fn is_power(c: char) -> bool {
    matches!(c, '⁰' | '¹' | '²' | '³' | '⁴'..='⁹' | '⁺' | '⁻' | '^')
}

/// Whether the digits are followed by one letter that is a million or a billion to some, and a unit to others.
fn is_doubtful(behind: &str) -> bool {
    behind.strip_prefix(['M', 'B']).is_some_and(ends_word)
}

fn ends_word(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use crate::answers::number::only_number;

    #[test]
    fn what_multiplies_a_number_is_part_of_it() {
        let read = [
            ("3 million", 3e6),
            ("$3.5 billion", 3.5e9),
            ("2k", 2000.0),
            ("1.5K views", 1500.0),
            ("2 hundred thousand", 2e5),
            ("12 Millionen", 12e6),
            ("3 lakh", 3e5),
            ("5 dozens", 60.0),
            ("3万", 30_000.0),
            ("1.2亿", 1.2e8),
            ("2½", 2.5),
            ("2½ cups", 2.5),
            ("½", 0.5),
            ("½ cup", 0.5),
            ("-2½", -2.5),
            ("minus 5", -5.0),
            ("Negative 3.5", -3.5),
            ("1,234 thousand", 1_234_000.0),
            // Units.
            ("5 m²", 5.0),
            ("12 kg", 12.0),
            ("300 K", 300.0),
            ("12 mugs", 12.0),
            ("minus signs: 5", 5.0),
        ];
        for (text, number) in read {
            assert_eq!(only_number(text), Some(number), "{text}");
        }
    }

    #[test]
    fn what_may_be_a_magnitude_or_not_is_no_number() {
        for text in ["10²", "10^6", "3M", "2B", "1.5½"] {
            assert_eq!(only_number(text), None, "{text}");
        }
    }
}
