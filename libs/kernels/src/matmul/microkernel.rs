//! The innermost loops for AVX-512: a tile of 8 × 48 results in registers, and the packing that feeds it.
//!
//! In bfloat16 a lane holds two neighbors along the inner dimension, so both types have the same geometry:
//! lanes of 32 bits, `k` of them.
#![expect(unsafe_code, reason = "vector instructions and raw pointers")]

use std::arch::x86_64::*;

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 8;
/// Columns of a tile: three registers.
pub(crate) const TILE_COLS: usize = 48;
const LANES: usize = 16;

/// Where a tile's results go, and how.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) out: *mut f32,
    pub(crate) row_stride: usize,
    /// Columns of the tile's last register that exist.
    pub(crate) last_mask: u16,
    pub(crate) scale: f32,
    pub(crate) add: bool,
}

/// Left operand: the lane of row `i` at inner place `p` is at `data + i * row_stride + p * inner_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) data: *const f32,
    pub(crate) row_stride: usize,
    pub(crate) inner_stride: usize,
}

pub(crate) type Tile = unsafe fn(usize, Left, *const f32, Target);

macro_rules! tile {
    ($name:ident, $features:literal, $multiply_add:expr) => {
        /// Tile of `M` rows and `V` registers: `k` steps over `left` and a packed panel.
        #[target_feature(enable = $features)]
        unsafe fn $name<const M: usize, const V: usize>(
            k: usize,
            left: Left,
            panel: *const f32,
            to: Target,
        ) {
            // SAFETY: the caller vouches for `k` lanes of `M` rows, a panel of `k` · 48 lanes and the tile's
            // place in the output; masked lanes are not touched.
            unsafe {
                let mut sums = [[_mm512_setzero_ps(); V]; M];
                let (mut a, mut b) = (left.data, panel);
                for _ in 0..k {
                    let mut right = [_mm512_setzero_ps(); V];
                    for (v, right) in right.iter_mut().enumerate() {
                        *right = _mm512_loadu_ps(b.add(LANES * v));
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let left = _mm512_set1_ps(*a.add(i * left.row_stride));
                        for (sum, right) in sums.iter_mut().zip(right) {
                            *sum = $multiply_add(*sum, left, right);
                        }
                    }
                    a = a.add(left.inner_stride);
                    b = b.add(TILE_COLS);
                }
                store(&sums, to);
            }
        }
    };
}

tile!(tile_f32, "avx512f", |sum, a, b| _mm512_fmadd_ps(a, b, sum));
tile!(tile_bf16, "avx512f,avx512bf16", |sum, a, b| {
    _mm512_dpbf16_ps(sum, as_bf16(a), as_bf16(b))
});

/// The same 512 bits.
#[inline(always)]
pub(crate) fn as_bf16(lanes: __m512) -> __m512bh {
    // SAFETY: both are 512 plain bits.
    unsafe { std::mem::transmute(lanes) }
}

/// Part of a tile: inlined into it, so that the sums stay in their registers.
#[inline(always)]
unsafe fn store<const M: usize, const V: usize>(sums: &[[__m512; V]; M], to: Target) {
    // SAFETY: see `tile_f32`.
    unsafe {
        let scale = _mm512_set1_ps(to.scale);
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let place = to.out.add(i * to.row_stride + LANES * v);
                let mask = if v + 1 == V { to.last_mask } else { !0 };
                let mut result = _mm512_mul_ps(*sum, scale);
                if to.add {
                    result = _mm512_add_ps(result, _mm512_maskz_loadu_ps(mask, place));
                }
                _mm512_mask_storeu_ps(place, mask, result);
            }
        }
    }
}

/// The product of one tile, by its number of rows and registers.
pub(crate) fn tile(rows: usize, registers: usize, bf16: bool) -> Tile {
    macro_rules! choose {
        ($name:ident: $($m:literal)*) => {
            match (rows, registers) {
                $(($m, 1) => $name::<$m, 1> as Tile, ($m, 2) => $name::<$m, 2>, ($m, 3) => $name::<$m, 3>,)*
                _ => unreachable!("a tile has at most 8 rows and 3 registers"),
            }
        };
    }
    if bf16 { choose!(tile_bf16: 1 2 3 4 5 6 7 8) } else { choose!(tile_f32: 1 2 3 4 5 6 7 8) }
}

/// The lowest `n` bits.
pub(crate) fn mask(n: usize) -> u16 {
    if n >= LANES { !0 } else { (1 << n) - 1 }
}

/// Packs `k` rows of up to 48 lanes that lie `row_stride` apart.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn pack_rows(
    k: usize,
    cols: usize,
    from: *const f32,
    row_stride: usize,
    panel: *mut f32,
) {
    // SAFETY: the caller vouches for `k` rows of `cols` lanes and a panel of `k` · 48; the rest is masked.
    unsafe {
        let masks: [u16; TILE_COLS / LANES] =
            std::array::from_fn(|v| mask(cols.saturating_sub(LANES * v)));
        for p in 0..k {
            for (v, mask) in masks.iter().enumerate() {
                // An address past the end may not even be computed, though nothing is read there.
                let row = from.wrapping_add(p * row_stride + LANES * v);
                let lanes = _mm512_maskz_loadu_ps(*mask, row);
                // The next panel's, since a row is left before the processor guesses how far it goes.
                _mm_prefetch::<_MM_HINT_T1>(row.wrapping_add(TILE_COLS).cast());
                _mm512_storeu_ps(panel.add(p * TILE_COLS + LANES * v), lanes);
            }
        }
    }
}

