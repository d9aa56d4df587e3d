"""Writes conversations as Hugging Face transformers encodes them for Qwen3-VL, SmolVLM and Idefics3.

    python make_prompts_by_family.py        (torch 2.15.0, torchvision 0.29.2, transformers 5.23.0, num2words 0.5.14)

Needs what make_prompts.py needs, and the pictures that it left in chat/images.

chat/FAMILY                the files of a checkpoint but its weights, laid out as the models were published
chat/images/{dot,small}.png  two pictures smaller than a patch or a tile
conversations_FAMILY.json  as conversations.json; patches of tiles come in the order in which they are merged to tokens
"""
import json
import shutil
import zlib

import numpy as np
import torch
from make_prompts import CASES, CHAT, GOLDEN, HERE, IMAGE, TEMPLATE, make_image, media, open_image, run, text, user, video
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (AutoTokenizer, Idefics3ImageProcessor, Idefics3Processor, PreTrainedTokenizerFast,
                          Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLModel, Qwen3VLProcessor, Qwen3VLVideoProcessor,
                          SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor)

SMALL = {"dot": (1, 1), "small": (11, 7)}
for name in SMALL:
    IMAGE[name] = {"type": "image", "path": f"{name}.png"}
TINY = {"tiny_images": [user(IMAGE["dot"], text("or"), IMAGE["small"], text("?"))]}

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
QWEN3_IMAGES = dict(HALF, size={"shortest_edge": 1024, "longest_edge": 3072}, patch_size=8, temporal_patch_size=2,
                    merge_size=2)
# One that samples two frames a second, as published, and one that takes all frames and bounds each of them.
QWEN3_VIDEOS = {
    "qwen3_vl": dict(HALF, size={"shortest_edge": 2048, "longest_edge": 8192}, patch_size=8, temporal_patch_size=2,
                     merge_size=2),
    "qwen3_vl_all_frames": dict(HALF, size={"shortest_edge": 256, "longest_edge": 65536}, patch_size=8, merge_size=2,
                                temporal_patch_size=2, do_sample_frames=False, cap_pixels_per_frame=True,
                                max_video_tokens=4),
}

TILES_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
    "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")
# A side of 26 pixels holds 4 patches of 6; 2 x 2 of them are a token.
PATCH, SCALE, SIDE = 6, 2, 26
TILES = dict(HALF, size={"longest_edge": 104}, max_image_size={"longest_edge": SIDE}, resample=1,
             do_image_splitting=True, do_pad=True)
TILE_FAMILIES = {
    "smolvlm": dict(TILES, video_sampling={"fps": 1, "max_frames": 3, "video_size": {"longest_edge": 52}}),
    # As one piece, and with another filter.
    "smolvlm_whole": dict(TILES, do_image_splitting=False, resample=3),
    "idefics3": dict(TILES, size={"longest_edge": 78}, max_image_size={"longest_edge": 24}),
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<video>",
           "<global-img>"] + [f"<row_{row}_col_{column}>" for row in (1, 2, 3) for column in (1, 2, 3)]


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for file, value in files.items():
        (folder / file).write_text(json.dumps(value, indent=1) + "\n")


def make_qwen3(family):
    """The small files of a checkpoint, and transformers' processor and model of it."""
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "qwen2_vl")
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>")
           for name in ("image_pad", "video_pad", "vision_start", "vision_end", "im_end")}
    named = dict(image_token_id=ids["image_pad"], video_token_id=ids["video_pad"],
                 vision_start_token_id=ids["vision_start"], vision_end_token_id=ids["vision_end"])
    vision = dict(spatial_merge_size=2, patch_size=8)
    write(CHAT / family, {
        "config.json": dict(model_type="qwen3_vl", eos_token_id=ids["im_end"], vision_config=vision, **named),
        "preprocessor_config.json": QWEN3_IMAGES, "video_preprocessor_config.json": QWEN3_VIDEOS[family],
        "chat_template.json": {"chat_template": TEMPLATE},
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>",
                                  "pad_token": "<|endoftext|>", "bos_token": None, "unk_token": None}})
    shutil.copy(GOLDEN / "qwen2_vl/tokenizer.json", CHAT / family)
    text_config = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
                       intermediate_size=16, vocab_size=320)
    with torch.device("meta"):
        model = Qwen3VLModel(Qwen3VLConfig(text_config=text_config, vision_config=vision | dict(depth=1), **named))
    processor = Qwen3VLProcessor(image_processor=Qwen2VLImageProcessor(**QWEN3_IMAGES), tokenizer=tokenizer,
                                 video_processor=Qwen3VLVideoProcessor(**QWEN3_VIDEOS[family]), chat_template=TEMPLATE)
    return processor, model


def make_tile_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["User: Assistant: What is this? the frames from a video <row_4_col_1>"] * 20, trainer)
    named = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>", "video_token": "<video>",
             "global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end_of_utterance>", bos_token="<|im_start|>",
                                   pad_token="<|im_start|>", extra_special_tokens=named), named


