//! The sections `[data]` and `[evaluation]`: what is learned from and what is judged on.

mod evaluation;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Table;
use vrft_config::{ConfigError, Section, require};

pub use evaluation::{Ask, EvaluationConfig};

use crate::{BboxForm, BoxesAre, DataSpace, FramesConfig, Outlines, RobotConfig};

/// Prompts are dealt out by the hundred, and every source has one of them.
const MAX_SOURCES: usize = 100;

/// The training split. Where there is a section `[data.stream]`, a live stream of frames is learned from instead, and
/// `train`, `shots`, `flip` and `evaluation.test` have no part in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Parquet, Arrow or JSONL file with the columns `image`, `problem`, `solution`, or a data set as it is published.
    pub train: PathBuf,
    /// Which split of a folder that has several, as `train`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Folder that the names of pictures start at, in training and test data; left out, the folder of the file that
    /// names them, or where COCO has its pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_root: Option<PathBuf>,
    /// Also read pictures that lie outside of the data set's folder and of `image_root`.
    pub allow_outside: bool,
    /// What the coordinates of true answers in words and of columns of boxes count: `thousandths`, `unit`, `percent`, `pixels`,
    /// or `resized` for pixels of the picture as the model sees it. Left out, what they look like beside the sizes of the
    /// pictures. They are converted to what `reward.answer.space` declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<DataSpace>,
    /// In which pixels annotated boxes are where EXIF turns a picture, whatever its annotated size: `stored` (as in the file) or
    /// `displayed`. Left out, as the size tells, else as in the other pictures of the data, else `stored`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes_are: Option<BoxesAre>,
    /// Most pixels that a picture may have; a row with a larger one cannot be used. Decoded, a pixel takes 3 to 8 bytes.
    pub max_image_pixels: usize,
    /// Categories or classes that are asked about, by their names in the data; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// File with the names of the classes, a line each in the order of their numbers: the name, or a key, a tab and the
    /// name. Left out, a class is called what the data calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<PathBuf>,
    /// What rows are asked that have no question in words; `{category}` and `{expression}` stand for those of the row. Left
    /// out, a question that fits the kind of answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Questions for a category that is not on the picture, for each question for one that is. Their true answer is
    /// `reward.answer.nothing`.
    pub negatives: f64,
    /// Rows to keep, drawn with the run's seed; 0 keeps all.
    pub shots: usize,
    /// Rows to keep of each category or class, drawn with the run's seed, instead of `shots`; 0 keeps all.
    pub shots_per_class: usize,
    /// Whether a class with fewer rows than `shots_per_class` gives all of them; otherwise it is an error.
    pub fewer_shots: bool,
    /// File with the names of the samples that are learned from, one a line; a run writes the ones that it drew to
    /// `shots.txt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<PathBuf>,
    /// Which of several outlines of a place an answer should enclose: `target`, those that are labeled so, or `first`.
    pub outlines: Outlines,
    /// Read the shapes of annotated objects (COCO's `segmentation`) too: the true answer where regions are asked for.
    pub masks: bool,
    /// What `bbox` is in COCO annotations and in rows with an expression, a class or `objects`: `sides` (x, y, width, height)
    /// or `corners`. Left out, what COCO has, and in rows what these tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bbox: Option<BboxForm>,
    /// Share of the pictures of `train` that are not learned from: where `evaluation.test` is the same data, its rows
    /// about these are judged on.
    pub hold_out: f64,
    /// Mirror images (and the boxes of their answers) at random.
    pub flip: Flip,
    /// Share of rows that may be unusable before the run refuses to start. They are skipped and counted.
    pub max_bad_fraction: f64,
    /// How the size n of a source counts: it gives a share of the prompts in proportion to `n^sampling_exponent`; 0.5 if
    /// left out. Only for several sources.
    pub sampling_exponent: Option<f64>,
    /// What is shown of videos.
    pub frames: FramesConfig,
    /// How folders of LeRobot become rows.
    pub robot: RobotConfig,
    /// Several tasks that are learned together, instead of `train` and `shots`.
    pub sources: Vec<SourceConfig>,
}

/// One of several tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name of the task, in its metrics and in every message about its prompts.
    pub task: String,
    /// The task's training data, as `data.train`.
    pub train: PathBuf,
    /// The task's split, as `data.split`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The task's space, as `data.space`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<DataSpace>,
    /// The task's number of rows, as `data.shots`.
    #[serde(default)]
    pub shots: usize,
    /// Weight λ, which the advantages of its completions are multiplied with. How many prompts it gives does not depend
    /// on it.
    #[serde(default = "one")]
    pub weight: f64,
    /// Share of the prompts that it gives, in proportion to those of the other sources, which then say theirs too. Left
    /// out by all, shares follow from the numbers of rows, see [`DataConfig::sampling_exponent`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Held-out data of this task, evaluated besides `evaluation.test`: what is learned of one task at the cost of
    /// another shows there.
    pub test: Option<PathBuf>,
    /// How its completions are scored, if not by the run's `[reward]`. With a `preset` or a type of answer this is a
    /// task of its own; without, it says what is different from the run's. What it means is up to the reward's crate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<Table>,
}

