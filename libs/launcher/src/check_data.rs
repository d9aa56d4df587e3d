//! The data part of `vrft check`: every row as the run will take it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use eyre::{WrapErr, eyre};
use vrft_dataset::{BoxesAre, DataSpace, Dataset, HeldOut, OpenOptions, Picture, Row};
use vrft_processor::Processor;
use vrft_prompts::{Checker, Declared, Prompter, note_negatives};

use crate::graph::Graph;
use crate::print::say;

/// A data set of the configuration.
struct Part<'a> {
    /// The key that names it.
    key: &'a str,
    /// The task of its source, if it is one of several.
    task: Option<&'a str>,
    path: &'a Path,
    options: OpenOptions,
    shots: usize,
}

/// Checks training and held-out data and prints which rows are used; with `all` every picture is decoded.
///
/// # Errors
/// Data that cannot be used, or more bad rows than `data.max_bad_fraction` allows.
pub(crate) fn check_data(graph: &Graph, all: bool) -> eyre::Result<()> {
    let mut policy = graph.config.policy.clone();
    policy.path = graph.checkpoint()?;
    let processor = &Processor::of(&policy)?;
    let (training, held_out) = parts(graph);
    let decoded = Decoded::default();
    let checked = |part: &Part<'_>| checked(graph, processor, part, all, &decoded);
    let learned = training.iter().map(checked).collect::<eyre::Result<Vec<_>>>()?;
    let judged = held_out.iter().map(checked).collect::<eyre::Result<Vec<_>>>()?;
    for (part, (_, read_as)) in held_out.iter().zip(&judged) {
        let is_its = |(other, _): &(&Part, _)| other.task == part.task;
        let learned = training.iter().zip(&learned).find(is_its).map(|(_, (_, read_as))| read_as);
        if let Some(learned) = learned.filter(|learned| differ(read_as, learned)) {
            say!("# warning: {}: {}", part.key, different(read_as, learned));
        }
    }
    let training: Vec<&Dataset> = learned.iter().map(|(dataset, _)| dataset).collect();
    let judged: Vec<(&str, &Dataset)> = held_out
        .iter()
        .map(|part| part.key)
        .zip(judged.iter().map(|(dataset, _)| dataset))
        .collect();
    for sentence in vrft_dataset::shared(&training, &judged) {
        say!("# warning: {sentence}");
    }
    Ok(())
}

/// The data sets of a run, each file once and whole, to see which pictures their rows name; `None` if one cannot be opened.
pub(crate) fn opened(graph: &Graph) -> Option<Vec<Dataset>> {
    let is_divided = graph.config.data.is_divided(&graph.config.evaluation);
    let (training, held_out) = parts(graph);
    let judged = held_out.iter().filter(|part| !is_divided || part.key != HeldOut::TEST);
    let whole = |part: &Part<'_>| {
        let options = OpenOptions { part: None, beside: None, ..part.options.clone() };
        Dataset::open_with(part.path, &options).ok()
    };
    training.iter().chain(judged).map(whole).collect()
}

/// How the places in true answers are read: what they count, and of which pixels they are where EXIF turns pictures.
type ReadAs = (Option<DataSpace>, Option<BoxesAre>);

/// Whether two data sets are read by different conventions. Annotations are in pixels whatever answers in words are in, and
/// where EXIF turns no picture of one of them, it has no convention for those.
fn differ(one: &ReadAs, other: &ReadAs) -> bool {
    let spaces = one.0.zip(other.0);
    let pixels = one.1.zip(other.1);
    spaces.is_some_and(|(one, other)| one != other)
        || spaces.is_some() && pixels.is_some_and(|(one, other)| one != other)
}

/// What came of decoding the pictures that are files: whether they are nearly black.
type Decoded = RefCell<HashMap<PathBuf, Result<bool, String>>>;

/// Level of 256 that no pixel of a picture reaches which is nearly black.
const NEARLY_BLACK: u8 = 32;

/// Whether a picture shows next to nothing.
///
/// # Errors
/// It cannot be decoded.
fn is_black(picture: &Picture) -> Result<bool, String> {
    let pixels = picture.decode().map_err(|error| error.to_string())?;
    Ok(pixels.rgb.iter().all(|level| *level < NEARLY_BLACK))
}

/// That pictures show next to nothing, with the usual reason.
fn note_black(rows: &BTreeSet<(usize, String)>) -> Option<String> {
    let (_, first) = rows.first()?;
    let (n, have) = (
        rows.len(),
        if rows.len() == 1 { "row has a picture that is" } else { "rows have pictures that are" },
    );
    Some(format!(
        "warning: {n} {have} nearly black, as {first}: if it has 16 bits a channel, the upper 8 are shown, and what uses the lower \
         ones, as depth does, is to be scaled to the whole range"
    ))
}

/// That two data sets are read by different conventions.
fn different(judged: &ReadAs, learned: &ReadAs) -> String {
    let told = |(space, boxes_are): &ReadAs| {
        let space = space.map(DataSpace::name);
        let parts = space.into_iter().chain(boxes_are.map(BoxesAre::name));
        parts.collect::<Vec<_>>().join(", ")
    };
    format!(
        "places in its true answers are read as {}, those of what is learned from as {}: data.space and data.boxes_are \
         declare one for both",
        told(judged),
        told(learned)
    )
}

