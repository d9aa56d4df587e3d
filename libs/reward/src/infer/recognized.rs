//! Which kind of answer nearly all examples are, and which few are not.

use std::collections::{BTreeMap, BTreeSet};

use super::space::guess;
use super::{InferError, MAX_ODD};
use crate::answers::{
    AnswerKind, Example, Examples, NumberAnswer, are_codes, is_digits, is_measure, is_percent,
    is_permutation, only_number, recognize, sets_off_thousands, unit,
};
use crate::answers::{BoxesAnswer, ItemKeys};
use crate::config::AnswerConfig;
use crate::geometry::Space;
use crate::read_truth;
use crate::reading::quote;
use crate::text::find::numbers;
use crate::text::plain::plain_whole;

/// From this share of answers on that are of one shape, the others look like mistakes, and the user is asked.
const MIN_ALIKE: f64 = 0.75;
/// Numbers in words or with units are taken for numbers beside at least this share of plain ones.
const MIN_PLAIN: f64 = 0.5;

/// Examples that do not fit that an error names.
const N_NAMED: usize = 3;

/// Examples that do not fit: where each stands, and why.
pub(super) type Odd = BTreeMap<String, String>;

/// A kind of answer.
pub(super) struct Recognized {
    pub(super) kind: AnswerKind,
    /// Why this kind.
    pub(super) reason: String,
    pub(super) odd: Odd,
}

/// What an answer is made of, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    /// Something in braces.
    Objects,
    /// Something in brackets.
    Lists,
    /// The numbers 1 to n.
    Order,
    /// Numbers within a tag, as in `<point x="10" y="20">`.
    Tags,
    /// Numbers with nothing but commas, semicolons or spaces between them: the coordinates of a place without brackets.
    Bare,
    /// One number with a comma where a point is expected, as in `0,5`; or two without a space.
    Comma,
    /// One number, whatever is written beside it.
    Number,
    /// One number and a percent sign.
    Percent,
    /// Anything else.
    Words,
}

impl Shape {
    fn of(answer: &str) -> Self {
        let answer = &*plain_whole(answer);
        if answer.contains('{') {
            Shape::Objects
        } else if answer.contains(['[', '(']) && answer.contains(|c: char| c.is_ascii_digit()) {
            Shape::Lists
        } else if has_tokens(answer)
            || answer.trim_start().starts_with('<') && has_two_numbers(answer)
        {
            Shape::Tags
        } else if is_percent(answer) {
            Shape::Percent
        } else if only_number(answer).is_some() {
            Shape::Number
        } else if is_permutation(answer) {
            Shape::Order
        } else if has_decimal_comma(answer) {
            Shape::Comma
        } else if is_bare(answer) {
            Shape::Bare
        } else {
            Shape::Words
        }
    }

    fn may_be_places(self) -> bool {
        matches!(self, Shape::Objects | Shape::Lists)
    }

    fn name(self) -> &'static str {
        match self {
            Shape::Objects => "objects in braces",
            Shape::Lists => "numbers in brackets",
            Shape::Order => "numbers 1 to n in some order",
            Shape::Tags => "numbers in tags",
            Shape::Bare => "numbers without brackets",
            Shape::Comma => "numbers with a comma",
            Shape::Number => "numbers",
            Shape::Percent => "percentages",
            Shape::Words => "words",
        }
    }
}

