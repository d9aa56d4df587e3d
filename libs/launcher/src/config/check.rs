//! What the sections ask of each other, and whether the files that they name are there.

use std::path::Path;

use eyre::ensure;
use vrft_config::{ConfigError, joined, require};
use vrft_dataset::Flip;
use vrft_objective::config::check_together;
use vrft_reward::answers::{AnswerKind, Form};
use vrft_stream::{PuzzleKind, StreamConfig, Truth};

use super::Config;

impl Config {
    /// Checks each section against the others.
    ///
    /// # Errors
    /// The first value that does not go with one of another section.
    pub(crate) fn check_across(&self) -> Result<(), ConfigError> {
        check_together(&self.advantage, &self.loss)?;
        vrft_learner::check_imitation(&self.loss, &self.learner)?;
        vrft_learner::check_group_size(&self.rollout, &self.learner)?;
        self.judge().check_attack()?;
        self.check_overlong()?;
        self.check_flip()?;
        self.check_data()?;
        if let Some(stream) = &self.stream {
            check_puzzles(stream, &self.rewards.shared.answer.kind)?;
        }
        require(
            self.stream.is_none() || self.evaluation.validation.is_none(),
            "evaluation.validation",
            self.evaluation.validation.as_deref().unwrap_or(Path::new("")).display(),
            "left out: what a stream is judged on is set aside of its own frames",
        )?;
        self.check_semantic()
    }

    /// Refuses a model that lies in the working folder and not where paths start, at the folder of the graph: the nodes would
    /// not find it, or take it for one of the hub. To be called before [`Config::anchor`].
    ///
    /// # Errors
    /// The first such key, with what is meant.
    pub(crate) fn check_starts_at(&self, folder: &Path, working: &Path) -> eyre::Result<()> {
        let segment = self.segment.as_ref().map(|segment| ("segment.model", &segment.model));
        let base = self.policy.base.as_ref().map(|base| ("policy.base", base));
        let models = [("policy.path", &self.policy.path)].into_iter().chain(base).chain(segment);
        for (key, path) in models {
            let here = joined(working, path);
            ensure!(
                joined(folder, path).exists() || !here.exists(),
                "{key}: {path:?} starts at the folder of the graph, {folder:?}, where it is not; the one in the working folder is \
                 named by {key}={}",
                here.display()
            );
        }
        Ok(())
    }

    /// Checks that the files which the configuration names exist, those of the data where a node of the graph reads them.
    ///
    /// # Errors
    /// The first file that does not, with its key.
    pub(crate) fn check_files(&self, reads_data: bool) -> Result<(), ConfigError> {
        let mut files = vec![("policy.path", &self.policy.path)];
        if reads_data && self.stream.is_none() {
            files.push(("evaluation.test", &self.evaluation.test));
            let validation = self.evaluation.validation.iter();
            files.extend(validation.map(|path| ("evaluation.validation", path)));
            if self.data.sources.is_empty() {
                files.push(("data.train", &self.data.train));
            }
            files.extend(self.data.classes.iter().map(|path| ("data.classes", path)));
            files.extend(self.data.rows.iter().map(|path| ("data.rows", path)));
            files.extend(self.evaluation.exist.iter().map(|path| ("evaluation.exist", path)));
        }
        for source in &self.data.sources {
            files.push(("data.sources.train", &source.train));
            files.extend(source.test.iter().map(|path| ("data.sources.test", path)));
        }
        let zenoh = Some(&self.weights.zenoh).filter(|path| !path.as_os_str().is_empty());
        files.extend(zenoh.map(|path| ("weights.zenoh", path)));
        files.extend(self.semantic.iter().map(|semantic| ("semantic.model", &semantic.model)));
        files.into_iter().try_for_each(|(key, path)| exists(key, path))
    }

