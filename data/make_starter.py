#!/usr/bin/env python3
"""Makes everything of the starter checkpoint but its weights: configuration, processor, tokenizer, chat template.

The tokenizer is a byte-level BPE that keeps each decimal digit a token of its own, as Qwen's does, and is trained on
the texts of the demo, so that the fixed parts of question and answer are a few tokens each. Any other text falls
back to smaller pieces and bytes.

Usage: make_starter.py OUT. Needs the Python package tokenizers; then
    vrft init OUT                                      writes random weights
    vrft run configs/starter.yml                       trains them
"""

import sys
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from make_data import PROMPT
from policy_files import SPECIAL, write

VOCABULARY = 1024
THINK = "<think> The digit stands out from the ground. </think> "

TEXT = dict(hidden_size=192, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2, intermediate_size=512)
VISION = dict(depth=3, embed_dim=96, num_heads=3, patch_size=8)


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    # No split at words: a sentence that never changes becomes one token.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, min_frequency=1, show_progress=False,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    answer = "<answer>[{'Position': [1, 2, 3, 4], 'Confidence': 0.5}]</answer>"
    pair = "<answer>[{'Position': [1, 2, 3, 4], 'Confidence': 0.5}, {'Position': [1, 2, 3, 4], 'Confidence': 0.5}]</answer>"
    none = "<answer>No Objects</answer>"
    texts = [PROMPT, "user\n", "assistant\n", "system\n"] + [THINK + text for text in (answer, pair, none)] * 4
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def config(tokenizer):
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    text = dict(
        TEXT, model_type="qwen2_vl_text", vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=1024,
        hidden_act="silu", rms_norm_eps=1e-6, tie_word_embeddings=True, use_cache=True, use_sliding_window=False,
        bos_token_id=None, eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|endoftext|>"],
        # A grid of 4 x 4 tokens wants fast rotations: with the usual base of 1e6 its columns all look alike.
        rope_parameters=dict(rope_type="default", rope_theta=10.0, mrope_section=[4, 6, 6]))
    vision = dict(
        VISION, model_type="qwen2_vl_vision", hidden_size=TEXT["hidden_size"], hidden_act="quick_gelu", in_channels=3,
        mlp_ratio=4, spatial_merge_size=2, temporal_patch_size=2,
        rope_parameters=dict(rope_type="axial", rope_theta=100.0))
    return dict(
        architectures=["Qwen2VLForConditionalGeneration"], model_type="qwen2_vl", dtype="float32",
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True, text_config=text, vision_config=vision)


def processor():
    shared = dict(
        do_convert_rgb=True, do_resize=True, resample=3, do_rescale=True,
        rescale_factor=1 / 255, do_normalize=True, image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711], patch_size=8, merge_size=2, temporal_patch_size=2,
        size=dict(shortest_edge=64 * 64, longest_edge=64 * 64))
    # transformers' AutoProcessor wants to know of videos too.
    return dict(processor_class="Qwen2VLProcessor",
                image_processor=dict(image_processor_type="Qwen2VLImageProcessor", **shared),
                video_processor=dict(video_processor_type="Qwen2VLVideoProcessor", do_sample_frames=False, **shared))


def main(out):
    tokenizer = make_tokenizer()
    write(out, tokenizer, config(tokenizer), processor())
    for text in (PROMPT, THINK + "<answer>[{'Position': [573, 66, 959, 455], 'Confidence': 0.70}]</answer>"):
        print(len(tokenizer.encode(text).ids), "tokens:", tokenizer.encode(text).tokens)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
