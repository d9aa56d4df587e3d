//! Luminance and color apart, as cameras and OpenCV deliver them, to RGB.

/// One layout of Y, U and V.
#[derive(Clone, Copy)]
pub(crate) struct Convert {
    /// Bytes per two pixels: 3 for 4:2:0, 4 for 4:2:2.
    bytes_per_pair: usize,
    /// Indices of Y, U and V of a pixel: (x, y, width, height).
    at: fn(usize, usize, usize, usize) -> [usize; 3],
}

/// All Y, then a quarter as many U, then V: OpenCV's I420.
pub(crate) const YUV420: Convert = Convert {
    bytes_per_pair: 3,
    at: |x, y, width, height| {
        let n = width * height;
        let color = y / 2 * (width / 2) + x / 2;
        [y * width + x, n + color, n + n / 4 + color]
    },
};

/// All Y, then U and V in turns.
pub(crate) const NV12: Convert = Convert {
    bytes_per_pair: 3,
    at: |x, y, width, height| {
        let color = width * height + y / 2 * width + x / 2 * 2;
        [y * width + x, color, color + 1]
    },
};

/// Y U Y V: what most webcams send.
pub(crate) const YUYV: Convert = Convert {
    bytes_per_pair: 4,
    at: |x, y, width, _| {
        let row = y * width * 2;
        [row + x * 2, row + x / 2 * 4 + 1, row + x / 2 * 4 + 3]
    },
};

impl Convert {
    pub(crate) fn n_bytes(self, width: usize, height: usize) -> usize {
        width * height * self.bytes_per_pair / 2
    }

    /// Needs [`Convert::n_bytes`] bytes and even sides.
    pub(crate) fn to_rgb(self, bytes: &[u8], width: usize, height: usize) -> Vec<u8> {
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let [luma, u, v] = (self.at)(x, y, width, height).map(|at| i32::from(bytes[at]));
                rgb.extend(color(luma, u, v));
            }
        }
        rgb
    }
}

/// BT.601 with luminance from 16 to 235, as OpenCV converts; 20 bits of fraction.
fn color(luma: i32, u: i32, v: i32) -> [u8; 3] {
    let (luma, u, v) = (1_220_542 * (luma - 16).max(0), u - 128, v - 128);
    let round = |value: i32| ((value + (1 << 19)) >> 20).clamp(0, 255) as u8;
    [
        round(luma + 1_673_527 * v),
        round(luma - 409_993 * u - 852_492 * v),
        round(luma + 2_116_026 * u),
    ]
}
