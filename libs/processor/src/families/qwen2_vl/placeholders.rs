//! The pad tokens that stand for images and videos in a prompt.

use vrft_checkpoint::{CheckpointError, Keys};
use vrft_vision::{Clip, Grid, Patches};

use super::positions::{Span, mrope_positions};
use crate::ProcessorError;
use crate::families::{Expanded, Medium, Placeholders};
use crate::tokenizer::Tokenizer;

/// The keys of the pad tokens, their ids in the published models, and what a tokenizer of these families calls them.
const PADS: [(&str, u32, &str); 2] =
    [("image_token_id", 151_655, "<|image_pad|>"), ("video_token_id", 151_656, "<|video_pad|>")];

/// The pad tokens of a checkpoint, and how time passes in its videos.
#[derive(Debug)]
pub(crate) struct PadTokens {
    image: Token,
    /// A tokenizer without it cannot speak of videos; then the error to say so with.
    video: Result<Token, String>,
    time: Time,
}

/// How a prompt says when the frames of a video were taken.
#[derive(Debug)]
pub(crate) enum Time {
    /// Each temporal patch is one position, however much time passes.
    Order,
    /// Positions follow the clock, so many a second.
    Positions(f64),
    /// Each temporal patch stands by itself between these tokens, after a text with its second.
    Text {
        /// The token before the patch.
        start: String,
        /// The token after it.
        end: String,
    },
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
    /// An image token that the tokenizer does not have, or a pad token that is another one of it.
    pub(crate) fn read(
        config: &Keys,
        tokenizer: &Tokenizer,
        time: Time,
    ) -> Result<Self, ProcessorError> {
        let token = |(key, default, name): (&str, u32, &str),
                     what: &str|
         -> Result<_, CheckpointError> {
            let id = config.token_id(key)?.unwrap_or(default);
            let token = tokenizer.token(id).map(|text| Token { id, text });
            if let (Some(own), Some(token)) = (tokenizer.id(name), &token) {
                let got = format!("{id}, {}", token.text);
                config.ensure(own == id, key, format!("{own}, {name} of tokenizer.json"), got)?;
            }
            let expected = format!("a token of tokenizer.json{what}");
            Ok(token.ok_or_else(|| config.error(key, expected, id)))
        };
        let [image, video] = PADS;
        let video = token(video, ", for prompts with a video")?;
        Ok(Self {
            image: token(image, "")??,
            video: video.map_err(|error| error.to_string()),
            time,
        })
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        std::iter::once(&self.image).chain(&self.video)
    }

    fn first_in(&self, text: &str) -> Option<(usize, &Token)> {
        let places = self.tokens().filter_map(|token| Some((text.find(&token.text)?, token)));
        places.min_by_key(|(start, _)| *start)
    }

    /// Appends the tokens of a video.
    fn push_clip(&self, expanded: &mut Expanded, clip: Clip, token: &Token, merge_size: usize) {
        let Clip { patches, seconds_per_grid, seconds } = clip;
        let n_tokens = patches.grid.n_tokens(merge_size);
        let time_step = match &self.time {
            // transformers keeps the seconds in single precision.
            Time::Positions(per_second) => *per_second as f32 * seconds_per_grid as f32,
            Time::Order | Time::Text { .. } => 1.0,
        };
        if let Time::Text { start, end } = &self.time {
            let tokens = token.text.repeat(n_tokens / patches.grid.t.max(1));
            for second in seconds {
                expanded.text += &format!("<{second:.1} seconds>{start}{tokens}{end}");
            }
        } else {
            expanded.text += &token.text.repeat(n_tokens);
        }
        expanded.media.push(Medium { patches, token_id: token.id, time_step });
    }

    /// The stretches of tokens of a picture.
    fn spans(&self, medium: &Medium) -> impl Iterator<Item = Span> + use<> {
        let Medium { token_id, time_step, .. } = *medium;
        let whole = medium.patches.grid;
        let (grid, n) = match self.time {
            Time::Text { .. } => (Grid { t: 1, ..whole }, whole.t),
            Time::Order | Time::Positions(_) => (whole, 1),
        };
        std::iter::repeat_n(Span { token_id, grid, time_step }, n)
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
            expanded.text += &rest[..start];
            if token.id == self.image.id {
                let Some(patches) = images.next() else { break };
                expanded.text += &token.text.repeat(patches.grid.n_tokens(merge_size));
                expanded.media.push(Medium { patches, token_id: token.id, time_step: 1.0 });
            } else {
                let Some(clip) = clips.next() else { break };
                self.push_clip(&mut expanded, clip, token, merge_size);
            }
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
        let spans = media.iter().flat_map(|medium| self.spans(medium));
        mrope_positions(token_ids, spans, &ids, merge_size)
    }
}

/// Whether the rendered text has as many placeholders as there are pictures.
pub(in crate::families) fn check_count(
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
