//! A cell of a table as a JSON value, so that tables and JSON are read alike.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use serde_json::{Map, Value};

/// What stands for a number that is none, as text: JSON has no NaN, and it is not null.
pub(crate) const NAN: &str = "NaN";

/// A number, or a text that is one, as other tools write it.
pub(crate) fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The value of a cell; what is not a number of a column of numbers is [`NAN`].
///
/// # Errors
/// A type that has no counterpart, as a duration; a number without end.
pub(crate) fn value(column: &dyn Array, row: usize) -> Result<Value, String> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    match column.data_type() {
        DataType::Null => Ok(Value::Null),
        DataType::Utf8 => Ok(column.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Ok(column.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Ok(column.as_string_view().value(row).into()),
        DataType::Boolean => Ok(column.as_boolean().value(row).into()),
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            let members = fields
                .iter()
                .zip(parts.columns())
                .map(|(field, part)| Ok((field.name().clone(), value(part, row)?)));
            Ok(Value::Object(members.collect::<Result<Map<_, _>, String>>()?))
        }
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => {
            value(&*unpacked(column, row)?, 0)
        }
        data_type if data_type.is_numeric() => number(column, row),
        other => {
            let items =
                list(column, row).ok_or_else(|| format!("values of type {other} are not read"))?;
            let values = (0..items.len()).map(|item| value(&items, item));
            Ok(Value::Array(values.collect::<Result<_, _>>()?))
        }
    }
}

/// The items of a cell that is a list.
pub(crate) fn list(column: &dyn Array, row: usize) -> Option<ArrayRef> {
    let small = column.as_list_opt::<i32>().map(|list| list.value(row));
    let large = || column.as_list_opt::<i64>().map(|list| list.value(row));
    let fixed = || column.as_fixed_size_list_opt().map(|list| list.value(row));
    let view = || column.as_list_view_opt::<i32>().map(|list| list.value(row));
    let large_view = || column.as_list_view_opt::<i64>().map(|list| list.value(row));
    small.or_else(large).or_else(fixed).or_else(view).or_else(large_view)
}

/// One cell of a column of a compressed type, as a column of the plain one.
///
/// # Errors
/// A type that cannot be unpacked.
pub(crate) fn unpacked(column: &dyn Array, row: usize) -> Result<ArrayRef, String> {
    let plain = match column.data_type() {
        DataType::Dictionary(_, value) => (**value).clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        other => other.clone(),
    };
    cast(&column.slice(row, 1), &plain).map_err(|error| error.to_string())
}

fn number(column: &dyn Array, row: usize) -> Result<Value, String> {
    let text = array_value_to_string(column, row).map_err(|error| error.to_string())?;
    let whole =
        text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
    whole.or_else(|_| match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::from(number)),
        Ok(number) if number.is_nan() => Ok(NAN.into()),
        _ => Err(format!("{text} is no number that can be used")),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, ListArray, StructArray, UInt64Array};
    use arrow::datatypes::{Field, Int64Type};
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_cells_are_nested_values() {
        let boxes =
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
        let scores = Float64Array::from(vec![0.5, f64::NAN]);
        let fields = |name, array: ArrayRef| {
            (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
        };
        let table = StructArray::from(vec![
            fields("box", Arc::new(boxes)),
            fields("score", Arc::new(scores)),
            fields("n", Arc::new(Int64Array::from(vec![7, 8]))),
        ]);
        assert_eq!(value(&table, 0).unwrap(), json!({"box": [1, 2], "score": 0.5, "n": 7}));
        assert_eq!(value(&table, 1).unwrap(), json!({"box": null, "score": "NaN", "n": 8}));
    }

    #[test]
    fn numbers_are_what_they_are_however_large_or_small() {
        let of = |column: &dyn Array| -> Vec<Value> {
            (0..column.len()).map(|row| value(column, row).unwrap()).collect()
        };
        let large = UInt64Array::from(vec![u64::MAX, 1 << 63, 7]);
        assert_eq!(of(&large), [json!(u64::MAX), json!(1_u64 << 63), json!(7)]);
        let small = Float64Array::from(vec![2.5e-6, 1e-7, 1e20, -3.0]);
        assert_eq!(of(&small), [json!(2.5e-6), json!(1e-7), json!(1e20), json!(-3.0)]);
        let endless = value(&Float64Array::from(vec![f64::INFINITY]), 0).unwrap_err();
        assert!(endless.contains("inf is no number"), "{endless}");
    }
}