    /// Keys of `[data]` that do nothing, or harm, without another one.
    fn check_data(&self) -> Result<(), ConfigError> {
        let (data, evaluation) = (&self.data, &self.evaluation);
        require(
            data.hold_out == 0.0 || data.is_divided(evaluation),
            "data.hold_out",
            data.hold_out,
            format!(
                "left out, since what it sets aside is judged on only if evaluation.test and evaluation.split are the same \
                 as data.train and data.split, written alike; they are {:?} and {:?}",
                evaluation.test, data.train
            ),
        )?;
        let asks_for_regions = self
            .rewards
            .iter()
            .any(|reward| reward.answer.kind.geometry() == Some(vrft_reward::Geometry::Region));
        require(
            !data.masks || asks_for_regions,
            "data.masks",
            data.masks,
            "left out, or an answer of type polygon or mask, whose truth is the shapes of objects",
        )
    }

    fn check_overlong(&self) -> Result<(), ConfigError> {
        let Some(overlong) = &self.advantage.overlong else { return Ok(()) };
        require(
            overlong.cushion <= self.rollout.max_completion_tokens,
            "advantage.overlong.cushion",
            overlong.cushion,
            "1 to rollout.max_completion_tokens",
        )
    }

    fn check_flip(&self) -> Result<(), ConfigError> {
        let mirrored = self.rewards.iter().all(|reward| reward.answer.may_be_mirrored());
        require(
            self.data.flip == Flip::None || mirrored,
            "data.flip",
            format!("{:?}", self.data.flip).to_lowercase(),
            "none: masks, outlines and boxes in space are not mirrored with their image",
        )?;
        let corrections = || self.rewards.iter().filter_map(|reward| reward.correction.as_ref());
        let corrects = corrections().any(|correction| !correction.is_of_policy());
        let two_turns = corrections().any(|correction| correction.is_of_policy());
        require(
            !two_turns || self.advantage.truth.is_none() && self.loss.chord.is_none(),
            "reward.correction.first",
            "policy",
            "data, or neither [advantage.truth] nor [loss.chord]: a true answer is one turn, and cannot be compared with two",
        )?;
        require(
            self.data.flip == Flip::None || !corrects,
            "data.flip",
            format!("{:?}", self.data.flip).to_lowercase(),
            "none: the first answers that reward.correction is about are not mirrored with their image",
        )?;
        require(
            self.stream.is_none() || !corrects,
            "data.stream",
            "a camera",
            "left out: with reward.correction rows bring a first answer, and a camera has none",
        )
    }

    fn check_semantic(&self) -> Result<(), ConfigError> {
        let Some(semantic) = &self.semantic else { return Ok(()) };
        require(
            self.rewards.iter().any(|reward| reward.answer.has_words()),
            "semantic.model",
            semantic.model.display(),
            "left out, or a task whose answers have words: of type label or text, or with a name for \
             reward.answer.keys.label",
        )
    }
}

/// The reward must be able to read what the puzzles ask for.
fn check_puzzles(stream: &StreamConfig, kind: &AnswerKind) -> Result<(), ConfigError> {
    let fits = |puzzle: &PuzzleKind| match puzzle {
        PuzzleKind::Rotation => matches!(kind.form(), Form::Name | Form::Number | Form::Text),
        PuzzleKind::PatchFit => matches!(kind.form(), Form::Name | Form::Text),
        PuzzleKind::Jigsaw => matches!(kind.form(), Form::Order | Form::Text),
        PuzzleKind::Spot => matches!(kind, AnswerKind::Boxes(_) | AnswerKind::Box(_)),
    };
    let misfit = stream.puzzles.iter().find(|puzzle| !fits(puzzle));
    let misfit = misfit.filter(|_| stream.truth == Truth::Puzzles);
    require(
        misfit.is_none(),
        "data.stream.puzzles",
        misfit.map_or("", |puzzle| puzzle.name()),
        "puzzles whose answers the declared reward reads: rewards/puzzles/ has a preset for each of rotation, patchfit \
         and jigsaw, and mixed.toml for them together; spot has boxes",
    )
}

fn exists(key: &str, path: &Path) -> Result<(), ConfigError> {
    if path.exists() {
        return Ok(());
    }
    Err(ConfigError::NoFile { key: key.to_owned(), path: path.to_owned() })
}
