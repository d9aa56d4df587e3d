//! XXH3 of weights, which finds damage at the speed of memory. Against forgery links have TLS.
//!
//! A file is summed in chunks on all cores: 128 bits of each, and of those again. The header and every tensor begin
//! a new chunk, so that one is summed where it was read, while it is still in the cache.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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

/// Bytes of a file that are in memory at a time while it is summed.
const READ: usize = 32 * CHUNK;

/// Checksum of any file, 32 hexadecimal digits, read piece by piece.
///
/// # Errors
/// A file that cannot be read.
pub fn sum_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut piece, mut sums) = (Vec::with_capacity(READ), Vec::new());
    while file.by_ref().take(READ as u64).read_to_end(&mut piece)? > 0 {
        sums.extend(of_piece(&piece));
        piece.clear();
    }
    Ok(of_file(sums))
}

/// Checksum of bytes, as [`sum_of_file`] gives that of a file which holds them.
pub fn sum_of(bytes: &[u8]) -> String {
    of_file(of_piece(bytes))
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

    #[test]
    fn a_file_is_summed_as_its_bytes_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        for n_bytes in [0, 5, CHUNK, READ, READ + CHUNK + 3] {
            let bytes: Vec<u8> = (0..n_bytes).map(|n| (n % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(sum_of_file(&path).unwrap(), sum_of(&bytes), "{n_bytes}");
        }
        assert!(sum_of_file(&folder.path().join("nowhere")).is_err());
    }
}
