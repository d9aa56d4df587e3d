//! An [`AttentionLayout`] as tables that GPU kernels read: tiles of queries and of keys, and who meets whom.

use std::ops::Range;

use super::layout::{AttentionGroup, AttentionLayout};

/// Queries of a tile, and keys of a tile.
const TILE: usize = 64;
/// Parts that the gradient of a prefix is summed in at most: enough blocks for a large GPU, at a size of all keys each.
const MOST_PARTS: usize = 4;

/// The tables of a layout, rows of 32-bit numbers as `tables.cuh` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayoutTables {
    /// The tiles of queries, each as seven numbers.
    pub queries: Vec<[u32; 7]>,
    /// Tiles of keys; those that several parts of the queries attend to come once for each part.
    pub keys: Vec<[u32; 6]>,
    /// Stretches of queries that tiles of keys are met by.
    pub spans: Vec<[u32; 4]>,
    /// For each key where its slots begin, and where the last one's end.
    pub starts: Vec<u32>,
    /// Rows of the partial gradients, key after key.
    pub slots: Vec<u32>,
    /// Rows of the partial gradients.
    pub n_slots: usize,
}

impl LayoutTables {
    pub(super) fn new(layout: &AttentionLayout) -> Self {
        let mut tables = Self { starts: vec![0], ..Self::default() };
        let rows = layout.rows().into_iter().zip(layout.query_rows());
        for (group, (rows, queries)) in layout.groups.iter().zip(rows) {
            tables.push(&Place { group, first_row: rows.start, first_query: queries.start });
        }
        tables
    }

    fn push(&mut self, place: &Place) {
        let group = place.group;
        let prefix = 0..group.prefix;
        let mut end = group.prefix;
        let suffixes = group.suffixes.iter().map(|len| {
            end += len;
            end - len..end
        });
        let suffixes: Vec<Range<usize>> = suffixes.collect();
        let own = if group.causal { prefix.clone() } else { 0..0 };
        let shared = if group.causal { 0..0 } else { prefix.clone() };
        self.push_queries(place, &prefix, &shared, &own);
        for suffix in &suffixes {
            self.push_queries(place, suffix, &prefix, suffix);
        }
        let mut of_prefix = Vec::from_iter(place.span(&prefix, group.causal));
        of_prefix.extend(suffixes.iter().filter_map(|suffix| place.span(suffix, false)));
        self.push_keys(place, &prefix, &of_prefix);
        for suffix in &suffixes {
            self.push_keys(place, suffix, &Vec::from_iter(place.span(suffix, true)));
        }
    }

    /// Tiles of the queries of a stretch, which attend to `shared` and each to its past in `own`.
    fn push_queries(
        &mut self,
        place: &Place,
        stretch: &Range<usize>,
        shared: &Range<usize>,
        own: &Range<usize>,
    ) {
        for first in place.queries(stretch).step_by(TILE) {
            let n = TILE.min(stretch.end - first);
            let n_own = if own.is_empty() { 0 } else { first - own.start + n };
            self.queries.push(
                [
                    place.query(first),
                    n,
                    place.first_row + shared.start,
                    shared.len(),
                    place.first_row + own.start,
                    n_own,
                    first - own.start.min(first),
                ]
                .map(|number| number as u32),
            );
        }
    }

    /// Tiles of the keys of a stretch, which these queries attend to.
    fn push_keys(&mut self, place: &Place, stretch: &Range<usize>, spans: &[[u32; 4]]) {
        let n_parts = spans.len().min(MOST_PARTS);
        let parts: Vec<&[[u32; 4]]> = match n_parts {
            0 => Vec::new(),
            n => spans.chunks(spans.len().div_ceil(n)).collect(),
        };
        let mut first_slots = Vec::with_capacity(parts.len());
        for part in &parts {
            let first_span = self.spans.len();
            self.spans.extend_from_slice(part);
            first_slots.push(self.n_slots);
            for first in stretch.clone().step_by(TILE) {
                let n = TILE.min(stretch.end - first);
                let position = first - stretch.start;
                let row = place.first_row + first;
                let tile = [row, n, position, first_span, part.len(), self.n_slots + position];
                self.keys.push(tile.map(|number| number as u32));
            }
            self.n_slots += stretch.len();
        }
        for key in 0..stretch.len() {
            self.slots.extend(first_slots.iter().map(|slot| (slot + key) as u32));
            self.starts.push(self.slots.len() as u32);
        }
    }
}

