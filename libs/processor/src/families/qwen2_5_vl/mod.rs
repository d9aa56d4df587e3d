//! [Qwen2.5-VL](https://arxiv.org/abs/2502.13923) in prompts: as its predecessor, with positions that follow the clock
//! of a video, and coordinates in pixels of the scaled picture, answered as JSON.

use std::path::Path;

use vrft_checkpoint::Keys;
use vrft_vision::{CoordinateSpace, Preprocessor};

use super::qwen2_vl::{PadTokens, Time, read_preprocessor};
use super::{Coordinates, Family, ItemKeys, Placeholders};
use crate::ProcessorError;
use crate::tokenizer::Tokenizer;

/// What transformers assumes of a checkpoint that does not say.
const TOKENS_PER_SECOND: f64 = 4.0;

#[derive(Debug)]
pub(super) struct Qwen25Vl;

impl Family for Qwen25Vl {
    fn model_type(&self) -> &'static str {
        "qwen2_5_vl"
    }

    fn coordinates(&self) -> Coordinates {
        Coordinates {
            space: CoordinateSpace::Resized,
            item_keys: Some(ItemKeys { place: "bbox_2d", label: "label" }),
        }
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
        let per_second = config.section("vision_config").positive("tokens_per_second")?;
        let per_second = per_second.unwrap_or(TOKENS_PER_SECOND);
        Ok(Box::new(PadTokens::read(config, tokenizer, Time::Positions(per_second))?))
    }
}
