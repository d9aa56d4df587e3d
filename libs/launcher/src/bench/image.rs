//! Images of noise, the same in every run.

/// An uncompressed BMP file of `pixels` × `pixels` random colors.
pub(crate) fn noise(pixels: u32, seed: u64) -> Vec<u8> {
    const HEADER: u32 = 54;
    let row_len = (3 * pixels).next_multiple_of(4);
    let mut file = Vec::new();
    file.extend(b"BM");
    for value in [HEADER + row_len * pixels, 0, HEADER, 40, pixels, pixels] {
        file.extend(value.to_le_bytes());
    }
    file.extend(1u16.to_le_bytes()); // planes
    file.extend(24u16.to_le_bytes()); // bits of a pixel
    for value in [0, row_len * pixels, 2835, 2835, 0, 0u32] {
        file.extend(value.to_le_bytes());
    }
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    file.extend((0..row_len * pixels).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    }));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_announces_the_whole_file() {
        for pixels in [28, 30, 448] {
            let file = noise(pixels, 7);
            let announced = u32::from_le_bytes([file[2], file[3], file[4], file[5]]);
            assert_eq!(announced as usize, file.len());
        }
    }
}