def make_tiles(family):
    tokenizer, named = make_tile_tokenizer()
    settings, n_tokens = TILE_FAMILIES[family], (TILE_FAMILIES[family]["max_image_size"]["longest_edge"] // PATCH // SCALE) ** 2
    kind = family.split("_")[0]
    write(CHAT / family, {
        "config.json": dict(model_type=kind, scale_factor=SCALE, image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
                            vision_config=dict(patch_size=PATCH)),
        "preprocessor_config.json": settings, "processor_config.json": {"image_seq_len": n_tokens},
        "chat_template.json": {"chat_template": TILES_TEMPLATE},
        "tokenizer_config.json": {"eos_token": "<end_of_utterance>", "bos_token": "<|im_start|>", "extra_special_tokens": named}})
    tokenizer.backend_tokenizer.save(str(CHAT / family / "tokenizer.json"))
    shared = dict(tokenizer=tokenizer, image_seq_len=n_tokens, chat_template=TILES_TEMPLATE)
    if kind == "idefics3":
        return Idefics3Processor(image_processor=Idefics3ImageProcessor(**settings), **shared)
    return SmolVLMProcessor(image_processor=SmolVLMImageProcessor(**settings), **shared,
                            video_processor=SmolVLMVideoProcessor(**json.loads(json.dumps(settings))))


def as_parts(messages):
    """These templates know contents that are lists of parts."""
    of = lambda content: [text(content)] if isinstance(content, str) else content
    return [dict(message, content=of(message["content"])) for message in messages]


def patches_of(tile):
    """(N, 3 * P * P) of a tile (3, S, S), the patches of a token together."""
    n = tile.shape[1] // PATCH // SCALE
    used = tile[:, :n * SCALE * PATCH, :n * SCALE * PATCH]
    return used.reshape(3, n, SCALE, PATCH, n, SCALE, PATCH).permute(1, 4, 2, 5, 0, 3, 6).reshape(-1, 3 * PATCH * PATCH)


def run_tiles(messages, generate, processor):
    rendered = processor.apply_chat_template(messages, add_generation_prompt=generate, tokenize=False)
    images = [open_image(part["path"]) for part in media(messages, "image")]
    parts = media(messages, "video")
    frames = [torch.stack([torch.from_numpy(np.array(open_image(file))).permute(2, 0, 1) for file in part["video"]])
              for part in parts]
    metadata = [dict(total_num_frames=len(part["video"]), fps=part.get("fps", 24),
                     frames_indices=list(range(len(part["video"])))) for part in parts]
    out = processor(text=[rendered], images=[images] if images else None, videos=frames or None, return_tensors="pt",
                    **({"video_metadata": metadata} if frames else {}))
    ids = out["input_ids"][0].tolist()
    tiles = list(out["pixel_values"].reshape(-1, *out["pixel_values"].shape[-3:])) if images or frames else []
    n_tiles = []
    for image in images:
        split = processor.image_processor.get_number_of_image_patches(image.height, image.width)
        n_tiles.append(max(split[0], 1))
    n_tiles += [len(part["video"]) for part in parts]
    assert sum(n_tiles) == len(tiles)
    pictures = [torch.cat([patches_of(tiles.pop(0)) for _ in range(n)]).contiguous().float() for n in n_tiles]
    side = processor.image_processor.max_image_size["longest_edge"] // PATCH
    return dict(messages=messages, add_generation_prompt=generate, rendered=rendered, input_ids=ids,
                positions=[[i, i, i] for i in range(len(ids))], next_position=len(ids),
                grids=[[n, side, side] for n in n_tiles],
                patches_crc32=[zlib.crc32(pixels.numpy().tobytes()) for pixels in pictures])


def main():
    torch.set_num_threads(1)
    for seed, (name, size) in enumerate(SMALL.items()):
        make_image(*size, 20 + seed).save(CHAT / f"images/{name}.png")
    save = lambda family, cases: (HERE / f"conversations_{family}.json").write_text(
        json.dumps(cases, ensure_ascii=False) + "\n")
    for family in QWEN3_VIDEOS:
        processor, model = make_qwen3(family)
        # Without sampling, transformers wants to be told the numbers of the frames.
        cases = {name: case for name, case in (CASES | TINY).items()
                 if processor.video_processor.do_sample_frames or name != "video_of_unknown_rate"}
        save(family, {name: run(messages, messages[-1]["role"] != "assistant", processor, model)
                      for name, messages in cases.items()})
    for family in TILE_FAMILIES:
        processor = make_tiles(family)
        cases = {name: as_parts(messages) for name, messages in (CASES | TINY).items()
                 if not (media(messages, "video") and (media(messages, "image") or family == "idefics3"))}
        save(family, {name: run_tiles(messages, messages[-1]["role"] != "assistant", processor)
                      for name, messages in cases.items()})
        print(family, len(cases), "cases")


if __name__ == "__main__":
    main()