/// The kind of answer that fits all examples, or nearly all where it is more particular.
///
/// # Errors
/// Most answers are of one shape, and too many others are not.
pub(super) fn recognized(some: &[(Example, &str)]) -> Result<Recognized, InferError> {
    let (kind, reason) = recognize(&Examples::new(some));
    let all = Recognized { kind, reason, odd: Odd::new() };
    if !matches!(all.kind, AnswerKind::Label(_) | AnswerKind::Text(_)) {
        return Ok(all);
    }
    let n = some.len();
    let mut counts: BTreeMap<Shape, usize> = BTreeMap::new();
    some.iter().for_each(|(_, answer)| *counts.entry(Shape::of(answer)).or_default() += 1);
    refuse_commas(some, &counts)?;
    let Some((&shape, &k)) = counts.iter().max_by_key(|(_, count)| **count) else { return Ok(all) };
    if shape == Shape::Words || (k as f64) < MIN_ALIKE * n as f64 {
        return Ok(all);
    }
    if let Some(hint) = unread(shape) {
        return Err(of_letters(some, hint));
    }
    let (alike, others): (Vec<_>, Vec<_>) =
        some.iter().copied().partition(|(_, answer)| Shape::of(answer) == shape);
    let (kind, reason) = match shape {
        Shape::Number | Shape::Percent => match number(&alike)? {
            Some(reason) => (AnswerKind::Number(NumberAnswer {}), reason),
            None => return Ok(all),
        },
        _ => recognize(&Examples::new(&alike)),
    };
    let why = |answer: &str| {
        let remedy = if has_decimal_comma(answer) { COMMA } else { "" };
        format!(
            "expected {} as in the other answers, got {:?}{remedy}",
            shape.name(),
            quote(answer)
        )
    };
    let odd = others.iter().map(|(e, answer)| (e.place.to_owned(), why(answer))).collect();
    let is_particular = !matches!(kind, AnswerKind::Label(_) | AnswerKind::Text(_));
    if !is_particular
        && shape.may_be_places()
        && alike.iter().all(|(_, answer)| has_two_numbers(answer))
    {
        return places(&alike, odd, n);
    }
    match (is_particular, (n - k) as f64 <= MAX_ODD * n as f64) {
        (false, _) => Ok(all),
        (true, true) => Ok(Recognized { kind, reason, odd }),
        (true, false) => Err(unfit(&kind, &odd, n)),
    }
}

/// What to do about places in a form that is not read; `None` for other answers.
fn unread(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Tags => Some(
            "; numbers in tags or tokens are not read: write places as [x, y] or [x1, y1, x2, y2], or as objects with such \
             a list, and mind that PaliGemma has y first, and that a patch of Kosmos-2 is one of 32 × 32",
        ),
        Shape::Bare => Some(
            "; numbers without brackets are not read: write a place as [x, y] or [x1, y1, x2, y2], in one unit",
        ),
        _ => None,
    }
}

/// Places that would be learned by their letters.
fn of_letters(some: &[(Example, &str)], hint: &str) -> InferError {
    let told =
        |(e, answer): &(Example, &str)| (e.place.to_owned(), format!("got {:?}", quote(answer)));
    let odd: Odd = some.iter().map(told).collect();
    let mut error =
        unfit(&AnswerKind::Points(crate::answers::PointsAnswer::default()), &odd, some.len());
    if let InferError::Unfit { hint: told, .. } = &mut error {
        hint.clone_into(told);
    }
    error
}

