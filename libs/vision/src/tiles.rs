//! Pictures that are cut into square tiles, with a small picture of the whole after them.
//!
//! The longer side is scaled to a fixed length, then both sides to multiples of a tile.

use crate::{Filter, Pixels, VisionError, resample};

/// No picture is scaled to a longer side than this before it is cut.
const LONGEST: usize = 4096;

/// How pictures are cut into tiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiling {
    /// Side of a tile in pixels.
    pub side: usize,
    /// What the longer side is scaled to first, in pixels.
    pub longest_edge: usize,
    /// Whether there are several tiles; if not, a picture is squeezed into one.
    pub split: bool,
    /// Most pixels of all tiles of a picture together, that of the whole left out; at least one tile is left.
    pub max_pixels: usize,
}

/// Rows and columns of the tiles that a picture was cut into; both 0 for a picture that is one tile, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tiles {
    /// Tiles from top to bottom.
    pub rows: usize,
    /// Tiles from left to right.
    pub columns: usize,
}

impl Tiles {
    /// All tiles, that of the whole picture among them.
    pub(crate) fn count(self) -> usize {
        self.rows * self.columns + 1
    }
}

/// The sizes that a picture goes through, each (height, width).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// After the first scaling; the picture's own without one.
    scaled: (usize, usize),
    /// After the second, from which tiles are cut.
    pub(crate) size: (usize, usize),
    pub(crate) tiles: Tiles,
}

impl Tiling {
    /// How a picture of this size is cut; `scales` says whether its longer side is scaled first.
    pub(crate) fn cut(
        &self,
        height: usize,
        width: usize,
        scales: bool,
    ) -> Result<Cut, VisionError> {
        if height == 0 || width == 0 {
            return Err(VisionError::Empty { width, height });
        }
        let side = self.side;
        if !self.split {
            let scaled =
                if scales { to_longest(height, width, self.longest_edge) } else { (height, width) };
            return Ok(Cut { scaled, size: (side, side), tiles: Tiles::default() });
        }
        let mut longest = self.longest_edge;
        let one = |scaled| Ok(Cut { scaled, size: (side, side), tiles: Tiles::default() });
        let mut along = usize::MAX;
        loop {
            let scaled = if scales { to_longest(height, width, longest) } else { (height, width) };
            let size = to_multiples(scaled, side);
            let (rows, columns) = (size.0 / side, size.1 / side);
            // The shorter side is made even, which may be one pixel more than a tile.
            if rows * columns == 1 || along == 1 {
                return one(scaled);
            }
            if !scales || rows * columns * side * side <= self.max_pixels {
                return Ok(Cut { scaled, size, tiles: Tiles { rows, columns } });
            }
            // One tile less along the longer side.
            along = (rows.max(columns) - 1).min(along - 1);
            longest = along * side;
        }
    }

    /// The tiles of a picture, row by row, then the whole picture in the size of one; or the picture alone.
    pub(crate) fn tiles(&self, pixels: &Pixels, cut: &Cut, filter: Filter) -> Vec<Pixels> {
        let scale =
            |pixels: &Pixels, size: (usize, usize)| resample(pixels, size.1, size.0, filter);
        let whole = scale(&scale(pixels, cut.scaled), cut.size);
        let Tiles { rows, columns } = cut.tiles;
        let mut tiles = Vec::with_capacity(cut.tiles.count());
        for row in 0..rows {
            tiles.extend((0..columns).map(|column| self.tile(&whole, row, column)));
        }
        tiles.push(scale(&whole, (self.side, self.side)));
        tiles
    }

    fn tile(&self, whole: &Pixels, row: usize, column: usize) -> Pixels {
        let side = self.side;
        let mut rgb = Vec::with_capacity(side * side * 3);
        for y in row * side..(row + 1) * side {
            let start = (y * whole.width + column * side) * 3;
            rgb.extend_from_slice(&whole.rgb[start..start + side * 3]);
        }
        Pixels { width: side, height: side, rgb }
    }
}

