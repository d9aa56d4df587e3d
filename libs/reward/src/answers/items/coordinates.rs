//! Reads coordinates of each geometry.

use crate::geometry::{MAX_RUN, Space, believable};
use crate::text::value::Value;
use crate::{BBox, Flaw, Mask, Place, Solid, Span, decompress};

/// `[x1, y1, x2, y2]`
pub(crate) fn read_box(value: &Value, space: Space) -> Result<Place, Flaw> {
    let corners = exactly(value)?;
    BBox::within(corners, space.extent()).map(Place::Box)
}

/// Reads a point, `[x, y]`.
pub(crate) fn read_point(value: &Value, space: Space) -> Result<Place, Flaw> {
    within(exactly(value)?, space.extent()).map(Place::Point)
}

/// Reads a stretch of time, `[start, end]`.
pub(crate) fn read_span(value: &Value, space: Space) -> Result<Place, Flaw> {
    let ends = exactly(value)?;
    Span::try_new(ends, space.extent()).map(Place::Span)
}

/// `[x, y, z, dx, dy, dz]`, with or without a turn at the end
pub(crate) fn read_solid(value: &Value) -> Result<Place, Flaw> {
    Solid::try_new(&numbers(value)?).map(Place::Solid)
}

/// Reads a point in space, `[x, y, z]`.
pub(crate) fn read_point3d(value: &Value) -> Result<Place, Flaw> {
    let point: [f64; 3] = exactly(value)?;
    believable(&point)?;
    Ok(Place::Point3d(point))
}

/// An outline, several outlines, or run lengths, as numbers or compressed.
pub(crate) fn read_region(value: &Value, space: Space) -> Result<Place, Flaw> {
    if let (Some(size), Some(counts)) = (value.get("size"), value.get("counts")) {
        let runs = match counts {
            Value::Text(text) => decompress(text),
            numbers => whole_numbers(numbers),
        };
        let (Some(size), Some(runs)) = (whole_numbers(size), runs) else { return Err(Flaw::Runs) };
        let [height, width] = size[..] else { return Err(Flaw::Runs) };
        return Mask::from_runs([height, width], &runs).map(Place::Region).ok_or(Flaw::Runs);
    }
    let mut outlines = Vec::new();
    collect_outlines(value, space.extent(), &mut outlines)?;
    let mask = Mask::from_outlines(&outlines, space.extent());
    if mask.area() == 0 { Err(Flaw::Empty) } else { Ok(Place::Region(mask)) }
}

fn numbers(value: &Value) -> Result<Vec<f64>, Flaw> {
    let quoted = || matches!(value, Value::List(_)) && value.has_quoted_numbers();
    value.numbers().ok_or_else(|| if quoted() { Flaw::QuotedNumbers } else { Flaw::Arity })
}

fn exactly<const N: usize>(value: &Value) -> Result<[f64; N], Flaw> {
    <[f64; N]>::try_from(&numbers(value)?[..]).or(Err(Flaw::Arity))
}

fn within(point: [f64; 2], extent: f64) -> Result<[f64; 2], Flaw> {
    match point.iter().find(|v| !(0.0..=extent).contains(*v)) {
        Some(&got) => Err(Flaw::Coordinate { got, extent }),
        None => Ok(point),
    }
}

/// Numbers that count something.
fn whole_numbers(value: &Value) -> Option<Vec<usize>> {
    let fine = |n: &f64| n.fract() == 0.0 && (0.0..=MAX_RUN as f64).contains(n);
    value.numbers()?.iter().map(|n| fine(n).then_some(*n as usize)).collect()
}

fn collect_outlines(
    value: &Value,
    extent: f64,
    outlines: &mut Vec<Vec<[f64; 2]>>,
) -> Result<(), Flaw> {
    let Value::List(items) = value else { return Err(Flaw::Arity) };
    let is_pair = |v: &Value| matches!(v, Value::List(xy) if matches!(xy[..], [Value::Number(_), Value::Number(_)]));
    if items.iter().all(|item| matches!(item, Value::Number(_))) || items.iter().all(is_pair) {
        let numbers = value.numbers().ok_or(Flaw::Arity)?;
        if numbers.len() < 6 || numbers.len() % 2 != 0 {
            return Err(Flaw::Arity);
        }
        let corners: Result<Vec<_>, _> =
            numbers.chunks(2).map(|c| within([c[0], c[1]], extent)).collect();
        outlines.push(corners?);
        return Ok(());
    }
    items.iter().try_for_each(|item| collect_outlines(item, extent, outlines))
}
