//! Files as pyarrow compresses them, which is how most data sets are published.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;

use vrft_dataset::{Dataset, Truth};

/// The three rows that the script beside the files writes.
#[track_caller]
fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codecs").join(file);
    let dataset = Dataset::open(&path).unwrap();
    let truths: Vec<&Truth> = dataset.iter().map(|row| &row.truth).collect();
    let expected = ["0", "40", "80"].map(|shade| Truth::Text(shade.into()));
    assert_eq!(truths, expected.iter().collect::<Vec<_>>(), "{file}");
    for (row, shade) in dataset.iter().zip([0, 40, 80]) {
        assert_eq!(row.pictures[0].decode().unwrap().rgb, vec![shade; 12], "{file}");
    }
}

#[test]
fn parquet_of_every_codec_is_read() {
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"] {
        check(&format!("{codec}.parquet"));
    }
}

#[test]
fn compressed_feather_is_read() {
    for codec in ["uncompressed", "lz4", "zstd"] {
        check(&format!("{codec}.feather"));
    }
}

#[test]
fn a_file_without_rows_is_empty_and_not_damaged() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codecs/no-rows.parquet");
    let error = Dataset::open(&path).unwrap_err().to_string();
    assert!(error.contains("it has no rows"), "{error}");
}