/// The size with this longer side and an even shorter one, in which fractions are dropped.
fn to_longest(height: usize, width: usize, longest: usize) -> (usize, usize) {
    let aspect = width as f64 / height as f64;
    let even = |side: f64| {
        let side = side as usize;
        (side + side % 2).max(1)
    };
    let (height, width) = if width >= height {
        (even(longest as f64 / aspect), longest)
    } else {
        (longest, even(longest as f64 * aspect))
    };
    if height.max(width) <= LONGEST {
        return (height, width);
    }
    let aspect = width as f64 / height as f64;
    if width >= height {
        (((LONGEST as f64 / aspect) as usize).max(1), LONGEST)
    } else {
        (LONGEST, ((LONGEST as f64 * aspect) as usize).max(1))
    }
}

/// The next larger multiples of `side`; the shorter side follows the longer one before it is rounded.
fn to_multiples((height, width): (usize, usize), side: usize) -> (usize, usize) {
    let up = |n: usize| n.div_ceil(side) * side;
    let aspect = width as f64 / height as f64;
    if width >= height {
        let width = up(width);
        (up((width as f64 / aspect) as usize), width)
    } else {
        let height = up(height);
        (height, up((height as f64 * aspect) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILING: Tiling =
        Tiling { side: 512, longest_edge: 2048, split: true, max_pixels: usize::MAX };

    #[track_caller]
    fn check(tiling: &Tiling, (height, width): (usize, usize), size: (usize, usize)) {
        let cut = tiling.cut(height, width, true).unwrap();
        assert_eq!(cut.size, size);
        let tiles = Tiles { rows: size.0 / tiling.side, columns: size.1 / tiling.side };
        let one = tiles.rows * tiles.columns == 1;
        assert_eq!(cut.tiles, if one { Tiles::default() } else { tiles });
    }

    /* Equivalent python code, with an image processor of transformers that cuts pictures into tiles:
    ImageProcessor(size={"longest_edge": 2048}, max_image_size={"longest_edge": 512})
        .get_number_of_image_patches(480, 640) */
    #[test]
    fn the_longer_side_decides_how_many_tiles_there_are() {
        check(&TILING, (480, 640), (1536, 2048));
        check(&TILING, (640, 480), (2048, 1536));
        check(&TILING, (512, 512), (2048, 2048));
        check(&TILING, (10, 1000), (512, 2048));
    }

    #[test]
    fn a_bound_takes_tiles_away_until_one_is_left() {
        let bound = |n: usize| Tiling { max_pixels: n * 512 * 512, ..TILING };
        check(&bound(12), (480, 640), (1536, 2048));
        check(&bound(11), (480, 640), (1536, 1536));
        check(&bound(8), (480, 640), (1024, 1024));
        check(&bound(3), (480, 640), (512, 512));
        let odd = Tiling { side: 57, longest_edge: 114, max_pixels: 57 * 57, ..TILING };
        check(&odd, (100, 100), (57, 57));
    }

    #[test]
    fn a_picture_that_is_not_cut_is_squeezed() {
        let tiling = Tiling { split: false, ..TILING };
        let cut = tiling.cut(100, 300, true).unwrap();
        assert_eq!((cut.size, cut.tiles), ((512, 512), Tiles::default()));
        let pixels = Pixels { width: 300, height: 100, rgb: vec![7; 90_000] };
        let tiles = tiling.tiles(&pixels, &cut, Filter::Lanczos);
        assert_eq!(tiles.len(), 1);
        assert_eq!((tiles[0].width, tiles[0].height), (512, 512));
    }

    #[test]
    fn tiles_come_row_by_row_and_the_whole_last() {
        let tiling = Tiling { side: 2, longest_edge: 4, split: true, max_pixels: usize::MAX };
        let rgb = (0..8).flat_map(|i| [i * 10; 3]).collect();
        let pixels = Pixels { width: 4, height: 2, rgb };
        let cut = tiling.cut(2, 4, true).unwrap();
        let tiles = tiling.tiles(&pixels, &cut, Filter::Bilinear);
        let reds = |tile: &Pixels| tile.rgb.iter().step_by(3).copied().collect::<Vec<u8>>();
        assert_eq!(reds(&tiles[0]), [0, 10, 40, 50]);
        assert_eq!(reds(&tiles[1]), [20, 30, 60, 70]);
        assert_eq!((tiles.len(), tiles[2].width, tiles[2].height), (3, 2, 2));
    }
}
