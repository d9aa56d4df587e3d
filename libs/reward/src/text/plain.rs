//! Text as a keyboard would have written it: digits, brackets, quotes and commas of other scripts become plain ones.

use std::borrow::Cow;

/// Bytes of an answer that are looked at. A thousand boxes fit; what a model rambles after that is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The start of an answer in plain characters.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    plain_whole(head(text))
}

/// The whole of a text in plain characters.
pub(crate) fn plain_whole(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(without_grouping(text).chars().map(plain_char).collect())
    }
}

/// Without the spaces that set off thousands: those that no line is broken at, between a digit and three more. A plain space
/// stands between two numbers as well.
fn without_grouping(text: &str) -> Cow<'_, str> {
    let is_space = |c: char| matches!(c, '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}');
    if !text.contains(is_space) {
        return Cow::Borrowed(text);
    }
    let is_digit = |c: char| plain_char(c).is_ascii_digit();
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut before = ' ';
    while let Some(c) = rest.next() {
        let n_digits = rest.clone().take(4).take_while(|c| is_digit(*c)).count();
        if !(is_space(c) && is_digit(before) && n_digits == 3) {
            kept.push(c);
        }
        before = c;
    }
    Cow::Owned(kept)
}

/// What of a text is read at all.
pub(crate) fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ANSWER_BYTES)]
}

fn plain_char(c: char) -> char {
    // Blocks of ten digits each: Arabic, Persian, those of India, Thai, Lao, Tibetan, Burmese, Khmer, Mongolian, full width,
    // mathematical ones in five kinds of type.
    const ZEROS: [u32; 23] = [
        0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0,
        0xf20, 0x1040, 0x17e0, 0x1810, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
    ];
    let code = u32::from(c);
    if let Some(zero) = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)) {
        return char::from(b'0' + (code - zero) as u8);
    }
    match c {
        '［' | '【' | '〔' | '⟦' | '「' => '[',
        '］' | '】' | '〕' | '⟧' | '」' => ']',
        '｛' => '{',
        '｝' => '}',
        '（' => '(',
        '）' => ')',
        '“' | '”' | '„' | '＂' | '«' | '»' => '"',
        '‘' | '’' | '‚' | '＇' | '`' => '\'',
        '，' | '、' | '،' | '﹐' | '\u{66c}' => ',',
        '：' | '﹕' => ':',
        '．' | '。' | '\u{66b}' => '.',
        '％' | '\u{66a}' => '%',
        '＋' => '+',
        '−' | '－' | '–' | '—' => '-',
        '\u{a0}' | '\u{3000}' | '\u{2007}' | '\u{2009}' | '\u{202f}' | '\u{feff}' | '\u{200b}' => {
            ' '
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(plain(text), expect);
    }

    #[test]
    fn plain_text_stays() {
        assert!(matches!(plain("[1, 2]"), Cow::Borrowed(_)));
    }
    #[test]
    fn digits_of_other_scripts() {
        check("１２３ ٤٥ ६७ 𝟖𝟗", "123 45 67 89");
    }
    #[test]
    fn narrow_spaces_that_set_off_thousands() {
        check("12\u{202f}345\u{a0}678 mugs", "12345678 mugs");
        check("1\u{a0}2, 10\u{a0}0000, a\u{a0}100", "1 2, 10 0000, a 100");
    }
    #[test]
    fn brackets_quotes_and_commas() {
        check("［｛“Position”：【１，２】｝］", "[{\"Position\":[1,2]}]");
        check("‘a’ −5", "'a' -5");
    }
    #[test]
    fn letters_stay() {
        check("Bär 猫", "Bär 猫");
    }
    #[test]
    fn no_more_than_the_start() {
        assert_eq!(plain(&"é".repeat(1_000_000)).len(), MAX_ANSWER_BYTES);
    }
}
