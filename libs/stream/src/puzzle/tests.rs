//! Each puzzle is solved by doing what its answer says.

use image::imageops::{crop_imm, replace, rotate90};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::testing::scene;

fn puzzles(kind: PuzzleKind) -> Vec<Puzzle> {
    sized(kind, &Sizes::default())
}

fn sized(kind: PuzzleKind, sizes: &Sizes) -> Vec<Puzzle> {
    let (frame, other) = (scene(1, 160, 96), scene(2, 160, 96));
    let make = |seed: u64| {
        let choice = (seed % 4) as usize;
        make(kind, &frame, &other, choice, sizes, &mut ChaCha8Rng::seed_from_u64(seed))
    };
    let puzzles: Vec<Puzzle> = (0..80).filter_map(make).collect();
    assert!(puzzles.len() > 60, "{}", puzzles.len());
    puzzles
}

fn answer(puzzle: &Puzzle) -> &str {
    puzzle.answer.strip_prefix("<answer>").unwrap().strip_suffix("</answer>").unwrap()
}

#[test]
fn a_rotation_is_undone_by_turning_on() {
    let mut answers = std::collections::BTreeSet::new();
    for puzzle in puzzles(PuzzleKind::Rotation) {
        let degrees: usize = answer(&puzzle).parse().unwrap();
        answers.insert(degrees);
        let [image] = &puzzle.images[..] else { panic!("one picture") };
        assert_eq!(image.width(), image.height());
        let upright =
            (0..(360 - degrees) / 90 % 4).fold(image.clone(), |image, _| rotate90(&image));
        let frame = scene(1, 160, 96);
        let found = (0..=64).any(|x| crop_imm(&frame, x, 0, 96, 96).to_image() == upright);
        assert!(found, "{degrees}");
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), [0, 90, 180, 270]);
}

#[test]
fn the_right_piece_makes_the_picture_whole() {
    let mut letters = std::collections::BTreeSet::new();
    for puzzle in puzzles(PuzzleKind::PatchFit) {
        letters.insert(answer(&puzzle).to_owned());
        let right = usize::from(answer(&puzzle).as_bytes()[0] - b'A');
        let [picture, pieces @ ..] = &puzzle.images[..] else { panic!("five pictures") };
        assert_eq!(pieces.len(), 4);
        let (x, y) = hole(picture);
        let frame = scene(1, 160, 96);
        let fits = |piece: &RgbImage| {
            let mut whole = picture.clone();
            replace(&mut whole, piece, x.into(), y.into());
            (0..=64).any(|x| crop_imm(&frame, x, 0, 96, 96).to_image() == whole)
        };
        let fitting: Vec<bool> = pieces.iter().map(fits).collect();
        assert_eq!(fitting.iter().filter(|fits| **fits).count(), 1);
        assert!(fitting[right]);
    }
    assert_eq!(letters.len(), 4);
}

fn hole(picture: &RgbImage) -> (u32, u32) {
    let side = picture.width() / 3;
    let gray = |x, y| picture.get_pixel(x, y).0 == [128; 3];
    let places = (0..=2 * side).flat_map(|y| (0..=2 * side).map(move |x| (x, y)));
    let is_hole = |&(x, y): &(u32, u32)| {
        (0..side).all(|n| gray(x + n, y) && gray(x, y + n) && gray(x + n, y + n))
    };
    places.into_iter().find(is_hole).unwrap()
}

#[test]
fn a_jigsaw_is_put_together_by_its_answer() {
    let mut answers = std::collections::BTreeSet::new();
    for puzzle in puzzles(PuzzleKind::Jigsaw) {
        answers.insert(answer(&puzzle).to_owned());
        let shown = &puzzle.images[0];
        let tile = shown.width() / 2;
        let mut whole = RgbImage::new(shown.width(), shown.height());
        for (place, number) in answer(&puzzle).split(',').enumerate() {
            let from = number.parse::<u32>().unwrap() - 1;
            let piece = crop_imm(shown, from % 2 * tile, from / 2 * tile, tile, tile).to_image();
            let place = place as u32;
            replace(&mut whole, &piece, (place % 2 * tile).into(), (place / 2 * tile).into());
        }
        let frame = scene(1, 160, 96);
        assert!((0..=64).any(|x| crop_imm(&frame, x, 0, 96, 96).to_image() == whole));
    }
    assert!(answers.len() > 15, "{answers:?}");
}