/// Whether a text is two numbers or four, or more in pairs, with commas or semicolons between them; or four with spaces.
fn is_bare(text: &str) -> bool {
    let text = text.replace('%', " ");
    let is_mark = |c: char| c == ',' || c == ';';
    let parts: Vec<&str> = text
        .split(|c: char| is_mark(c) || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .collect();
    let is_number = |part: &&str| part.parse::<f64>().is_ok_and(f64::is_finite);
    let is_paired = parts.len() >= 2 && parts.len().is_multiple_of(2);
    is_paired && parts.iter().all(is_number) && (text.contains(is_mark) || parts.len() == 4)
}

/// What to do about a number with a comma.
const COMMA: &str = "; is the comma a decimal one? Write 0.5 for 0,5, and [0, 5] for two numbers";

/// Refuses numbers of which many have a comma where a point is expected: they would be learned as names, by their letters.
/// In a file with some of these, without a number with a point, `12,345` has a decimal comma too.
///
/// # Errors
/// They are so many.
fn refuse_commas(
    some: &[(Example, &str)],
    counts: &BTreeMap<Shape, usize>,
) -> Result<(), InferError> {
    let of = |shape: Shape| counts.get(&shape).copied().unwrap_or(0);
    let has_point = |answer: &str| Shape::of(answer) == Shape::Number && answer.contains('.');
    let is_open = of(Shape::Comma) > 0 && !some.iter().any(|(_, answer)| has_point(answer));
    let is_comma = |answer: &str| match Shape::of(answer) {
        Shape::Comma => true,
        Shape::Number => is_open && answer.matches(',').count() == 1,
        _ => false,
    };
    let commas: Vec<_> = some.iter().filter(|(_, answer)| is_comma(answer)).collect();
    let (n, n_numbers) = (some.len() as f64, of(Shape::Comma) + of(Shape::Number));
    if commas.len() as f64 <= MAX_ODD * n || (n_numbers as f64) < MIN_ALIKE * n {
        return Ok(());
    }
    let odd = commas.into_iter().map(|(e, answer)| {
        (e.place.to_owned(), format!("expected one number, got {:?}", quote(answer)))
    });
    let mut error = unfit(&AnswerKind::Number(NumberAnswer {}), &odd.collect(), some.len());
    if let InferError::Unfit { hint, .. } = &mut error {
        *hint = COMMA.to_owned();
    }
    Err(error)
}

/// Whether a text is two runs of digits with nothing but a comma between them, and perhaps a unit behind them. Before the
/// comma, full stops may set off thousands.
fn has_decimal_comma(text: &str) -> bool {
    let text = text.trim().trim_start_matches(['-', '+']);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let is_whole = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let in_thousands = |part: &str| is_whole(part) || sets_off_thousands(&part.replace('.', ","));
    !unit.contains(|c: char| c.is_ascii_digit() || c == ',')
        && number.split_once(',').is_some_and(|(whole, rest)| in_thousands(whole) && is_whole(rest))
}

/// Lists of boxes without keys, as `[[10, 20, 30, 40], [50, 60, 70, 80]]`.
///
/// # Errors
/// Anything else: text in which nothing was recognized, but has numbers as places have, is not to be learned by its
/// letters.
fn places(alike: &[(Example, &str)], odd: Odd, n: usize) -> Result<Recognized, InferError> {
    let keys = ItemKeys { place: String::new(), confidence: String::new(), label: String::new() };
    let space =
        guess(&Examples::new(alike).evidence()).map_or(Space::default(), |guess| guess.space);
    let kind = AnswerKind::Boxes(BoxesAnswer { space, keys, ..BoxesAnswer::default() });
    let config = AnswerConfig::of(kind.clone());
    let refused = |(example, answer): &(Example, &str)| {
        let error = read_truth(answer, &config).err()?;
        Some((example.place.to_owned(), error.to_string()))
    };
    let flaws: Odd = alike.iter().filter_map(refused).collect();
    if flaws.len() as f64 > MAX_ODD * n as f64 {
        return Err(unfit(&kind, &flaws, n));
    }
    let reason = "every answer is a list of four numbers for each place: boxes".to_owned();
    Ok(Recognized { kind, reason, odd })
}

/// Whether a text has two tokens or more that stand for a coordinate or a part of a picture: `<loc0123>` of PaliGemma,
/// `<loc_123>` of Florence-2, `<patch_index_0044>` of Kosmos-2. Headings of HTML are none.
fn has_tokens(answer: &str) -> bool {
    let is_token = |text: &&str| {
        let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
        name.len() < text.len()
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && !["", "h"].contains(&name)
    };
    let inside = answer.split('<').skip(1).filter_map(|rest| Some(rest.split_once('>')?.0));
    inside.filter(is_token).nth(1).is_some()
}

fn has_two_numbers(answer: &str) -> bool {
    numbers(answer).nth(1).is_some()
}

/// Why answers are taken for numbers; `None` if they may as well be names with a number in them.
///
/// # Errors
/// Numbers of different units of measure.
fn number(alike: &[(Example, &str)]) -> Result<Option<String>, InferError> {
    let bare = |answer: &str| answer.trim().trim_end_matches('%').trim().to_owned();
    let is_grouped = |answer: &str| {
        let bare = bare(answer);
        let (whole, decimals) = bare.split_once('.').unwrap_or((&bare, ""));
        sets_off_thousands(whole.trim_start_matches(['-', '+']))
            && decimals.bytes().all(|b| b.is_ascii_digit())
    };
    let is_plain = |answer: &str| is_digits(&bare(answer)) || is_grouped(answer);
    let other = || alike.iter().filter(|(_, answer)| !is_plain(answer));
    if are_codes(alike.iter().map(|(_, answer)| *answer)) || are_parts_of_names(alike) {
        return Ok(None);
    }
    let measures = measures(alike)?;
    let n_with_unit = other().filter(|(_, answer)| unit(answer).is_some()).count();
    let n_plain = alike.len() - other().count();
    let is_mostly_plain = n_plain as f64 >= MIN_PLAIN * alike.len() as f64;
    // `12 cm`, or `3 mugs` and `5 cups`; but `Gate 12` is a name.
    if !is_mostly_plain && n_plain + n_with_unit < alike.len() {
        return Ok(None);
    }
    let mut reason = "every answer is a number".to_owned();
    let mut more = |n: usize, what: &str, first: Option<&(Example, &str)>| {
        if let Some((example, answer)) = first {
            let n_all = alike.len();
            let told =
                format!(", {n} of {n_all} {what}, as {:?} in {}", quote(answer), example.place);
            reason.push_str(&told);
        }
    };
    let grouped = || alike.iter().filter(|(_, answer)| is_grouped(answer));
    more(
        grouped().count(),
        "with commas, which are taken for those of thousands",
        grouped().next(),
    );
    let with = if measures.is_empty() { "with words or units" } else { "with words or a unit" };
    more(other().count(), with, other().next());
    Ok(Some(reason))
}

/// Whether letters stand behind numbers without a space that are not always the same and measure nothing, as on the plates
/// `42EF` and `79XK`. One letter is refused as a unit would be.
fn are_parts_of_names(alike: &[(Example, &str)]) -> bool {
    let attached = |answer: &str| {
        let letters = answer.trim().trim_start_matches(|c: char| c.is_ascii_digit());
        let is_attached = letters.len() > 1 && letters.len() < answer.trim().len();
        let is_word = letters.chars().all(|c| c.is_ascii_uppercase());
        (is_attached && is_word).then(|| letters.to_owned())
    };
    let parts: BTreeSet<String> = alike.iter().filter_map(|(_, answer)| attached(answer)).collect();
    let is_of_name =
        |part: &&String| unit(&format!("1{part}")).is_some_and(|unit| !is_measure(&unit));
    parts.iter().filter(is_of_name).count() > 1
}

/// The units of measure behind numbers: one or none.
///
/// # Errors
/// Several of them: 5 cm are not 5 mm.
fn measures(alike: &[(Example, &str)]) -> Result<Vec<String>, InferError> {
    let mut first: BTreeMap<String, &(Example, &str)> = BTreeMap::new();
    let mut n_of: BTreeMap<String, usize> = BTreeMap::new();
    for one in alike {
        if let Some(unit) = unit(one.1).filter(|unit| is_measure(unit)) {
            *n_of.entry(unit.clone()).or_default() += 1;
            first.entry(unit).or_insert(one);
        }
    }
    if first.len() < 2 {
        return Ok(first.into_keys().collect());
    }
    let most = n_of.values().copied().max().unwrap_or(0);
    let told = |(example, answer): &(Example, &str)| {
        (example.place.to_owned(), format!("its answer is {:?}", quote(answer)))
    };
    let odd: Odd = first.into_values().map(told).collect();
    Err(InferError::Unfit {
        kind: "number, of one unit".to_owned(),
        n_odd: n_of.values().sum::<usize>() - most,
        n: alike.len(),
        odd: listed(&odd),
        hint: "; write all of them in one unit, or, if they are names, declare them (reward.answer.type = \"label\")".to_owned(),
    })
}

/// The error that too many examples are odd.
pub(super) fn unfit(kind: &AnswerKind, odd: &Odd, n: usize) -> InferError {
    InferError::Unfit {
        kind: kind.name().to_owned(),
        n_odd: odd.len(),
        n,
        odd: listed(odd),
        hint: String::new(),
    }
}

/// The first of them in words.
fn listed(odd: &Odd) -> String {
    // Row 2 before row 10.
    let mut named: Vec<(&String, &String)> = odd.iter().collect();
    named.sort_by_key(|(place, _)| (place.len(), *place));
    let named = named.into_iter().take(N_NAMED).map(|(place, why)| format!("{place}: {why}"));
    named.collect::<Vec<String>>().join("; ")
}
