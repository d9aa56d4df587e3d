//! How large the parts of a SAM are: from transformers' `config.json`, or from the tensors of the authors' own files.

use std::collections::BTreeMap;

use vrft_checkpoint::{CheckpointError, JsonFile, Keys};

/// Sides of the parts, by the names that candle's builders have for them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sizes {
    /// Side of the square that pictures are scaled and padded to.
    pub(crate) image: usize,
    /// Side of a patch.
    pub(crate) patch: usize,
    /// Width of the image encoder.
    pub(crate) hidden: usize,
    /// Blocks of the image encoder.
    pub(crate) depth: usize,
    /// Attention heads of the image encoder.
    pub(crate) heads: usize,
    pub(crate) qkv_bias: bool,
    pub(crate) relative_positions: bool,
    pub(crate) absolute_positions: bool,
    /// Patches on a side of the windows that most blocks attend within.
    pub(crate) window: usize,
    /// Blocks that attend to the whole picture.
    pub(crate) global: Vec<usize>,
    /// Width of prompts and of the decoder.
    pub(crate) width: usize,
    pub(crate) decoder_depth: usize,
    pub(crate) decoder_heads: usize,
    pub(crate) decoder_mlp: usize,
    /// Masks that the decoder proposes besides the first.
    pub(crate) n_proposals: usize,
    pub(crate) iou_depth: usize,
    pub(crate) iou_hidden: usize,
}

/// Shapes of the tensors, by the names of the authors' program.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

impl Sizes {
    /// Patches on a side of the picture.
    pub(crate) fn grid(&self) -> usize {
        self.image / self.patch
    }

    /// As transformers writes them down; what is left out is as transformers has it.
    ///
    /// # Errors
    /// Another model, a part that is built in another way than candle builds it, sides that do not fit each other.
    pub(crate) fn of_config(file: &JsonFile) -> Result<Self, CheckpointError> {
        let keys = file.keys();
        let kind = keys.get("model_type").and_then(|kind| kind.as_str());
        keys.ensure(
            kind == Some("sam"),
            "model_type",
            "\"sam\" (the Segment Anything Model of 2023, such as facebook/sam-vit-base)",
            kind.unwrap_or("nothing"),
        )?;
        let [vision, prompt, decoder] =
            ["vision_config", "prompt_encoder_config", "mask_decoder_config"]
                .map(|section| keys.section(section));
        let size = |keys: &Keys, key: &str, default: usize| Ok(keys.size(key)?.unwrap_or(default));
        let flag = |key: &str| Ok(vision.flag(key)?.unwrap_or(true));
        let sizes = Self {
            image: size(&vision, "image_size", 1024)?,
            patch: size(&vision, "patch_size", 16)?,
            hidden: size(&vision, "hidden_size", 768)?,
            depth: size(&vision, "num_hidden_layers", 12)?,
            heads: size(&vision, "num_attention_heads", 12)?,
            qkv_bias: flag("qkv_bias")?,
            relative_positions: flag("use_rel_pos")?,
            absolute_positions: flag("use_abs_pos")?,
            window: size(&vision, "window_size", 14)?,
            global: vision.counts("global_attn_indexes")?.unwrap_or_else(|| vec![2, 5, 8, 11]),
            width: size(&decoder, "hidden_size", 256)?,
            decoder_depth: size(&decoder, "num_hidden_layers", 2)?,
            decoder_heads: size(&decoder, "num_attention_heads", 8)?,
            decoder_mlp: size(&decoder, "mlp_dim", 2048)?,
            n_proposals: size(&decoder, "num_multimask_outputs", 3)?,
            iou_depth: size(&decoder, "iou_head_depth", 3)?,
            iou_hidden: size(&decoder, "iou_head_hidden_dim", 256)?,
        };
        let same = |keys: &Keys, key: &str, expected: usize, default: usize| {
            let got = size(keys, key, default)?;
            keys.ensure(got == expected, key, expected.to_string(), got)
        };
        same(&vision, "num_channels", 3, 3)?;
        same(&vision, "output_channels", sizes.width, 256)?;
        // Both ways to say it; the builder knows four times alone.
        same(&vision, "mlp_dim", 4 * sizes.hidden, 4 * sizes.hidden)?;
        let ratio = vision.number("mlp_ratio")?.unwrap_or(4.0);
        vision.ensure(ratio == 4.0, "mlp_ratio", "4", ratio)?;
        same(&vision, "num_pos_feats", sizes.width / 2, 128)?;
        same(&prompt, "hidden_size", sizes.width, 256)?;
        same(&prompt, "image_size", sizes.image, 1024)?;
        same(&prompt, "patch_size", sizes.patch, 16)?;
        same(&decoder, "attention_downsample_rate", 2, 2)?;
        vision.one_of("hidden_act", &["gelu"])?;
        decoder.one_of("hidden_act", &["relu"])?;
        vision.ensure(
            sizes.image.is_multiple_of(sizes.patch),
            "image_size",
            format!("a multiple of patch_size = {}", sizes.patch),
            sizes.image,
        )?;
        vision.ensure(
            sizes.hidden.is_multiple_of(sizes.heads),
            "hidden_size",
            format!("a multiple of num_attention_heads = {}", sizes.heads),
            sizes.hidden,
        )?;
        decoder.ensure(
            sizes.width.is_multiple_of(8) && (sizes.width / 2).is_multiple_of(sizes.decoder_heads),
            "hidden_size",
            format!(
                "a multiple of 8, and half of it one of num_attention_heads = {}",
                sizes.decoder_heads
            ),
            sizes.width,
        )?;
        Ok(sizes)
    }

