//! The model families, as the processor sees them: how pictures are cut, where their tokens stand, how places are said.
//!
//! A family is chosen once, by the `model_type` of the checkpoint's `config.json`. Its other half, the tensors and the
//! layers, is in `vrft-model` under the same name; the two are apart so that a program which only encodes prompts, as
//! the loader, links no tensor library.

use std::borrow::Cow;
use std::fmt::Debug;
use std::path::Path;

use serde_json::Value;
use vrft_checkpoint::PolicyConfig;
use vrft_checkpoint::{JsonFile, Keys};
use vrft_vision::{Clip, CoordinateSpace, Patches, Preprocessor};

use crate::ProcessorError;
use crate::tokenizer::Tokenizer;

mod qwen2_5_vl;
mod qwen2_vl;
mod qwen3_vl;
mod settings;
mod smolvlm;

/// All model families whose prompts can be made.
const FAMILIES: [&dyn Family; 5] = [
    &qwen2_vl::Qwen2Vl,
    &qwen2_5_vl::Qwen25Vl,
    &qwen3_vl::Qwen3Vl,
    &smolvlm::SMOLVLM,
    &smolvlm::IDEFICS3,
];

/// What is special to one model family in encoding prompts.
pub(crate) trait Family: Debug + Sync {
    /// Its `model_type` in `config.json`.
    fn model_type(&self) -> &'static str;

    /// How it was trained to say where something is.
    fn coordinates(&self) -> Coordinates;

    /// How a checkpoint of it scales and cuts pictures, from the settings in its directory.
    fn preprocessor(&self, dir: &Path) -> Result<Preprocessor, ProcessorError>;

    /// A chat template that is used instead of the checkpoint's for a conversation with a video.
    fn video_template(&self) -> Option<&'static str> {
        None
    }

    /// The messages as the family's chat templates take them: with every content a list of parts, where a text alone
    /// would be left out without a word.
    fn for_template<'a>(&self, messages: &'a Value) -> Cow<'a, Value> {
        Cow::Borrowed(messages)
    }

    /// The tokens of a checkpoint that stand for pictures; `config` are the keys of its `config.json`.
    fn placeholders(
        &self,
        dir: &Path,
        config: &Keys,
        tokenizer: &Tokenizer,
    ) -> Result<Box<dyn Placeholders>, ProcessorError>;
}

/// The tokens that stand for pictures in a prompt, and the positions of all tokens.
pub(crate) trait Placeholders: Debug + Send + Sync {
    /// Puts as many tokens into a rendered conversation as its pictures have, and pairs each picture with its place.
    ///
    /// The rendered text has one placeholder for each picture; `merge_size`² patches become one token.
    ///
    /// # Errors
    /// Placeholders that are not as many as the images and videos.
    fn expand(
        &self,
        rendered: &str,
        images: Vec<Patches>,
        clips: Vec<Clip>,
        merge_size: usize,
    ) -> Result<Expanded, ProcessorError>;

    /// The position of each token on three axes: time, height and width. A family with one axis repeats it.
    ///
    /// # Errors
    /// Tokens that are not those of the pictures.
    fn positions(
        &self,
        token_ids: &[u32],
        media: &[Medium],
        merge_size: usize,
    ) -> Result<Vec<[u32; 3]>, ProcessorError>;
}

/// A conversation with all tokens of its pictures.
#[derive(Debug)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// In the order of their places in the text.
    pub(crate) media: Vec<Medium>,
}

/// An image or a video in a prompt.
#[derive(Debug)]
pub(crate) struct Medium {
    pub(crate) patches: Patches,
    /// The token that is repeated for it.
    pub(crate) token_id: u32,
    /// Positions from one temporal patch to the next.
    pub(crate) time_step: f32,
}

/// How a family was trained to say where something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coordinates {
    /// What its numbers count.
    pub space: CoordinateSpace,
    /// The keys of an item, where its own way to answer is a list of JSON objects.
    pub item_keys: Option<ItemKeys>,
}

/// The keys of one found object in a family's own answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemKeys {
    /// Its box, `[x1, y1, x2, y2]`.
    pub place: &'static str,
    /// Key of the name of what is there.
    pub label: &'static str,
}

/// How a checkpoint scales and cuts pictures, within the bounds of the configuration.
///
/// It reads a few small files of the checkpoint, so it also serves where the model is never loaded: for the size of
/// the picture that the model will see ([`Preprocessor::sides_of`]), for one.
///
/// # Errors
/// A model that is not on this machine, a family that is not supported, settings that cannot be.
pub fn preprocessor(config: &PolicyConfig) -> Result<Preprocessor, ProcessorError> {
    let dir = vrft_checkpoint::checkpoint_dir(&config.path)?;
    let dir = vrft_checkpoint::model_dir(&dir, config.base.as_deref())?;
    let family = family_of(&vrft_checkpoint::config(&dir)?)?;
    let mut preprocessor = family.preprocessor(&dir)?;
    preprocessor.limit_images(config.min_pixels, config.max_pixels)?;
    Ok(preprocessor)
}

/// The `model_type` of every family that is supported.
pub fn supported_families() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.model_type()).collect()
}

/// The family that a checkpoint belongs to.
pub(crate) fn family_of(config: &JsonFile) -> Result<&'static dyn Family, ProcessorError> {
    let keys = config.keys();
    let name = keys.one_of("model_type", &supported_families())?;
    let family = FAMILIES.into_iter().find(|family| Some(family.model_type()) == name);
    let missing = || keys.error("model_type", supported_families().join(" or "), "nothing");
    Ok(family.ok_or_else(missing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(config: &str, expected: &str) {
        let config = JsonFile::parse("config.json", config).unwrap();
        let message = family_of(&config).unwrap_err().to_string();
        assert_eq!(message, format!("config.json: model_type should be {expected}"));
    }

    #[test]
    fn a_family_that_is_not_supported_is_named() {
        let supported = supported_families().join(" or ");
        check_refused(r#"{"model_type": "llava"}"#, &format!("{supported}, got \"llava\""));
        check_refused("{}", &format!("{supported}, got nothing"));
    }

    #[test]
    fn the_size_that_a_model_sees_needs_no_model() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        write("config.json", &format!(r#"{{"model_type": "{}"}}"#, supported_families()[0]));
        write("preprocessor_config.json", "{}");
        let config = PolicyConfig {
            path: dir.path().to_owned(),
            max_pixels: 100 * 784,
            ..PolicyConfig::default()
        };
        let sides = preprocessor(&config).unwrap().sides(480, 640).unwrap();
        assert_eq!((sides.original(), sides.resized()), ((640.0, 480.0), (308.0, 224.0)));
    }
}
