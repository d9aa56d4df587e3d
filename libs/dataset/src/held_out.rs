//! The data sets that policies are judged on, by the keys that name them.

use std::path::Path;

use crate::{DataConfig, Dataset, DatasetError, EvaluationConfig, OpenOptions, Overlap};

/// A data set that policies are judged on.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut<'a> {
    /// The key that names it, as `evaluation.test`.
    pub key: &'static str,
    /// The task of its source, if it is one of several.
    pub task: Option<&'a str>,
    /// File or folder.
    pub path: &'a Path,
    /// How it is opened.
    pub options: OpenOptions,
}

/// All held-out data of a run: what is reported on, by task, and what the best policy is chosen on.
pub fn held_out<'a>(data: &'a DataConfig, evaluation: &'a EvaluationConfig) -> Vec<HeldOut<'a>> {
    let judged = |key, task, path: &'a Path| {
        let space = data.judged_space(evaluation, task);
        let options = OpenOptions { space, ..data.options_to_judge(evaluation) };
        HeldOut { key, task, path, options }
    };
    let mut all = vec![judged(HeldOut::TEST, None, &evaluation.test)];
    for source in &data.sources {
        let test = source.test.as_deref();
        all.extend(test.map(|path| judged("data.sources.test", Some(&source.task), path)));
    }
    all.extend(evaluation.validation.as_deref().map(|path| {
        let options = data.options_to_judge(&evaluation.to_choose(path));
        HeldOut { key: HeldOut::VALIDATION, task: None, path, options }
    }));
    all
}

impl HeldOut<'_> {
    /// Key of the rows that are reported on.
    pub const TEST: &'static str = "evaluation.test";

    /// Key of the rows that the best policy is chosen on.
    pub const VALIDATION: &'static str = "evaluation.validation";

    /// Opens it.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open(&self) -> Result<Dataset, DatasetError> {
        Dataset::open_with(self.path, &self.options)
    }
}

/// What held-out data sets have in common with what is learned from and with each other, a sentence for each that should
/// be known. Data sets are given with their keys.
pub fn shared(training: &[&Dataset], held_out: &[(&str, &Dataset)]) -> Vec<String> {
    let mut told = Vec::new();
    for (key, rows) in held_out {
        let learned = training.iter().map(|train| Overlap::between(train, rows));
        let learned = learned.max_by_key(|overlap| overlap.pictures).unwrap_or_default();
        if learned.pictures > 0 {
            told.push(format!(
                "{key}: {}: what is measured on them is not held out",
                learned.among("learned from")
            ));
        }
    }
    let with_key = |wanted: &'static str| held_out.iter().filter(move |(key, _)| *key == wanted);
    for (key, validation) in with_key(HeldOut::VALIDATION) {
        for (test_key, test) in with_key(HeldOut::TEST) {
            let chosen_on = Overlap::between(test, validation);
            if chosen_on.pictures > 0 {
                told.push(format!(
                    "{key}: {}: the best policy is chosen on what is reported, so its number is too good",
                    chosen_on.among(&format!("in {test_key}"))
                ));
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{png, row};
    use crate::{Picture, Row, SourceConfig};

    fn rows(pixels: &[u8]) -> Dataset {
        let row = |(number, pixel): (usize, &u8)| Row {
            pictures: vec![Arc::new(Picture::of_bytes(png(2, [*pixel, 2, 3, 4])).unwrap())],
            ..row(number, "a", "b")
        };
        Dataset::of(pixels.iter().enumerate().map(row).collect()).unwrap()
    }

    #[test]
    fn what_is_shared_is_told_by_key_and_consequence() {
        let (train, test, validation) = (rows(&[1, 2, 3]), rows(&[3, 4]), rows(&[4, 5]));
        let told = shared(&[&train], &[(HeldOut::TEST, &test), (HeldOut::VALIDATION, &validation)]);
        assert_eq!(
            told,
            [
                "evaluation.test: 1 of 2 rows are also learned from, and 1 have a picture that is: what is measured on \
                 them is not held out",
                "evaluation.validation: 1 of 2 rows are also in evaluation.test, and 1 have a picture that is: the best \
                 policy is chosen on what is reported, so its number is too good",
            ]
        );
        let apart = rows(&[6, 7]);
        assert!(
            shared(&[&train], &[(HeldOut::TEST, &apart), (HeldOut::VALIDATION, &validation)])
                .is_empty()
        );
    }

    #[test]
    fn every_key_that_names_held_out_data_is_there() {
        let source = |task: &str, test: Option<&str>| SourceConfig {
            task: task.to_owned(),
            train: "train.jsonl".into(),
            split: None,
            space: None,
            shots: 0,
            weight: 1.0,
            share: None,
            test: test.map(Into::into),
            reward: None,
        };
        let data = DataConfig {
            sources: vec![source("a", Some("a.jsonl")), source("b", None)],
            ..DataConfig::default()
        };
        let evaluation = EvaluationConfig {
            validation: Some("v".into()),
            validation_split: Some("dev".into()),
            ..EvaluationConfig::default()
        };
        let all = held_out(&data, &evaluation);
        let keys: Vec<(&str, Option<&str>)> = all.iter().map(|one| (one.key, one.task)).collect();
        let expected =
            [(HeldOut::TEST, None), ("data.sources.test", Some("a")), (HeldOut::VALIDATION, None)];
        assert_eq!(keys, expected);
        assert_eq!(all[2].options.split.as_deref(), Some("dev"));
    }
}
