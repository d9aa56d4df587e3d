//! Matrices as views of slices.

use std::mem::MaybeUninit;

/// A matrix in a slice; either stride may be the unit one, so a transpose is free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a, T = f32> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a, T> Mat<'a, T> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of `cols` values that start `row_stride` apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(fits(data.len(), rows, cols, row_stride), "matrix outside its slice");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// `n` rows from `start`, or those that are left.
    pub(super) fn rows(self, start: usize, n: usize) -> Self {
        let rows = n.min(self.rows - start);
        Self { data: &self.data[start * self.row_stride..], rows, ..self }
    }

    /// The same view of other values.
    pub(super) fn of<'b, U>(&self, data: &'b [U]) -> Mat<'b, U> {
        let Mat { rows, cols, row_stride, col_stride, .. } = *self;
        Mat { data, rows, cols, row_stride, col_stride }
    }

    /// A view of the same values as the transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix that is written to; rows of `cols` values that start `row_stride` apart.
#[derive(Debug)]
pub(crate) struct MatMut<'a> {
    /// Values, unless this is the output of a [`product`](super::product), which writes them.
    pub(super) data: &'a mut [MaybeUninit<f32>],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of `cols` values that start `row_stride` apart.
    pub(crate) fn strided(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
    ) -> Self {
        // SAFETY: the layout is the same, and products only write values.
        #[expect(unsafe_code, reason = "values as places that may hold none yet")]
        let data = unsafe { &mut *(std::ptr::from_mut(data) as *mut [MaybeUninit<f32>]) };
        Self::of_places(data, rows, cols, row_stride)
    }

    pub(super) fn of_places(
        data: &'a mut [MaybeUninit<f32>],
        rows: usize,
        cols: usize,
        row_stride: usize,
    ) -> Self {
        assert!(fits(data.len(), rows, cols, row_stride), "matrix outside its slice");
        assert!(rows <= 1 || row_stride >= cols, "rows of an output overlap");
        // What lies behind the last row belongs to no task.
        let len = data.len().min(rows * row_stride);
        Self { data: &mut data[..len], rows, cols, row_stride }
    }

    /// Where its first value is.
    pub(super) fn start(&mut self) -> *mut f32 {
        self.data.as_mut_ptr().cast()
    }
}

fn fits(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= len
}