/// Which mirror images count as further views of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Images stay as they are.
    None,
    /// Left and right may swap.
    Horizontal,
    /// Left and right, top and bottom may swap: aerial photos have no fixed upward direction.
    Both,
}

impl DataConfig {
    /// What the true answers of a task count, if that is declared: by its source, else for all.
    pub fn space_of(&self, task: Option<&str>) -> Option<DataSpace> {
        let own = self.sources.iter().find(|source| Some(source.task.as_str()) == task);
        own.and_then(|source| source.space).or(self.space)
    }

    /// The same for rows that are judged on, whose coordinates may be declared apart.
    pub fn judged_space(
        &self,
        evaluation: &EvaluationConfig,
        task: Option<&str>,
    ) -> Option<DataSpace> {
        evaluation.space.or_else(|| self.space_of(task))
    }

    /// Weight λ of a task; 1 where only one is learned.
    pub fn weight_of(&self, task: &str) -> f64 {
        self.sources.iter().find(|source| source.task == task).map_or(1.0, |source| source.weight)
    }
}

impl Section for DataConfig {
    const NAME: &'static str = "data";
    const OF_OTHERS: &'static [&'static str] = &["stream"];

    fn check(&self) -> Result<(), ConfigError> {
        require(
            (0.0..=1.0).contains(&self.max_bad_fraction),
            "data.max_bad_fraction",
            self.max_bad_fraction,
            "a share in [0, 1]",
        )?;
        require(
            (0.0..1.0).contains(&self.hold_out)
                && (self.hold_out == 0.0 || self.sources.is_empty()),
            "data.hold_out",
            self.hold_out,
            "a share in [0, 1), and left out with [[data.sources]]",
        )?;
        require(
            (1..=vrft_vision::MAX_PIXELS).contains(&self.max_image_pixels),
            "data.max_image_pixels",
            self.max_image_pixels,
            format!("1 to {}, the most that are ever decoded", vrft_vision::MAX_PIXELS),
        )?;
        require(
            self.negatives >= 0.0 && self.negatives.is_finite(),
            "data.negatives",
            self.negatives,
            "0 or more questions for what is absent to each for what is there",
        )?;
        require(
            self.shots_per_class == 0 || self.shots == 0,
            "data.shots_per_class",
            self.shots_per_class,
            "left out, or data.shots left out: either rows or rows of each class are drawn",
        )?;
        self.frames.check()?;
        self.robot.check()?;
        self.check_sources()
    }
}

impl DataConfig {
    /// Checks `[[data.sources]]` and what stands beside it.
    fn check_sources(&self) -> Result<(), ConfigError> {
        let n = self.sources.len();
        let default = DataConfig::default();
        require(n <= MAX_SOURCES, "data.sources", n, "at most 100 sources")?;
        require(
            n == 0 || (self.train == default.train && self.shots == default.shots),
            "data.train",
            self.train.display(),
            "left out, and data.shots as well: each of [[data.sources]] has its own",
        )?;
        let is_plain = self.categories.is_empty()
            && self.negatives == 0.0
            && self.shots_per_class == 0
            && self.rows.is_none();
        require(
            n == 0 || is_plain,
            "data.sources",
            n,
            "none beside data.categories, negatives, shots_per_class or rows, which choose from data.train",
        )?;
        let exponent = self.sampling_exponent;
        require(
            exponent.is_none_or(|exponent| n > 0 && (0.0..=1.0).contains(&exponent)),
            "data.sampling_exponent",
            exponent.unwrap_or(0.0),
            "in [0, 1], and left out without [[data.sources]]",
        )?;
        self.check_shares()?;
        let mut names = BTreeSet::new();
        for source in &self.sources {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            require(
                !source.task.is_empty() && source.task.chars().all(is_plain),
                "data.sources.task",
                format!("{:?}", source.task),
                "a name of letters, digits, - and _, since metrics and files bear it",
            )?;
            require(
                names.insert(&source.task),
                "data.sources.task",
                format!("{:?}", source.task),
                "another name, since an earlier source has this one",
            )?;
            let weight = source.weight;
            require(
                weight > 0.0 && weight.is_finite(),
                "data.sources.weight",
                weight,
                "above 0; leave a source out to learn nothing from it",
            )?;
        }
        Ok(())
    }

