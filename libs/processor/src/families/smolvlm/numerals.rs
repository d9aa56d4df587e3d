//! Numbers as the prompt about a video spells them.

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number in English words, as Python's `num2words`: `one thousand, two hundred and thirty-four`.
pub(super) fn words(n: usize) -> String {
    let joined = |n: usize, unit: usize, name: &str| {
        let head = format!("{} {name}", words(n / unit));
        match n % unit {
            0 => head,
            rest if rest < 100 => format!("{head} and {}", words(rest)),
            rest => format!("{head}, {}", words(rest)),
        }
    };
    match n {
        0..20 => ONES[n].to_owned(),
        20..100 if n.is_multiple_of(10) => TENS[n / 10].to_owned(),
        20..100 => format!("{}-{}", TENS[n / 10], ONES[n % 10]),
        100..1000 => joined(n, 100, "hundred"),
        1000..1_000_000 => joined(n, 1000, "thousand"),
        _ => joined(n, 1_000_000, "million"),
    }
}

/// A duration as Python writes it: `0:01:05`, `1 day, 2:00:00`.
pub(super) fn duration(seconds: u64) -> String {
    let clock = format!("{}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /* Equivalent python code:
    from num2words import num2words; [num2words(n) for n in (0, 7, 19, 40, 64, 100, 101, 342, 1000, 1001, 1234, 20300)] */
    #[test]
    fn numbers_are_spelled_as_in_english() {
        for (n, expected) in [
            (0, "zero"),
            (7, "seven"),
            (19, "nineteen"),
            (40, "forty"),
            (64, "sixty-four"),
            (100, "one hundred"),
            (101, "one hundred and one"),
            (342, "three hundred and forty-two"),
            (1000, "one thousand"),
            (1001, "one thousand and one"),
            (1234, "one thousand, two hundred and thirty-four"),
            (20_300, "twenty thousand, three hundred"),
        ] {
            assert_eq!(words(n), expected);
        }
    }

    #[test]
    fn durations_are_written_as_in_python() {
        assert_eq!(duration(65), "0:01:05");
        assert_eq!(duration(86_400 + 7200), "1 day, 2:00:00");
        assert_eq!(duration(2 * 86_400), "2 days, 0:00:00");
    }
}
