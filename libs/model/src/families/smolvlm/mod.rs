//! [SmolVLM](https://arxiv.org/abs/2504.05299), and [Idefics3](https://arxiv.org/abs/2408.12637) whose layout it has: a
//! SigLIP tower over tiles, neighboring patches side by side through one linear layer, and a Llama decoder.

use std::sync::Arc;

use vrft_checkpoint::Keys;

use super::Family;
use crate::names::{Layout, Layouts};
use crate::{ModelConfig, ModelError};

mod config;
mod positions;
mod tower;

/// The names of the parts; they have not changed.
const LAYOUT: Layout = Layout {
    visual: &["model.vision_model", "model.connector"],
    text: "model.text_model",
    head: "lm_head",
};
static LAYOUTS: Layouts =
    Layouts { published: LAYOUT, modules: LAYOUT, embeddings: &["position_embedding"] };

/// What `config.json` is assumed to say of the image token.
const IMAGE_ID: u32 = 128_257;

#[derive(Debug)]
pub(super) struct TiledFamily {
    model_type: &'static str,
}

pub(super) static SMOLVLM: TiledFamily = TiledFamily { model_type: "smolvlm" };
pub(super) static IDEFICS3: TiledFamily = TiledFamily { model_type: "idefics3" };

impl TiledFamily {
    /// Itself, for as long as the program runs.
    fn as_static(&self) -> &'static Self {
        if self.model_type == SMOLVLM.model_type { &SMOLVLM } else { &IDEFICS3 }
    }
}

impl Family for TiledFamily {
    fn model_type(&self) -> &'static str {
        self.model_type
    }

    fn config(&self, root: &Keys) -> Result<ModelConfig, ModelError> {
        let text = config::read_text(root)?;
        let tower = config::TowerShape::read(root, text.hidden_size)?;
        let image_id = root.token_id("image_token_id")?.unwrap_or(IMAGE_ID);
        Ok(ModelConfig::new(self.as_static(), text, Arc::new(tower), vec![image_id]))
    }

    fn layouts(&self) -> &'static Layouts {
        &LAYOUTS
    }
}
