//! The task that somebody's rows are for: what an answer is, in which coordinates, and why.

use std::collections::BTreeSet;

use eyre::{WrapErr, bail};
use vrft_dataset::{DataSpace, Dataset, Question, Row, Truth};
use vrft_processor::Processor;
use vrft_prompts::{asked, own_space, resized};
use vrft_reward::answers::{AnswerKind, BoxesAnswer, ItemKeys};
use vrft_reward::config::{AnswerConfig, RewardConfig};
use vrft_reward::{Example, Geometry, Space, infer_names, proposed_in, usual_reward};

use super::proposal::{N_LOOKED_AT, says_its_form};

/// Most classes that may be numbers: what has more values is measured or counted.
const MAX_NUMBERED: usize = 100;

/// The task of these rows.
///
/// # Errors
/// It cannot be inferred.
pub(super) fn of(dataset: &Dataset, processor: &Processor) -> eyre::Result<Task> {
    let own = own_space(processor).unwrap_or_default();
    if dataset.iter().all(|row| matches!(row.truth, Truth::Boxes(_))) {
        let has_words = dataset.iter().any(|row| matches!(row.question, Question::Turns(_)));
        let asked = if has_words { "by the rows" } else { "one category at a time" };
        return Ok(annotated(processor, own, asked));
    }
    if dataset.iter().all(|row| row.question == Question::Class) {
        return classes(dataset);
    }
    inferred(dataset, processor, own)
}

/// A task, why it is that, and what its coordinates count.
pub(super) type Task = (RewardConfig, String, Option<(DataSpace, String)>);

/// Annotated boxes, in the form that the model was trained to answer in.
fn annotated(processor: &Processor, own: Space, asked: &str) -> Task {
    let reason = |form: &str| format!("annotated boxes, asked for {asked}, {form}");
    let Some(keys) = processor.coordinates().item_keys else {
        return (RewardConfig::default(), reason("as Visual-RFT does"), None);
    };
    let (place, label) = (keys.place.to_owned(), keys.label.to_owned());
    let keys = ItemKeys { place, label, ..ItemKeys::default() };
    let kind = BoxesAnswer { space: own, keys, ..BoxesAnswer::default() };
    let answer =
        AnswerConfig { nothing: "None".to_owned(), ..AnswerConfig::of(AnswerKind::Boxes(kind)) };
    (usual_reward(answer), reason("in the form that this model was trained to give"), None)
}

/// The kind of answer by its looks, in the coordinates of the model.
fn inferred(dataset: &Dataset, processor: &Processor, own: Space) -> eyre::Result<Task> {
    let rows: Vec<Looked> = dataset.iter().take(N_LOOKED_AT).filter_map(Looked::at).collect();
    let examples: Vec<Example> = rows.iter().map(Looked::example).collect();
    let proposal = vrft_reward::infer(&examples).wrap_err(
        "the task cannot be inferred from these rows; --reward FILE takes one of configs/rewards/, or your own",
    )?;
    let mut config = proposal.config;
    let space = proposal.space.map(|guess| {
        let of_data = match guess.space {
            Space::Thousandths => DataSpace::Thousandths,
            Space::Unit => DataSpace::Unit,
            Space::Percent => DataSpace::Percent,
            Space::Pixels => DataSpace::Pixels,
        };
        let doubt = if guess.is_doubtful { ". Look at a picture to be sure" } else { "" };
        (of_data, format!("{}{doubt}", guess.reason))
    });
    // Outlines are never in pixels, and a question that names thousandths would contradict pixels.
    let is_region = config.answer.kind.geometry() == Some(Geometry::Region);
    let says_its_form = dataset.iter().take(N_LOOKED_AT).any(says_its_form);
    let asked = if space.is_some() { asked_space(dataset, processor)? } else { None };
    let answered_in = match asked {
        Some((Space::Pixels, _)) if is_region => None,
        Some((asked, _)) => Some(asked),
        None if says_its_form || is_region && own == Space::Pixels => None,
        None => Some(own),
    };
    if let (Some(answered_in), Some(_)) = (answered_in, &space) {
        config = proposed_in(config, answered_in, mean_seen_side(dataset, processor));
    }
    let by_words = asked.and_then(|(_, data)| data);
    let space = space.map(|(space, reason)| match by_words {
        Some(told) => (told, "the questions say of which size the pictures are".to_owned()),
        None => (space, reason),
    });
    Ok((config, proposal.reason, space))
}

