//! Pixel patches of one image, in the order in which the vision tower reads them.

/// How many patches an image (or clip) was cut into along time, height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Temporal patches; 1 for a still image.
    pub t: usize,
    /// Rows of patches; a multiple of the merge size.
    pub h: usize,
    /// Columns of patches; a multiple of the merge size.
    pub w: usize,
}

impl Grid {
    /// Patches in the grid: the rows that the vision tower sees.
    pub fn n_patches(&self) -> usize {
        self.t * self.h * self.w
    }

    /// Tokens that the language model sees, `merge_size`² patches each.
    pub fn n_tokens(&self, merge_size: usize) -> usize {
        self.n_patches() / (merge_size * merge_size)
    }
}

/// The normalized pixels of one image, cut into patches.
///
/// `pixels` is row-major (N, C · T · P · P): one row per patch, with the rows in merge-block order (the
/// `merge_size`² patches that become one token stand together), and in a row channel, frame, y, x.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Normalized values, `grid.n_patches()` rows of equal length.
    pub pixels: Vec<f32>,
    /// How the rows lie in the image.
    pub grid: Grid,
}

impl Patches {
    /// Of nothing.
    pub(crate) fn empty() -> Self {
        Self { pixels: Vec::new(), grid: Grid { t: 0, h: 0, w: 0 } }
    }

    /// Values in one patch: channels × temporal patch size × patch size².
    pub fn row_len(&self) -> usize {
        self.pixels.len() / self.grid.n_patches().max(1)
    }
}
