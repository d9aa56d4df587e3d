//! Which keys each row of a decoding step attends to.

use std::ops::Range;

/// Keys of a piece: a multiple of the kernels' blocks.
const KEYS_PER_BLOCK: usize = 64;
/// Queries of a piece.
const QUERIES: usize = 64;
/// Pieces that keep a large GPU busy; with more of them, pieces are longer.
const ENOUGH_PIECES: usize = 512;

/// Rows of the batch that continue the same prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeGroup {
    /// Rows of the queries.
    pub rows: Range<usize>,
    /// Rows of the prefix cache.
    pub prefix: Range<usize>,
    /// Where each row's own keys and values are in the suffix cache.
    pub slots: Vec<usize>,
    /// Tokens that each of them has there.
    pub n_suffix: usize,
}

/// The groups of a decoding step, for all layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodeLayout {
    pub(crate) groups: Vec<DecodeGroup>,
    /// Tokens that a slot of the suffix cache has room for.
    pub(crate) capacity: usize,
    /// Its tables, once a GPU has asked for them.
    #[cfg(feature = "cuda")]
    pub(super) on_gpu: crate::cuda::Uploaded<super::cuda::OnGpu>,
    /// Where the newest keys go, once a GPU has asked for it.
    #[cfg(feature = "cuda")]
    pub(super) newest_on_gpu: crate::cuda::Uploaded<candle_core::Tensor>,
}

/// The tables of a layout, rows of 32-bit numbers as `decode_attention/cuda.cu` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodeTables {
    /// Pieces of keys with the queries that meet them.
    pub pieces: Vec<[u32; 6]>,
    /// Where each row's keys are, and how many pieces it has.
    pub rows: Vec<[u32; 5]>,
    /// The most pieces that a row has.
    pub n_parts: usize,
}

impl DecodeLayout {
    /// The groups in the order of their rows, whose slots have room for `capacity` tokens.
    pub fn new(groups: Vec<DecodeGroup>, capacity: usize) -> Self {
        Self {
            groups,
            capacity,
            #[cfg(feature = "cuda")]
            on_gpu: crate::cuda::Uploaded::default(),
            #[cfg(feature = "cuda")]
            newest_on_gpu: crate::cuda::Uploaded::default(),
        }
    }

    /// Where each row's newest key goes, as a row of the suffix cache.
    pub(crate) fn newest(&self) -> impl Iterator<Item = usize> {
        let of_group = |group: &DecodeGroup| {
            let last = group.n_suffix.saturating_sub(1);
            group.slots.iter().map(|slot| slot * self.capacity + last).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of_group)
    }

    /// What GPU kernels read of it, where so many query heads share a key head.
    pub fn tables(&self, n_kv_heads: usize, repeats: usize) -> DecodeTables {
        let mut tables = DecodeTables::default();
        let rows_per_piece = (QUERIES / repeats.max(1)).max(1);
        let per_piece = self.keys_per_piece(n_kv_heads, rows_per_piece);
        for group in &self.groups {
            let n_prefix_parts = group.prefix.len().div_ceil(per_piece);
            for rows in chunks(group.rows.clone(), rows_per_piece) {
                for (part, keys) in chunks(group.prefix.clone(), per_piece).enumerate() {
                    tables.push_piece(&rows, &keys, false, part);
                }
            }
            for (row, slot) in group.rows.clone().zip(&group.slots) {
                let start = slot * self.capacity;
                let own = chunks(start..start + group.n_suffix, per_piece);
                let mut n_parts = n_prefix_parts;
                for keys in own {
                    tables.push_piece(&(row..row + 1), &keys, true, n_parts);
                    n_parts += 1;
                }
                tables.n_parts = tables.n_parts.max(n_parts);
                let of_row =
                    [group.prefix.start, group.prefix.len(), start, group.n_suffix, n_parts];
                tables.rows.push(of_row.map(|number| number as u32));
            }
        }
        tables
    }

    /// As short as can be while there are not more pieces than a GPU can use.
    fn keys_per_piece(&self, n_kv_heads: usize, rows_per_piece: usize) -> usize {
        let mut per_piece = KEYS_PER_BLOCK;
        let n_pieces = |per_piece: usize| {
            let of_group = |group: &DecodeGroup| {
                let tiles = group.rows.len().div_ceil(rows_per_piece);
                tiles * group.prefix.len().div_ceil(per_piece)
                    + group.rows.len() * group.n_suffix.div_ceil(per_piece)
            };
            n_kv_heads * self.groups.iter().map(of_group).sum::<usize>()
        };
        while n_pieces(per_piece) > 2 * ENOUGH_PIECES && per_piece < 1 << 20 {
            per_piece *= 2;
        }
        per_piece
    }
}

impl DecodeTables {
    fn push_piece(&mut self, rows: &Range<usize>, keys: &Range<usize>, suffix: bool, part: usize) {
        let piece = [rows.start, rows.len(), keys.start, keys.len(), usize::from(suffix), part];
        self.pieces.push(piece.map(|number| number as u32));
    }
}

fn chunks(all: Range<usize>, len: usize) -> impl Iterator<Item = Range<usize>> {
    let end = all.end;
    all.step_by(len).map(move |start| start..end.min(start + len))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_meets_all_of_its_keys_once_and_each_part_is_one_piece() {
        let group = |rows: Range<usize>, prefix: Range<usize>, slots: &[usize], n_suffix| {
            DecodeGroup { rows, prefix, slots: slots.to_vec(), n_suffix }
        };
        let groups = vec![
            group(0..3, 0..130, &[4, 0, 5], 65),
            group(3..23, 130..135, &(6..26).collect::<Vec<_>>(), 1),
            group(23..24, 135..140, &[1], 0),
        ];
        let layout = DecodeLayout::new(groups, 100);
        for repeats in [1, 6, 70] {
            let tables = layout.tables(2, repeats);
            let mut keys = BTreeSet::new();
            let mut parts = BTreeSet::new();
            for piece in &tables.pieces {
                let [row, n_rows, key, n_keys, suffix, part] = piece.map(|x| x as usize);
                assert!(n_rows == 1 || n_rows * repeats <= QUERIES);
                for row in row..row + n_rows {
                    assert!(parts.insert((row, part)) && part < tables.n_parts);
                    for key in key..key + n_keys {
                        assert!(keys.insert((row, suffix, key)));
                    }
                }
            }
            let mut expected = BTreeSet::new();
            let mut expected_parts = BTreeSet::new();
            for (row, of_row) in tables.rows.iter().enumerate() {
                let [prefix, n_prefix, suffix, n_suffix, n_parts] = of_row.map(|x| x as usize);
                expected.extend((prefix..prefix + n_prefix).map(|key| (row, 0, key)));
                expected.extend((suffix..suffix + n_suffix).map(|key| (row, 1, key)));
                expected_parts.extend((0..n_parts).map(|part| (row, part)));
            }
            assert_eq!((&keys, &parts), (&expected, &expected_parts));
            assert_eq!(tables.rows[2], [0, 130, 500, 65, 5]);
        }
        assert_eq!(layout.newest().take(4).collect::<Vec<_>>(), [464, 64, 564, 600]);
    }

    #[test]
    fn many_rows_have_longer_pieces() {
        let groups = (0..64).map(|i| DecodeGroup {
            rows: i..i + 1,
            prefix: i * 1000..(i + 1) * 1000,
            slots: vec![i],
            n_suffix: 500,
        });
        let tables = DecodeLayout::new(groups.collect(), 512).tables(2, 6);
        assert!(tables.pieces.len() * 2 <= 2 * ENOUGH_PIECES, "{}", tables.pieces.len());
    }
}
