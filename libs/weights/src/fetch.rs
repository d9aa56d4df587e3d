//! Fetching: from a published file to tensors, or a clear word on what is wrong with it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use candle_core::Tensor;

use crate::store::of_file;
use crate::{PolicyAnnouncement, WeightsError, file, in_place};

/// Reads the weights of a version, on the CPU, after its size and checksum were found right.
pub fn fetch(version: &PolicyAnnouncement) -> Result<HashMap<String, Tensor>, WeightsError> {
    let (path, file) = open(version)?;
    let read = file::read(&file, version.bytes);
    let (tensors, checksum) = read.map_err(|error| of_file("read", error, path))?;
    check_checksum(version, path, checksum)?;
    Ok(tensors)
}

/// Reads the weights of a version into the memory of these tensors; false, and nothing is read, unless it holds just such tensors,
/// and they lie on the CPU in f32 or bf16.
///
/// The checksum is known only when all has been read: after an error the tensors hold anything.
pub fn fetch_into(
    version: &PolicyAnnouncement,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<bool, WeightsError> {
    let (path, file) = open(version)?;
    let read = in_place::read_into(tensors, &file, version.bytes);
    match read.map_err(|error| of_file("read", error, path))? {
        None => Ok(false),
        Some(checksum) => check_checksum(version, path, checksum).map(|()| true),
    }
}

/// The file of a version, which has its size.
fn open(version: &PolicyAnnouncement) -> Result<(&Path, File), WeightsError> {
    let path = Path::new(&version.location);
    let file = File::open(path).map_err(WeightsError::io("read", path))?;
    let bytes = file.metadata().map_err(WeightsError::io("read", path))?.len();
    check_size(version, path, bytes)?;
    Ok((path, file))
}

pub(crate) fn check_size(
    version: &PolicyAnnouncement,
    path: &Path,
    got: u64,
) -> Result<(), WeightsError> {
    if got == version.bytes {
        return Ok(());
    }
    let path = path.to_owned();
    let expected = version.bytes;
    Err(WeightsError::Size { path, version: version.version, expected, got })
}

pub(crate) fn check_checksum(
    version: &PolicyAnnouncement,
    path: &Path,
    got: String,
) -> Result<(), WeightsError> {
    if got == version.checksum {
        return Ok(());
    }
    let path = path.to_owned();
    let expected = version.checksum.clone();
    Err(WeightsError::Checksum { path, version: version.version, expected, got })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use candle_core::Device;

    use super::*;
    use crate::Store;

    fn published() -> (tempfile::TempDir, PolicyAnnouncement) {
        let dir = tempfile::tempdir().unwrap();
        let tensor = Tensor::arange(0f32, 6., &Device::Cpu).unwrap();
        let tensors = BTreeMap::from([("w".to_owned(), tensor)]);
        let version = Store::new(dir.path()).unwrap().publish(1, &tensors).unwrap();
        (dir, version)
    }

    fn refused(damage: impl FnOnce(&str), expect: &str) {
        let (_dir, version) = published();
        damage(&version.location);
        let place = Tensor::zeros(6, candle_core::DType::F32, &Device::Cpu).unwrap();
        let places = BTreeMap::from([("w".to_owned(), place)]);
        let errors = [fetch(&version).map(drop), fetch_into(&version, &places).map(drop)];
        for error in errors.map(|result| result.unwrap_err().to_string()) {
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn what_is_published_is_fetched() {
        let (_dir, version) = published();
        let tensors = fetch(&version).unwrap();
        assert_eq!(tensors["w"].to_vec1::<f32>().unwrap(), [0., 1., 2., 3., 4., 5.]);
    }

    #[test]
    fn a_missing_file_is_named() {
        refused(|path| fs::remove_file(path).unwrap(), "cannot read");
    }

    #[test]
    fn a_truncated_file_is_refused() {
        let cut = |path: &str| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        };
        refused(cut, "bytes for policy version 1, got");
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        let flip = |path: &str| {
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        };
        refused(flip, "is damaged: policy version 1 has checksum");
    }
}
