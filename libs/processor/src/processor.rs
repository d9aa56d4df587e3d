//! Questions and answers to what the model reads, and back.

use std::path::Path;

use serde_json::{Value, json};
use vrft_vision::{Clip, Patches, Preprocessor, Video};

use crate::conversation::{count_media, has_video};
use crate::families::{Coordinates, Expanded, Family, Placeholders, family_of};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{Conversation, EncodedPrompt, GenerationSettings, ProcessorError};

/// Stands for what the policy said where only what follows is of interest.
const SAID: &str = "(said)";

/// Chat template, tokenizer and image preprocessor of a checkpoint.
#[derive(Debug)]
pub struct Processor {
    family: &'static dyn Family,
    template: ChatTemplate,
    /// What the family renders a conversation with a video by, where that is not the checkpoint's template.
    video_template: Option<ChatTemplate>,
    tokenizer: Tokenizer,
    preprocessor: Preprocessor,
    placeholders: Box<dyn Placeholders>,
    /// Tokens that a prompt and its answer may have together, if the checkpoint says so.
    max_tokens: Option<usize>,
}

impl Processor {
    /// Reads a checkpoint directory in the Hugging Face layout, or the base of an adapter directory; the weights
    /// are not touched.
    ///
    /// Sampling settings that the checkpoint has are logged, not applied.
    pub fn load(dir: &Path) -> Result<Self, ProcessorError> {
        Self::load_beside(dir, None)
    }

    /// The same; `base` stands for the base that an adapter names.
    ///
    /// # Errors
    /// As [`Processor::load`].
    pub fn load_beside(dir: &Path, base: Option<&Path>) -> Result<Self, ProcessorError> {
        let adapter = vrft_checkpoint::Adapter::read_beside(dir, base)?;
        let n_soft = adapter.as_ref().and_then(vrft_checkpoint::Adapter::prompt);
        let dir = adapter.as_ref().map_or(dir, vrft_checkpoint::Adapter::base);
        let config = vrft_checkpoint::config(dir)?;
        let family = family_of(&config)?;
        let tokenizer = Tokenizer::load(dir, &config.keys())?;
        let processor = Self {
            family,
            template: ChatTemplate::load(dir)?,
            video_template: family.video_template().map(ChatTemplate::compile).transpose()?,
            preprocessor: family.preprocessor(dir)?,
            placeholders: family.placeholders(dir, &config.keys(), &tokenizer)?,
            max_tokens: {
                let keys = config.keys();
                keys.section("text_config").or(&keys).size("max_position_embeddings")?
            },
            tokenizer,
        }
        .behind_soft_prompt(n_soft.unwrap_or_default());
        if let Some(settings) = GenerationSettings::load(dir)? {
            tracing::info!("{settings}");
        }
        Ok(processor)
    }

    /// The processor of the checkpoint that a configuration names, with its bounds for images.
    ///
    /// # Errors
    /// As [`Processor::load`]; a model that is not on this machine.
    pub fn of(config: &vrft_checkpoint::PolicyConfig) -> Result<Self, ProcessorError> {
        let dir = vrft_checkpoint::checkpoint_dir(&config.path)?;
        let mut processor = Self::load_beside(&dir, config.base.as_deref())?;
        if !vrft_checkpoint::Adapter::is_in(&dir) {
            processor = processor.behind_soft_prompt(config.prompt_tuning.tokens);
        }
        processor.preprocessor.limit_images(config.min_pixels, config.max_pixels)?;
        Ok(processor)
    }

    /// A soft prompt takes so many of the model's places.
    fn behind_soft_prompt(self, n: usize) -> Self {
        Self { max_tokens: self.max_tokens.map(|most| most.saturating_sub(n)), ..self }
    }

    /// One user turn (the images, then the text), after a system turn if there is one, up to where the
    /// assistant starts to speak. `images` are encoded files: PNG, JPEG, WebP, BMP, GIF, TIFF or PNM.
    ///
    /// Without `system`, or with an empty one, the template's own default applies.
    ///
    /// # Errors
    /// As [`Processor::encode_messages`].
    pub fn encode(
        &self,
        system: Option<&str>,
        text: &str,
        images: &[&[u8]],
    ) -> Result<EncodedPrompt, ProcessorError> {
        self.encode_messages(&question(system, text, images.len()), images, &[], true)
    }

