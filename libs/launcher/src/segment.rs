//! `vrft segment`: masks of boxes by the Segment Anything Model, on one picture or on all that a file of predictions is about.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use eyre::{WrapErr, ensure, eyre};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};
use vrft_score::mask::Mask;
use vrft_score::reasoning::{Found, predictions};
use vrft_segment::{Segment, SegmentConfig, Segmenter};
use vrft_vision::{Pixels, endings};

use crate::print::say;

/// Color of the first mask, the second and so on in a drawn picture.
const COLORS: [[u8; 3]; 6] =
    [[255, 64, 64], [64, 200, 255], [255, 220, 0], [96, 255, 96], [255, 96, 255], [255, 160, 32]];

/// Which model, which boxes.
#[derive(Args)]
#[group(skip)]
#[command(group(ArgGroup::new("segmented").required(true).args(["image", "predictions"])))]
pub(crate) struct SegmentOptions {
    /// SAM: a folder in transformers' layout, a model of the hub, or a safetensors file with the authors' names.
    #[arg(long, value_name = "DIR", default_value = "facebook/sam-vit-base")]
    checkpoint: PathBuf,
    /// Take the best of three masks that SAM proposes, instead of the one that it has for prompts without doubt.
    #[arg(long)]
    best_of_three: bool,
    /// A picture.
    #[arg(long, value_name = "FILE", requires = "boxes")]
    image: Option<PathBuf>,
    /// A box on it: two corners in pixels; may be repeated.
    #[arg(long, value_name = "X1,Y1,X2,Y2", value_parser = corners, allow_hyphen_values = true, conflicts_with = "predictions")]
    boxes: Vec<[f64; 4]>,
    /// Write the picture with its masks in color, in the format that the name says (.png, .jpg, .webp, .bmp, .tiff).
    #[arg(long, value_name = "FILE", conflicts_with = "predictions")]
    draw: Option<PathBuf>,
    /// Print masks as COCO's run lengths, with the overlap that SAM expects.
    #[arg(long, conflicts_with = "predictions")]
    json: bool,
    /// Boxes on many pictures: predictions-LABEL.jsonl of a run, or a JSON list (or lines) of `image` with `bbox`.
    #[arg(long, value_name = "FILE", requires = "images", requires = "out")]
    predictions: Option<PathBuf>,
    /// The folder of these pictures.
    #[arg(long, value_name = "FOLDER", conflicts_with = "image")]
    images: Option<PathBuf>,
    /// Write a line for each prediction: `image` and `mask`, as `vrft score --reasonseg` takes them. Several boxes are one mask.
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    out: Option<PathBuf>,
}

/// Makes masks, and prints or writes them.
///
/// # Errors
/// A model, a picture or a file of predictions that cannot be used.
pub(crate) fn segment(options: &SegmentOptions) -> eyre::Result<()> {
    let drawn_as = options.draw.as_deref().map(vrft_answer::drawn_as).transpose();
    let drawn_as = drawn_as.map_err(|why| eyre!("--draw {why}"))?;
    let config =
        SegmentConfig { model: options.checkpoint.clone(), best_of_three: options.best_of_three };
    match (&options.predictions, &options.images, &options.out, &options.image) {
        (Some(predictions), Some(images), Some(out), _) => {
            // Read first: a wrong file should not cost the loading of a model.
            let asked = read(predictions, images)?;
            of_predictions(&load(&config)?, &asked, out)
        }
        (.., Some(image)) => {
            let pixels = decode(image)?;
            of_picture(&load(&config)?, image, &pixels, options, drawn_as)
        }
        _ => Err(eyre!("expected --image with --boxes, or --predictions with --images and --out")),
    }
}

fn load(config: &SegmentConfig) -> eyre::Result<Segmenter> {
    Segmenter::load(config).wrap_err("--checkpoint")
}

fn decode(path: &Path) -> eyre::Result<Pixels> {
    let picture = vrft_answer::Picture::open(path)?;
    vrft_vision::decode(&picture.file).wrap_err_with(|| format!("{path:?}"))
}

