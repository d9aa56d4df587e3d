//! Which files are pictures, by the endings of their names: for whoever lists a folder, or looks for a picture whose name is known
//! but for its ending.

use std::path::Path;

/// Endings of the formats that are decoded, in small letters; those first that most pictures have.
const DECODED: [&str; 17] = [
    "jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "jfif", "jpe", "ppm", "pgm", "pbm",
    "pnm", "pam", "apng", "dib",
];
/// Endings of other formats: such a file is a picture that is not read, and must not go missing without a word.
const OTHERS: [&str; 18] = [
    "heic", "heif", "hif", "avif", "jp2", "j2k", "jpx", "jpf", "jxl", "svg", "psd", "ico", "tga",
    "pcx", "exr", "dds", "xcf", "dcm",
];
/// Endings of what cameras write. Many of these files are TIFF, of which the first picture is but a small preview.
const RAW: [&str; 22] = [
    "dng", "nef", "nrw", "cr2", "cr3", "crw", "arw", "sr2", "srf", "srw", "orf", "rw2", "rwl",
    "raf", "pef", "3fr", "erf", "kdc", "dcr", "mrw", "x3f", "iiq",
];

/// The ending of a file's name in small letters.
fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Whether a file is called as a picture, be it of a format that is decoded or not.
pub fn is_picture(path: &Path) -> bool {
    DECODED.contains(&ending(path).as_str()) || not_decoded(path).is_some()
}

/// The ending of a picture of a format that is not decoded.
pub fn not_decoded(path: &Path) -> Option<String> {
    let ending = ending(path);
    let is_one = OTHERS.contains(&ending.as_str()) || RAW.contains(&ending.as_str());
    is_one.then_some(ending)
}

/// Whether a file is called as those of cameras are.
pub fn is_raw(path: &Path) -> bool {
    RAW.contains(&ending(path).as_str())
}

/// The names that the file of a picture may have of which a list or another file has all but the ending.
pub fn names(stem: &str) -> impl Iterator<Item = String> {
    let endings = DECODED.iter().flat_map(|ending| [(*ending).to_owned(), ending.to_uppercase()]);
    endings.map(move |ending| format!("{stem}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_pictures_in_any_case_of_letters() {
        let is = |name: &str| (is_picture(Path::new(name)), not_decoded(Path::new(name)).is_some());
        for name in ["a.jpg", "a.JPEG", "b/a.Tiff", "a.tif", "a.GIF", "a.jfif", "a.jpe", "a.ppm"] {
            assert_eq!(is(name), (true, false), "{name}");
        }
        for name in ["a.HEIC", "a.avif", "a.jp2", "a.svg", "a.psd", "a.dng", "a.CR2"] {
            assert_eq!(is(name), (true, true), "{name}");
        }
        for name in ["a.txt", "labels.csv", ".DS_Store", "Thumbs.db", "jpg", "a.xml", "a.npy"] {
            assert_eq!(is(name), (false, false), "{name}");
        }
        let names: Vec<String> = names("1 2012.05").take(2).collect();
        assert_eq!(names, ["1 2012.05.jpg", "1 2012.05.JPG"]);
    }
}
