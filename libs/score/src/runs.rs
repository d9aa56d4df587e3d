//! COCO's run lengths as text: five bits a letter, and from the fourth run on the difference to the last but one.
//!
//! The form that `pycocotools` writes into `counts`, and reads.

/// Longest run that is believed: more pixels than any image has.
pub const MAX_RUN: i64 = 1_000_000_000;
/// Code of the first letter of the encoding.
const BASE: u8 = 48;
/// Set in a letter that another one of the same number follows.
const MORE: i64 = 0x20;
/// The sign of the last letter's five bits.
const SIGN: i64 = 0x10;

/// Reads run lengths; `None` for a text that is cut off or of other letters, and for lengths that no image has.
pub fn decompress(text: &str) -> Option<Vec<usize>> {
    let mut runs: Vec<i64> = Vec::new();
    let (mut number, mut shift) = (0i64, 0);
    for letter in text.bytes() {
        let bits = i64::from(letter.checked_sub(BASE).filter(|bits| *bits < 64)?);
        number |= (bits & 0x1f) << shift;
        shift += 5;
        if bits & MORE != 0 {
            // 40 bits are more than any run needs.
            (shift < 40).then_some(())?;
            continue;
        }
        if bits & SIGN != 0 {
            number |= -1 << shift;
        }
        let before = if runs.len() > 2 { runs[runs.len() - 2] } else { 0 };
        runs.push(Some(number + before).filter(|run| (0..=MAX_RUN).contains(run))?);
        (number, shift) = (0, 0);
    }
    (shift == 0).then(|| runs.into_iter().map(|run| run as usize).collect())
}

/// Writes run lengths.
///
/// ```
/// let text = vrft_score::runs::compress(&[6, 1, 40, 4, 5, 4, 5, 4, 21]);
/// assert_eq!(text, "61X13mN000`0");
/// assert_eq!(vrft_score::runs::decompress(&text), Some(vec![6, 1, 40, 4, 5, 4, 5, 4, 21]));
/// ```
pub fn compress(runs: &[usize]) -> String {
    let mut text = String::new();
    for (idx, &run) in runs.iter().enumerate() {
        let before = if idx > 2 { runs[idx - 2] as i64 } else { 0 };
        let mut number = run as i64 - before;
        loop {
            let bits = number & 0x1f;
            number >>= 5;
            let last = number == if bits & SIGN != 0 { -1 } else { 0 };
            let letter = if last { bits } else { bits | MORE };
            text.push(char::from(BASE + letter as u8));
            if last {
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `pycocotools` makes of masks, see tests/make_runs.py.
    #[test]
    fn as_pycocotools_writes_and_reads() {
        let cases: Vec<(Vec<usize>, String)> =
            serde_json::from_str(include_str!("../tests/runs.json")).unwrap();
        assert!(cases.len() >= 30);
        for (runs, text) in cases {
            assert_eq!(compress(&runs), text);
            assert_eq!(decompress(&text), Some(runs));
        }
    }
    #[test]
    fn what_is_no_text_of_runs() {
        assert_eq!(decompress(""), Some(vec![]));
        for text in ["a b", "é", "P", "PPPPPPPPPPPPPPP0", "o", "0@"] {
            assert_eq!(decompress(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(runs in prop::collection::vec(0usize..1_000_000_000, 0..40)) {
            prop_assert_eq!(decompress(&compress(&runs)), Some(runs));
        }
        #[test]
        fn any_text_is_read_or_refused(text in "[0-o]{0,40}") {
            drop(decompress(&text));
        }
    }
}
