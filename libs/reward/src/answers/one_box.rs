//! One box.

use serde::{Deserialize, Serialize};

use super::boxes::{
    corners_of, example_of_box, further_keys_of_box, in_words, is_box, order_in_words, place_of_box,
};
use super::items;
use super::items::coordinates::read_box;
use super::items::{Area, AxisOrder, bare_numbers, list};
use super::{AnswerKind, Examples, ItemKind, OneItemKeys};
use crate::config::Reader;
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::value::Value;
use crate::{Answer, BBox, Flaw, Item, Items, Place, official};

/// One box `[x1, y1, x2, y2]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoxAnswer {
    /// What coordinates count.
    pub space: Space,
    /// Which of two coordinates comes first; left out, y under the key `box_2d`, which is Gemini's, and x elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<AxisOrder>,
    /// Names of the parts of the box.
    pub keys: OneItemKeys,
    /// The names that a box may have; empty for any.
    pub labels: Vec<String>,
}

impl ItemKind for BoxAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Box
    }

    items::say_fields!();

    fn order(&self) -> Option<AxisOrder> {
        self.order
    }

    fn is_single(&self) -> bool {
        true
    }

    fn instruction(&self) -> String {
        format!("Give the bounding box {}{}.", in_words(self.space), order_in_words(self))
    }

    fn coordinates_example(&self) -> &'static str {
        example_of_box(self)
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_box(value, self.space)
    }

    fn place_of(&self, object: &Value) -> Result<Place, Flaw> {
        place_of_box(self, object)
    }

    fn is_item(&self, value: &Value) -> bool {
        is_box(self, value)
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_numbers(self, text, 4)
    }

    fn further_keys(&self) -> &'static [&'static str] {
        further_keys_of_box(self)
    }

    /// `(x1,y1),(x2,y2)` of whole numbers, anywhere in the answer; the corners may be in any order.
    ///
    /// With several of them the program joins all upper left corners before all lower right ones and takes the first
    /// two points, which is a box between two upper left corners.
    fn read_official(&self, completion: &str) -> Option<Answer> {
        let found = pairs_of_points(official::text_of_lines(completion));
        let [x1, y1, x2, y2] = match &found[..] {
            [] => return None,
            [one] => *one,
            [first, second, ..] => [first[0], first[1], second[0], second[1]],
        };
        // A number that Python cannot divide by 1000.
        [x1, y1, x2, y2].iter().all(|n| n.is_finite()).then_some(())?;
        let item = Item::at(Place::Box(BBox { x1, y1, x2, y2 }));
        Some(Answer::Items(Items { valid: vec![item], ..Items::default() }))
    }

    fn write_place(&self, numbers: &[f64], reader: Reader) -> String {
        match (reader, numbers) {
            (Reader::Official, [x1, y1, x2, y2]) => format!("({x1},{y1}),({x2},{y2})"),
            _ => list(numbers),
        }
    }

    fn numbers_of(&self, area: Area, _rng: &mut Rng) -> Vec<f64> {
        corners_of(area)
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        Some(vec![0.0, 0.0, self.span(), self.span()])
    }
}

fn pairs_of_points(text: &str) -> Vec<[f64; 4]> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('(') {
        rest = &rest[start..];
        match pair_of_points(rest) {
            Some((numbers, after)) => {
                found.push(numbers);
                rest = after;
            }
            None => rest = &rest[1..],
        }
    }
    found
}

/// `(x1,y1),(x2,y2)` at the start of a text, with white space anywhere, and what follows.
fn pair_of_points(text: &str) -> Option<([f64; 4], &str)> {
    let mut rest = text;
    let mut numbers = [0.0; 4];
    let tokens = ["(", "0", ",", "1", ")", ",", "(", "2", ",", "3", ")"];
    for token in tokens {
        match token.parse::<usize>() {
            Ok(idx) => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                numbers[idx] = rest[..end].parse().ok()?;
                rest = &rest[end..];
            }
            Err(_) => rest = rest.strip_prefix(token)?,
        }
        rest = rest.trim_start();
    }
    Some((numbers, rest))
}

/// Four numbers in brackets.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    (examples.are_bracketed() && examples.have_numbers(4)).then_some(())?;
    let kind = BoxAnswer { space: examples.space(), ..BoxAnswer::default() };
    Some((AnswerKind::Box(kind), "every answer is four numbers in brackets: one box".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_official(completion: &str, corners: Option<[f64; 4]>) {
        let answer = BoxAnswer::default().read_official(completion);
        assert_eq!(answer.map(|answer| answer.detections()[0].bbox.corners()), corners);
    }

    #[test]
    fn the_official_program_reads_corners_as_they_come() {
        check_official("<answer>( 1 , 2 ) , (30,40)</answer>", Some([1., 2., 30., 40.]));
        check_official("<answer>(30,40),(1,2)</answer>", Some([30., 40., 1., 2.]));
        check_official("<answer>(1,2),(1,2)</answer>", Some([1., 2., 1., 2.]));
        check_official("<answer>[1, 2, 3, 4]</answer>", None);
    }
    #[test]
    fn the_official_program_reads_the_whole_text_where_no_block_is_closed() {
        check_official("it is at (1,2),(3,4)", Some([1., 2., 3., 4.]));
        check_official("<think>a</think><answer>(1,2),(3,4)", Some([1., 2., 3., 4.]));
        check_official("(1,2),(3,4)<answer>none</answer>", None);
    }
    #[test]
    fn the_official_program_mixes_up_the_corners_of_several_boxes() {
        check_official("(1,2),(3,4) (50,60),(70,80)", Some([1., 2., 50., 60.]));
    }
}
