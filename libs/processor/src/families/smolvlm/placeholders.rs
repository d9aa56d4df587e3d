//! The tokens that stand for tiles and frames in a prompt.

use std::path::Path;

use vrft_checkpoint::{JsonFile, Keys};
use vrft_vision::{Clip, Patches, Tiles};

use super::numerals::{duration, words};
use crate::ProcessorError;
use crate::families::qwen2_vl::check_count;
use crate::families::settings::SettingsFiles;
use crate::families::{Expanded, Medium, Placeholders};
use crate::tokenizer::Tokenizer;

/// What transformers assumes of a checkpoint that does not say.
const TOKENS_PER_TILE: usize = 169;
const IMAGE_ID: u32 = 128_257;

/// The tokens of a checkpoint.
#[derive(Debug)]
pub(super) struct TileTokens {
    image: String,
    image_id: u32,
    /// Before each tile, and after the last.
    fake: String,
    /// Before the picture as a whole.
    global: String,
    /// `None` for a model without videos.
    video: Option<String>,
    tokens_per_tile: usize,
}

impl TileTokens {
    /// Finds the tokens that the checkpoint names.
    ///
    /// # Errors
    /// An image token that is not that of `config.json`, another number of tokens to a tile than the model gives.
    pub(super) fn read(
        dir: &Path,
        config: &Keys,
        tokenizer: &Tokenizer,
        has_videos: bool,
    ) -> Result<Self, ProcessorError> {
        let named = JsonFile::read(&dir.join("tokenizer_config.json"))?;
        // Only the family with videos lets a tokenizer call them otherwise.
        let named = named.as_ref().filter(|_| has_videos);
        let name = |key: &str, default: &str| {
            let own = named.and_then(|file| special_token(file, key));
            own.unwrap_or(default).to_owned()
        };
        let image = name("image_token", "<image>");
        let image_id = config.token_id("image_token_id")?.unwrap_or(IMAGE_ID);
        let own = tokenizer.id(&image);
        let expected = || format!("{image} of tokenizer.json, {own:?}");
        config.ensure(own == Some(image_id), "image_token_id", expected(), image_id)?;
        Ok(Self {
            fake: name("fake_image_token", "<fake_token_around_image>"),
            global: name("global_image_token", "<global-img>"),
            video: has_videos.then(|| name("video_token", "<video>")),
            tokens_per_tile: tokens_per_tile(dir)?,
            image,
            image_id,
        })
    }

    /// A tile, or a picture in one piece, with what announces it.
    fn tile(&self, announced_by: &str) -> String {
        format!("{}{announced_by}{}", self.fake, self.image.repeat(self.tokens_per_tile))
    }

    fn whole(&self) -> String {
        self.tile(&self.global) + &self.fake
    }

    fn picture(&self, tiles: Tiles) -> String {
        if tiles == Tiles::default() {
            return self.whole();
        }
        let mut text = String::new();
        for row in 1..=tiles.rows {
            for column in 1..=tiles.columns {
                text += &self.tile(&format!("<row_{row}_col_{column}>"));
            }
            text += "\n";
        }
        text + "\n" + &self.whole()
    }

    fn frames(&self, seconds: &[f64]) -> String {
        let last = seconds.last().copied().unwrap_or_default() as u64;
        let number = words(seconds.len());
        let length = duration(last);
        let mut text = format!(
            "You are provided the following series of {number} frames from a {length} [H:MM:SS] video.\n"
        );
        for second in seconds {
            let (minute, second) = (second.div_euclid(60.0), second.rem_euclid(60.0));
            let (minute, second) = (minute as u64, second as u64);
            text += &format!("\nFrame from {minute:02}:{second:02}:{}", self.whole());
        }
        text + "\n\n"
    }

    fn medium(&self, patches: Patches, merge_size: usize) -> Result<Medium, ProcessorError> {
        let got = patches.grid.n_tokens(merge_size);
        let expected = patches.grid.t * self.tokens_per_tile;
        if got != expected {
            let what = "image_seq_len of processor_config.json";
            let per_tile = got / patches.grid.t.max(1);
            let expected = format!("{per_tile}, the tokens that the model makes of a tile");
            return Err(ProcessorError::input(what, expected, self.tokens_per_tile));
        }
        Ok(Medium { patches, token_id: self.image_id, time_step: 1.0 })
    }

    /// The first placeholder in a text, and whether it is a video's.
    fn first_in(&self, text: &str) -> Option<(usize, bool)> {
        let image = text.find(&self.image).map(|start| (start, false));
        let video = self.video.as_ref().and_then(|video| Some((text.find(video)?, true)));
        image.into_iter().chain(video).min()
    }
}

impl Placeholders for TileTokens {
    fn expand(
        &self,
        rendered: &str,
        images: Vec<Patches>,
        clips: Vec<Clip>,
        merge_size: usize,
    ) -> Result<Expanded, ProcessorError> {
        check_count(rendered, &self.image, "image", images.len())?;
        match &self.video {
            Some(video) => check_count(rendered, video, "video", clips.len())?,
            None if clips.is_empty() => {}
            None => {
                return Err(ProcessorError::input(
                    "videos",
                    "none: this family has no videos",
                    clips.len(),
                ));
            }
        }
        let (mut images, mut clips) = (images.into_iter(), clips.into_iter());
        let mut expanded = Expanded { text: String::new(), media: Vec::new() };
        let mut rest = rendered;
        while let Some((start, is_video)) = self.first_in(rest) {
            expanded.text += &rest[..start];
            let (text, patches) = if is_video {
                let Some(clip) = clips.next() else { break };
                (self.frames(&clip.seconds), clip.patches)
            } else {
                let Some(patches) = images.next() else { break };
                (self.picture(patches.tiles), patches)
            };
            expanded.text += &text;
            expanded.media.push(self.medium(patches, merge_size)?);
            let token = self.video.as_ref().filter(|_| is_video).unwrap_or(&self.image);
            rest = &rest[start + token.len()..];
        }
        expanded.text += rest;
        Ok(expanded)
    }

    fn positions(
        &self,
        token_ids: &[u32],
        media: &[Medium],
        merge_size: usize,
    ) -> Result<Vec<[u32; 3]>, ProcessorError> {
        let expected: usize = media.iter().map(|m| m.patches.grid.n_tokens(merge_size)).sum();
        let got = token_ids.iter().filter(|id| **id == self.image_id).count();
        if got != expected {
            let what = format!("tokens {} of the prompt", self.image);
            let expected = format!("{expected}, as its pictures give");
            return Err(ProcessorError::input(what, expected, got));
        }
        Ok((0..token_ids.len() as u32).map(|position| [position; 3]).collect())
    }
}

/// A special token by its name in `tokenizer_config.json`, which has kept it in several places.
fn special_token<'a>(file: &'a JsonFile, name: &str) -> Option<&'a str> {
    let all = file.value();
    let places = [all, &all["extra_special_tokens"], &all["model_specific_special_tokens"]];
    let text = |value: &'a serde_json::Value| value.as_str().or_else(|| value["content"].as_str());
    places.into_iter().find_map(|place| text(place.get(name)?))
}

/// Tokens of a tile, as the processor's settings say.
fn tokens_per_tile(dir: &Path) -> Result<usize, ProcessorError> {
    let files = SettingsFiles::read(dir)?;
    let own = files.processor().map(|keys| keys.size("image_seq_len")).transpose()?;
    Ok(own.flatten().unwrap_or(TOKENS_PER_TILE))
}