    /// From the tensors themselves. Only the heads of the decoder leave no trace in them; SAM has 8.
    ///
    /// # Errors
    /// A tensor that is not there, or not of the rank that it should have.
    pub(crate) fn of_shapes(shapes: &Shapes) -> Result<Self, String> {
        if shapes.keys().any(|name| name.starts_with("image_encoder.layers.")) {
            return Err("its image encoder is TinyViT (MobileSAM), which is not read; \
                        expected one of SAM's: ViT-B, L or H, of which facebook/sam-vit-base is the smallest"
                .to_owned());
        }
        let of = |name: &str, rank: usize| {
            let shape = shapes.get(name).ok_or_else(|| format!("no tensor {name}"))?;
            let is_right = shape.len() == rank && !shape.contains(&0);
            is_right.then_some(shape).ok_or_else(|| format!("tensor {name} has shape {shape:?}"))
        };
        let patches = of("image_encoder.patch_embed.proj.weight", 4)?;
        let places = of("image_encoder.pos_embed", 4)?;
        let (hidden, patch, grid) = (patches[0], patches[2], places[1]);
        let depth = n_numbered(shapes, "image_encoder.blocks.");
        let reach = (0..depth).map(|block| {
            Ok(of(&format!("image_encoder.blocks.{block}.attn.rel_pos_h"), 2)?.clone())
        });
        let reach: Vec<Vec<usize>> = reach.collect::<Result<_, String>>()?;
        let is_global = |block: &usize| reach[*block][0] == 2 * grid - 1;
        let windowed = (0..depth).find(|block| !is_global(block));
        let head = reach.first().ok_or("no tensor image_encoder.blocks.0.attn.rel_pos_h")?[1];
        let decoder = "mask_decoder.transformer.layers.";
        let tokens = of("mask_decoder.mask_tokens.weight", 2)?;
        Ok(Self {
            image: grid * patch,
            patch,
            hidden,
            depth,
            heads: hidden / head,
            qkv_bias: shapes.contains_key("image_encoder.blocks.0.attn.qkv.bias"),
            relative_positions: true,
            absolute_positions: true,
            window: windowed.map_or(grid, |block| reach[block][0].div_ceil(2)),
            global: (0..depth).filter(is_global).collect(),
            width: tokens[1],
            decoder_depth: n_numbered(shapes, decoder),
            decoder_heads: 8,
            decoder_mlp: of(&format!("{decoder}0.mlp.lin1.weight"), 2)?[0],
            n_proposals: tokens[0] - 1,
            iou_depth: n_numbered(shapes, "mask_decoder.iou_prediction_head.layers."),
            iou_hidden: of("mask_decoder.iou_prediction_head.layers.0.weight", 2)?[0],
        })
    }

    /// Compares the numbers of layers with the tensors, before anything is made for them.
    ///
    /// # Errors
    /// Another number than the tensors are for.
    pub(crate) fn check_against(&self, shapes: &Shapes) -> Result<(), String> {
        let numbers = [
            ("image_encoder.blocks.", "vision_config.num_hidden_layers", self.depth),
            (
                "mask_decoder.transformer.layers.",
                "mask_decoder_config.num_hidden_layers",
                self.decoder_depth,
            ),
            (
                "mask_decoder.output_hypernetworks_mlps.",
                "mask_decoder_config.num_multimask_outputs, and one,",
                self.n_proposals + 1,
            ),
            (
                "mask_decoder.iou_prediction_head.layers.",
                "mask_decoder_config.iou_head_depth",
                self.iou_depth,
            ),
        ];
        for (prefix, key, said) in numbers {
            let found = n_numbered(shapes, prefix);
            if found != said {
                return Err(format!("{key} should be {found}, as its tensors are, got {said}"));
            }
        }
        Ok(())
    }
}

/// Number of different numbers that follow a prefix.
fn n_numbered(shapes: &Shapes, prefix: &str) -> usize {
    let numbers = shapes.keys().filter_map(|name| name.strip_prefix(prefix)?.split('.').next());
    numbers.collect::<std::collections::BTreeSet<&str>>().len()
}
