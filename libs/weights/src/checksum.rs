//! BLAKE3 of weights: as strong as SHA-256, and with all cores several times as fast as a file is written.
//!
//! `b3sum` prints the same digits; `benches/publish.rs` measures.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use blake3::Hasher;

/// Bytes of a file that are hashed at once.
const BLOCK: usize = 8 << 20;

/// Checksum of pieces one after the other.
pub(crate) fn of_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Hasher::new();
    for piece in pieces {
        hash.update_rayon(piece);
    }
    hash.finalize().to_hex().to_string()
}

/// Checksum of a file, read in blocks.
pub(crate) fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Hasher::new();
    let mut block = Vec::new();
    loop {
        block.clear();
        match (&mut file).take(BLOCK as u64).read_to_end(&mut block)? {
            0 => return Ok(hash.finalize().to_hex().to_string()),
            _ => _ = hash.update_rayon(&block),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /* The published test vectors of BLAKE3: the hash of nothing. */
    const NOTHING: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn the_published_digest_of_nothing() {
        assert_eq!(of_pieces(std::iter::empty()), NOTHING);
    }

    #[test]
    fn pieces_and_a_file_have_the_checksum_of_the_whole() {
        let whole: Vec<u8> = (0..BLOCK + 100_000).map(|i| (i * i % 251) as u8).collect();
        let (head, tail) = whole.split_at(70_001);
        let expected = blake3::hash(&whole).to_hex().to_string();
        assert_eq!(of_pieces([head, tail].into_iter()), expected);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &whole).unwrap();
        assert_eq!(of_file(file.path()).unwrap(), expected);
    }
}
