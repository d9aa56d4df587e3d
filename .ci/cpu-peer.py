"""What `vrft bench` is timed beside on a CPU: random checkpoints of 40 and 48 M parameters, and GRPO steps of TRL's GRPOTrainer.

    pip install torch==2.15.0 torchvision transformers==5.23.0 trl==1.16.0 datasets pillow num2words
    python cpu-peer.py make qwen3_vl|smolvlm FOLDER
    python cpu-peer.py step FOLDER f32|bf16 [STEPS [PIXELS [TOKENS [GROUP]]]]

A step is that of `vrft bench --checkpoint FOLDER --pixels 448 --tokens 64 --group 8 --beta 0.04`: 8 completions of exactly 64
tokens for one picture of 448 × 448, logprobs of the reference policy, forward, backward, AdamW of all weights. The first step warms up.
"""
import random
import sys
import tempfile
import time

import numpy as np
import torch

WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = {
    "qwen3_vl": ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"],
    "smolvlm": ["<end_of_utterance>", "<fake_token_around_image>", "<global-img>", "<image>"]
    + [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)],
}
IMAGE = {"qwen3_vl": "<|vision_start|><|image_pad|><|vision_end|>", "smolvlm": "<image>"}
END = {"qwen3_vl": "<|im_end|>", "smolvlm": "<end_of_utterance>"}
QUESTION = "Detect all objects in this image and return boxes with confidence. " * 3


def make_tokenizer(family):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = WORDS + MARKS[family]
    trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    boxes = [f"<answer>[{{'Position': [{i}, {i + 7}, {i + 31}, {i + 57}], 'Confidence': 0.{i % 10}}}]</answer>" for i in range(900)]
    tokenizer.train_from_iterator(boxes, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token=END[family],
                                   pad_token="<|endoftext|>", additional_special_tokens=special)


def make(family, folder):
    from transformers import (Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor,
                              Qwen3VLVideoProcessor, SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessor,
                              SmolVLMProcessor, SmolVLMVideoProcessor)
    torch.manual_seed(0)
    tokenizer = make_tokenizer(family)
    of = tokenizer.convert_tokens_to_ids
    template = ("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
                "{% for c in m['content'] %}{% if c['type'] == 'image' %}" + IMAGE[family] + "{% else %}{{ c['text'] }}{% endif %}"
                "{% endfor %}{% endif %}" + END[family] + "\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    text = dict(hidden_size=512, num_hidden_layers=8, num_attention_heads=8, head_dim=64, intermediate_size=1536, vocab_size=8192,
                max_position_embeddings=8192, pad_token_id=of("<|endoftext|>"), bos_token_id=None, eos_token_id=of(END[family]))
    if family == "qwen3_vl":
        config = Qwen3VLConfig(
            text_config=dict(text, num_key_value_heads=2, rope_parameters=dict(rope_type="default", rope_theta=5e6,
                                                                               mrope_section=[12, 10, 10])),
            vision_config=dict(depth=6, hidden_size=256, intermediate_size=1024, num_heads=4, patch_size=16, spatial_merge_size=2,
                               temporal_patch_size=2, out_hidden_size=512, num_position_embeddings=2304,
                               deepstack_visual_indexes=[1, 3, 5]),
            image_token_id=of("<|image_pad|>"), video_token_id=of("<|video_pad|>"), vision_start_token_id=of("<|vision_start|>"),
            vision_end_token_id=of("<|vision_end|>"), tie_word_embeddings=True)
        model = Qwen3VLForConditionalGeneration(config)
        images = Qwen2VLImageProcessor(patch_size=16, min_pixels=65536, max_pixels=16777216, image_mean=[0.5] * 3, image_std=[0.5] * 3)
        processor = Qwen3VLProcessor(image_processor=images, tokenizer=tokenizer, video_processor=Qwen3VLVideoProcessor(),
                                     chat_template=template)
    else:
        config = SmolVLMConfig(
            text_config=dict(text, model_type="llama", num_key_value_heads=4, rope_theta=1e5),
            vision_config=dict(hidden_size=384, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=6, image_size=512,
                               patch_size=16),
            scale_factor=4, image_token_id=of("<image>"), tie_word_embeddings=False, pad_token_id=of("<|endoftext|>"))
        model = SmolVLMForConditionalGeneration(config)
        # One tile, as for a picture that is not cut.
        side = dict(size=dict(longest_edge=512), max_image_size=dict(longest_edge=512))
        videos = SmolVLMVideoProcessor(**side, video_sampling=dict(fps=1, max_frames=64, video_size=dict(longest_edge=512)))
        processor = SmolVLMProcessor(image_processor=SmolVLMImageProcessor(do_image_splitting=False, **side), tokenizer=tokenizer,
                                     video_processor=videos, image_seq_len=64, chat_template=template)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = of(END[family]), of("<|endoftext|>")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")


def step(folder, dtype, n_steps=3, pixels=448, tokens=64, group=8):
    from datasets import Dataset
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            print(f"step {time.perf_counter() - self.start:.3f} s", flush=True)

    pixels, tokens, group = int(pixels), int(tokens), int(group)
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (pixels, pixels, 3), dtype=np.uint8)) for _ in range(8)]
    rows = [{"prompt": [{"role": "user", "content": QUESTION}], "image": picture} for picture in pictures]
    model = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32, attn_implementation="sdpa")
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=group, num_generations=group, max_completion_length=tokens,
        max_steps=int(n_steps), bf16=False, fp16=False, use_cpu=True, beta=0.04, learning_rate=1e-6, gradient_checkpointing=False,
        report_to=[], save_strategy="no", temperature=1.0, disable_tqdm=True,
        generation_kwargs={"min_new_tokens": tokens, "do_sample": True})
    GRPOTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows),
                processing_class=AutoProcessor.from_pretrained(folder), callbacks=[Clock()],
                reward_funcs=lambda completions, **_: [random.random() for _ in completions]).train()


{"make": make, "step": step}[sys.argv[1]](*sys.argv[2:])
