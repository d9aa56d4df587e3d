//! What all kinds of answers have in common that are made of items: places with further parts, in lists or objects.
//!
//! A kind says what its coordinates are and which keys its items have, by [`ItemKind`]; that it is a kind of answer
//! follows.

mod attack;
pub(crate) mod coordinates;
pub(crate) mod keys;
mod order;
mod read;
mod write;

pub(crate) use attack::{Area, drawn_sketch, elsewhere, moved_as_a_whole};
pub(crate) use keys::Keys;
pub use order::AxisOrder;
pub(crate) use order::Y_FIRST_KEY;
pub(crate) use read::{bare_lists, bare_numbers};
pub(crate) use write::{item, list, points, quoted};

use super::draft::{names, other_name};
use super::label::listed;
use super::{Author, Draft, Form, Kind, Sketch};
use crate::config::{ConfigError, Reader, ensure};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::terms::{Metric, Overlap};
use crate::text::value::Value;
use crate::{Answer, Flaw, Item, Place, RewardError, official};

/// Pixels on a side of the images that answers are drawn for, where a task counts in pixels.
const DRAWN_SIDE: f64 = 640.0;

/// The methods of [`ItemKind`] that say what the fields `space`, `keys` and `labels` hold, for the kinds that have them.
macro_rules! say_fields {
    () => {
        fn space(&self) -> $crate::geometry::Space {
            self.space
        }

        fn set_space(&mut self, space: $crate::geometry::Space) {
            self.space = space;
        }

        fn keys(&self) -> $crate::answers::items::Keys<'_> {
            self.keys.view()
        }

        fn labels(&self) -> &[String] {
            &self.labels
        }
    };
}
pub(super) use say_fields;

/// One kind of answer that is made of items.
pub(crate) trait ItemKind {
    /// The geometry of its items.
    fn geometry(&self) -> Geometry;

    /// What coordinates count.
    fn space(&self) -> Space;

    /// Says what coordinates count.
    fn set_space(&mut self, space: Space);

    /// The keys of its items.
    fn keys(&self) -> Keys<'_>;

    /// The names that items have; none where any name will do.
    fn labels(&self) -> &[String];

    /// Which of two coordinates comes first, where that is declared.
    fn order(&self) -> Option<AxisOrder> {
        None
    }

    /// Which of two coordinates comes first in what is asked for.
    fn asked_order(&self) -> AxisOrder {
        AxisOrder::of(self.order(), self.keys().place)
    }

    /// Whether an answer is exactly one item.
    fn is_single(&self) -> bool {
        false
    }

    /// Checks what the types of the keys cannot rule out.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// What to give, as one sentence.
    fn instruction(&self) -> String;

    /// Coordinates with placeholders, as in `[x1, y1, x2, y2]`.
    fn coordinates_example(&self) -> &'static str;

    /// One item with placeholders.
    fn item_example(&self) -> String {
        write::example(self.keys(), self.coordinates_example())
    }

    /// What an answer looks like, with placeholders.
    fn example(&self) -> String {
        let item = self.item_example();
        if self.is_single() { item } else { format!("[{item}, ...]") }
    }

    /// Reads the coordinates of an item, with x first.
    fn place(&self, value: &Value) -> Result<Place, Flaw>;

    /// Reads the coordinates that stand under a key, or bare, in the order that they have there.
    fn place_under(&self, key: Option<&str>, value: &Value) -> Result<Place, Flaw> {
        self.place(&AxisOrder::of(self.order(), key).x_first(value))
    }

    /// The coordinates of an object.
    fn place_of(&self, object: &Value) -> Result<Place, Flaw> {
        match self.keys().place {
            Some(key) => self.place_under(Some(key), object.get(key).ok_or(Flaw::NoPlace)?),
            None => self.place(object),
        }
    }

    /// Whether a value is meant as an item: it has the key of the coordinates, or needs none.
    fn is_item(&self, value: &Value) -> bool {
        match self.keys().place {
            Some(key) => value.get(key).is_some(),
            None => false,
        }
    }

    /// The items of a text that has no objects, where items have no keys.
    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>>;

    /// Keys that an item may have besides those that are declared.
    fn further_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Reads a whole completion as Visual-RFT's program does; `None` where that ends in an exception.
    fn read_official(&self, completion: &str) -> Option<Answer> {
        Some(Answer::Words(official::text(completion).trim().to_owned()))
    }

    /// The text of coordinates.
    fn write_place(&self, numbers: &[f64], _reader: Reader) -> String {
        list(numbers)
    }

    /// The text of one item.
    fn write_item(&self, item: &Sketch, reader: Reader) -> String {
        let numbers = self.asked_order().exchanged(item.numbers.clone());
        write::item(self.keys(), item, self.write_place(&numbers, reader))
    }

    /// The text of an answer from the texts of its items.
    fn enclose(&self, items: &str, _target: usize) -> String {
        if self.is_single() { items.to_owned() } else { format!("[{items}]") }
    }

    /// The metric of a proposed reward.
    fn usual_metric(&self) -> Metric {
        Metric::Overlap(Overlap { label: self.keys().label.is_some(), ..Overlap::default() })
    }

