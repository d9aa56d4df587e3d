//! Building the columns of a message: thin names over Arrow's builders.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, LargeBinaryArray, ListArray, ListBuilder, PrimitiveArray, PrimitiveBuilder,
    StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, Field, Fields};

/// A struct of named columns of equal length; nulls only where a column has some.
pub(crate) fn table(columns: Vec<(&'static str, ArrayRef)>) -> StructArray {
    let fields: Fields = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    StructArray::new(fields, arrays, None)
}

pub(crate) fn numbers<T: ArrowPrimitiveType>(
    values: impl IntoIterator<Item = T::Native>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values))
}

pub(crate) fn nullable<T: ArrowPrimitiveType>(
    values: impl IntoIterator<Item = Option<T::Native>>,
) -> ArrayRef {
    let mut builder = PrimitiveBuilder::<T>::new();
    values.into_iter().for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

pub(crate) fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(crate) fn nullable_strings<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

pub(crate) fn binaries<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> ArrayRef {
    Arc::new(LargeBinaryArray::from_iter_values(values))
}

pub(crate) fn lists<'a, T: ArrowPrimitiveType>(
    rows: impl IntoIterator<Item = &'a [T::Native]>,
) -> ArrayRef {
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new());
    for row in rows {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// Lists of structs: all elements in one table, and how many belong to each row.
pub(crate) fn struct_lists(
    lengths: impl IntoIterator<Item = usize>,
    elements: StructArray,
) -> ArrayRef {
    use arrow::array::Array;
    let field = Arc::new(Field::new_list_field(elements.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(field, offsets, Arc::new(elements), None))
}
