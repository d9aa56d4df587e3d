//! The tokens that stand for images and videos in a prompt.

use std::path::Path;

use serde_json::Value;
use vrft_vision::{Clip, Grid, Patches};

use crate::PolicyError;
use crate::files::read_json;
use crate::prompt::Placeholder;
use crate::tokenizer::Tokenizer;

/// Tokens 151655 and 151656 of the published models.
const DEFAULT_IDS: [(&str, u32); 2] = [("image_token_id", 151_655), ("video_token_id", 151_656)];
/// What transformers assumes of a Qwen2.5-VL that does not say.
const DEFAULT_TOKENS_PER_SECOND: f64 = 4.0;

/// The placeholders of a checkpoint, and how time passes in its videos.
#[derive(Debug)]
pub(crate) struct MediaTokens {
    image: Token,
    /// A tokenizer without it cannot speak of videos; then the id that it should have.
    video: Result<Token, u32>,
    /// Positions a second, where positions follow the clock (Qwen2.5-VL); else each temporal patch is one.
    tokens_per_second: Option<f64>,
}

#[derive(Debug)]
struct Token {
    id: u32,
    text: String,
}

/// An image or a video with its place in the prompt.
#[derive(Debug)]
pub(crate) struct Media {
    pub(crate) patches: Patches,
    pub(crate) placeholder: Placeholder,
}

impl MediaTokens {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// An image token that the tokenizer does not have.
    pub(crate) fn load(dir: &Path, tokenizer: &Tokenizer) -> Result<Self, PolicyError> {
        let config = read_json(&dir.join("config.json"))?.unwrap_or_default();
        let [image_id, video_id] = DEFAULT_IDS.map(|(key, id)| token_id(&config, key, id));
        let token = |id| tokenizer.token(id).map(|text| Token { id, text });
        let (image_id, video_id) = (image_id?, video_id?);
        let image = token(image_id);
        let follows_the_clock = config["model_type"] == "qwen2_5_vl";
        let per_second = tokens_per_second(&config["vision_config"]["tokens_per_second"]);
        Ok(Self {
            image: image
                .ok_or_else(|| error("image_token_id", "a token of tokenizer.json", image_id))?,
            video: token(video_id).ok_or(video_id),
            tokens_per_second: follows_the_clock.then_some(per_second).transpose()?,
        })
    }

    /// The ids of all placeholders.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens().map(|token| token.id).collect()
    }

    /// Repeats each placeholder once per token of its image or video, and says which it was.
    ///
    /// # Errors
    /// Placeholders that are not as many as the images and videos.
    pub(crate) fn expand(
        &self,
        rendered: &str,
        mut images: impl ExactSizeIterator<Item = Patches>,
        mut clips: impl ExactSizeIterator<Item = Clip>,
        merge_size: usize,
    ) -> Result<(String, Vec<Media>), PolicyError> {
        check_count(rendered, &self.image.text, "image", images.len())?;
        match &self.video {
            Ok(token) => check_count(rendered, &token.text, "video", clips.len())?,
            Err(id) if clips.len() > 0 => {
                let expected = "a token of tokenizer.json, for prompts with a video";
                return Err(error("video_token_id", expected, id));
            }
            Err(_) => {}
        }
        let (mut text, mut media) = (String::new(), Vec::new());
        let mut rest = rendered;
        while let Some((start, token)) = self.first_in(rest) {
            let found = match token.id == self.image.id {
                true => images.next().map(|patches| self.image_media(patches)),
                false => clips.next().map(|clip| self.clip_media(clip, token.id)),
            };
            let Some(found) = found else { break };
            text += &rest[..start];
            text += &token.text.repeat(found.placeholder.grid.n_tokens(merge_size));
            media.push(found);
            rest = &rest[start + token.text.len()..];
        }
        text += rest;
        Ok((text, media))
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        std::iter::once(&self.image).chain(&self.video)
    }

    fn first_in(&self, text: &str) -> Option<(usize, &Token)> {
        let places = self.tokens().filter_map(|token| Some((text.find(&token.text)?, token)));
        places.min_by_key(|(start, _)| *start)
    }

    fn image_media(&self, patches: Patches) -> Media {
        let grid: Grid = patches.grid;
        Media {
            patches,
            placeholder: Placeholder { token_id: self.image.id, grid, time_step: 1.0 },
        }
    }

    fn clip_media(&self, clip: Clip, token_id: u32) -> Media {
        let Clip { patches, seconds_per_grid } = clip;
        // transformers keeps the seconds in single precision.
        let step = |per_second: f64| per_second as f32 * seconds_per_grid as f32;
        let time_step = self.tokens_per_second.map_or(1.0, step);
        let grid = patches.grid;
        Media { patches, placeholder: Placeholder { token_id, grid, time_step } }
    }
}

fn check_count(
    rendered: &str,
    token: &str,
    kind: &str,
    expected: usize,
) -> Result<(), PolicyError> {
    let got = rendered.matches(token).count();
    if got == expected {
        return Ok(());
    }
    let what = format!("{token} in the rendered prompt");
    Err(PolicyError::input(what, format!("{expected}, one per {kind}"), got))
}

fn token_id(config: &Value, key: &str, default: u32) -> Result<u32, PolicyError> {
    match &config[key] {
        Value::Null => Ok(default),
        value => {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| error(key, "a token id", value))
        }
    }
}

fn tokens_per_second(value: &Value) -> Result<f64, PolicyError> {
    let number = if value.is_null() { Some(DEFAULT_TOKENS_PER_SECOND) } else { value.as_f64() };
    let key = "vision_config.tokens_per_second";
    number.filter(|n| *n > 0.0).ok_or_else(|| error(key, "a number above 0", value))
}

fn error(key: &str, expected: &str, got: impl ToString) -> PolicyError {
    PolicyError::Config { key: key.into(), expected: expected.into(), got: got.to_string() }
}
