#!/usr/bin/env python3
"""Makes everything of the reasoning starter but its weights: configuration, processor, tokenizer, chat template.

The tokenizer is a byte-level BPE that splits at words, as GPT-2's does, and keeps each decimal digit a token of its own:
no piece is longer than a word, so question, thinking and answer are spelled out. It is trained on the texts of the
tasks; any other text falls back to smaller pieces and bytes.

Usage: make_reasoner.py OUT. Needs numpy, pillow and the Python package tokenizers; then
    vrft init OUT                          writes random weights
    vrft run configs/reasoner.yml          trains them
"""

import sys
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from policy_files import SPECIAL, write
from questions import COMPARED, EXTREMES, GROUPS, RELATIONS, TASKS, ask
from scenes import COLORS, NAMES, SIZE, Thing

VOCABULARY = 512
PATCH = 8

TEXT = dict(hidden_size=256, num_hidden_layers=5, num_attention_heads=8, num_key_value_heads=2, head_dim=32,
            intermediate_size=704)
VISION = dict(depth=4, hidden_size=160, intermediate_size=640, num_heads=5, patch_size=PATCH)


def texts():
    """Questions and answers about made-up scenes, so that every word of the tasks becomes a token."""
    rng = np.random.default_rng(0)
    for _ in range(3000):
        corners = rng.integers(0, SIZE, (3, 4)).tolist()
        things = [Thing(str(rng.choice(NAMES)), str(rng.choice(COLORS)), tuple(box)) for box in corners]
        for task in TASKS:
            yield from ask(rng, task, things) or ()
    words = [*NAMES, *COLORS, *GROUPS, *COMPARED, *EXTREMES, *" ".join(RELATIONS).split()]
    yield from (f" {word}" for word in words * 4)
    yield "user\nassistant\nsystem\n"


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, min_frequency=1, show_progress=False,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def config(tokenizer):
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    text = dict(
        TEXT, model_type="qwen3_vl_text", vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=1024,
        hidden_act="silu", rms_norm_eps=1e-6, attention_bias=False, tie_word_embeddings=True, use_cache=True,
        bos_token_id=None, eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|endoftext|>"],
        # A grid of 5 x 5 tokens wants fast rotations: with the usual base of 5e6 its columns all look alike.
        rope_parameters=dict(rope_type="default", rope_theta=1000.0, mrope_section=[6, 5, 5], mrope_interleaved=True))
    vision = dict(
        VISION, model_type="qwen3_vl_vision", out_hidden_size=TEXT["hidden_size"], hidden_act="gelu_pytorch_tanh",
        in_channels=3, spatial_merge_size=2, temporal_patch_size=2, num_position_embeddings=(SIZE // PATCH) ** 2,
        deepstack_visual_indexes=[1], rope_parameters=dict(rope_type="axial", rope_theta=100.0))
    return dict(
        architectures=["Qwen3VLForConditionalGeneration"], model_type="qwen3_vl", dtype="float32",
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True, text_config=text, vision_config=vision)


def processor():
    shared = dict(
        do_convert_rgb=True, do_resize=True, resample=3, do_rescale=True, rescale_factor=1 / 255, do_normalize=True,
        image_mean=[0.5, 0.5, 0.5], image_std=[0.25, 0.25, 0.25], patch_size=PATCH, merge_size=2,
        temporal_patch_size=2, size=dict(shortest_edge=SIZE * SIZE, longest_edge=SIZE * SIZE))
    # transformers' AutoProcessor wants to know of videos too.
    return dict(processor_class="Qwen3VLProcessor",
                image_processor=dict(image_processor_type="Qwen2VLImageProcessor", **shared),
                video_processor=dict(video_processor_type="Qwen3VLVideoProcessor", do_sample_frames=False, **shared))


def main(out):
    tokenizer = make_tokenizer()
    write(out, tokenizer, config(tokenizer), processor())
    things = [Thing("bag", "red", (9, 12, 40, 33)), Thing("3", "blue", (50, 40, 66, 71))]
    for text in ask(np.random.default_rng(3), "detect", things):
        print(len(tokenizer.encode(text).ids), "tokens:", tokenizer.encode(text).tokens)
    print(tokenizer.get_vocab_size(), "tokens in the vocabulary")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
