//! Typed, checked access to the columns of a `StructArray` that arrived.

use arrow::array::{
    Array, AsArray, BinaryArray, GenericBinaryArray, ListArray, PrimitiveArray, StringArray,
    StructArray,
};
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
    ) -> Result<&'a PrimitiveArray<T>, MessageError> {
        let array = self.nullable::<T>(column)?;
        self.no_nulls(column, array)?;
        Ok(array)
    }

    /// A column that may hold nulls.
    pub(crate) fn nullable<T: ArrowPrimitiveType>(
        &self,
        column: &'static str,
    ) -> Result<&'a PrimitiveArray<T>, MessageError> {
        let array = self.column(column)?;
        array
            .as_primitive_opt::<T>()
            .ok_or_else(|| self.type_error(column, array, type_name::<T>()))
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
        let (list, expected) = (self.list(column)?, "list of numbers");
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
                values
                    .as_struct_opt()
                    .cloned()
                    .ok_or_else(|| self.type_error(column, &values, "list of structs"))
            })
            .collect()
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