fn of_picture(
    segmenter: &Segmenter,
    image: &Path,
    pixels: &Pixels,
    options: &SegmentOptions,
    drawn_as: Option<ImageFormat>,
) -> eyre::Result<()> {
    let seen = segmenter.look(pixels)?;
    let boxes = &options.boxes;
    let segments =
        segmenter.segment(&seen, boxes).wrap_err_with(|| format!("--boxes on {image:?}"))?;
    if let Some((path, format)) = options.draw.as_ref().zip(drawn_as) {
        let file = drawn(pixels, &segments, format)?;
        std::fs::write(path, file).wrap_err_with(|| format!("--draw: cannot write {path:?}"))?;
    }
    if options.json {
        let rows = boxes.iter().zip(&segments).map(|(corners, segment)| {
            json!({"bbox": corners, "iou": segment.iou, "area": segment.mask.area(), "mask": rle(&segment.mask)})
        });
        say!("{}", serde_json::to_string_pretty(&rows.collect::<Vec<Value>>())?);
        return Ok(());
    }
    for ([x1, y1, x2, y2], segment) in boxes.iter().zip(&segments) {
        let share = segment.mask.area() as f64 / (pixels.width * pixels.height) as f64;
        say!(
            "box {x1} {y1} {x2} {y2}: {} pixels, {:.1} % of the picture, expected overlap {:.2}",
            segment.mask.area(),
            100.0 * share,
            segment.iou
        );
    }
    Ok(())
}

/// A prediction, and the file of its picture.
struct Asked {
    found: Found,
    picture: PathBuf,
    /// Where the prediction stands in its file, from 0.
    index: usize,
}

/// The predictions of a file with their pictures.
fn read(path: &Path, images: &Path) -> eyre::Result<Vec<Asked>> {
    let text = std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read {path:?}"))?;
    let found = predictions(&text).wrap_err_with(|| format!("{path:?}"))?;
    ensure!(!found.is_empty(), "{path:?} has no predictions");
    ensure!(images.is_dir(), "--images {images:?}: no such folder");
    let mut seen = BTreeSet::new();
    let asked = found.into_iter().enumerate().map(|(index, found)| {
        let at = || format!("{path:?}, prediction {index}");
        let picture = picture_of(&found, images).wrap_err_with(at)?;
        ensure!(
            seen.insert(picture.clone()),
            "{}: it is the second for {picture:?}; ask one question for each picture \
             (evaluation.first_question = true)",
            at()
        );
        Ok(Asked { found, picture, index })
    });
    asked.collect()
}

/// The picture of a prediction.
fn picture_of(found: &Found, images: &Path) -> eyre::Result<PathBuf> {
    let [name, stem] = found.names();
    let names = endings::names(name).chain(endings::names(stem));
    let mut candidates =
        std::iter::once(name.to_owned()).chain(names).map(|name| images.join(name));
    candidates.find(|path| path.is_file()).ok_or_else(|| {
        eyre!(
            "there is no picture {name:?} in {images:?}; a second question about a picture (NAME-1) has no mask of its own: \
             evaluation.first_question = true asks one"
        )
    })
}

fn of_predictions(segmenter: &Segmenter, asked: &[Asked], out: &Path) -> eyre::Result<()> {
    let file = std::fs::File::create(out).wrap_err_with(|| format!("cannot write {out:?}"))?;
    let mut lines = std::io::BufWriter::new(file);
    let mut n_boxes = 0;
    for Asked { found, picture, index } in asked {
        let at = || format!("prediction {index}, {picture:?}");
        let pixels = decode(picture)?;
        let boxes = found.boxes(pixels.width, pixels.height).map_err(|why| eyre!(why));
        let boxes = boxes.wrap_err_with(at)?;
        // A policy may say a box that encloses nothing; it finds nothing by it.
        let boxes: Vec<[f64; 4]> =
            boxes.into_iter().filter(|corners| is_on(corners, &pixels)).collect();
        let mut whole = Mask::empty(pixels.width, pixels.height);
        if !boxes.is_empty() {
            let segments =
                segmenter.segment(&segmenter.look(&pixels)?, &boxes).wrap_err_with(at)?;
            segments.iter().for_each(|segment| whole.add(&segment.mask));
        }
        n_boxes += boxes.len();
        let image = picture.file_name().unwrap_or_default().to_string_lossy();
        let line = json!({"image": image, "mask": rle(&whole)});
        writeln!(lines, "{line}").wrap_err_with(|| format!("cannot write {out:?}"))?;
    }
    lines.flush().wrap_err_with(|| format!("cannot write {out:?}"))?;
    say!("{} pictures, {n_boxes} boxes with masks: {}", asked.len(), out.display());
    Ok(())
}