/// Packs up to 48 columns whose `k` lanes are contiguous and that lie `col_stride` apart: a transposition.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn pack_cols(
    k: usize,
    cols: usize,
    from: *const f32,
    col_stride: usize,
    panel: *mut f32,
) {
    // SAFETY: the caller vouches for `cols` columns of `k` lanes and a panel of `k` · 48.
    unsafe {
        for v in 0..TILE_COLS / LANES {
            let n = cols.saturating_sub(LANES * v).min(LANES);
            let (from, panel) = (from.wrapping_add(LANES * v * col_stride), panel.add(LANES * v));
            for p in (0..k).step_by(LANES) {
                let (from, panel) = (from.wrapping_add(p), panel.add(p * TILE_COLS));
                let depth = LANES.min(k - p);
                match n.min(depth) {
                    LANES => pack_square(from, col_stride, panel),
                    _ => pack_part_of_square(n, depth, from, col_stride, panel),
                }
            }
        }
    }
}

/// 16 columns of 16 lanes: known in number, they stay in registers.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn pack_square(from: *const f32, col_stride: usize, panel: *mut f32) {
    // SAFETY: see `pack_cols`.
    unsafe {
        let mut square = [_mm512_setzero_ps(); LANES];
        for (i, row) in square.iter_mut().enumerate() {
            let column = from.add(i * col_stride);
            *row = _mm512_loadu_ps(column);
            // The next 16 columns, of which the processor does not guess that they come.
            let ahead = column.wrapping_add(LANES * col_stride);
            _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
        }
        for (q, row) in transpose(square).into_iter().enumerate() {
            _mm512_storeu_ps(panel.add(q * TILE_COLS), row);
        }
    }
}

/// `n` columns of `depth` lanes; the panel's other columns become zeros.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn pack_part_of_square(
    n: usize,
    depth: usize,
    from: *const f32,
    col_stride: usize,
    panel: *mut f32,
) {
    // SAFETY: see `pack_cols`.
    unsafe {
        let mut square = [_mm512_setzero_ps(); LANES];
        for (i, row) in square.iter_mut().enumerate().take(n) {
            *row = _mm512_maskz_loadu_ps(mask(depth), from.add(i * col_stride));
        }
        for (q, row) in transpose(square).into_iter().enumerate().take(depth) {
            _mm512_storeu_ps(panel.add(q * TILE_COLS), row);
        }
    }
}

/// Transposes 16 × 16 lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512; LANES]) -> [__m512; LANES] {
    let mut pairs = [_mm512_setzero_ps(); LANES];
    for i in 0..LANES / 2 {
        pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    // Quarter l of fours[4 i + c] is column 4 l + c of rows 4 i to 4 i + 3.
    let mut fours = [_mm512_setzero_ps(); LANES];
    for i in 0..LANES / 4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|j| _mm512_castps_pd(pairs[4 * i + j]));
        fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    let mut columns = pairs;
    for c in 0..LANES / 4 {
        let even_top = _mm512_shuffle_f32x4::<0x88>(fours[c], fours[4 + c]);
        let odd_top = _mm512_shuffle_f32x4::<0xdd>(fours[c], fours[4 + c]);
        let even_bottom = _mm512_shuffle_f32x4::<0x88>(fours[8 + c], fours[12 + c]);
        let odd_bottom = _mm512_shuffle_f32x4::<0xdd>(fours[8 + c], fours[12 + c]);
        columns[c] = _mm512_shuffle_f32x4::<0x88>(even_top, even_bottom);
        columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd_top, odd_bottom);
        columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even_top, even_bottom);
        columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd_top, odd_bottom);
    }
    columns
}

/// As [`pack_rows`], of 16-bit values: two rows become the two halves of each lane. `k` counts rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) unsafe fn pack_row_pairs(
    k: usize,
    cols: usize,
    from: *const u16,
    row_stride: usize,
    width: usize,
    panel: *mut f32,
) {
    // SAFETY: as for `pack_rows`, with a panel of `k / 2` rounded up rows of `width` lanes.
    unsafe {
        for v in 0..width.div_ceil(LANES) {
            let mask = mask(cols.saturating_sub(LANES * v));
            let store = self::mask(width - LANES * v);
            for p in (0..k).step_by(2) {
                let row = from.wrapping_add(p * row_stride + LANES * v);
                let low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, row.cast()));
                let high = if p + 1 < k {
                    _mm256_maskz_loadu_epi16(mask, row.wrapping_add(row_stride).cast())
                } else {
                    _mm256_setzero_si256()
                };
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
                let lanes = _mm512_castsi512_ps(_mm512_or_si512(low, high));
                let at = panel.wrapping_add(p / 2 * width + LANES * v);
                _mm512_mask_storeu_ps(at, store, lanes);
            }
        }
    }
}

/// Packs `k` rows of up to 8 lanes, contiguous along the rows: the left operand of a transposed product.
#[target_feature(enable = "avx512f,avx512vl")]
pub(crate) unsafe fn pack_left(
    k: usize,
    rows: usize,
    from: *const f32,
    inner_stride: usize,
    panel: *mut f32,
) {
    // SAFETY: as for `pack_rows`, with a panel of `k` · 8.
    unsafe {
        let mask = mask(rows) as u8;
        for p in 0..k {
            let lanes = _mm256_maskz_loadu_ps(mask, from.add(p * inner_stride));
            _mm256_storeu_ps(panel.add(p * TILE_ROWS), lanes);
        }
    }
}