/// Mean side of the pictures as the model sees them, in pixels; `None` where it sees none.
fn mean_seen_side(dataset: &Dataset, processor: &Processor) -> Option<f64> {
    let first = dataset.iter().take(N_LOOKED_AT).filter_map(|row| row.pictures.first());
    let seen = first.filter_map(|picture| resized(processor, picture.header().displayed()).ok());
    let sides: Vec<f64> = seen.map(|(w, h)| f64::from(w + h) / 2.0).collect();
    (!sides.is_empty()).then(|| sides.iter().sum::<f64>() / sides.len() as f64)
}

/// What is looked at of a row.
struct Looked<'a> {
    place: String,
    question: String,
    solution: &'a str,
    /// How far places in the first picture may reach.
    size: Option<[u32; 2]>,
}

impl<'a> Looked<'a> {
    /// `None` for a row whose true answer is not in words.
    fn at(row: &'a Row) -> Option<Self> {
        let Truth::Text(solution) = &row.truth else { return None };
        let question = row.question.words().unwrap_or_default();
        let size = row.pictures.first().map(|picture| picture.header().reach());
        Some(Self { place: row.origin.place(), question, solution, size })
    }

    fn example(&self) -> Example<'_> {
        let Self { place, question, solution, size } = self;
        Example { place, question, solution, size: *size }
    }

    fn is_whole_number(&self) -> bool {
        self.solution.trim().parse::<i32>().is_ok()
    }
}

/// Pictures with a class each, whatever the classes are called.
///
/// # Errors
/// Numbers that are no classes.
fn classes(dataset: &Dataset) -> eyre::Result<Task> {
    let rows: Vec<Looked> = dataset.iter().filter_map(Looked::at).collect();
    let distinct: BTreeSet<&str> = rows.iter().map(|row| row.solution.trim()).collect();
    let are_numbers = distinct.iter().all(|class| class.parse::<f64>().is_ok());
    let are_whole = rows.iter().all(Looked::is_whole_number);
    if are_numbers && (!are_whole || distinct.len() > MAX_NUMBERED) {
        let first = rows.iter().find(|row| !row.is_whole_number()).unwrap_or(&rows[0]);
        bail!(
            "the column of classes holds numbers, as {:?} in {}, that are measured or counted: write the question into a \
             column \"problem\" and the number into \"solution\"",
            first.solution,
            first.place
        );
    }
    let examples: Vec<Example> = rows.iter().map(Looked::example).collect();
    let proposal = infer_names(&examples)?;
    let remedy = if are_whole {
        "; the classes are called by their numbers, which --classes FILE (data.classes) gives names"
    } else {
        ""
    };
    Ok((proposal.config, format!("each picture has a class{remedy}"), None))
}

/// What all questions ask for coordinates in, where they say so: answers are paid in that. With it the space of the data,
/// where the questions tell that too.
///
/// # Errors
/// Pixels of another picture than the model sees.
fn asked_space(
    dataset: &Dataset,
    processor: &Processor,
) -> eyre::Result<Option<(Space, Option<DataSpace>)>> {
    let rows = || dataset.iter().take(N_LOOKED_AT);
    let of_row = |row: &Row| asked(&row.question.words()?);
    let Some(first) = dataset.iter().next().and_then(of_row) else { return Ok(None) };
    if !rows().all(|row| of_row(row).is_some_and(|asked| asked.space == first.space)) {
        return Ok(None);
    }
    let mut data = None;
    for row in rows() {
        let named = of_row(row).and_then(|asked| asked.size);
        let (Some(named), Some(picture)) = (named, row.pictures.first()) else { continue };
        let displayed = picture.header().displayed();
        let Ok(seen) = resized(processor, displayed) else { continue };
        let in_words = |(width, height): (u32, u32)| format!("{width} x {height}");
        if named != seen {
            bail!(
                "{}: its question asks for pixels of a picture of {}, but the model sees it scaled from {} to {}, and answers \
                 cannot be scored in other pixels than those: take these words out of the questions (what an answer looks \
                 like is said behind each question), or ask for thousandths or percent",
                row.origin.place(),
                in_words(named),
                in_words(displayed),
                in_words(seen)
            );
        }
        if named != displayed {
            data = Some(DataSpace::Resized);
        }
    }
    Ok(Some((first.space, data)))
}
