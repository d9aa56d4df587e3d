//! A cell of a table as a JSON value, so that tables and JSON are read alike.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use serde_json::{Map, Value};

/// The value of a cell. Numbers that JSON does not have are null.
///
/// # Errors
/// A type that has no counterpart, as a duration.
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
    let whole = text.parse::<i64>().ok().map(Value::from);
    Ok(whole.or_else(|| text.parse::<f64>().ok().map(Value::from)).unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, ListArray, StructArray};
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
        assert_eq!(value(&table, 1).unwrap(), json!({"box": null, "score": null, "n": 8}));
    }
}
