//! One attention head over one group: scores, probabilities, and the products of the backward pass.

use std::ops::Range;

use super::layout::Block;
use crate::cpu::exp::softmax_row;
use crate::cpu::{Element, vectorized};
use crate::matmul::{How, Mat, MatMut, Write};

/// The queries, keys and values of one head in one group. Rows count from the group's first token, for queries too.
pub(crate) struct Head<'a, T> {
    pub(crate) q: &'a [T],
    pub(crate) k: &'a [T],
    pub(crate) v: &'a [T],
    pub(crate) q_stride: usize,
    pub(crate) kv_stride: usize,
    pub(crate) head_dim: usize,
    /// The token of the first row of `q`.
    pub(crate) first_query: usize,
}

impl<'a, T: Element> Head<'a, T> {
    pub(crate) fn q(&self, rows: &Range<usize>) -> Mat<'a, T> {
        self.of_queries(self.q, rows)
    }

    /// The rows of a matrix that is laid out as the queries.
    pub(crate) fn of_queries(&self, data: &'a [T], rows: &Range<usize>) -> Mat<'a, T> {
        strided(data, &self.places(rows), self.head_dim, self.q_stride)
    }

    /// Where tokens are among the queries.
    fn places(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start - self.first_query..rows.end - self.first_query
    }

    pub(crate) fn k(&self, rows: &Range<usize>) -> Mat<'a, T> {
        strided(self.k, rows, self.head_dim, self.kv_stride)
    }

    pub(crate) fn v(&self, rows: &Range<usize>) -> Mat<'a, T> {
        strided(self.v, rows, self.head_dim, self.kv_stride)
    }

    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Probabilities of a block, (queries, block.width()); 0 for keys that a query does not attend to.
    pub(crate) fn probabilities(&self, block: &Block, scores: &mut Vec<f32>) {
        self.products(block, self.scale(), &|rows| self.q(rows), &|keys| self.k(keys), scores);
        let width = block.width();
        if block.own.is_empty() {
            vectorized(
                #[inline(always)]
                || {
                    for row in scores.chunks_exact_mut(width) {
                        softmax_row(row);
                    }
                },
            );
        }
        for own in &block.own {
            let n_keys = block.n_shared + own.n_keys();
            vectorized(
                #[inline(always)]
                || {
                    for row_idx in own.rows.clone() {
                        let row = &mut scores[(row_idx - block.rows.start) * width..][..n_keys];
                        let n_past = block.n_shared + row_idx + 1 - own.first_key;
                        let (past, future) = row.split_at_mut(n_past);
                        softmax_row(past);
                        future.fill(0.0);
                    }
                },
            );
        }
    }

    /// `scale · left · rightᵀ` for every pair of query and key in the block.
    pub(crate) fn products(
        &self,
        block: &Block,
        scale: f32,
        left: &dyn Fn(&Range<usize>) -> Mat<'a, T>,
        right: &dyn Fn(&Range<usize>) -> Mat<'a, T>,
        out: &mut Vec<f32>,
    ) {
        let width = block.width();
        out.resize(block.rows.len() * width, 0.0);
        let shared = MatMut::strided(out, block.rows.len(), block.n_shared, width);
        let keys = right(&(0..block.n_shared)).t();
        T::matmul(shared, Write::Overwrite, scale, left(&block.rows), keys, How::SERIAL);
        for own in &block.own {
            let at = (own.rows.start - block.rows.start) * width + block.n_shared;
            let scores = MatMut::strided(&mut out[at..], own.rows.len(), own.n_keys(), width);
            let keys = right(&(own.first_key..own.rows.end)).t();
            T::matmul(scores, Write::Overwrite, scale, left(&own.rows), keys, How::SERIAL);
        }
    }

    /// `weights · right`, added to the block's queries in `out` (rows of `stride`).
    pub(crate) fn combine(
        &self,
        block: &Block,
        weights: &[T],
        right: &dyn Fn(&Range<usize>) -> Mat<'a, T>,
        out: &mut [f32],
        stride: usize,
    ) {
        let width = block.width();
        let head_dim = self.head_dim;
        let shared = Mat::strided(weights, block.rows.len(), block.n_shared, width);
        let rows = rows_mut(out, &self.places(&block.rows), head_dim, stride);
        T::matmul(rows, Write::Add, 1.0, shared, right(&(0..block.n_shared)), How::SERIAL);
        for own in &block.own {
            let at = (own.rows.start - block.rows.start) * width + block.n_shared;
            let weights = Mat::strided(&weights[at..], own.rows.len(), own.n_keys(), width);
            let rows = rows_mut(out, &self.places(&own.rows), head_dim, stride);
            let right = right(&(own.first_key..own.rows.end));
            T::matmul(rows, Write::Add, 1.0, weights, right, How::SERIAL);
        }
    }

    /// `weightsᵀ · left`, added to the keys' rows of `out`.
    pub(crate) fn spread(
        &self,
        block: &Block,
        weights: &[T],
        left: &dyn Fn(&Range<usize>) -> Mat<'a, T>,
        out: &mut [f32],
    ) {
        let width = block.width();
        let head_dim = self.head_dim;
        let shared = Mat::strided(weights, block.rows.len(), block.n_shared, width).t();
        let keys = rows_mut(out, &(0..block.n_shared), head_dim, head_dim);
        T::matmul(keys, Write::Add, 1.0, shared, left(&block.rows), How::SERIAL);
        for own in &block.own {
            let at = (own.rows.start - block.rows.start) * width + block.n_shared;
            let weights = Mat::strided(&weights[at..], own.rows.len(), own.n_keys(), width).t();
            let keys = rows_mut(out, &(own.first_key..own.rows.end), head_dim, head_dim);
            T::matmul(keys, Write::Add, 1.0, weights, left(&own.rows), How::SERIAL);
        }
    }
}

/// The rows as a matrix whose rows start `stride` apart.
fn strided<'a, T>(data: &'a [T], rows: &Range<usize>, cols: usize, stride: usize) -> Mat<'a, T> {
    if rows.is_empty() {
        return Mat::new(&[], 0, cols);
    }
    Mat::strided(&data[rows.start * stride..], rows.len(), cols, stride)
}

fn rows_mut<'a>(
    data: &'a mut [f32],
    rows: &Range<usize>,
    cols: usize,
    stride: usize,
) -> MatMut<'a> {
    if rows.is_empty() {
        return MatMut::new(&mut [], 0, cols);
    }
    MatMut::strided(&mut data[rows.start * stride..], rows.len(), cols, stride)
}
