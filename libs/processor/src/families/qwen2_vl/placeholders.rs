//! The pad tokens that stand for images and videos in a prompt.

use vrft_checkpoint::{CheckpointError, Keys};
use vrft_vision::{Clip, Patches};

use super::positions::mrope_positions;
use crate::ProcessorError;
use crate::families::{Expanded, Medium, Placeholders};
use crate::tokenizer::Tokenizer;

/// Tokens 151655 and 151656 of the published models.
const DEFAULT_IDS: [(&str, u32); 2] = [("image_token_id", 151_655), ("video_token_id", 151_656)];

/// The pad tokens of a checkpoint, and how time passes in its videos.
#[derive(Debug)]
pub(crate) struct PadTokens {
    image: Token,
    /// A tokenizer without it cannot speak of videos; then the error to say so with.
    video: Result<Token, String>,
    /// Positions a second, where positions follow the clock; else each temporal patch is one.
    tokens_per_second: Option<f64>,
}

#[derive(Debug)]
struct Token {
    id: u32,
    text: String,
}

impl PadTokens {
    /// Finds the tokens that `config.json` names.
    ///
    /// # Errors
    /// An image token that the tokenizer does not have.
    pub(crate) fn read(
        config: &Keys,
        tokenizer: &Tokenizer,
        tokens_per_second: Option<f64>,
    ) -> Result<Self, ProcessorError> {
        let token = |(key, default): (&str, u32), what: &str| -> Result<_, CheckpointError> {
            let id = config.token_id(key)?.unwrap_or(default);
            let token = tokenizer.token(id).map(|text| Token { id, text });
            let expected = format!("a token of tokenizer.json{what}");
            Ok(token.ok_or_else(|| config.error(key, expected, id)))
        };
        let [image, video] = DEFAULT_IDS;
        let video = token(video, ", for prompts with a video")?;
        Ok(Self {
            image: token(image, "")??,
            video: video.map_err(|error| error.to_string()),
            tokens_per_second,
        })
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        std::iter::once(&self.image).chain(&self.video)
    }

    fn first_in(&self, text: &str) -> Option<(usize, &Token)> {
        let places = self.tokens().filter_map(|token| Some((text.find(&token.text)?, token)));
        places.min_by_key(|(start, _)| *start)
    }

    fn clip(&self, clip: Clip, token_id: u32) -> Medium {
        let Clip { patches, seconds_per_grid } = clip;
        // transformers keeps the seconds in single precision.
        let step = |per_second: f64| per_second as f32 * seconds_per_grid as f32;
        let time_step = self.tokens_per_second.map_or(1.0, step);
        Medium { patches, token_id, time_step }
    }
}

impl Placeholders for PadTokens {
    fn expand(
        &self,
        rendered: &str,
        images: Vec<Patches>,
        clips: Vec<Clip>,
        merge_size: usize,
    ) -> Result<Expanded, ProcessorError> {
        check_count(rendered, &self.image.text, "image", images.len())?;
        match &self.video {
            Ok(token) => check_count(rendered, &token.text, "video", clips.len())?,
            Err(_) if clips.is_empty() => {}
            Err(message) => return Err(ProcessorError::Placeholder { message: message.clone() }),
        }
        let (mut images, mut clips) = (images.into_iter(), clips.into_iter());
        let mut expanded = Expanded { text: String::new(), media: Vec::new() };
        let mut rest = rendered;
        while let Some((start, token)) = self.first_in(rest) {
            let found = if token.id == self.image.id {
                let image = |patches| Medium { patches, token_id: token.id, time_step: 1.0 };
                images.next().map(image)
            } else {
                clips.next().map(|clip| self.clip(clip, token.id))
            };
            let Some(found) = found else { break };
            expanded.text += &rest[..start];
            expanded.text += &token.text.repeat(found.patches.grid.n_tokens(merge_size));
            expanded.media.push(found);
            rest = &rest[start + token.text.len()..];
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
        let ids: Vec<u32> = self.tokens().map(|token| token.id).collect();
        mrope_positions(token_ids, media, &ids, merge_size)
    }
}

fn check_count(
    rendered: &str,
    token: &str,
    kind: &str,
    expected: usize,
) -> Result<(), ProcessorError> {
    let got = rendered.matches(token).count();
    if got == expected {
        return Ok(());
    }
    let what = format!("{token} in the rendered prompt");
    Err(ProcessorError::input(what, format!("{expected}, one per {kind}"), got))
}
