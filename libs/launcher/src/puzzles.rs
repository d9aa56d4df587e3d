//! `vrft puzzles`: rows whose answers are known from the pictures themselves, made of files; a camera makes the same while
//! it runs ([`vrft_stream::StreamConfig`]).
//!
//! The puzzles are those of Puzzle Curriculum GRPO (arXiv 2512.14944), and one of ours. Each kind gets files of its own,
//! since each has a reward of its own.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use eyre::{WrapErr, ensure, eyre};
use image::RgbImage;
use serde_json::json;
use vrft_dataset::{Dataset, OpenOptions, Order, Picture, Row};
use vrft_stream::{N_CHOICES, Puzzle, PuzzleKind, Sizes, make_by_seed, shrink};
use vrft_vision::endings;

use crate::print::{remark, say};

#[derive(Args)]
pub(crate) struct PuzzlesOptions {
    /// Folder of pictures, or a data set whose pictures are taken.
    #[arg(value_name = "DIR|FILE")]
    pictures: PathBuf,
    /// Folder to write: `KIND-train.jsonl` and `KIND-test.jsonl` for each kind, and their pictures.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Kinds of puzzles: rotation, patchfit, jigsaw, spot.
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_value = "rotation,patchfit,jigsaw", value_parser = kind)]
    kinds: Vec<PuzzleKind>,
    /// Rows x columns of jigsaws, drawn for each where there are several, as in 2x2,2x3,3x3: 2 to 9 tiles.
    #[arg(long, value_name = "ROWSxCOLUMNS", value_delimiter = ',', default_value = "2x2", value_parser = jigsaw)]
    jigsaws: Vec<[u32; 2]>,
    /// Wrong pieces beside the right one of a patchfit, drawn for each where there are several, as in 3,5,7: 1 to 7.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "3", value_parser = decoys)]
    decoys: Vec<usize>,
    /// Questions of each kind about each picture.
    #[arg(long, value_name = "N", default_value_t = 1)]
    questions: u64,
    /// Share of the pictures whose questions are judged on; 0 for none.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    hold_out: f64,
    /// Pictures are scaled down to this longest side, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 448)]
    max_side: u32,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn kind(text: &str) -> Result<PuzzleKind, String> {
    let found = PuzzleKind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| "expected rotation, patchfit, jigsaw or spot".to_owned())
}

fn jigsaw(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once('x').and_then(|(rows, columns)| {
        Some([rows.parse::<u32>().ok()?, columns.parse::<u32>().ok()?])
    });
    sides
        .filter(|sides| Sizes::is_jigsaw(*sides))
        .ok_or_else(|| "expected rows x columns with 2 to 9 tiles, as in 2x3".to_owned())
}

fn decoys(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| Sizes::are_decoys(*n));
    number.ok_or_else(|| "expected 1 to 7 wrong pieces".to_owned())
}

/// Makes the rows and says how many.
///
/// # Errors
/// No picture that can be read, or that makes any puzzle; files that are there already or cannot be written.
pub(crate) fn puzzles(options: &PuzzlesOptions) -> eyre::Result<()> {
    let PuzzlesOptions { questions, hold_out, max_side, seed, .. } = *options;
    ensure!(questions > 0, "--questions = 0: expected 1 or more");
    ensure!((0.0..1.0).contains(&hold_out), "--hold-out = {hold_out}: expected a share below 1");
    ensure!((16..=4096).contains(&max_side), "--max-side = {max_side}: expected 16 to 4096 pixels");
    let kinds: BTreeSet<PuzzleKind> = options.kinds.iter().copied().collect();
    ensure!(kinds.len() == options.kinds.len(), "--kinds: a kind is named twice");
    let pictures = opened(&options.pictures)?;
    let n_held_out = held_out(hold_out, pictures.len())?;
    let order = Order::new(pictures.len(), seed);
    let (judged, learned): (Vec<usize>, Vec<usize>) =
        (0..pictures.len()).partition(|idx| (0..n_held_out as u64).any(|k| order.index(k) == *idx));
    let choices = Order::new(N_CHOICES, seed);
    let makers: Vec<Maker<'_>> =
        options.kinds.iter().map(|kind| Maker { options, kind: *kind, choices }).collect();
    for maker in &makers {
        for part in ["train", "test"] {
            let file = maker.file(part);
            ensure!(!file.exists(), "{file:?} is there already: name another folder, or remove it");
        }
    }
    for maker in &makers {
        for (part, which) in [("train", &learned), ("test", &judged)] {
            if !which.is_empty() {
                let pictures: Vec<&Source> = which.iter().map(|idx| &pictures[*idx]).collect();
                maker.write(part, &pictures)?;
            }
        }
    }
    for maker in &makers {
        let file = maker.file("train");
        say!("Then: vrft new mine --data {} --reward {}", file.display(), maker.reward());
    }
    Ok(())
}