/// Whether a box has pixels of the picture in it.
fn is_on([x1, y1, x2, y2]: &[f64; 4], pixels: &Pixels) -> bool {
    let (width, height) = (pixels.width as f64, pixels.height as f64);
    x1 < x2 && y1 < y2 && *x2 > 0.0 && *y2 > 0.0 && *x1 < width && *y1 < height
}

/// COCO's form of a mask.
fn rle(mask: &Mask) -> Value {
    json!({"size": [mask.height, mask.width], "counts": mask.packed_runs()})
}

/// The picture with half of each mask's color over it.
fn drawn(pixels: &Pixels, segments: &[Segment], format: ImageFormat) -> eyre::Result<Vec<u8>> {
    let mut rgb = pixels.rgb.clone();
    for (segment, color) in segments.iter().zip(COLORS.iter().cycle()) {
        let inside = segment.mask.pixels().iter().zip(rgb.chunks_exact_mut(3));
        for (_, pixel) in inside.filter(|(is_inside, _)| **is_inside) {
            pixel.iter_mut().zip(color).for_each(|(a, b)| *a = a.midpoint(*b));
        }
    }
    let image = RgbImage::from_raw(pixels.width as u32, pixels.height as u32, rgb)
        .ok_or_else(|| eyre!("a picture without pixels"))?;
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format)?;
    Ok(file.into_inner())
}

