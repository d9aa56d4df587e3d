"""Writes the golden fixtures of the policy: a tiny random Qwen2-VL and what Hugging Face transformers makes of it.

    python make_golden.py        (torch 2.15.0, torchvision 0.29.2, transformers 5.23.0, pillow 13.0.0)

qwen2_vl/             checkpoint directory as `save_pretrained` leaves it; weights are bfloat16
images/*.png          three pictures made by formula: `wide` is scaled down, `tall` up, `near` a little
prompts.json          per case: inputs, rendered text, input ids, M-RoPE positions, completions, greedy tokens
golden.safetensors    in float32, weights read as float32 (C is `completion`, the first of `completions`):
  patches.IMAGE           (N, 384)  pixel_values of one picture
  CASE.logits             (T, V)    of prompt + C; not for `no_image`
  CASE.logprobs.I         (n,)      of the tokens of completion I, temperature 1
  CASE.logprobs.I.cool    (n,)      the same at temperature 0.7
  CASE.entropy.I          (n,)      entropy of the distribution at each of these tokens, temperature 1
  one_image.loss          ()        mean negative logprob of C
  one_image.grad.NAME     gradient of that loss with respect to each parameter, by its name in the checkpoint
"""
import json
import math
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration,
                          Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor)

HERE = Path(__file__).parent
CHECKPOINT = HERE / "qwen2_vl"
SEED = 7
VOCAB_SIZE = 320
N_GREEDY = 40
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
           "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
# How Qwen2 cuts text before byte-pair encoding.
QWEN_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
              r"|\s*[\r\n]+|\s+(?!\S)|\s+")