/// How many of so many pictures are judged on.
fn held_out(share: f64, n_pictures: usize) -> eyre::Result<usize> {
    if share == 0.0 {
        return Ok(0);
    }
    ensure!(
        n_pictures > 1,
        "--hold-out = {share}: there is one picture alone; with --hold-out 0 it is learned from"
    );
    Ok(((share * n_pictures as f64).round() as usize).clamp(1, n_pictures - 1))
}

/// A picture to make puzzles of, which is decoded when it is needed.
struct Source {
    name: String,
    picture: Arc<Picture>,
}

/// The pictures of a folder in the order of their names, or of the rows of a data set, each once.
fn opened(path: &Path) -> eyre::Result<Vec<Source>> {
    let files = if path.is_dir() { picture_files(path)? } else { Vec::new() };
    if files.is_empty() {
        let dataset = Dataset::open_with(path, &OpenOptions::default())
            .wrap_err_with(|| format!("{path:?} is no folder of pictures"))?;
        let mut known = HashSet::new();
        let of_row = dataset.iter().flat_map(|row| row.pictures.iter().map(move |p| (row, p)));
        let new = of_row.filter(|(_, picture)| known.insert(Arc::as_ptr(picture)));
        let source = |(row, picture): (&Row, &Arc<Picture>)| Source {
            name: row.origin.place(),
            picture: Arc::clone(picture),
        };
        return Ok(new.map(source).collect());
    }
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        match Picture::open(&file) {
            Ok(picture) => {
                let name = file.display().to_string();
                sources.push(Source { name, picture: Arc::new(picture) });
            }
            Err(why) => remark!("{why}; left out"),
        }
    }
    ensure!(!sources.is_empty(), "{path:?} has no picture that can be read");
    Ok(sources)
}

fn picture_files(folder: &Path) -> eyre::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).wrap_err_with(|| format!("{folder:?}"))?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.is_file() && endings::is_picture(file));
    files.sort();
    Ok(files)
}

impl Source {
    /// The upright picture with its longest side at most this long.
    fn pixels(&self, max_side: u32) -> eyre::Result<RgbImage> {
        let pixels = self.picture.decode()?;
        let (width, height) = (u32::try_from(pixels.width)?, u32::try_from(pixels.height)?);
        let image = RgbImage::from_raw(width, height, pixels.rgb);
        Ok(shrink(image.ok_or_else(|| eyre!("too few pixels"))?, max_side))
    }
}

/// Makes the rows of one kind.
struct Maker<'a> {
    options: &'a PuzzlesOptions,
    kind: PuzzleKind,
    /// Which answer is the right one: of four questions in a row, each has another one.
    choices: Order,
}