/// What is learned from, and what is judged on.
fn parts(graph: &Graph) -> (Vec<Part<'_>>, Vec<Part<'_>>) {
    let data = &graph.config.data;
    let evaluation = &graph.config.evaluation;
    let mut training = Vec::new();
    if data.sources.is_empty() {
        let options = data.options_to_learn(None, evaluation);
        let path = &data.train;
        training.push(Part { key: "data.train", task: None, path, options, shots: data.shots });
    }
    for source in &data.sources {
        let task = Some(source.task.as_str());
        training.push(Part {
            key: "data.sources.train",
            task,
            path: &source.train,
            options: data.options_to_learn(task, evaluation),
            shots: source.shots,
        });
    }
    let held_out = vrft_dataset::held_out(data, evaluation)
        .into_iter()
        .map(|HeldOut { key, task, path, options }| Part { key, task, path, options, shots: 0 });
    (training, held_out.collect())
}

fn checked(
    graph: &Graph,
    processor: &Processor,
    part: &Part<'_>,
    all: bool,
    decoded: &Decoded,
) -> eyre::Result<(Dataset, ReadAs)> {
    let config = &graph.config;
    let Part { key, task, path, options, shots } = part;
    let data = &config.data;
    let is_learned = key.ends_with(".train");
    let declared = if is_learned {
        Declared::learned(data, *task)
    } else {
        Declared::judged(data, &config.evaluation, *task)
    };
    let reward = task.map_or(&config.rewards.shared, |task| config.rewards.of(task));
    let dataset = Dataset::open_with(path, options).wrap_err_with(|| (*key).to_owned())?;
    let of_tools = config.rollout.tools.as_ref().map_or("", |tools| &tools.instructions);
    let prompter = Prompter::of_data(reward, &config.policy.system, &dataset, data, declared)
        .wrap_err_with(|| (*key).to_owned())?
        .with_tools(of_tools);
    let checker = Checker::new(processor, config.rollout.max_completion_tokens);
    // Rows share pictures, and so do the parts of a data set.
    let decode = |picture: &Picture| match picture.path() {
        None => is_black(picture),
        Some(path) => {
            let known = decoded.borrow().get(path).cloned();
            known.unwrap_or_else(|| {
                let found = is_black(picture);
                decoded.borrow_mut().insert(path.to_owned(), found.clone());
                found
            })
        }
    };
    let black = RefCell::new(BTreeSet::new());
    let check = |row: &Row| {
        checker.check(&prompter, row)?;
        let pictures = row.pictures.iter().enumerate().filter(|_| all);
        for (idx, picture) in pictures {
            if decode(picture).map_err(|error| format!("image {idx}: {error}"))? {
                black.borrow_mut().insert((row.origin.row, row.origin.place()));
            }
        }
        Ok(())
    };
    let max_bad_fraction = data.max_bad_fraction;
    let dataset = dataset.check_rest(check).retain_valid(check, max_bad_fraction);
    let dataset = dataset.map_err(|error| eyre!("{key}: {error}"))?;
    let dataset = dataset.shots(*shots, config.run.seed, max_bad_fraction);
    let dataset =
        dataset.map_err(|error| eyre!("{key}, of which data.shots are drawn: {error}"))?;
    let dataset = if *key == "data.train" {
        let class = |row: &Row| prompter.class(row);
        dataset.shots_per_class(data.class_shots(), config.run.seed, class)?
    } else {
        dataset
    };
    let summary = dataset.summary(dataset.len());
    let mut notes = prompter.notes().to_vec();
    notes.extend(checker.note(reward));
    notes.extend(checker.note_length(&prompter, &dataset));
    notes.extend(note_negatives(data, &dataset).filter(|_| is_learned));
    let mut black = black.into_inner();
    // Rows of the other part were looked at too.
    let used: BTreeSet<usize> = dataset.iter().map(|row| row.origin.row).collect();
    black.retain(|(row, _)| used.contains(row));
    notes.extend(note_black(&black));
    for (number, line) in summary.iter().chain(&notes).enumerate() {
        say!("# {}{line}", if number == 0 { format!("{key}: ") } else { "  ".to_owned() });
    }
    // What cannot differ is not compared.
    let is_turned =
        dataset.iter().any(|row| row.pictures.iter().any(|picture| picture.is_turned()));
    let is_read = prompter.space().filter(|space| *space == DataSpace::Pixels && is_turned);
    let read_as = (prompter.space(), is_read.map(|_| prompter.boxes_are()));
    Ok((dataset, read_as))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_show_nothing_are_told_from_others() {
        let of = |levels: [u8; 2]| {
            let image =
                image::GrayImage::from_fn(4, 4, |x, _| image::Luma([levels[x as usize % 2]]));
            let mut png = std::io::Cursor::new(Vec::new());
            image.write_to(&mut png, image::ImageFormat::Png).unwrap();
            is_black(&Picture::of_bytes(png.into_inner()).unwrap()).unwrap()
        };
        assert_eq!([of([0, 4]), of([250, 250]), of([16, 40])], [true, false, false]);
        assert_eq!(note_black(&BTreeSet::new()), None);
        let told = note_black(&BTreeSet::from([(3, "row 3".to_owned())])).unwrap();
        assert!(
            told.starts_with("warning: 1 row has a picture that is nearly black, as row 3:"),
            "{told}"
        );
    }

    #[test]
    fn only_what_both_data_sets_have_can_differ() {
        let read = |space, boxes_are| (Some(space), boxes_are);
        let (pixels, thousandths) = (DataSpace::Pixels, DataSpace::Thousandths);
        let (stored, displayed) = (Some(BoxesAre::Stored), Some(BoxesAre::Displayed));
        assert!(!differ(&read(pixels, None), &read(pixels, stored)));
        assert!(differ(&read(pixels, displayed), &read(pixels, stored)));
        assert!(differ(&read(thousandths, None), &read(pixels, stored)));
        assert!(!differ(&(None, None), &read(pixels, stored)));
    }
}
