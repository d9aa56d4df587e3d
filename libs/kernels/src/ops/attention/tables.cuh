// Which queries meet which keys: the tables that layout_table.rs writes, rows of numbers each.
#pragma once
#include "../../cuda/common.cuh"

// Up to 64 queries in a row that attend to the same keys, and each to its own past besides.
struct QueryTable {
  uint32_t first_query, n_queries;
  // Keys that all of them attend to.
  uint32_t first_shared, n_shared;
  // Keys of their own stretch: query i attends to the first n_before + i + 1 of them; none if n_own is 0.
  uint32_t first_own, n_own, n_before;
};

// Up to 64 keys in a row, and the stretches of queries whose gradients reach them here.
struct KeyTable {
  uint32_t first_key, n_keys;
  // The first key's place in its stretch.
  uint32_t position;
  uint32_t first_span, n_spans;
  // The row of the partial sums that the first key's gradient goes to.
  uint32_t first_slot;
};

// Queries that attend to keys: all of them, or if `causal` those up to their own place in the stretch.
struct QuerySpan {
  uint32_t first_query, n_queries, position, causal;
};