    /// A conversation of any turns in the form of Hugging Face chat messages (see [`Conversation`]), its images
    /// and videos given apart, in the order of its parts; with `add_generation_prompt` up to where the assistant
    /// starts to speak. A special token that a text spells is plain text, as with `split_special_tokens` of transformers.
    ///
    /// # Errors
    /// Messages of another form; images or videos that are not as many as the parts; an image that cannot be
    /// decoded, by its index; a template that refuses.
    pub fn encode_messages(
        &self,
        messages: &Value,
        images: &[&[u8]],
        videos: &[Video],
        add_generation_prompt: bool,
    ) -> Result<EncodedPrompt, ProcessorError> {
        let (n_images, n_videos) = count_media(messages)?;
        same_number("images", n_images, images.len())?;
        same_number("videos", n_videos, videos.len())?;
        let images = self.images(images)?;
        let clips = self.clips(videos)?;
        let (rendered, mark) = self.render_marked(messages, add_generation_prompt)?;
        let merge_size = self.preprocessor.merge_size();
        let Expanded { text, media } =
            self.placeholders.expand(&rendered, images, clips, merge_size)?;
        let token_ids = self.tokenizer.encode_marked(&text, mark)?;
        let positions = self.placeholders.positions(&token_ids, &media, merge_size)?;
        let images = media.into_iter().map(|medium| medium.patches).collect();
        Ok(EncodedPrompt { token_ids, positions, images })
    }

    /// What the user says after a turn of the assistant, about these images, up to where the assistant speaks again:
    /// the tokens that a conversation has between two of its answers. `ended` says that the turn before has its
    /// end token already, as it has where the policy ended it; after a text that merely paused, that token comes first.
    /// Positions count from 0.
    ///
    /// # Errors
    /// An image that cannot be decoded, by its index; a template that refuses such a conversation or does not repeat
    /// what the assistant said.
    pub fn encode_reply(
        &self,
        text: &str,
        images: &[&[u8]],
        ended: bool,
    ) -> Result<EncodedPrompt, ProcessorError> {
        let mut parts = vec![json!({"type": "image"}); images.len()];
        parts.push(json!({"type": "text", "text": text}));
        let messages = json!([
            {"role": "user", "content": [{"type": "text", "text": "-"}]},
            {"role": "assistant", "content": SAID},
            {"role": "user", "content": parts}]);
        let images = self.images(images)?;
        let (rendered, mark) = self.render_marked(&messages, true)?;
        let reply = rendered.split_once(SAID).map(|(_, reply)| reply).ok_or_else(|| {
            let expected = format!("repeat {SAID:?}, which the assistant said");
            ProcessorError::input("the chat template", expected, format!("{rendered:?}"))
        })?;
        let merge_size = self.preprocessor.merge_size();
        let Expanded { text, media } =
            self.placeholders.expand(reply, images, Vec::new(), merge_size)?;
        let mut token_ids = self.tokenizer.encode_marked(&text, mark)?;
        if ended && token_ids.first().is_some_and(|first| self.end_ids().contains(first)) {
            token_ids.remove(0);
        }
        let positions = self.placeholders.positions(&token_ids, &media, merge_size)?;
        let images = media.into_iter().map(|medium| medium.patches).collect();
        Ok(EncodedPrompt { token_ids, positions, images })
    }

    /// The number of tokens that [`Processor::encode_messages`] would give with a generation prompt, known from the
    /// width and height of each upright image: no pixel is needed.
    ///
    /// # Errors
    /// As [`Processor::encode_messages`].
    pub fn count_tokens(
        &self,
        messages: &Value,
        images: &[(u32, u32)],
    ) -> Result<usize, ProcessorError> {
        let (n_images, _) = count_media(messages)?;
        same_number("images", n_images, images.len())?;
        let outlines = images.iter().enumerate().map(|(image_idx, &(width, height))| {
            let outline = self.preprocessor.outline(height as usize, width as usize);
            outline.map_err(|source| ProcessorError::Image { image_idx, source })
        });
        let outlines = outlines.collect::<Result<_, ProcessorError>>()?;
        let (rendered, mark) = self.render_marked(messages, true)?;
        let merge_size = self.preprocessor.merge_size();
        let expanded = self.placeholders.expand(&rendered, outlines, Vec::new(), merge_size)?;
        Ok(self.tokenizer.encode_marked(&expanded.text, mark)?.len())
    }

