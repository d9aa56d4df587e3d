//! What differs from one step to the next: numbers that the kernels read from one table on the GPU.

use crate::DecodeLayout;
use crate::ops::decode_attention::DecodeTables;

/// Marks a key that belongs nowhere, of a row that fills up.
const NOWHERE: u32 = u32::MAX;
/// Pieces of keys come in multiples of it.
const PIECES: usize = 32;
/// Parts of a row come in multiples of it.
const PARTS: usize = 8;

/// Sizes of a step, rounded up so that steps of almost the same sizes are of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) n_rows: usize,
    pub(super) n_pieces: usize,
    pub(super) n_parts: usize,
}

impl Sizes {
    pub(super) fn of(n_rows: usize, tables: &DecodeTables) -> Self {
        let step = match n_rows {
            0..=4 => 1,
            5..=16 => 4,
            17..=64 => 8,
            _ => 32,
        };
        Self {
            n_rows: n_rows.next_multiple_of(step),
            n_pieces: tables.pieces.len().next_multiple_of(PIECES),
            n_parts: tables.n_parts.next_multiple_of(PARTS),
        }
    }

    /// Numbers in all.
    pub(super) fn len(self) -> usize {
        self.start(Field::Pieces) + 6 * self.n_pieces
    }

    /// Where a field begins.
    pub(super) fn start(self, field: Field) -> usize {
        match field {
            Field::Tokens => 0,
            Field::Positions => self.n_rows,
            Field::Newest => 2 * self.n_rows,
            Field::Rows => 3 * self.n_rows,
            Field::Pieces => 8 * self.n_rows,
        }
    }

    /// All numbers of a step. Rows that fill up have token 0 and no key, pieces that fill up no row.
    pub(super) fn numbers(
        self,
        tokens: &[u32],
        positions: &[u32],
        layout: &DecodeLayout,
        tables: &DecodeTables,
    ) -> Vec<u32> {
        let mut numbers = vec![0; self.len()];
        let mut put = |field: Field, values: &[u32]| {
            numbers[self.start(field)..][..values.len()].copy_from_slice(values);
        };
        put(Field::Newest, &vec![NOWHERE; self.n_rows]);
        put(Field::Tokens, tokens);
        put(Field::Positions, positions);
        put(Field::Newest, &layout.newest().map(|place| place as u32).collect::<Vec<_>>());
        put(Field::Rows, tables.rows.as_flattened());
        put(Field::Pieces, tables.pieces.as_flattened());
        numbers
    }
}

/// A part of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The newest token of each row.
    Tokens,
    /// Its position.
    Positions,
    /// The row of the suffix cache for its key.
    Newest,
    /// [`DecodeTables::rows`].
    Rows,
    /// [`DecodeTables::pieces`].
    Pieces,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeGroup;

    #[test]
    fn rows_that_fill_up_have_no_key() {
        let group =
            DecodeGroup { rows: 0..5, prefix: 0..70, slots: vec![4, 0, 1, 2, 3], n_suffix: 3 };
        let layout = DecodeLayout::new(vec![group], 10);
        let tables = layout.tables(1, 1);
        let sizes = Sizes::of(5, &tables);
        assert_eq!(sizes, Sizes { n_rows: 8, n_pieces: 32, n_parts: 8 });
        let numbers = sizes.numbers(&[9, 8, 7, 6, 5], &[70; 5], &layout, &tables);
        assert_eq!(numbers.len(), sizes.len());
        assert_eq!(numbers[..8], [9, 8, 7, 6, 5, 0, 0, 0]);
        assert_eq!(
            numbers[sizes.start(Field::Newest)..][..8],
            [42, 2, 12, 22, 32, NOWHERE, NOWHERE, NOWHERE]
        );
        assert_eq!(numbers[sizes.start(Field::Rows) + 5 * 5..][..15], [0; 15]);
        assert_eq!(numbers[sizes.start(Field::Pieces)..][..6], tables.pieces[0]);
    }
}
