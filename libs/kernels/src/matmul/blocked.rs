//! Products for AVX-512, cut into blocks that stay in cache.
//!
//! Every result is summed in the same order whatever the number of threads.
#![expect(unsafe_code, reason = "vector instructions and raw pointers")]

use std::cell::RefCell;

use rayon::prelude::*;

use super::microkernel::{
    Left, TILE_COLS, TILE_ROWS, Target, mask, pack_cols, pack_left, pack_row_pairs, pack_rows, tile,
};

/// Lanes along the inner dimension: a panel of the right operand stays in the second cache beside its rows.
const INNER_BLOCK: usize = 512;
/// Columns whose panels are packed at once: they stay in the last cache.
const COL_BLOCK: usize = 32 * TILE_COLS;
/// Rows that one task takes: its part of the left operand stays in the second cache.
const ROW_BLOCK: usize = 16 * TILE_ROWS;

/// An operand of 32-bit or 16-bit values; one of the strides is 1.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub(super) data: *const u8,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

/// The product's sizes and destination.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Values along the inner dimension.
    pub(super) inner: usize,
    pub(super) left: Operand,
    pub(super) right: Operand,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    pub(super) scale: f32,
    pub(super) add: bool,
    pub(super) bf16: bool,
}

// SAFETY: tasks write disjoint rows of the output and only read the operands.
unsafe impl Sync for Product {}

/// A buffer that tasks write disjoint parts of.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: as for `Product`.
unsafe impl Sync for Shared {}

