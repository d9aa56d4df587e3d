//! What the CPU implementations of the operations are made of.

pub(crate) mod element;
pub(crate) mod exp;
mod reduce;
mod rows;
mod simd;
mod tensors;
mod uninit;

pub(crate) use element::Element;
pub(crate) use reduce::{LANES, dot, fold_lanes, sum2};
pub(crate) use rows::{add_all, add_to, for_rows, sum_rows};
pub use simd::vectorized;
pub(crate) use tensors::{
    CHUNK, add, add_in_place, like, narrow, narrow_into, tensor, values, with_elements, with_values,
};
pub(crate) use uninit::{append, make_row_pairs, make_rows, make_rows_summing, write_pairs};
