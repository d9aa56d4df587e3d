//! Which keys each query attends to when several groups are packed into one batch.

use std::ops::Range;

use super::tables::LayoutTables;

/// Rows of a block of queries. Large enough for a good product, small enough that the scores stay in cache.
const QUERIES_PER_BLOCK: usize = 128;

/// A prefix and the suffixes that continue it, as they lie in the packed rows: prefix, then each suffix.
///
/// All of the group attend to the prefix; a suffix attends to the prefix and to itself, never to another suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionGroup {
    /// Tokens of the prefix.
    pub prefix: usize,
    /// Tokens of each suffix.
    pub suffixes: Vec<usize>,
    /// Whether a token attends only to what precedes it; if not, all tokens of the prefix attend to one another.
    pub causal: bool,
    /// The first token with a query: those before it have keys and values, but no query and no result.
    pub first_query: usize,
}

impl AttentionGroup {
    /// Tokens of the group.
    pub fn n_tokens(&self) -> usize {
        self.prefix + self.suffixes.iter().sum::<usize>()
    }

    /// Tokens with a query.
    pub fn n_queries(&self) -> usize {
        self.n_tokens().saturating_sub(self.first_query)
    }

    /// The group's queries in blocks; row numbers count from the group's first token.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        // The prompt's last token has a block of its own, as it has where the keys of the rest come from a cache: so its
        // sums have the same order either way.
        let alone = if self.causal { self.prefix.saturating_sub(1) } else { self.prefix };
        let alone = alone.max(self.first_query);
        for rows in chunks(self.first_query..alone).chain(chunks(alone..self.prefix)) {
            let own = Own { rows: rows.clone(), first_key: rows.start };
            blocks.push(if self.causal {
                Block { n_shared: rows.start, own: vec![own], rows }
            } else {
                Block { n_shared: self.prefix, own: Vec::new(), rows }
            });
        }
        for rows in chunks(self.prefix.max(self.first_query)..self.n_tokens()) {
            let own = self.own_within(&rows);
            blocks.push(Block { n_shared: self.prefix, own, rows });
        }
        blocks
    }

    /// The parts of the suffixes that lie in `rows`.
    fn own_within(&self, rows: &Range<usize>) -> Vec<Own> {
        let mut own = Vec::new();
        let mut first_key = self.prefix;
        for len in &self.suffixes {
            let part = rows.start.max(first_key)..rows.end.min(first_key + len);
            if !part.is_empty() {
                own.push(Own { rows: part, first_key });
            }
            first_key += len;
        }
        own
    }
}

/// Queries that attend to the group's first `n_shared` tokens, and each to its own past besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) rows: Range<usize>,
    pub(crate) n_shared: usize,
    pub(crate) own: Vec<Own>,
}

impl Block {
    /// Keys of the longest row: the width of the block's scores.
    pub(crate) fn width(&self) -> usize {
        self.n_shared + self.own.iter().map(Own::n_keys).max().unwrap_or(0)
    }
}

/// Queries `rows` attend to the keys from `first_key` up to themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) rows: Range<usize>,
    pub(crate) first_key: usize,
}

impl Own {
    /// Keys that the last query attends to.
    pub(crate) fn n_keys(&self) -> usize {
        self.rows.end - self.first_key
    }
}

/// The groups of a packed batch, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttentionLayout {
    /// In the order of their rows.
    pub(crate) groups: Vec<AttentionGroup>,
    /// Its tables, once a GPU has asked for them.
    #[cfg(feature = "cuda")]
    pub(super) on_gpu: crate::cuda::Uploaded<super::cuda::OnGpu>,
}

impl AttentionLayout {
    /// Groups in the order of their rows.
    pub fn new(groups: Vec<AttentionGroup>) -> Self {
        Self {
            groups,
            #[cfg(feature = "cuda")]
            on_gpu: crate::cuda::Uploaded::default(),
        }
    }

    /// The groups in the order of their rows.
    pub fn groups(&self) -> &[AttentionGroup] {
        &self.groups
    }

    /// What GPU kernels read of it.
    pub fn tables(&self) -> LayoutTables {
        LayoutTables::new(self)
    }

    /// Rows of the packed batch.
    pub fn n_tokens(&self) -> usize {
        self.groups.iter().map(AttentionGroup::n_tokens).sum()
    }

    /// Rows of the queries and of the result.
    pub fn n_queries(&self) -> usize {
        self.groups.iter().map(AttentionGroup::n_queries).sum()
    }

    /// Each group's rows in the packed batch.
    pub(crate) fn rows(&self) -> Vec<Range<usize>> {
        in_a_row(self.groups.iter().map(AttentionGroup::n_tokens))
    }

    /// Each group's rows among the queries.
    pub(crate) fn query_rows(&self) -> Vec<Range<usize>> {
        in_a_row(self.groups.iter().map(AttentionGroup::n_queries))
    }
}

/// Ranges of these lengths, one after the other.
fn in_a_row(lengths: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut end = 0;
    let ranges = lengths.map(|len| {
        end += len;
        end - len..end
    });
    ranges.collect()
}

fn chunks(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(QUERIES_PER_BLOCK).map(move |start| start..end.min(start + QUERIES_PER_BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that each query attends to, by the blocks.
    fn keys(group: &AttentionGroup) -> Vec<Vec<usize>> {
        let mut keys = vec![Vec::new(); group.n_tokens()];
        for block in group.blocks() {
            for row in block.rows.clone() {
                keys[row].extend(0..block.n_shared);
            }
            for own in &block.own {
                for row in own.rows.clone() {
                    keys[row].extend(own.first_key..=row);
                }
            }
        }
        keys
    }

    #[test]
    fn a_suffix_attends_to_the_prefix_and_itself_across_block_borders() {
        let group =
            AttentionGroup { prefix: 70, suffixes: vec![50, 1, 80], causal: true, first_query: 0 };
        let keys = keys(&group);
        assert_eq!(keys[69], (0..70).collect::<Vec<_>>());
        assert_eq!(keys[119], (0..120).collect::<Vec<_>>());
        assert_eq!(keys[120], (0..70).chain([120]).collect::<Vec<_>>());
        assert_eq!(keys[200], (0..70).chain(121..201).collect::<Vec<_>>());
    }

    #[test]
    fn tokens_without_a_query_are_attended_to_all_the_same() {
        let all =
            AttentionGroup { prefix: 70, suffixes: vec![50, 9], causal: true, first_query: 0 };
        let tail = AttentionGroup { first_query: 69, ..all.clone() };
        let all = keys(&all);
        let tail = keys(&tail);
        assert!(tail[..69].iter().all(Vec::is_empty));
        assert_eq!(all[69..], tail[69..]);
    }

    #[test]
    fn an_image_attends_to_all_of_itself() {
        let group = AttentionGroup { prefix: 100, suffixes: vec![], causal: false, first_query: 0 };
        assert!(keys(&group).iter().all(|keys| keys.len() == 100));
    }
}
