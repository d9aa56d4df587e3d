//! Pixel patches of one image, in the order in which the vision tower reads them.

use twox_hash::XxHash3_128;

use crate::Tiles;

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
    /// How the image was cut into tiles; each is a temporal patch of the grid, that of the whole image the last.
    pub tiles: Tiles,
}

impl Patches {
    /// The patches of an image in one piece, or of a video.
    pub fn whole(pixels: Vec<f32>, grid: Grid) -> Self {
        Self { pixels, grid, tiles: Tiles::default() }
    }

    /// Values in one patch: channels × temporal patch size × patch size².
    pub fn row_len(&self) -> usize {
        self.pixels.len() / self.grid.n_patches().max(1)
    }

    /// What the image is recognized by.
    pub fn key(&self) -> ImageKey {
        let mut hasher = XxHash3_128::new();
        for side in [self.grid.t, self.grid.h, self.grid.w] {
            hasher.write(&(side as u64).to_le_bytes());
        }
        hasher.write(bytemuck::cast_slice(&self.pixels));
        ImageKey(hasher.finish_128())
    }
}

/// A number by which an image is recognized when it comes again: a hash (XXH3, 128 bits) of its patches and their grid.
///
/// Two images that a model sees alike have the same key, whatever files they came from. It is made to find what was
/// computed before, not to withstand somebody who looks for two images with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageKey(u128);

impl From<ImageKey> for u128 {
    fn from(key: ImageKey) -> u128 {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_recognized_by_its_pixels_and_their_places() {
        let image = |value: f32, h, w| Patches::whole(vec![value; 8], Grid { t: 1, h, w });
        assert_eq!(image(1.0, 2, 4).key(), image(1.0, 2, 4).key());
        assert_ne!(image(1.0, 2, 4).key(), image(1.0, 4, 2).key());
        assert_ne!(image(1.0, 2, 4).key(), image(2.0, 2, 4).key());
    }
}