    /// Shares are said of all sources or of none, and leave nothing to be said by an exponent.
    fn check_shares(&self) -> Result<(), ConfigError> {
        let said: Vec<f64> = self.sources.iter().filter_map(|source| source.share).collect();
        let Some(first) = said.first() else { return Ok(()) };
        let (n, n_sources) = (said.len(), self.sources.len());
        require(
            n == n_sources,
            "data.sources.share",
            format!("{first} and others, of {n} sources"),
            format!("one for each of the {n_sources} sources, or none"),
        )?;
        let wrong = said.iter().find(|share| !(**share > 0.0 && share.is_finite()));
        require(
            wrong.is_none(),
            "data.sources.share",
            wrong.copied().unwrap_or_default(),
            "above 0; leave a source out to learn nothing from it",
        )?;
        require(
            self.sampling_exponent.is_none(),
            "data.sampling_exponent",
            self.sampling_exponent.unwrap_or_default(),
            "left out where data.sources.share says the shares",
        )
    }
}

fn one() -> f64 {
    1.0
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: "data/train.parquet".into(),
            split: None,
            image_root: None,
            allow_outside: false,
            space: None,
            boxes_are: None,
            max_image_pixels: vrft_vision::MAX_PIXELS,
            categories: vec![],
            classes: None,
            question: None,
            negatives: 0.0,
            shots: 0,
            shots_per_class: 0,
            fewer_shots: false,
            rows: None,
            outlines: Outlines::Target,
            masks: false,
            bbox: None,
            hold_out: 0.0,
            flip: Flip::None,
            max_bad_fraction: 0.05,
            sampling_exponent: None,
            frames: FramesConfig::default(),
            robot: RobotConfig::default(),
            sources: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::{Document, Printed};

    use super::*;

    const TWO: &str = "[[data.sources]]\ntask = \"a\"\ntrain = \"a.jsonl\"\n\
                       [[data.sources]]\ntask = \"b\"\ntrain = \"b.jsonl\"\nweight = 2.0\ntest = \"t.jsonl\"";

    fn read(text: &str) -> Result<DataConfig, ConfigError> {
        Document::parse(text, "test")?.section()
    }

    #[track_caller]
    fn refused(text: &str, key: &str, words: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(key) && error.contains(words), "{error}");
    }

    #[test]
    fn several_sources_are_read_and_printed() {
        let own = "[data.sources.reward.answer]\ntype = \"label\"";
        let data = read(&format!("[data]\nsampling_exponent = 1.0\n{TWO}\n{own}")).unwrap();
        assert_eq!((data.weight_of("a"), data.weight_of("b")), (1.0, 2.0));
        let mut printed = Printed::default();
        printed.add(&data);
        assert_eq!(read(&printed.finish()).unwrap(), data);
    }

    #[test]
    fn contradictions_are_named() {
        refused(&format!("[data]\ntrain = \"x.jsonl\"\n{TWO}"), "data.train", "left out");
        refused("[data]\nsampling_exponent = 0.5", "data.sampling_exponent", "[[data.sources]]");
        refused("[data]\nmax_bad_fraction = 1.5", "data.max_bad_fraction", "a share");
        refused("[data]\nmax_image_pixels = 0", "data.max_image_pixels", "1 to 178956970");
        refused("[data]\nspace = \"inches\"", "in test", "thousandths");
        refused(&TWO.replace("\"b\"", "\"a\""), "data.sources.task", "another name");
        refused(&TWO.replace("\"b\"", "\"b/c\""), "data.sources.task", "letters");
        refused(&TWO.replace("2.0", "0.0"), "data.sources.weight", "above 0");
        let shares = |a: &str, b: &str| {
            TWO.replace("\"a.jsonl\"", &format!("\"a.jsonl\"\n{a}"))
                .replace("\"b.jsonl\"", &format!("\"b.jsonl\"\n{b}"))
        };
        assert_eq!(read(&shares("share = 3", "share = 1")).unwrap().sources[0].share, Some(3.0));
        refused(&shares("share = 3", ""), "data.sources.share", "one for each of the 2 sources");
        refused(&shares("share = 3", "share = 0"), "data.sources.share", "above 0");
        let both = format!("[data]\nsampling_exponent = 0.5\n{}", shares("share = 3", "share = 1"));
        refused(&both, "data.sampling_exponent", "data.sources.share");
    }

    #[test]
    fn a_stream_is_the_section_of_another_crate() {
        read("[data.stream]\nanything = 1").unwrap();
        refused("[data]\nstraem = 1", "in test", "straem");
    }
}
