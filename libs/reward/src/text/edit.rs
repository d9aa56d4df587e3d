//! How alike two texts are, letter by letter.

use super::names::composed;

/// Characters of either text that are compared; what follows counts as different.
const MAX_CHARS: usize = 2000;

/// 1 - Levenshtein distance / length of the longer text, in characters of Unicode's composed form (NFC); 1 for two
/// empty texts.
pub fn edit_similarity(a: &str, b: &str) -> f64 {
    let a = composed(a);
    let b = composed(b);
    let (n_a, n_b) = (a.chars().count(), b.chars().count());
    let longest = n_a.max(n_b);
    if longest == 0 {
        return 1.0;
    }
    let a: Vec<char> = a.chars().take(MAX_CHARS).collect();
    let b: Vec<char> = b.chars().take(MAX_CHARS).collect();
    let unread = longest - longest.min(MAX_CHARS);
    1.0 - (distance(&a, &b) + unread).min(longest) as f64 / longest as f64
}

/// Insertions, deletions and replacements that turn one into the other; one row of the table at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, expect: f64) {
        assert!((edit_similarity(a, b) - expect).abs() < 1e-12, "{}", edit_similarity(a, b));
        assert_eq!(edit_similarity(a, b), edit_similarity(b, a));
    }

    #[test]
    fn texts() {
        check("", "", 1.0);
        check("abc", "abc", 1.0);
        check("abc", "", 0.0);
        check("kitten", "sitting", 1.0 - 3.0 / 7.0);
        check("Straße", "Strasse", 1.0 - 2.0 / 7.0);
        check("Cafe\u{301}", "Caf\u{e9}", 1.0);
    }
    #[test]
    fn long_texts_take_little_time() {
        assert!(edit_similarity(&"a".repeat(1_000_000), "a") < 0.01);
    }
}
