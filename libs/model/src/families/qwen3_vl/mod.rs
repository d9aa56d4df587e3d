//! [Qwen3-VL](https://arxiv.org/abs/2511.21631): a tower with a learned square of positions, whose features at several
//! depths are added after the first decoder layers (DeepStack), and a Qwen3 decoder, whose rotary frequencies follow time,
//! height and width by turns.

use std::sync::Arc;

use vrft_checkpoint::Keys;

use super::Family;
use crate::names::{Layout, Layouts};
use crate::{ModelConfig, ModelError};

mod config;
mod positions;
mod tower;

/// The names of the parts; they have not changed.
const LAYOUT: Layout =
    Layout { visual: &["model.visual"], text: "model.language_model", head: "lm_head" };
static LAYOUTS: Layouts =
    Layouts { published: LAYOUT, modules: LAYOUT, embeddings: &["pos_embed"] };

#[derive(Debug)]
pub(super) struct Qwen3Vl;

impl Family for Qwen3Vl {
    fn model_type(&self) -> &'static str {
        "qwen3_vl"
    }

    fn config(&self, root: &Keys) -> Result<ModelConfig, ModelError> {
        let text = config::read_text(root)?;
        let tower = config::TowerShape::read(&root.section("vision_config"), text.hidden_size)?;
        let image_id = root.token_id("image_token_id")?.unwrap_or(151_655);
        let video_id = root.token_id("video_token_id")?.unwrap_or(151_656);
        Ok(ModelConfig::new(&Qwen3Vl, text, Arc::new(tower), vec![image_id, video_id]))
    }

    fn layouts(&self) -> &'static Layouts {
        &LAYOUTS
    }
}
