//! Stanford Cars as its authors publish it: structures of MATLAB, with the names of the classes in the same file or beside it.

use std::path::Path;

use super::content;
use super::labeled::Labeled;
use super::mat::{Array, MatFile};
use crate::{DatasetError, OpenOptions};

/// The file of the names of the classes, where the annotations do not have them.
const META: &str = "cars_meta.mat";

/// What a file of annotations is, for errors.
const WHAT: &str = "annotations of Stanford Cars";

/// A record of `annotations`, by the field names of the files.
struct Car<'a> {
    picture: &'a str,
    /// Counts from 1.
    class: f64,
    is_test: Option<bool>,
}

/// The pictures of a split with the names of their classes (numbers, where `data.classes` names them), and the folder of the
/// pictures where their names do not say it: pictures of both splits are called alike.
pub(super) fn read(
    path: &Path,
    file: &MatFile,
    split: Option<&str>,
    options: &OpenOptions,
) -> Result<(Vec<Labeled>, Option<&'static str>), DatasetError> {
    let cars = cars(path, file)?;
    let is_marked = cars.iter().all(|car| car.is_test.is_some());
    let is_test = wanted(path, split, is_marked)?;
    let names = if options.selection.classes.is_some() { None } else { Some(names(path, file)?) };
    let folder = if is_test { "cars_test" } else { "cars_train" };
    let chosen = cars.iter().filter(|car| car.is_test.is_none_or(|test| test == is_test));
    let labeled = chosen.enumerate().map(|(row, car)| {
        let class = match &names {
            None => car.class.to_string(),
            Some(names) => {
                let idx = (car.class as usize).checked_sub(1);
                let name = idx.and_then(|idx| names.get(idx)).ok_or_else(|| {
                    let n = names.len();
                    content(path, WHAT, format!("{}: class {} of {n}", car.picture, car.class))
                })?;
                name.clone()
            }
        };
        Ok(Labeled { row, picture: car.picture.to_owned(), class })
    });
    let labeled: Vec<Labeled> = labeled.collect::<Result<_, DatasetError>>()?;
    Ok((labeled, (!is_marked).then_some(folder)))
}

fn cars<'a>(path: &Path, file: &'a MatFile) -> Result<Vec<Car<'a>>, DatasetError> {
    let Some(Array::Records { fields, values }) = file.get("annotations") else {
        return Err(file.error("\"annotations\" is no structure"));
    };
    let at = |name: &str| fields.iter().position(|field| field == name);
    let pictures = at("relative_im_path").or_else(|| at("fname"));
    let (Some(picture), Some(class)) = (pictures, at("class")) else {
        let why = format!(
            "its records have {}; expected class, and fname or relative_im_path (cars_test_annos.mat has no classes: \
             cars_test_annos_withlabels.mat has)",
            fields.join(", ")
        );
        return Err(content(path, WHAT, why));
    };
    let records = values.chunks_exact(fields.len()).enumerate();
    let car = records.map(|(number, record)| {
        let of = record[picture].text().zip(record[class].number());
        let (picture, class) = of.ok_or_else(|| {
            content(
                path,
                WHAT,
                format!("record {number}: expected a picture and the number of a class"),
            )
        })?;
        let is_test = at("test").and_then(|test| record[test].number()).map(|test| test != 0.0);
        Ok(Car { picture, class, is_test })
    });
    car.collect()
}

/// Whether the split for tests is wanted. A file without marks is of one split, which its name tells.
fn wanted(path: &Path, split: Option<&str>, is_marked: bool) -> Result<bool, DatasetError> {
    let splits = || vec!["train".to_owned(), "test".to_owned()];
    let is_test = match split {
        Some("test") => Some(true),
        Some("train") => Some(false),
        None => None,
        Some(other) => {
            let (path, split) = (path.to_owned(), other.to_owned());
            return Err(DatasetError::NoSplit { path, split, splits: splits() });
        }
    };
    if is_marked {
        let several = || DatasetError::SeveralSplits { path: path.to_owned(), splits: splits() };
        return is_test.ok_or_else(several);
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let own = name.contains("test");
    if is_test.is_some_and(|wanted| wanted != own) {
        let own = if own { "test" } else { "train" };
        let split = split.unwrap_or_default().to_owned();
        return Err(DatasetError::NoSplit {
            path: path.to_owned(),
            split,
            splits: vec![own.to_owned()],
        });
    }
    Ok(own)
}

/// The names of the classes, in the order of their numbers.
fn names(path: &Path, file: &MatFile) -> Result<Vec<String>, DatasetError> {
    let owned = |array: &Array| {
        let texts = array.texts()?;
        Some(texts.into_iter().map(str::to_owned).collect::<Vec<String>>())
    };
    if let Some(names) = file.get("class_names").and_then(owned) {
        return Ok(names);
    }
    let beside = path.with_file_name(META);
    if !beside.is_file() {
        let why = format!(
            "the names of its classes are in {META} beside it, which is not there; data.classes may name them too"
        );
        return Err(content(path, WHAT, why));
    }
    let meta = MatFile::read(&beside)?;
    let names = meta.get("class_names").and_then(owned);
    names.ok_or_else(|| meta.error("no list of texts \"class_names\""))
}