    /// Tokens that a prompt and its answer may have together; `None` if the checkpoint does not say.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_tokens
    }

    /// [`Processor::encode_messages`] of a conversation whose files were read.
    pub fn encode_conversation(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
    ) -> Result<EncodedPrompt, ProcessorError> {
        let Conversation { messages, images, videos } = conversation;
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        self.encode_messages(messages, &images, videos, add_generation_prompt)
    }

    /// The question of [`Processor::encode`] as text, with one placeholder per image.
    pub fn render(
        &self,
        system: Option<&str>,
        text: &str,
        n_images: usize,
    ) -> Result<String, ProcessorError> {
        self.render_messages(&question(system, text, n_images), true)
    }

    /// A conversation as text, with one placeholder per image and video: `apply_chat_template` of transformers.
    pub fn render_messages(
        &self,
        messages: &Value,
        add_generation_prompt: bool,
    ) -> Result<String, ProcessorError> {
        let mut context = self.tokenizer.special_tokens().clone();
        context.insert("messages".into(), self.family.for_template(messages).into_owned());
        context.insert("add_generation_prompt".into(), add_generation_prompt.into());
        // Templates ask whether these are none, which something undefined is not.
        context.insert("tools".into(), Value::Null);
        context.insert("documents".into(), Value::Null);
        let of_videos = self.video_template.as_ref().filter(|_| has_video(messages));
        of_videos.unwrap_or(&self.template).render(&context)
    }

    /// The conversation as text in which special tokens that people spell are marked by a character, if there are any.
    fn render_marked(
        &self,
        messages: &Value,
        add_generation_prompt: bool,
    ) -> Result<(String, Option<char>), ProcessorError> {
        match self.tokenizer.spelled().mark(messages) {
            Some((marked, mark)) => {
                Ok((self.render_messages(&marked, add_generation_prompt)?, Some(mark)))
            }
            None => Ok((self.render_messages(messages, add_generation_prompt)?, None)),
        }
    }

    /// Token ids of a text as it stands, special tokens by their ids.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        self.tokenizer.encode(text)
    }

    /// Token ids of an answer with the end of the turn after it: a target of supervised fine-tuning. A special token that
    /// the answer spells is plain text: learned by its id it would end the turn.
    pub fn encode_completion(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        let mut ids = self.tokenizer.encode_plain(text)?;
        ids.extend(self.end_ids().first());
        Ok(ids)
    }

    /// Text of token ids, special tokens left out; bytes that are not UTF-8 come as `U+FFFD`.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ProcessorError> {
        self.tokenizer.decode(ids)
    }

    /// Token ids that end a completion, the end of a turn first; never empty.
    pub fn end_ids(&self) -> &[u32] {
        self.tokenizer.end_ids()
    }

    /// The preprocessor that images go through.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// How the checkpoint's family was trained to say where something is.
    pub fn coordinates(&self) -> Coordinates {
        self.family.coordinates()
    }

    fn images(&self, images: &[&[u8]]) -> Result<Vec<Patches>, ProcessorError> {
        let patches = images.iter().enumerate().map(|(image_idx, bytes)| {
            let patches = self.preprocessor.patches(bytes);
            patches.map_err(|source| ProcessorError::Image { image_idx, source })
        });
        patches.collect()
    }

    fn clips(&self, videos: &[Video]) -> Result<Vec<Clip>, ProcessorError> {
        let clips = videos.iter().enumerate().map(|(video_idx, video)| {
            let clip = self.preprocessor.clip(video);
            clip.map_err(|source| ProcessorError::Video { video_idx, source })
        });
        clips.collect()
    }
}

/// The messages of one question.
fn question(system: Option<&str>, text: &str, n_images: usize) -> Value {
    let mut parts = vec![json!({"type": "image"}); n_images];
    parts.push(json!({"type": "text", "text": text}));
    let system = system.filter(|system| !system.is_empty());
    let mut messages = Vec::from_iter(system.map(|s| json!({"role": "system", "content": s})));
    messages.push(json!({"role": "user", "content": parts}));
    messages.into()
}

fn same_number(what: &str, expected: usize, got: usize) -> Result<(), ProcessorError> {
    if expected == got {
        return Ok(());
    }
    let expected = format!("{expected}, one for each part of the messages");
    Err(ProcessorError::input(format!("{what} of the prompt"), expected, got))
}