// Scratch memory for packed operands, kept from one product to the next because a page that is touched for the first
// time costs more than packing into it. No result depends on it: a product writes what it reads.
thread_local! {
    static RIGHT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Whether this processor has what [`Product::run`] needs.
pub(super) fn is_supported(bf16: bool) -> bool {
    let f32 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl");
    f32 && (!bf16 || is_x86_feature_detected!("avx512bf16"))
}

/// Part of a product: inner places and columns.
#[derive(Clone, Copy)]
struct Part {
    first_col: usize,
    cols: usize,
    first_inner: usize,
    /// Length of the inner side, in values.
    inner: usize,
    /// Length of the inner side, in vector lanes.
    depth: usize,
}

impl Product {
    /// Computes it, on all threads if `parallel`.
    ///
    /// # Safety
    /// Operands and output must lie as their strides say, the output apart from the operands; the processor
    /// must be supported. In bfloat16 a right operand with `inner` contiguous needs an even `inner` and stride.
    pub(super) unsafe fn run(&self, parallel: bool) {
        match self.share_of_columns().filter(|_| parallel) {
            Some(share) => {
                let tasks = (0..self.cols.div_ceil(share)).into_par_iter();
                tasks.for_each(|i| self.columns(i * share, share, false));
            }
            None => (0..self.cols)
                .step_by(COL_BLOCK)
                .for_each(|first| self.columns(first, COL_BLOCK, parallel)),
        }
    }

    /// How many columns each task gets if threads share the columns: then every thread packs its own panels, none
    /// waits for another before it multiplies, and none reads what another wrote. Nothing where the left operand has
    /// to be packed too, or where threads are so many that the rows are easier to share.
    fn share_of_columns(&self) -> Option<usize> {
        /// Narrower tasks have more tiles that are not full.
        const FEWEST: usize = 64;
        /// A task's panels stay in the second cache beside a block of rows.
        const PANELS: usize = 4;
        let share = |n_tasks: usize| self.cols.div_ceil(n_tasks).next_multiple_of(16);
        let n_threads = rayon::current_num_threads();
        let n_tasks = share(n_threads).div_ceil(PANELS * TILE_COLS) * n_threads;
        (self.left_fills_lanes() && share(n_tasks) >= FEWEST).then(|| share(n_tasks))
    }

    /// Packs and multiplies `cols` columns, or those that are left.
    fn columns(&self, first_col: usize, cols: usize, parallel: bool) {
        // Taken out, since a thread that waits for its tasks may run another product meanwhile.
        let mut panels = RIGHT.with(RefCell::take);
        let cols = cols.min(self.cols - first_col);
        let step = INNER_BLOCK * self.values_per_lane();
        for first_inner in (0..self.inner).step_by(step) {
            let inner = step.min(self.inner - first_inner);
            let depth = inner.div_ceil(self.values_per_lane());
            let part = Part { first_col, cols, first_inner, inner, depth };
            let len = cols.div_ceil(TILE_COLS) * TILE_COLS * depth;
            if panels.len() < len {
                panels.resize(len, 0.0);
            }
            self.pack(&part, Shared(panels.as_mut_ptr()), parallel);
            self.multiply(&part, &panels[..len], parallel);
        }
        RIGHT.with(|cell| cell.replace(panels));
    }

    /// Whether the left operand can be read where it lies, lane by lane.
    fn left_fills_lanes(&self) -> bool {
        let fills = |n: usize| n.is_multiple_of(self.values_per_lane());
        self.left.col_stride == 1 && fills(self.inner) && fills(self.left.row_stride)
    }

    fn values_per_lane(&self) -> usize {
        if self.bf16 { 2 } else { 1 }
    }

    fn value_bytes(&self) -> usize {
        if self.bf16 { 2 } else { 4 }
    }

    fn at(&self, operand: &Operand, row: usize, col: usize) -> *const u8 {
        let place = row * operand.row_stride + col * operand.col_stride;
        operand.data.wrapping_add(place * self.value_bytes())
    }

    fn pack(&self, part: &Part, panels: Shared, parallel: bool) {
        let n_panels = part.cols.div_ceil(TILE_COLS);
        let pack = |idx: usize| {
            let panels = &panels;
            let cols = TILE_COLS.min(part.cols - idx * TILE_COLS);
            let from = self.at(&self.right, part.first_inner, part.first_col + idx * TILE_COLS);
            let by_rows = self.right.col_stride == 1;
            let stride = if by_rows { self.right.row_stride } else { self.right.col_stride };
            // SAFETY: see `run`; panels do not overlap.
            unsafe {
                let panel = panels.0.add(idx * TILE_COLS * part.depth);
                match (by_rows, self.bf16) {
                    (true, false) => pack_rows(part.depth, cols, from.cast(), stride, panel),
                    (true, true) => {
                        pack_row_pairs(part.inner, cols, from.cast(), stride, TILE_COLS, panel)
                    }
                    (false, bf16) => {
                        let stride = if bf16 { stride / 2 } else { stride };
                        pack_cols(part.depth, cols, from.cast(), stride, panel)
                    }
                }
            }
        };
        if parallel {
            (0..n_panels).into_par_iter().with_min_len(2).for_each(pack);
        } else {
            (0..n_panels).for_each(pack);
        }
    }

    fn multiply(&self, part: &Part, panels: &[f32], parallel: bool) {
        // As many blocks for every thread, and all of one size.
        let n_threads = if parallel { rayon::current_num_threads() } else { 1 };
        let n_blocks = self.rows.div_ceil(ROW_BLOCK).next_multiple_of(n_threads);
        let block = self.rows.div_ceil(n_blocks).next_multiple_of(TILE_ROWS);
        let n_blocks = self.rows.div_ceil(block);
        let rows = |i: usize| self.rows(part, panels, i * block, block);
        if parallel {
            (0..n_blocks).into_par_iter().for_each(rows);
        } else {
            (0..n_blocks).for_each(rows);
        }
    }

    /// A block of rows.
    fn rows(&self, part: &Part, panels: &[f32], first_row: usize, rows: usize) {
        let rows = rows.min(self.rows - first_row);
        LEFT.with_borrow_mut(|packed| {
            let left = self.left_of(part, first_row, rows, packed);
            for col in (0..part.cols).step_by(TILE_COLS) {
                let cols = TILE_COLS.min(part.cols - col);
                let registers = cols.div_ceil(16);
                let to = Target {
                    out: self.out.wrapping_add(first_row * self.out_stride + part.first_col + col),
                    row_stride: self.out_stride,
                    last_mask: mask(cols - (registers - 1) * 16),
                    scale: self.scale,
                    add: self.add || part.first_inner > 0,
                };
                let panel = panels[col * part.depth..].as_ptr();
                for row in (0..rows).step_by(TILE_ROWS) {
                    let n = TILE_ROWS.min(rows - row);
                    let data = left.data.wrapping_add(match left.inner_stride {
                        TILE_ROWS => row * part.depth,
                        _ => row * left.row_stride,
                    });
                    let out = to.out.wrapping_add(row * to.row_stride);
                    // SAFETY: see `run`.
                    unsafe {
                        tile(n, registers, self.bf16)(
                            part.depth,
                            Left { data, ..left },
                            panel,
                            Target { out, ..to },
                        );
                    }
                }
            }
        });
    }

    /// The left operand of a block: where it is if its inner dimension is contiguous, else packed.
    fn left_of(&self, part: &Part, first_row: usize, rows: usize, packed: &mut Vec<f32>) -> Left {
        let from = self.at(&self.left, first_row, part.first_inner);
        if self.left.col_stride == 1 {
            if !self.left_fills_lanes() {
                return self.padded(part, first_row, rows, packed);
            }
            let row_stride = self.left.row_stride / self.values_per_lane();
            return Left { data: from.cast(), row_stride, inner_stride: 1 };
        }
        let len = rows.next_multiple_of(TILE_ROWS) * part.depth;
        if packed.len() < len {
            packed.resize(len, 0.0);
        }
        let stride = self.left.col_stride;
        for row in (0..rows).step_by(TILE_ROWS) {
            let n = TILE_ROWS.min(rows - row);
            let panel = packed[row * part.depth..].as_mut_ptr();
            let from = from.wrapping_add(row * self.value_bytes());
            // SAFETY: see `run`; the panel has room for the block.
            unsafe {
                if self.bf16 {
                    pack_row_pairs(part.inner, n, from.cast(), stride, TILE_ROWS, panel);
                } else {
                    pack_left(part.depth, n, from.cast(), stride, panel);
                }
            }
        }
        Left { data: packed.as_ptr(), row_stride: 1, inner_stride: TILE_ROWS }
    }

    /// Rows of an odd number of 16-bit values, or that lie an odd number apart, with a zero where half a lane is
    /// left over.
    fn padded(&self, part: &Part, first_row: usize, rows: usize, packed: &mut Vec<f32>) -> Left {
        if packed.len() < rows * part.depth {
            packed.resize(rows * part.depth, 0.0);
        }
        for row in 0..rows {
            let from = self.at(&self.left, first_row + row, part.first_inner).cast::<u16>();
            let lanes = &mut packed[row * part.depth..][..part.depth];
            // SAFETY: see `run`; the row has so many values, and so has its place.
            unsafe {
                let values = std::slice::from_raw_parts(from, part.inner);
                let (pairs, last) = values.as_chunks::<2>();
                for (lane, [low, high]) in lanes.iter_mut().zip(pairs) {
                    *lane = f32::from_bits(u32::from(*low) | u32::from(*high) << 16);
                }
                if let [last] = last {
                    lanes[part.depth - 1] = f32::from_bits(u32::from(*last));
                }
            }
        }
        Left { data: packed.as_ptr(), row_stride: part.depth, inner_stride: 1 }
    }
}
