//! Pictures of a bright square on dark ground, and where it is.

use std::path::Path;

/// Width and height of each picture.
pub const SIDE: usize = 128;

/// Corners of the square on a picture, in pixels.
pub fn corners(idx: usize) -> [usize; 4] {
    let at = idx % 8;
    [10 + 9 * at, 80 - 8 * at, 42 + 9 * at, 112 - 8 * at]
}

/// Writes a picture as `<idx>.bmp` and gives its name. No two of up to 1600 are the same.
pub fn write(folder: &Path, idx: usize) -> String {
    let [x1, y1, x2, y2] = corners(idx);
    let dark = 32 + (idx / 8) as u8;
    // The head of a BMP, then its rows from the last to the first.
    let n_bytes = (3 * SIDE * SIDE) as u32;
    let mut bmp = b"BM".to_vec();
    bmp.extend([54 + n_bytes, 0, 54, 40, SIDE as u32, SIDE as u32].map(u32::to_le_bytes).concat());
    bmp.extend([1, 0, 24, 0]);
    bmp.extend([0, n_bytes, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    for y in (0..SIDE).rev() {
        let inside = |x: &usize| (x1..x2).contains(x) && (y1..y2).contains(&y);
        bmp.extend((0..SIDE).flat_map(|x| [if inside(&x) { 255_u8 } else { dark }; 3]));
    }
    let name = format!("{idx}.bmp");
    std::fs::write(folder.join(&name), bmp).expect("a folder that can be written");
    name
}

/// The true answer about a picture, in thousandths.
pub fn solution(idx: usize) -> String {
    let position = corners(idx).map(|corner| corner * 1000 / SIDE);
    format!("<answer>[{{'Position': {position:?}, 'Confidence': 1}}]</answer>")
}

/// Rows in a file of this name beside their pictures, which are numbered from `first` on.
pub fn rows(folder: &Path, name: &str, numbers: std::ops::Range<usize>, problem: &str) -> String {
    let line = |idx: usize| {
        let row = serde_json::json!({
            "image": write(folder, idx), "problem": problem, "solution": solution(idx),
        });
        row.to_string()
    };
    let file = folder.join(name);
    let lines = numbers.map(line).collect::<Vec<String>>().join("\n");
    std::fs::write(&file, lines).expect("a folder that can be written");
    file.display().to_string()
}
