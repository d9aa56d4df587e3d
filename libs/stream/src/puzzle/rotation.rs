//! Rotation: by how many degrees was the picture turned?

use image::RgbImage;
use image::imageops::{rotate90, rotate180, rotate270};
use rand::Rng;

use super::picture::{all_differ, square};
use super::{FORMAT, Parts};

pub(crate) fn make(frame: &RgbImage, n_quarters: usize, rng: &mut impl Rng) -> Option<Parts> {
    let upright = square(frame, 1, rng)?;
    let turned = [rotate90(&upright), rotate180(&upright), rotate270(&upright)];
    let [quarter, half, three_quarters] = turned;
    let views = [upright, quarter, half, three_quarters];
    if !all_differ(&views) {
        return None;
    }
    let question = format!(
        "This picture was turned clockwise by 0, 90, 180 or 270 degrees. By how many degrees?\n{FORMAT} \
         The answer is one of these four numbers."
    );
    let image = views.into_iter().nth(n_quarters)?;
    Some((vec![image], question, (90 * n_quarters).to_string()))
}
