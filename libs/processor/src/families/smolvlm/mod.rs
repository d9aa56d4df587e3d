//! [SmolVLM](https://arxiv.org/abs/2504.05299), and [Idefics3](https://arxiv.org/abs/2408.12637) whose layout it has:
//! a picture is cut into tiles, each announced by its row and column, with the whole picture in small after them;
//! positions on one axis. It was not trained to say where something is in a form of its own, so places are in thousandths.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Value, json};
use vrft_checkpoint::Keys;
use vrft_vision::{CoordinateSpace, Preprocessor};

use super::{Coordinates, Family, Placeholders};
use crate::ProcessorError;
use crate::tokenizer::Tokenizer;

mod numerals;
mod placeholders;
mod settings;

use placeholders::TileTokens;

/// The template that transformers uses for conversations with a video, since the published ones leave videos out.
const VIDEO_TEMPLATE: &str = "<|im_start|>\
    {% for message in messages %}\
    {{ message['role'] | capitalize }}{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}\
    {% for part in message['content'] %}\
    {% if part['type'] == 'text' %}{{ part['text'] }}{% else %}{{ '<' ~ part['type'] ~ '>' }}{% endif %}\
    {% endfor %}{{ '<end_of_utterance>\\n' }}\
    {% endfor %}\
    {% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

#[derive(Debug)]
pub(super) struct TiledFamily {
    model_type: &'static str,
    /// Whether it was trained on videos.
    has_videos: bool,
}

pub(super) static SMOLVLM: TiledFamily = TiledFamily { model_type: "smolvlm", has_videos: true };
pub(super) static IDEFICS3: TiledFamily = TiledFamily { model_type: "idefics3", has_videos: false };

impl Family for TiledFamily {
    fn model_type(&self) -> &'static str {
        self.model_type
    }

    fn coordinates(&self) -> Coordinates {
        Coordinates { space: CoordinateSpace::Thousandths, item_keys: None }
    }

    fn preprocessor(&self, dir: &Path) -> Result<Preprocessor, ProcessorError> {
        settings::read_preprocessor(dir)
    }

    fn video_template(&self) -> Option<&'static str> {
        self.has_videos.then_some(VIDEO_TEMPLATE)
    }

    fn for_template<'a>(&self, messages: &'a Value) -> Cow<'a, Value> {
        let is_text = |message: &Value| message["content"].is_string();
        if !messages.as_array().is_some_and(|messages| messages.iter().any(is_text)) {
            return Cow::Borrowed(messages);
        }
        let mut messages = messages.clone();
        for message in messages.as_array_mut().into_iter().flatten().filter(|m| is_text(m)) {
            message["content"] = json!([{"type": "text", "text": message["content"].take()}]);
        }
        Cow::Owned(messages)
    }

    fn placeholders(
        &self,
        dir: &Path,
        config: &Keys,
        tokenizer: &Tokenizer,
    ) -> Result<Box<dyn Placeholders>, ProcessorError> {
        Ok(Box::new(TileTokens::read(dir, config, tokenizer, self.has_videos)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_that_is_a_text_becomes_a_part() {
        let messages =
            json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": []}]);
        let parts = SMOLVLM.for_template(&messages);
        let expected = json!([{"type": "text", "text": "Be brief."}]);
        assert_eq!((&parts[0]["content"], &parts[1]), (&expected, &messages[1]));
        assert!(matches!(SMOLVLM.for_template(&parts), Cow::Borrowed(_)));
    }
}
