//! `*/metrics`: numbers for a plot.

use arrow::array::StructArray;
use arrow::datatypes::{Float64Type, UInt64Type};

use crate::build::{numbers, strings, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// One number of a node at a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Learner step it belongs to, counted from 1; 0 before the first.
    pub step: u64,
    /// Path, as in `reward/iou/mean`.
    pub name: String,
    /// The number; may be NaN, which means "undefined here".
    pub value: f64,
    /// Unix time in seconds.
    pub at: f64,
}

/// Numbers that were taken together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricBatch {
    /// In the order taken.
    pub metrics: Vec<Metric>,
}

impl Message for MetricBatch {
    const NAME: &'static str = "metrics";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.metrics;
        table(vec![
            ("step", numbers::<UInt64Type>(rows.iter().map(|row| row.step))),
            ("name", strings(rows.iter().map(|row| row.name.as_str()))),
            ("value", numbers::<Float64Type>(rows.iter().map(|row| row.value))),
            ("at", numbers::<Float64Type>(rows.iter().map(|row| row.at))),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let steps = columns.primitive::<UInt64Type>("step")?;
        let names = columns.strings("name")?;
        let values = columns.primitive::<Float64Type>("value")?;
        let ats = columns.primitive::<Float64Type>("at")?;
        let metrics = (0..columns.n_rows())
            .map(|row| Metric {
                step: steps.value(row),
                name: names.value(row).to_owned(),
                value: values.value(row),
                at: ats.value(row),
            })
            .collect();
        Ok(Self { metrics })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sent_arrives(rows in prop::collection::vec(
            (any::<u64>(), "[a-z/]+", -1e9f64..1e9, 0f64..2e9), 0..9)) {
            let metrics = rows.into_iter()
                .map(|(step, name, value, at)| Metric { step, name, value, at }).collect();
            let batch = MetricBatch { metrics };
            prop_assert_eq!(MetricBatch::from_arrow(&batch.to_arrow()).unwrap(), batch);
        }
    }
}
