//! Whether a JPEG is all there: decoders fill what is missing with gray, and gray would be trained on.

const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Whether these bytes start as a JPEG and stop before its end marker.
pub(crate) fn breaks_off(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(&START_OF_IMAGE) else { return false };
    while let Some((marker, after)) = next_marker(rest) {
        if marker == END_OF_IMAGE {
            return false;
        }
        // A segment's length counts itself. Pixels follow the header of a scan without a length of their own.
        let Some(&[high, low]) = after.first_chunk::<2>() else { return true };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(next) = after.get(length..) else { return true };
        rest = if marker == START_OF_SCAN { skip_pixels(next) } else { next };
    }
    true
}

/// The marker that comes next and what follows it; any number of 0xff may stand before one.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let start = bytes.iter().position(|&byte| byte == 0xff)?;
    let padded = &bytes[start..];
    let code = padded.iter().position(|&byte| byte != 0xff)?;
    Some((padded[code], &padded[code + 1..]))
}

/// From the next marker on that is neither an escaped 0xff (0) nor a restart (0xd0 to 0xd7).
fn skip_pixels(bytes: &[u8]) -> &[u8] {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    let end = bytes.windows(2).position(is_marker);
    &bytes[end.unwrap_or(bytes.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, a comment that holds an end marker, a scan with an escape and a restart, end.
    const WHOLE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, 0xd9, 0xff, 0xff, 0xda, 0, 3, 1, 7, 0xff, 0, 0xff,
        0xd0, 8, 0xff, 0xd9,
    ];

    #[test]
    fn only_the_whole_file_is_whole() {
        assert!(!breaks_off(WHOLE));
        for n_bytes in 2..WHOLE.len() {
            assert!(breaks_off(&WHOLE[..n_bytes]), "{n_bytes} bytes");
        }
    }

    #[test]
    fn what_follows_the_end_does_not_matter() {
        assert!(!breaks_off(&[WHOLE, b"trailing"].concat()));
    }

    #[test]
    fn other_formats_are_not_judged() {
        assert!(!breaks_off(b"\x89PNG"));
        assert!(!breaks_off(b""));
    }
}
