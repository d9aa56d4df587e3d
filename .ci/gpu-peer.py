"""Times GRPO steps of TRL's GRPOTrainer on the GPU where `.ci/gpu-device` times ours: same model, picture and sizes.

    python gpu-peer.py MODEL IMAGE PROMPTS GROUP TOKENS lora|full [--cpu]

One step = PROMPTS groups of GROUP completions of exactly TOKENS tokens, sampled by `generate` (SDPA) in one batch, then
forward, backward and AdamW a prompt at a time. Prints the seconds of each step after the first, which warms up, and the
most memory that torch's allocator had reserved.
"""
import random
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

STEPS = 3


class StepClock(TrainerCallback):
    def on_step_begin(self, *args, **kwargs):
        self.start = time.perf_counter()

    def on_step_end(self, args, state, *rest, **kwargs):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step > 1:
            print(f"TRL: step {time.perf_counter() - self.start:.4f} s", flush=True)


def main(model, image, prompts, group, tokens, trained, *rest):
    prompts, group, tokens = int(prompts), int(group), int(tokens)
    cpu = "--cpu" in rest
    image = Image.open(image).convert("RGB")
    rows = [{"prompt": [{"role": "user", "content": f"What is in picture {i}?"}], "image": image} for i in range(4 * prompts)]
    processor = AutoProcessor.from_pretrained(model)
    policy = AutoModelForImageTextToText.from_pretrained(
        model, dtype=torch.float32 if cpu else torch.bfloat16, attn_implementation="sdpa")
    special = [policy.config.image_token_id, policy.config.video_token_id]
    names = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=group, gradient_accumulation_steps=prompts,
        num_generations=group, max_completion_length=tokens, max_steps=STEPS, bf16=False, fp16=False, use_cpu=cpu, beta=0.0,
        learning_rate=1e-4, gradient_checkpointing=False, report_to=[], save_strategy="no", temperature=1.0,
        disable_tqdm=True, logging_strategy="no",
        # A picture's placeholder among the answers would be an error of the model's.
        generation_kwargs={"min_new_tokens": tokens, "do_sample": True, "suppress_tokens": special})
    trainer = GRPOTrainer(
        model=policy, args=config, train_dataset=Dataset.from_list(rows), processing_class=processor,
        reward_funcs=lambda completions, **_: [random.random() for _ in completions], callbacks=[StepClock()],
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=names) if trained == "lora" else None)
    generate = trainer._generate_and_score_completions

    def timed(*args, **kwargs):
        start = time.perf_counter()
        out = generate(*args, **kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        print(f"TRL: of it rollout {time.perf_counter() - start:.4f} s, prompt {out['prompt_ids'].shape[1]}, "
              f"completions {tuple(out['completion_ids'].shape)}", flush=True)
        return out

    trainer._generate_and_score_completions = timed
    trainer.train()
    if not cpu:
        print(f"TRL: most memory {torch.cuda.max_memory_reserved() / 2**30:.2f} GiB", flush=True)


main(*sys.argv[1:])
