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

    /// The same image without detail: each patch has its mean color throughout.
    pub fn without_detail(&self) -> Self {
        const CHANNELS: usize = 3;
        let mut flat = self.clone();
        for values in flat.pixels.chunks_mut((self.row_len() / CHANNELS).max(1)) {
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            values.fill(mean);
        }
        flat
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
    fn without_detail_each_patch_has_its_mean_color() {
        let grid = Grid { t: 1, h: 1, w: 2 };
        let image = Patches::whole(vec![1., 3., 0., 4., 5., 5., 0., 0., 2., 4., 8., 0.], grid);
        let flat = image.without_detail();
        assert_eq!(flat.pixels, [2., 2., 2., 2., 5., 5., 0., 0., 3., 3., 4., 4.]);
        assert_eq!(flat.without_detail(), flat);
    }

    #[test]
    fn an_image_is_recognized_by_its_pixels_and_their_places() {
        let image = |value: f32, h, w| Patches::whole(vec![value; 8], Grid { t: 1, h, w });
        assert_eq!(image(1.0, 2, 4).key(), image(1.0, 2, 4).key());
        assert_ne!(image(1.0, 2, 4).key(), image(1.0, 4, 2).key());
        assert_ne!(image(1.0, 2, 4).key(), image(2.0, 2, 4).key());
    }
}
