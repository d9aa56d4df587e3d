//! What can be wrong with a message.

use arrow::datatypes::DataType;

/// A message that does not keep to its schema.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// A column is absent.
    #[error("{message} has no column {column:?}; it has {found:?}")]
    MissingColumn {
        /// The message.
        message: &'static str,
        /// The column that was asked for.
        column: &'static str,
        /// The columns there are.
        found: Vec<String>,
    },
    /// A column has another type.
    #[error("column {column:?} of {message} should be {expected}, got {got}")]
    ColumnType {
        /// The message.
        message: &'static str,
        /// The column.
        column: &'static str,
        /// The type of the schema.
        expected: &'static str,
        /// The type found.
        got: DataType,
    },
    /// A null where there must be a value.
    #[error("column {column:?} of {message} is null at row {row}")]
    Null {
        /// The message.
        message: &'static str,
        /// The column.
        column: &'static str,
        /// The first such row.
        row: usize,
    },
    /// Values that contradict each other or lie outside their range.
    #[error("row {row} of {message}: {why}")]
    Row {
        /// The message.
        message: &'static str,
        /// The first such row.
        row: usize,
        /// What is wrong, expected and got.
        why: String,
    },
    /// A message of exactly one row has another number of rows.
    #[error("{message} should have one row, got {got}")]
    NotOneRow {
        /// The message.
        message: &'static str,
        /// Rows found.
        got: usize,
    },
}