    /// Greatest coordinate of what is drawn.
    fn span(&self) -> f64 {
        match self.space() {
            Space::Pixels => DRAWN_SIDE,
            bounded => bounded.extent(),
        }
    }

    /// A number as a policy would write it: whole where the space is fine enough for that.
    fn tidy(&self, number: f64) -> f64 {
        match self.space() {
            Space::Unit => (number * 1000.0).round() / 1000.0,
            Space::Percent => (number * 10.0).round() / 10.0,
            _ => number.round(),
        }
    }

    /// The numbers of an item that covers an area.
    fn numbers_of(&self, area: Area, rng: &mut Rng) -> Vec<f64>;

    /// The numbers of an item that covers all there is; `None` where none can.
    fn numbers_of_all(&self) -> Option<Vec<f64>>;

    /// The numbers of an item that is off by as large a part of its size.
    fn moved(&self, numbers: &[f64], sigma: f64, rng: &mut Rng) -> Vec<f64> {
        moved_as_a_whole(numbers, sigma, rng)
    }

    /// Greatest coordinate that a corrupted item may have; `None` where there is no end in either direction.
    fn farthest(&self, numbers: &[f64]) -> Option<f64> {
        Some(self.span().max(numbers.iter().copied().fold(0.0, f64::max)))
    }

    /// A true answer, drawn by chance.
    fn draw(&self, rng: &mut Rng) -> Draft
    where
        Self: Sized,
    {
        attack::draw(self, rng)
    }

    /// Whether the right items many times over are another answer.
    fn is_repeatable(&self) -> bool {
        true
    }

    /// Whether every item has to be there, so that an answer which covers all there is needs as many.
    fn is_sequence(&self) -> bool {
        false
    }
}

impl<T: ItemKind> Kind for T {
    fn parts() -> &'static [&'static str] {
        &Keys::NAMES
    }

    fn is_nothing(key: &str, value: &toml::Value) -> bool {
        match (key, value) {
            ("space", toml::Value::String(space)) => space == "thousandths",
            ("labels", toml::Value::Array(labels)) => labels.is_empty(),
            ("keys", toml::Value::Table(keys)) => keys.is_empty(),
            _ => false,
        }
    }

    fn form(&self) -> Form {
        Form::Items(self.geometry())
    }

    fn as_items(&self) -> Option<&dyn ItemKind> {
        Some(self)
    }

    fn set_space(&mut self, space: Space) {
        ItemKind::set_space(self, space);
    }

    fn check(&self) -> Result<(), ConfigError> {
        let labels = self.labels();
        ensure(
            labels.is_empty() || self.keys().label.is_some(),
            "reward.answer.labels",
            labels.len(),
            || "no labels, or a name for reward.answer.keys.label".into(),
        )?;
        ItemKind::check(self)
    }

    fn instruction(&self) -> String {
        let instruction = ItemKind::instruction(self);
        match self.labels() {
            [] => instruction,
            labels => format!("{instruction} A label is one of: {}.", listed(labels, ", ")),
        }
    }

    fn example(&self) -> String {
        ItemKind::example(self)
    }

    fn read(&self, text: &str, author: Author) -> Option<Answer> {
        read::items(self, text, author).map(Answer::Items)
    }

    fn is_exact(&self, text: &str, reading: &Answer) -> bool {
        read::is_exact(self, text, reading)
    }

    fn read_official(&self, completion: &str) -> Option<Answer> {
        ItemKind::read_official(self, completion)
    }

    fn check_truth(&self, text: &str, truth: Option<&Answer>) -> Result<(), RewardError> {
        read::check_truth(self, text, truth)
    }

    fn write(&self, draft: &Draft, reader: Reader) -> String {
        let Draft::Items { items, target } = draft else { return draft.to_string() };
        let items: Vec<String> = items.iter().map(|item| self.write_item(item, reader)).collect();
        self.enclose(&items.join(", "), *target)
    }

    fn usual_metric(&self) -> Metric {
        ItemKind::usual_metric(self)
    }

    fn draw(&self, rng: &mut Rng) -> Draft {
        ItemKind::draw(self, rng)
    }

    fn corrupt(&self, draft: &Draft, sigma: f64, rng: &mut Rng) -> Draft {
        let Draft::Items { items, target } = draft else { return draft.clone() };
        let items = items.iter().map(|item| attack::corrupt(self, item, sigma, rng)).collect();
        Draft::Items { items, target: *target }
    }

    fn repeated(&self, gold: &Draft) -> Option<Draft> {
        let Draft::Items { items, target } = gold else { return None };
        let items = (0..5).flat_map(|_| items.clone()).collect();
        self.is_repeatable().then_some(Draft::Items { items, target: *target })
    }

    /// Every item elsewhere, under all names.
    fn hedged(&self, gold: &Draft, rng: &mut Rng) -> Option<Draft> {
        self.keys().label?;
        let names = names(self.labels());
        let mut items = Vec::new();
        for item in gold.items() {
            let wrong = other_name(&item.label, self.labels(), rng);
            items.push(attack::elsewhere_as(self, item, &wrong));
            items.extend(names.iter().map(|name| attack::elsewhere_as(self, item, name)));
        }
        Some(Draft::Items { items, target: 0 })
    }

    fn constant(&self, _gold: &Draft) -> Option<Draft> {
        None
    }
}
