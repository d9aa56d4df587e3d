//! Typed, checked access to the columns of a `StructArray` that arrived.

use arrow::array::{
    Array, AsArray, BinaryArray, GenericBinaryArray, ListArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::ArrowPrimitiveType;

use crate::MessageError;

/// The columns of one message (or of a struct nested in it).
pub(crate) struct Columns<'a> {
    message: &'static str,
    array: &'a StructArray,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(message: &'static str, array: &'a StructArray) -> Self {
        Self { message, array }
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.array.len()
    }

    /// The message must have one row.
    pub(crate) fn one_row(&self) -> Result<(), MessageError> {
        match self.n_rows() {
            1 => Ok(()),
            got => Err(MessageError::NotOneRow { message: self.message, got }),
        }
    }

    pub(crate) fn row_error(&self, row: usize, why: String) -> MessageError {
        MessageError::Row { message: self.message, row, why }
    }

    /// A column without nulls.
    pub(crate) fn primitive<T: ArrowPrimitiveType>(
        &self,
        column: &'static str,
    ) -> Result<PrimitiveArray<T>, MessageError> {
        let array = self.nullable::<T>(column)?;
        self.no_nulls(column, &array)?;
        Ok(array)
    }

    /// A column that may hold nulls. Numbers of another width are taken if they fit: a program in another language,
    /// say Python, need not name a type for each of its columns.
    pub(crate) fn nullable<T: ArrowPrimitiveType>(
        &self,
        column: &'static str,
    ) -> Result<PrimitiveArray<T>, MessageError> {
        let array = self.column(column)?;
        if let Some(exact) = array.as_primitive_opt::<T>() {
            return Ok(exact.clone());
        }
        let got = array.data_type();
        let widens = got.is_integer() || got.is_floating() && T::DATA_TYPE.is_floating();
        let fitting = CastOptions { safe: false, ..CastOptions::default() };
        let cast = || cast_with_options(array, &T::DATA_TYPE, &fitting).ok();
        let cast = if widens || got.is_null() { cast() } else { None };
        cast.and_then(|cast| cast.as_primitive_opt::<T>().cloned())
            .ok_or_else(|| self.type_error(column, array, type_name::<T>()))
    }

    /// [`Columns::nullable`] of a column that may be absent.
    pub(crate) fn optional_nullable<T: ArrowPrimitiveType>(
        &self,
        column: &'static str,
    ) -> Result<Option<PrimitiveArray<T>>, MessageError> {
        let is_there = self.array.column_by_name(column).is_some();
        is_there.then(|| self.nullable(column)).transpose()
    }

    pub(crate) fn strings(&self, column: &'static str) -> Result<&'a StringArray, MessageError> {
        let array = self.nullable_strings(column)?;
        self.no_nulls(column, array)?;
        Ok(array)
    }

    pub(crate) fn nullable_strings(
        &self,
        column: &'static str,
    ) -> Result<&'a StringArray, MessageError> {
        let array = self.column(column)?;
        array.as_string_opt::<i32>().ok_or_else(|| self.type_error(column, array, "utf8"))
    }

    /// [`Columns::nullable_strings`] of a column that may be absent, as in what was written before there was one.
    pub(crate) fn optional_strings(
        &self,
        column: &'static str,
    ) -> Result<Option<&'a StringArray>, MessageError> {
        let is_there = self.array.column_by_name(column).is_some();
        is_there.then(|| self.nullable_strings(column)).transpose()
    }

    /// Bytes with 32- or 64-bit offsets, as slices.
    pub(crate) fn binaries(&self, column: &'static str) -> Result<Vec<&'a [u8]>, MessageError> {
        fn all<O: arrow::array::OffsetSizeTrait>(array: &GenericBinaryArray<O>) -> Vec<&[u8]> {
            (0..array.len()).map(|row| array.value(row)).collect()
        }
        let array = self.column(column)?;
        self.no_nulls(column, array)?;
        if let Some(large) = array.as_binary_opt::<i64>() {
            return Ok(all(large));
        }
        let small: &BinaryArray = array
            .as_binary_opt::<i32>()
            .ok_or_else(|| self.type_error(column, array, "large_binary"))?;
        Ok(all(small))
    }

    /// A list of numbers per row.
    pub(crate) fn lists<T: ArrowPrimitiveType>(
        &self,
        column: &'static str,
    ) -> Result<Vec<Vec<T::Native>>, MessageError> {
        let list = self.list(column)?;
        let expected = "list of numbers";
        (0..list.len())
            .map(|row| {
                let values = list.value(row);
                let values = values
                    .as_primitive_opt::<T>()
                    .ok_or_else(|| self.type_error(column, &list.values().clone(), expected))?;
                match values.null_count() {
                    0 => Ok(values.values().to_vec()),
                    _ => Err(MessageError::Null { message: self.message, column, row }),
                }
            })
            .collect()
    }

    /// A list of structs per row.
    pub(crate) fn struct_lists(
        &self,
        column: &'static str,
    ) -> Result<Vec<StructArray>, MessageError> {
        let list = self.list(column)?;
        (0..list.len())
            .map(|row| {
                let values = list.value(row);
                match values.as_struct_opt() {
                    Some(values) => Ok(values.clone()),
                    // A program in Python names no type for the elements of a list that has none.
                    None if values.is_empty() => Ok(StructArray::new_empty_fields(0, None)),
                    None => Err(self.type_error(column, &values, "list of structs")),
                }
            })
            .collect()
    }

    /// [`Columns::struct_lists`] of a column that may be absent.
    pub(crate) fn optional_struct_lists(
        &self,
        column: &'static str,
    ) -> Result<Option<Vec<StructArray>>, MessageError> {
        let is_there = self.array.column_by_name(column).is_some();
        is_there.then(|| self.struct_lists(column)).transpose()
    }

    pub(crate) fn list(&self, column: &'static str) -> Result<&'a ListArray, MessageError> {
        let array = self.column(column)?;
        self.no_nulls(column, array)?;
        array.as_list_opt::<i32>().ok_or_else(|| self.type_error(column, array, "list"))
    }

    fn column(&self, column: &'static str) -> Result<&'a dyn Array, MessageError> {
        self.array.column_by_name(column).map(AsRef::as_ref).ok_or_else(|| {
            MessageError::MissingColumn {
                message: self.message,
                column,
                found: self.array.column_names().into_iter().map(Into::into).collect(),
            }
        })
    }

    fn no_nulls(&self, column: &'static str, array: &dyn Array) -> Result<(), MessageError> {
        match (0..array.len()).find(|row| array.is_null(*row)) {
            None => Ok(()),
            Some(row) => Err(MessageError::Null { message: self.message, column, row }),
        }
    }

    fn type_error(
        &self,
        column: &'static str,
        array: &dyn Array,
        expected: &'static str,
    ) -> MessageError {
        let got = array.data_type().clone();
        MessageError::ColumnType { message: self.message, column, expected, got }
    }
}

fn type_name<T: ArrowPrimitiveType>() -> &'static str {
    std::any::type_name::<T::Native>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, NullArray, StringArray};
    use arrow::datatypes::{Float32Type, UInt16Type};

    use super::*;

    fn message(column: ArrayRef) -> StructArray {
        StructArray::try_from(vec![("n", column)]).unwrap()
    }

    #[test]
    fn numbers_of_another_width_are_taken_if_they_fit() {
        let ints = message(Arc::new(Int64Array::from(vec![0, 7, 65_535])));
        let columns = Columns::new("test", &ints);
        assert_eq!(columns.primitive::<UInt16Type>("n").unwrap().values(), &[0, 7, 65_535]);
        assert_eq!(columns.primitive::<Float32Type>("n").unwrap().value(1), 7.0);
        let floats = message(Arc::new(Float64Array::from(vec![Some(0.5), None])));
        let floats = Columns::new("test", &floats).nullable::<Float32Type>("n").unwrap();
        assert_eq!((floats.value(0), floats.is_null(1)), (0.5, true));
        let nulls = message(Arc::new(NullArray::new(2)));
        let nulls = Columns::new("test", &nulls).nullable::<Float32Type>("n").unwrap();
        assert_eq!(nulls.null_count(), 2);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let columns: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(vec![65_536])),
            Arc::new(Int64Array::from(vec![-1])),
            Arc::new(Float64Array::from(vec![0.5])),
            Arc::new(StringArray::from(vec!["7"])),
        ];
        for column in columns {
            let message = message(column);
            let error = Columns::new("test", &message).primitive::<UInt16Type>("n").unwrap_err();
            assert!(error.to_string().contains("column \"n\" of test should be u16"), "{error}");
        }
    }
}
