//! XXH3 of weights, which finds damage at the speed of memory. Against forgery links have TLS.
//!
//! A file is summed in chunks on all cores: 128 bits of each, and of those again. The header and every tensor begin
//! a new chunk, so that one is summed where it was read, while it is still in the cache.

use rayon::prelude::*;
use twox_hash::XxHash3_128;

/// Bytes of a chunk; the last of a piece has what is left.
pub(crate) const CHUNK: usize = 1 << 20;

/// Sum of one chunk.
pub(crate) fn of_chunk(chunk: &[u8]) -> u128 {
    XxHash3_128::oneshot(chunk)
}

/// The sums of the header's or a tensor's chunks.
pub(crate) fn of_piece(piece: &[u8]) -> Vec<u128> {
    piece.par_chunks(CHUNK).map(of_chunk).collect()
}

/// Checksum of a file, in hexadecimal, from those of its chunks.
pub(crate) fn of_file(chunks: impl IntoIterator<Item = u128>) -> String {
    let bytes: Vec<u8> = chunks.into_iter().flat_map(u128::to_le_bytes).collect();
    format!("{:032x}", XxHash3_128::oneshot(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_digest_of_nothing() {
        assert_eq!(of_file([]), "99aa06d3014798d86001c324468d497f");
    }

    #[test]
    fn chunks_are_summed_in_their_order() {
        let piece: Vec<u8> = (0..CHUNK + 70_001).map(|i| (i * i % 251) as u8).collect();
        let [first, second] = of_piece(&piece)[..] else { panic!("two chunks") };
        assert_eq!((first, second), (of_chunk(&piece[..CHUNK]), of_chunk(&piece[CHUNK..])));
        assert_ne!(of_file([first, second]), of_file([second, first]));
    }
}
