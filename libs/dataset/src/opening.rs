//! How the data sets of a configuration are opened: which part of the files, which questions, and what stands beside them.

use crate::config::{Ask, DataConfig, EvaluationConfig, SourceConfig};
use crate::{Absent, Beside, ClassShots, OpenOptions, Part, Selection};

impl DataConfig {
    /// How the files of a data set are opened; `split` is that of this data set.
    pub fn open_options(&self, split: Option<&str>) -> OpenOptions {
        OpenOptions {
            split: split.map(str::to_owned),
            image_root: self.image_root.clone(),
            allow_outside: self.allow_outside,
            space: self.space,
            boxes_are: self.boxes_are,
            beside: None,
            part: None,
            selection: Selection {
                categories: self.categories.clone(),
                classes: self.classes.clone(),
                outlines: self.outlines,
                masks: self.masks,
                bbox: self.bbox,
                ..Selection::default()
            },
            max_image_pixels: Some(self.max_image_pixels),
            frames: self.frames.clone(),
            robot: self.robot.clone(),
        }
    }

    /// How data is opened to be learned from: that of a task, if it is one of several, else of `data.train`.
    pub fn options_to_learn(
        &self,
        task: Option<&str>,
        evaluation: &EvaluationConfig,
    ) -> OpenOptions {
        let source = self.sources.iter().find(|source| Some(source.task.as_str()) == task);
        let split = source.map_or(&self.split, |source| &source.split).as_deref();
        let beside = match source {
            Some(source) => source.test.clone().map(|test| Beside {
                path: test,
                options: OpenOptions {
                    space: self.judged_space(evaluation, task),
                    ..self.open_options(evaluation.split.as_deref())
                },
            }),
            None => Some(Beside {
                path: evaluation.test.clone(),
                options: OpenOptions {
                    part: self.part_to_judge(evaluation),
                    space: self.judged_space(evaluation, None),
                    ..self.open_options(evaluation.split.as_deref())
                },
            }),
        };
        let space = self.space_of(task);
        OpenOptions { beside: beside.map(Box::new), space, ..self.learned(split) }
    }

    fn learned(&self, split: Option<&str>) -> OpenOptions {
        let part = Part { hold_out: self.hold_out, is_held_out: false };
        let part = Some(part).filter(|_| self.hold_out > 0.0);
        let mut options = OpenOptions { part, ..self.open_options(split) };
        if self.negatives > 0.0 {
            options.selection.absent = Absent::Share(self.negatives);
        }
        options.selection.rows.clone_from(&self.rows);
        options
    }

    /// How `evaluation.test` is opened.
    pub fn options_to_judge(&self, evaluation: &EvaluationConfig) -> OpenOptions {
        let part = self.part_to_judge(evaluation);
        let beside = self.beside_judged(evaluation);
        let is_its = |source: &&SourceConfig| source.test.as_ref() == Some(&evaluation.test);
        let task = self.sources.iter().find(is_its).map(|source| source.task.as_str());
        let space = self.judged_space(evaluation, task);
        let options = self.open_options(evaluation.split.as_deref());
        let mut options = OpenOptions { part, beside, space, ..options };
        let selection = &mut options.selection;
        selection.first_question = evaluation.first_question;
        if let Some(categories) = &evaluation.categories {
            selection.categories.clone_from(categories);
        }
        if evaluation.ask == Ask::Every {
            selection.absent = Absent::Every;
        }
        options
    }

    fn part_to_judge(&self, evaluation: &EvaluationConfig) -> Option<Part> {
        let part = Part { hold_out: self.hold_out, is_held_out: true };
        Some(part).filter(|_| self.is_divided(evaluation))
    }

    /// What is learned from beside these rows, by whose conventions they are read where they leave them open.
    fn beside_judged(&self, evaluation: &EvaluationConfig) -> Option<Box<Beside>> {
        let is_its = |source: &&SourceConfig| source.test.as_ref() == Some(&evaluation.test);
        let (path, split, space) = match self.sources.iter().find(is_its) {
            Some(source) => (&source.train, &source.split, source.space.or(self.space)),
            None if self.sources.is_empty() => (&self.train, &self.split, self.space),
            None => return None,
        };
        let mut options = OpenOptions { space, ..self.learned(split.as_deref()) };
        options.selection.rows = None;
        Some(Box::new(Beside { path: path.clone(), options }))
    }

    /// Whether a part of `data.train` is set aside to be judged on.
    pub fn is_divided(&self, evaluation: &EvaluationConfig) -> bool {
        let is_same = self.train == evaluation.test && self.split == evaluation.split;
        self.hold_out > 0.0 && self.sources.is_empty() && is_same
    }

    /// Which shots are drawn of each class, of rows that were checked.
    pub fn class_shots(&self) -> ClassShots {
        ClassShots {
            n: self.shots_per_class,
            fewer: self.fewer_shots,
            absent: self.negatives,
            max_bad_fraction: self.max_bad_fraction,
        }
    }
}
