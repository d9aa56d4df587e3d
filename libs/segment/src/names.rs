//! Names of tensors: those of transformers' `SamModel` in the words of the authors' program, which candle's builders have too.

/// The name that the authors' program has for a tensor of transformers; `None` for one that boxes do not need. `iou_depth` is the
/// number of layers of the head that estimates the overlap.
pub(crate) fn original(name: &str, iou_depth: usize) -> Option<String> {
    if let Some(rest) = name.strip_prefix("vision_encoder.") {
        return Some(format!("image_encoder.{}", encoder(rest)));
    }
    if let Some(rest) = name.strip_prefix("mask_decoder.") {
        return Some(format!("mask_decoder.{}", decoder(rest, iou_depth)));
    }
    // Two names of one tensor; files have one of them or both.
    let positions = [
        "shared_image_embedding.positional_embedding",
        "prompt_encoder.shared_embedding.positional_embedding",
    ];
    if positions.contains(&name) {
        return Some("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix".to_owned());
    }
    let rest = name.strip_prefix("prompt_encoder.")?;
    match rest.strip_prefix("point_embed.") {
        Some(point) => Some(format!("prompt_encoder.point_embeddings.{point}")),
        None => rest.starts_with("no_mask_embed.").then(|| name.to_owned()),
    }
}

fn encoder(name: &str) -> String {
    let parts = [
        ("patch_embed.projection.", "patch_embed.proj."),
        ("neck.conv1.", "neck.0."),
        ("neck.layer_norm1.", "neck.1."),
        ("neck.conv2.", "neck.2."),
        ("neck.layer_norm2.", "neck.3."),
    ];
    for (from, to) in parts {
        if let Some(rest) = name.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    match name.strip_prefix("layers.") {
        Some(rest) => format!("blocks.{}", rest.replace(".layer_norm", ".norm")),
        None => name.to_owned(),
    }
}

fn decoder(name: &str, iou_depth: usize) -> String {
    let parts = [
        ("upscale_conv1.", "output_upscaling.0."),
        ("upscale_layer_norm.", "output_upscaling.1."),
        ("upscale_conv2.", "output_upscaling.3."),
        ("transformer.layer_norm_final_attn.", "transformer.norm_final_attn."),
    ];
    for (from, to) in parts {
        if let Some(rest) = name.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    if let Some(rest) = name.strip_prefix("iou_prediction_head.") {
        return format!("iou_prediction_head.{}", layer(rest, iou_depth));
    }
    if let Some((number, rest)) =
        name.strip_prefix("output_hypernetworks_mlps.").and_then(|rest| rest.split_once('.'))
    {
        return format!("output_hypernetworks_mlps.{number}.{}", layer(rest, HYPER_DEPTH));
    }
    name.replace(".layer_norm", ".norm")
}

/// Layers of the networks that make a mask of its token.
pub(crate) const HYPER_DEPTH: usize = 3;

/// A layer of a network that transformers counts without the first and the last.
fn layer(name: &str, depth: usize) -> String {
    let inner = |rest: &str| {
        let (number, rest) = rest.split_once('.')?;
        Some(format!("layers.{}.{rest}", number.parse::<usize>().ok()?.checked_add(1)?))
    };
    if let Some(rest) = name.strip_prefix("proj_in.") {
        format!("layers.0.{rest}")
    } else if let Some(rest) = name.strip_prefix("proj_out.") {
        format!("layers.{}.{rest}", depth - 1)
    } else {
        name.strip_prefix("layers.").and_then(inner).unwrap_or_else(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_old_name() {
        for (new, old) in [
            ("vision_encoder.pos_embed", "image_encoder.pos_embed"),
            ("vision_encoder.layers.3.layer_norm2.bias", "image_encoder.blocks.3.norm2.bias"),
            ("vision_encoder.layers.0.mlp.lin1.weight", "image_encoder.blocks.0.mlp.lin1.weight"),
            (
                "mask_decoder.transformer.layers.1.layer_norm4.weight",
                "mask_decoder.transformer.layers.1.norm4.weight",
            ),
            (
                "mask_decoder.iou_prediction_head.proj_out.bias",
                "mask_decoder.iou_prediction_head.layers.3.bias",
            ),
            (
                "mask_decoder.iou_prediction_head.layers.1.bias",
                "mask_decoder.iou_prediction_head.layers.2.bias",
            ),
            (
                "mask_decoder.output_hypernetworks_mlps.2.proj_out.bias",
                "mask_decoder.output_hypernetworks_mlps.2.layers.2.bias",
            ),
            ("prompt_encoder.point_embed.3.weight", "prompt_encoder.point_embeddings.3.weight"),
            ("prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
        ] {
            assert_eq!(original(new, 4).as_deref(), Some(old));
        }
        assert_eq!(original("prompt_encoder.mask_embed.conv1.weight", 4), None);
    }
}