impl Maker<'_> {
    /// The file of the rows to learn from, or of those to be judged on.
    fn file(&self, part: &str) -> PathBuf {
        self.options.out.join(format!("{}-{part}.jsonl", self.kind.name()))
    }

    /// The shipped reward that reads the answers.
    fn reward(&self) -> String {
        match self.kind {
            PuzzleKind::Spot => "configs/rewards/visual-rft/detection.toml".to_owned(),
            other => format!("configs/rewards/puzzles/{}.toml", other.name()),
        }
    }

    /// Writes the questions about some pictures; other pieces come from among the same.
    fn write(&self, part: &str, pictures: &[&Source]) -> eyre::Result<()> {
        let name = self.kind.name();
        let file = self.file(part);
        let folder = self.options.out.join(format!("{name}-{part}"));
        std::fs::create_dir_all(&folder).wrap_err_with(|| format!("{folder:?}"))?;
        let mut lines = Vec::new();
        let (mut n_made, mut plain) = (0_u64, Vec::new());
        for (idx, source) in pictures.iter().enumerate() {
            for question in 0..self.options.questions {
                let number = idx as u64 * self.options.questions + question;
                let puzzle = match self.make(pictures, idx, number, n_made) {
                    Ok(Some(puzzle)) => puzzle,
                    Ok(None) => {
                        plain.push(source.name.as_str());
                        continue;
                    }
                    Err(why) => {
                        remark!("{}: {why:#}; left out", source.name);
                        break;
                    }
                };
                n_made += 1;
                let row = self.row(&folder, part, number, &puzzle, &source.name)?;
                writeln!(lines, "{row}")?;
            }
        }
        ensure!(
            n_made > 0,
            "no picture of {} makes a {name}: each is too small or too plain, so that several answers would be right",
            pictures.len()
        );
        std::fs::write(&file, lines).wrap_err_with(|| format!("cannot write {file:?}"))?;
        say!("{}: {n_made} rows about {} pictures", file.display(), pictures.len());
        if let Some(first) = plain.first() {
            say!(
                "  {} questions could not be made, as of {first}: the picture is too small or too plain for a {name}",
                plain.len()
            );
        }
        Ok(())
    }

    /// The puzzle of this number about a picture; `None` if that makes none.
    ///
    /// # Errors
    /// A picture that cannot be decoded.
    fn make(
        &self,
        pictures: &[&Source],
        idx: usize,
        number: u64,
        nth: u64,
    ) -> eyre::Result<Option<Puzzle>> {
        let PuzzlesOptions { jigsaws, decoys, max_side, seed, .. } = self.options;
        let frame = pictures[idx].pixels(*max_side)?;
        let step = 1 + number as usize % (pictures.len() - 1).max(1);
        let other = pictures[(idx + step) % pictures.len()].pixels(*max_side);
        // Of a picture that cannot be read it is said where it is asked about.
        let other = other.unwrap_or_else(|_| frame.clone());
        let sizes = Sizes { jigsaws: jigsaws.clone(), decoys: decoys.clone() };
        let choice = self.choices.index(nth);
        Ok(make_by_seed(self.kind, &frame, &other, choice, &sizes, [*seed, number]))
    }

    /// Writes the pictures of a puzzle, and gives its row.
    fn row(
        &self,
        folder: &Path,
        part: &str,
        number: u64,
        puzzle: &Puzzle,
        source: &str,
    ) -> eyre::Result<serde_json::Value> {
        let name = self.kind.name();
        let mut images = Vec::with_capacity(puzzle.images.len());
        for (idx, image) in puzzle.images.iter().enumerate() {
            let file = format!("{number:05}-{idx}.png");
            let path = folder.join(&file);
            image.save(&path).wrap_err_with(|| format!("cannot write {path:?}"))?;
            images.push(format!("{name}-{part}/{file}"));
        }
        let Puzzle { size, question, answer, .. } = puzzle;
        let of_size = if size.is_empty() { String::new() } else { format!("-{size}") };
        Ok(json!({
            "id": format!("{name}{of_size}-{number}"),
            "images": images,
            "problem": question,
            "solution": answer,
            "puzzle": name,
            "size": size,
            "source": source,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_others_refused() {
        assert_eq!(jigsaw("2x3"), Ok([2, 3]));
        for wrong in ["2x5", "1x1", "3", "x", "2X2", "-1x4"] {
            assert!(jigsaw(wrong).is_err(), "{wrong}");
        }
        assert_eq!((decoys("7"), decoys("8").is_err()), (Ok(7), true));
        assert_eq!(kind("spot"), Ok(PuzzleKind::Spot));
        assert!(kind("puzzle").is_err());
    }

    #[test]
    fn some_pictures_are_judged_on_and_some_are_left() {
        assert_eq!(held_out(0.2, 10).unwrap(), 2);
        assert_eq!(held_out(0.2, 2).unwrap(), 1);
        assert_eq!(held_out(0.9, 2).unwrap(), 1);
        assert_eq!(held_out(0.0, 1).unwrap(), 0);
        assert!(held_out(0.2, 1).is_err());
    }
}