/// Four numbers with commas, or spaces, between them.
fn corners(text: &str) -> Result<[f64; 4], String> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let numbers: Option<Vec<f64>> =
        parts.map(|part| part.parse().ok().filter(|number: &f64| number.is_finite())).collect();
    let numbers = numbers.and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
    let numbers = numbers.filter(|[x1, y1, x2, y2]| x1 < x2 && y1 < y2);
    numbers.ok_or_else(|| {
        "expected x1,y1,x2,y2 in pixels, the left upper corner and the right lower one".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../segment/tests/golden/sam")
    }

    /// Two pictures with a true rectangle each, as ReasonSeg has them: x from 10 to 29, y from 5 to 24.
    fn reasonseg(folder: &Path) -> Value {
        let text = std::fs::read_to_string(model().join("expected.json")).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        let points = json!([[10, 5], [29, 5], [29, 24], [10, 24]]);
        let truth = json!({"text": ["what?"], "shapes": [{"label": "target", "points": points}]});
        for case in golden.as_array().unwrap() {
            let picture = case["picture"].as_str().unwrap();
            std::fs::copy(model().join(picture), folder.join(picture)).unwrap();
            let name = Path::new(picture).with_extension("json");
            std::fs::write(folder.join(name), truth.to_string()).unwrap();
        }
        golden
    }

    /// IoU of the rectangle with what transformers' SAM makes of the first box.
    fn expected_iou(case: &Value) -> f64 {
        let runs: Vec<usize> = serde_json::from_value(case["masks"][0].clone()).unwrap();
        let height = case["size"][1].as_u64().unwrap() as usize;
        let (mut both, mut either, mut place) = (0, 0, 0);
        for (number, run) in runs.iter().enumerate() {
            for at in place..place + run {
                let (x, y) = (at / height, at % height);
                let inside = (10..30).contains(&x) && (5..25).contains(&y);
                both += usize::from(inside && number % 2 == 1);
                either += usize::from(inside || number % 2 == 1);
            }
            place += run;
        }
        both as f64 / either as f64
    }

    fn segmented(folder: &Path, lines: &str) -> eyre::Result<PathBuf> {
        let (predictions, out) = (folder.join("predictions.jsonl"), folder.join("masks.jsonl"));
        std::fs::write(&predictions, lines).unwrap();
        let options = SegmentOptions {
            checkpoint: model(),
            best_of_three: false,
            image: None,
            boxes: vec![],
            draw: None,
            json: false,
            predictions: Some(predictions),
            images: Some(folder.to_owned()),
            out: Some(out.clone()),
        };
        segment(&options).map(|()| out)
    }

    #[test]
    fn boxes_become_masks_become_giou() {
        let folder = tempfile::tempdir().unwrap();
        let golden = reasonseg(folder.path());
        let cases = golden.as_array().unwrap();
        let expected = cases.iter().map(expected_iou).sum::<f64>() / 2.0;
        let giou = |lines: String| {
            let masks = segmented(folder.path(), &lines).unwrap();
            let score = crate::score::of_masks(folder.path(), &masks, true).unwrap();
            serde_json::from_str::<Value>(&score).unwrap()["gIoU"].as_f64().unwrap()
        };
        // In pixels, as any program has them.
        let line =
            |case: &Value| json!({"image": case["picture"], "bbox": case["boxes"][0]}).to_string();
        let got = giou(cases.iter().map(line).collect::<Vec<_>>().join("\n"));
        assert!(expected > 0.05 && (got - expected).abs() < 1e-12, "{got} instead of {expected}");
        // In thousandths, as the evaluator of a run writes them.
        let line = |case: &Value| {
            let side = |idx: usize| case["size"][idx % 2].as_f64().unwrap();
            let corners: Vec<f64> = (0..4)
                .map(|idx| case["boxes"][0][idx].as_f64().unwrap() * 1000.0 / side(idx))
                .collect();
            let name = case["picture"].as_str().unwrap().trim_end_matches(".png");
            json!({"sample_id": name, "completion": "c", "iou": 1, "truth": [[1, 2, 3, 4]], "sample": 0,
                   "predicted": [{"bbox": corners, "confidence": 1}], "extent": [1000, 1000]})
            .to_string()
        };
        let got = giou(cases.iter().map(line).collect::<Vec<_>>().join("\n"));
        assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
        // An answer without a box, or with one that is nowhere, finds nothing.
        let first = json!({"image": "wide", "bbox": [0, 0, 0, 0]});
        assert_eq!(giou(format!("{first}\n{}", json!({"image": "tall.png"}))), 0.0);
    }

    #[test]
    fn a_prediction_that_cannot_be_meant_is_named_before_the_model_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        reasonseg(folder.path());
        let refused = |lines: &str, words: &str| {
            let error = format!("{:#}", segmented(folder.path(), lines).unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        refused("{\"image\": \"wide-1\"}", "prediction 0: there is no picture \"wide-1\"");
        refused(
            "{\"image\": \"wide\"}\n{\"image\": \"wide.png\"}",
            "prediction 1: it is the second for",
        );
        refused("{\"image\": 3}", "line 1: invalid type");
        refused("", "has no predictions");
        let rle = "{\"image\": \"wide\", \"mask\": {\"size\": [37, 50], \"counts\": [1850]}}";
        refused(rle, "it has a mask or an outline already, expected boxes");
    }

    #[test]
    fn a_box_is_two_corners() {
        assert_eq!(corners("1,2.5,30,40"), Ok([1.0, 2.5, 30.0, 40.0]));
        assert_eq!(corners("-4, 0, 3, 1"), Ok([-4.0, 0.0, 3.0, 1.0]));
        for wrong in ["1,2,3", "1,2,3,4,5", "3,2,1,4", "a,b,c,d", "0,0,nan,1", ""] {
            assert!(corners(wrong).unwrap_err().contains("x1,y1,x2,y2"), "{wrong}");
        }
    }
}