# Uses what templates of the family use: namespaces, loop variables, Python methods, raise_exception.
TEMPLATE = """\
{%- set seen = namespace(images=0) %}
{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\\nLook closely.<|im_end|>\\n' }}
    {%- endif %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('unknown role ' ~ message.role) }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['content'] is string %}
        {{- message['content'].strip() }}
    {%- else %}
        {%- for part in message['content'] %}
            {%- if part['type'] == 'image' %}
                {%- set seen.images = seen.images + 1 %}
                {%- if add_vision_id is defined and add_vision_id %}{{- 'Picture %d: '|format(seen.images) }}{% endif %}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
                {%- continue %}
            {%- endif %}
            {{- part['text'] }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
QUESTION = "Where is the cat? Answer as <answer>[x1, y1, x2, y2]</answer>."
IMAGES = {"wide": (100, 60), "tall": (20, 44), "near": (49, 37)}  # width, height
CASES = {
    "one_image": dict(system=None, text=QUESTION, images=["wide"],
                      completions=["<think>left of it</think> <answer>[12, 7, 431, 90]</answer>",
                                   "<answer>[0, 0, 5, 5]</answer>", "no"]),
    "two_images": dict(system="Be brief.", text="Which one\n\n  shows it's élan? ", images=["tall", "near"],
                       completions=["<answer>the second</answer>"]),
    "no_image": dict(system=None, text="2 + 2 = ?", images=[], completions=["<answer>4</answer>"]),
}


def make_image(width, height, seed):
    """Waves, a hard edge and 8-bit wrap-around: something for every lobe of the filter."""
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            red = int(127.5 + 127.5 * math.sin(0.31 * x + 0.17 * y + seed))
            green = 255 if (x // 7 + y // 5 + seed) % 2 else 0
            image.putpixel((x, y), (red, green, (x * 11 + y * 5 + x * y) % 256))
    return image


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, special_tokens=SPECIAL,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    lines = [QUESTION + "system\nLook closely.\nuser\nassistant\n<think>left of it</think> <answer>"] * 20
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                   additional_special_tokens=SPECIAL[1:])


def make_config(ids):
    return Qwen2VLConfig(
        text_config=dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         intermediate_size=96, vocab_size=VOCAB_SIZE, max_position_embeddings=1024,
                         tie_word_embeddings=True, bos_token_id=None, eos_token_id=ids["<|im_end|>"],
                         pad_token_id=ids["<|endoftext|>"], rms_norm_eps=1e-6,
                         rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3])),
        vision_config=dict(depth=2, embed_dim=32, hidden_size=64, num_heads=2, patch_size=8, spatial_merge_size=2,
                           temporal_patch_size=2, mlp_ratio=2),
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True, attn_implementation="eager")


def randomize(model):
    """Weights large enough that attention, positions and biases all show in the logits; exact in bfloat16."""
    torch.manual_seed(SEED)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            value = torch.randn_like(parameter) * 0.1 + ("norm" in name or "ln_q" in name) * name.endswith("weight")
        elif "embed_tokens" in name:
            value = torch.randn_like(parameter) * 0.25
        else:
            value = torch.randn_like(parameter) * 1.4 / math.sqrt(parameter[0].numel())
        parameter.data = value.bfloat16().float()


def checkpoint_name(name):
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def messages(case):
    parts = [{"type": "image"} for _ in case["images"]] + [{"type": "text", "text": case["text"]}]
    system = [{"role": "system", "content": case["system"]}] if case["system"] else []
    return system + [{"role": "user", "content": parts}]


def write_checkpoint():
    tokenizer = make_tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    model = Qwen2VLForConditionalGeneration(make_config(ids))
    randomize(model)
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.to(torch.bfloat16).save_pretrained(CHECKPOINT)
    size = {"shortest_edge": 1024, "longest_edge": 3072}
    tokenizer.chat_template = TEMPLATE
    processor = Qwen2VLProcessor(image_processor=Qwen2VLImageProcessor(patch_size=8, size=size), tokenizer=tokenizer,
                                 video_processor=Qwen2VLVideoProcessor(patch_size=8), chat_template=TEMPLATE)
    processor.save_pretrained(CHECKPOINT)
    # Read back rather than cast: a cast to bfloat16 and back would also round the rotary frequencies.
    return Qwen2VLForConditionalGeneration.from_pretrained(CHECKPOINT, dtype=torch.float32,
                                                           attn_implementation="eager"), processor


def forward(model, prompt, completion):
    """Logits (T, V) of prompt and completion, and the positions of all their tokens."""
    ids = torch.cat([prompt["input_ids"], torch.tensor([completion], dtype=torch.long)], 1)
    kinds = torch.cat([prompt["mm_token_type_ids"], torch.zeros(1, len(completion), dtype=torch.long)], 1)
    vision = {key: prompt[key] for key in ("pixel_values", "image_grid_thw") if key in prompt}
    positions, _ = model.model.get_rope_index(ids, kinds, vision.get("image_grid_thw"))
    return model(input_ids=ids, position_ids=positions, **vision).logits[0], positions[:, 0]


def token_logprobs(logits, completion, temperature):
    scaled = torch.log_softmax(logits[-len(completion) - 1:-1] / temperature, -1)
    return scaled.gather(1, torch.tensor(completion)[:, None])[:, 0], -(scaled.exp() * scaled).sum(-1)


def greedy(model, prompt):
    """Argmax tokens by recomputing everything, and the smallest lead of a winner over its runner-up."""
    tokens, lead = [], math.inf
    for _ in range(N_GREEDY):
        best = forward(model, prompt, tokens)[0][-1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        tokens.append(best.indices[0].item())
    return tokens, lead


def run_case(name, case, model, processor, tensors):
    pictures = [Image.open(HERE / f"images/{image}.png") for image in case["images"]]
    text = processor.apply_chat_template(messages(case), add_generation_prompt=True, tokenize=False)
    prompt = processor(text=[text], images=pictures or None, return_tensors="pt", return_mm_token_type_ids=True)
    end = processor.tokenizer.eos_token_id
    completions = [processor.tokenizer(c, add_special_tokens=False).input_ids + [end] for c in case["completions"]]
    for i, completion in enumerate(completions):
        logits, positions = forward(model, prompt, completion)
        for suffix, temperature in (("", 1.0), (".cool", 0.7)):
            logprobs, entropy = token_logprobs(logits, completion, temperature)
            tensors[f"{name}.logprobs.{i}{suffix}"] = logprobs.detach()
            if temperature == 1.0:
                tensors[f"{name}.entropy.{i}"] = entropy.detach()
        if i == 0:
            first = logits, positions
            if case["images"]:
                tensors[f"{name}.logits"] = logits.detach()
    if name == "one_image":
        loss = -token_logprobs(first[0], completions[0], 1.0)[0].mean()
        loss.backward()
        tensors[f"{name}.loss"] = loss.detach()
        for parameter, value in model.named_parameters():
            tensors[f"{name}.grad.{checkpoint_name(parameter)}"] = value.grad
    with torch.no_grad():
        tokens, lead = greedy(model, prompt)
    n_prompt = prompt["input_ids"].shape[1]
    print(f"{name}: {n_prompt} prompt tokens, greedy lead {lead:.4f}, {len(set(tokens))} distinct, "
          f"{processor.tokenizer.decode(tokens)!r}")
    assert lead > 1e-3 and not {0, end} & set(tokens), "pick another seed"
    return dict(case, rendered=text, input_ids=prompt["input_ids"][0].tolist(),
                positions=first[1][:, :n_prompt].T.tolist(), next_position=first[1][0, n_prompt].item(),
                completion_ids=completions, greedy_ids=tokens,
                greedy_text=processor.tokenizer.decode(tokens, skip_special_tokens=True))


def main():
    torch.set_num_threads(1)
    (HERE / "images").mkdir(exist_ok=True)
    for seed, (name, size) in enumerate(IMAGES.items()):
        make_image(*size, seed).save(HERE / f"images/{name}.png")
    model, processor = write_checkpoint()
    names = {checkpoint_name(name) for name, _ in model.named_parameters()}
    assert names == set(load_file(CHECKPOINT / "model.safetensors")), "names in the file"
    tensors = {}
    for name in IMAGES:
        out = processor.image_processor(Image.open(HERE / f"images/{name}.png"), return_tensors="pt")
        print(name, IMAGES[name], out["image_grid_thw"].tolist())
        tensors[f"patches.{name}"] = out["pixel_values"]
    prompts = {name: run_case(name, case, model, processor, tensors) for name, case in CASES.items()}
    (HERE / "prompts.json").write_text(json.dumps(prompts, ensure_ascii=False) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "golden.safetensors")


if __name__ == "__main__":
    main()
