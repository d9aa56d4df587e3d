//! [Qwen2-VL](https://arxiv.org/abs/2409.12191) in prompts: one token for each merged patch, positions on three axes,
//! coordinates in thousandths of the picture.

use std::path::Path;

use vrft_checkpoint::Keys;
use vrft_vision::{CoordinateSpace, Preprocessor};

use super::{Coordinates, Family, Placeholders};
use crate::ProcessorError;
use crate::tokenizer::Tokenizer;

mod placeholders;
mod positions;
mod settings;

pub(super) use placeholders::{PadTokens, Time, check_count};
pub(super) use settings::{Defaults, IMAGE, image_settings, read_preprocessor, sampling};

#[derive(Debug)]
pub(super) struct Qwen2Vl;

impl Family for Qwen2Vl {
    fn model_type(&self) -> &'static str {
        "qwen2_vl"
    }

    fn coordinates(&self) -> Coordinates {
        // Its own form is no JSON: <|box_start|>(x1,y1),(x2,y2)<|box_end|>.
        Coordinates { space: CoordinateSpace::Thousandths, item_keys: None }
    }

    fn preprocessor(&self, dir: &Path) -> Result<Preprocessor, ProcessorError> {
        read_preprocessor(dir)
    }

    fn placeholders(
        &self,
        _dir: &Path,
        config: &Keys,
        tokenizer: &Tokenizer,
    ) -> Result<Box<dyn Placeholders>, ProcessorError> {
        Ok(Box::new(PadTokens::read(config, tokenizer, Time::Order)?))
    }
}