/// By its number of tiles, each size is put together by its answer.
#[test]
fn jigsaws_of_several_sizes_are_put_together_by_their_answers() {
    let sizes = Sizes { jigsaws: vec![[1, 2], [2, 3], [3, 3], [3, 1]], ..Sizes::default() };
    let mut counts = std::collections::BTreeMap::new();
    for puzzle in sized(PuzzleKind::Jigsaw, &sizes) {
        let numbers: Vec<u32> =
            answer(&puzzle).split(',').map(|number| number.parse().unwrap()).collect();
        let [rows, columns] = *sizes
            .jigsaws
            .iter()
            .find(|[rows, columns]| rows * columns == numbers.len() as u32)
            .unwrap();
        *counts.entry([rows, columns]).or_insert(0) += 1;
        assert!(puzzle.question.contains(&format!("{rows} rows of {columns} tiles")));
        let shown = &puzzle.images[0];
        let (width, height) = (shown.width() / columns, shown.height() / rows);
        let corner = |n: u32| (n % columns * width, n / columns * height);
        let mut whole = RgbImage::new(shown.width(), shown.height());
        for (place, number) in (0..).zip(numbers) {
            let ((from_x, from_y), (x, y)) = (corner(number - 1), corner(place));
            let piece = crop_imm(shown, from_x, from_y, width, height).to_image();
            replace(&mut whole, &piece, x.into(), y.into());
        }
        let side = whole.width();
        let frame = scene(1, 160, 96);
        let is_part = |(x, y)| crop_imm(&frame, x, y, side, side).to_image() == whole;
        let places = (0..=160 - side).flat_map(|x| (0..=96 - side).map(move |y| (x, y)));
        assert!(places.into_iter().any(is_part));
    }
    assert_eq!(counts.len(), 4, "{counts:?}");
}

#[test]
fn patches_have_as_many_decoys_as_is_said() {
    let sizes = Sizes { decoys: vec![3, 5, 7], ..Sizes::default() };
    let frames = (scene(1, 160, 96), scene(2, 160, 96));
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let made = make(PuzzleKind::PatchFit, &frames.0, &frames.1, 0, &sizes, &mut rng);
        let Some(puzzle) = made else { continue };
        let n = puzzle.images.len() - 1;
        let letter = answer(&puzzle).as_bytes()[0];
        assert!(usize::from(letter - b'A') < n, "{letter} of {n}");
        *counts.entry(n).or_insert(0) += 1;
    }
    assert_eq!(counts.into_keys().collect::<Vec<_>>(), [4, 6, 8]);
}

#[test]
fn outside_the_spot_the_frame_is_as_it_was() {
    let frame = scene(1, 160, 96);
    let views: Vec<RgbImage> =
        (0..=64).map(|x| crop_imm(&frame, x, 0, 96, 96).to_image()).collect();
    for puzzle in puzzles(PuzzleKind::Spot) {
        let inside = answer(&puzzle).split_once(": [").unwrap().1.split_once(']').unwrap().0;
        let [x1, y1, x2, y2]: [f64; 4] = inside
            .split(", ")
            .map(|n| n.parse().unwrap())
            .collect::<Vec<f64>>()
            .try_into()
            .unwrap();
        let is_inside = |x: u32, y: u32| {
            let (u, v) = ((f64::from(x) + 0.5) / 0.096, (f64::from(y) + 0.5) / 0.096);
            u > x1 && u < x2 && v > y1 && v < y2
        };
        let changed = |view: &RgbImage| {
            let pixels = puzzle.images[0].enumerate_pixels();
            pixels
                .filter(|(x, y, pixel)| *pixel != view.get_pixel(*x, *y))
                .map(|(x, y, _)| (x, y))
                .collect::<Vec<_>>()
        };
        let changed = views.iter().map(changed).min_by_key(Vec::len).unwrap();
        assert!(changed.iter().all(|&(x, y)| is_inside(x, y)));
        let n_inside = (0..96)
            .flat_map(|y| (0..96).map(move |x| (x, y)))
            .filter(|&(x, y)| is_inside(x, y))
            .count();
        assert!(changed.len() * 2 > n_inside, "{} of {n_inside}", changed.len());
    }
}

#[test]
fn the_right_answer_is_the_one_that_was_chosen() {
    let (frame, other) = (scene(1, 160, 96), scene(2, 160, 96));
    for (kind, answers) in [
        (PuzzleKind::Rotation, ["0", "90", "180", "270"]),
        (PuzzleKind::PatchFit, ["A", "B", "C", "D"]),
    ] {
        for (choice, expected) in answers.iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let puzzle = make(kind, &frame, &other, choice, &Sizes::default(), &mut rng).unwrap();
            assert_eq!(answer(&puzzle), *expected);
        }
    }
}

#[test]
fn a_plain_frame_makes_no_puzzle() {
    let plain = RgbImage::from_pixel(160, 96, image::Rgb([90; 3]));
    let tiny = scene(1, 9, 7);
    for kind in [PuzzleKind::Rotation, PuzzleKind::PatchFit, PuzzleKind::Jigsaw, PuzzleKind::Spot] {
        for frame in [&plain, &tiny] {
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            assert_eq!(make(kind, frame, frame, 0, &Sizes::default(), &mut rng), None);
        }
    }
}

#[test]
fn the_same_seed_is_the_same_puzzle() {
    assert_eq!(puzzles(PuzzleKind::PatchFit), puzzles(PuzzleKind::PatchFit));
}
