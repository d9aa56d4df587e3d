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
        Cow::Owned(text.chars().map(plain_char).collect())
    }
}

/// What of a text is read at all.
pub(crate) fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ANSWER_BYTES)]
}

fn plain_char(c: char) -> char {
    // Blocks of ten digits each: Arabic, Persian, Devanagari, Bengali, Thai, full width, mathematical bold.
    const ZEROS: [u32; 7] = [0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10, 0x1d7ce];
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
        '，' | '、' | '،' | '﹐' => ',',
        '：' | '﹕' => ':',
        '．' | '。' => '.',
        '−' | '－' | '–' | '—' => '-',
        '\u{a0}' | '\u{3000}' | '\u{2009}' | '\u{202f}' | '\u{feff}' | '\u{200b}' => ' ',
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
