//! Windows of Qwen2.5-VL's tower ([paper](https://arxiv.org/abs/2502.13923), section 2.1.1): squares of merged
//! patches, smaller at the right and lower edge, within each of which attention is full.

use vrft_kernels::AttentionLayout;
use vrft_vision::Grid;

use crate::tower::within;

/// The merged patches of some images, window after window.
#[derive(Debug)]
pub(super) struct Windows {
    /// Merged patches by their place in the images, in the order of the windows.
    order: Vec<u32>,
    /// Merged patches in each window.
    sizes: Vec<usize>,
    patches_per_token: usize,
}

impl Windows {
    /// `window` is the side of a window in merged patches.
    pub(super) fn new(grids: &[Grid], window: usize, merge_size: usize) -> Self {
        let mut windows = Self {
            order: Vec::new(),
            sizes: Vec::new(),
            patches_per_token: merge_size * merge_size,
        };
        let mut first = 0;
        for grid in grids {
            let (rows, columns) = (grid.h / merge_size, grid.w / merge_size);
            for _ in 0..grid.t {
                windows.push_frame(first, rows, columns, window);
                first += rows * columns;
            }
        }
        windows
    }

    fn push_frame(&mut self, first: usize, rows: usize, columns: usize, window: usize) {
        for top in (0..rows).step_by(window) {
            for left in (0..columns).step_by(window) {
                let before = self.order.len();
                for row in top..rows.min(top + window) {
                    let start = first + row * columns;
                    let places = start + left..start + columns.min(left + window);
                    self.order.extend(places.map(|place| place as u32));
                }
                self.sizes.push(self.order.len() - before);
            }
        }
    }

    /// For each patch in the order of the windows, its place in the images.
    pub(super) fn patch_order(&self) -> Vec<u32> {
        let n = self.patches_per_token as u32;
        self.order.iter().flat_map(|place| place * n..(place + 1) * n).collect()
    }

    /// For each merged patch of the images, its place in the order of the windows.
    pub(super) fn inverse_order(&self) -> Vec<u32> {
        let mut back = vec![0; self.order.len()];
        for (idx, place) in self.order.iter().enumerate() {
            back[*place as usize] = idx as u32;
        }
        back
    }

    /// Full attention within each window.
    pub(super) fn layout(&self) -> AttentionLayout {
        within(self.sizes.iter().map(|size| size * self.patches_per_token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_at_the_edge_are_smaller() {
        let windows = Windows::new(&[Grid { t: 1, h: 4, w: 6 }], 2, 2);
        assert_eq!(windows.order, [0, 1, 3, 4, 2, 5]);
        assert_eq!(windows.sizes, [4, 2]);
        assert_eq!(windows.inverse_order(), [0, 1, 4, 2, 3, 5]);
        assert_eq!(windows.patch_order()[..9], [0, 1, 2, 3, 4, 5, 6, 7, 12]);
    }

    #[test]
    fn frames_and_images_keep_to_themselves() {
        let windows = Windows::new(&[Grid { t: 2, h: 2, w: 2 }, Grid { t: 1, h: 2, w: 4 }], 4, 2);
        assert_eq!(windows.order, [0, 1, 2, 3]);
        assert_eq!(windows.sizes, [1, 1, 2]);
    }
}