/// A group and where it is among all rows and all queries.
struct Place<'a> {
    group: &'a AttentionGroup,
    first_row: usize,
    first_query: usize,
}

impl Place<'_> {
    /// The tokens of a stretch that have a query.
    fn queries(&self, stretch: &Range<usize>) -> Range<usize> {
        self.group.first_query.clamp(stretch.start, stretch.end)..stretch.end
    }

    /// The row of a token's query.
    fn query(&self, token: usize) -> usize {
        self.first_query + token - self.group.first_query
    }

    /// The queries of a stretch, if it has some.
    fn span(&self, stretch: &Range<usize>, causal: bool) -> Option<[u32; 4]> {
        let tokens = self.queries(stretch);
        let span = [
            self.query(tokens.start.max(self.group.first_query)),
            tokens.len(),
            tokens.start - stretch.start,
            usize::from(causal),
        ];
        (!tokens.is_empty()).then(|| span.map(|number| number as u32))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn layout() -> AttentionLayout {
        let all = |prefix, suffixes: &[usize], causal| AttentionGroup {
            prefix,
            suffixes: suffixes.to_vec(),
            causal,
            first_query: 0,
        };
        let predicting = AttentionGroup { first_query: 69, ..all(70, &[50, 0, 90, 3, 2, 1], true) };
        let groups = vec![
            all(130, &[65, 3], true),
            predicting,
            all(100, &[], false),
            AttentionGroup { first_query: 5, ..all(5, &[], true) },
        ];
        AttentionLayout::new(groups)
    }

    /// Pairs of a query's row and a key's row, as the blocks of the CPU have them.
    fn expected(layout: &AttentionLayout) -> BTreeSet<(usize, usize)> {
        let mut pairs = BTreeSet::new();
        let rows = layout.rows().into_iter().zip(layout.query_rows());
        for (group, (rows, queries)) in layout.groups.iter().zip(rows) {
            for block in group.blocks() {
                for row in block.rows.clone() {
                    let own = block.own.iter().filter(|own| own.rows.contains(&row));
                    let keys =
                        (0..block.n_shared).chain(own.flat_map(|own| own.first_key..row + 1));
                    let query = queries.start + row - group.first_query;
                    pairs.extend(keys.map(|key| (query, rows.start + key)));
                }
            }
        }
        pairs
    }

    #[test]
    fn tiles_of_queries_meet_the_keys_that_they_attend_to() {
        let layout = layout();
        let mut pairs = BTreeSet::new();
        for tile in layout.tables().queries {
            let [query, n, shared, n_shared, own, n_own, before] = tile.map(|x| x as usize);
            assert!((1..=TILE).contains(&n));
            for i in 0..n {
                let own = own..own + n_own.min(before + i + 1);
                pairs.extend((shared..shared + n_shared).chain(own).map(|key| (query + i, key)));
            }
        }
        assert_eq!(pairs, expected(&layout));
    }

    #[test]
    fn tiles_of_keys_are_met_by_the_same_queries_and_every_slot_is_summed_once() {
        let layout = layout();
        let tables = layout.tables();
        let mut pairs = BTreeSet::new();
        let mut slots = BTreeSet::new();
        let mut n_pairs = 0;
        for tile in &tables.keys {
            let [key, n, position, span, n_spans, slot] = tile.map(|x| x as usize);
            for i in 0..n {
                let of_key = tables.starts[key + i] as usize..tables.starts[key + i + 1] as usize;
                assert!(tables.slots[of_key].contains(&((slot + i) as u32)));
                assert!(slots.insert(slot + i));
                for span in &tables.spans[span..span + n_spans] {
                    let [query, n_queries, first, causal] = span.map(|x| x as usize);
                    let attends =
                        (0..n_queries).filter(|j| causal == 0 || position + i <= first + j);
                    n_pairs += attends.clone().count();
                    pairs.extend(attends.map(|j| (query + j, key + i)));
                }
            }
        }
        assert_eq!(pairs.len(), n_pairs, "a pair twice");
        assert_eq!(pairs, expected(&layout));
        assert_eq!(slots, (0..tables.n_slots).collect());
        assert_eq!(tables.slots.len(), tables.n_slots);
    }
}
