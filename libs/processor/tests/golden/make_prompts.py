"""Writes conversations, and templates, as Hugging Face transformers renders and encodes them.

    python make_prompts.py        (torch 2.15.0, torchvision 0.29.2, transformers 5.23.0, jinja2 3.1)

Needs what libs/model/tests/golden/make_golden.py left: the tokenizer of qwen2_vl/.

chat/qwen2_vl, chat/qwen2_5_vl   the files of a checkpoint but its weights, named and laid out as the models were
                                 published (preprocessor_config.json, chat_template.json), with a small tokenizer
chat/images/*.png                pictures made by formula; a video is several of them
conversations.json               per case: messages, rendered text, input ids, positions, next position, grids; the
                                 patches only as a checksum, since `vision` compares them number by number
templates.json                   snippets of Jinja and the text they make
"""
import json
import math
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import (AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLModel, Qwen2_5_VLProcessor, Qwen2VLConfig,
                          Qwen2VLImageProcessor, Qwen2VLModel, Qwen2VLProcessor, Qwen2VLVideoProcessor)
from transformers.utils.chat_template_utils import render_jinja_template

HERE = Path(__file__).parent
GOLDEN = HERE / "../../../model/tests/golden"
CHAT = HERE / "chat"
# The chat template that both families were published with.
TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}"
    "<|im_end|>\n{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content"
    " or 'image_url' in content %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}Picture "
    "{{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] == 'video' or "
    "'video' in content %}{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}Video "
    "{{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{% endif %}")
# As published, but for the sizes.
PREPROCESSOR = {"min_pixels": 1024, "max_pixels": 3072, "patch_size": 8, "temporal_patch_size": 2, "merge_size": 2,
                "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
IMAGES = {"wide": (90, 40), "tall": (31, 64), "ribbon": (600, 4), "near": (49, 47)}
IMAGES |= {f"frame_{i}": (44, 30) for i in range(5)}
IMAGE = {name: {"type": "image", "path": f"{name}.png"} for name in IMAGES}


def video(n_frames, fps=None):
    part = {"type": "video", "video": [f"frame_{i}.png" for i in range(n_frames)]}
    return part | ({"fps": fps} if fps else {})


def text(words):
    return {"type": "text", "text": words}


def user(*parts):
    return {"role": "user", "content": list(parts)}


CASES = {
    "text_only": [{"role": "user", "content": "What is 2 + 2?"}],
    "system": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Is it? "}],
    "system_of_parts": [{"role": "system", "content": [text("Look, "), text("then say.")]}, user(text("  Go\n\n"))],
    "multi_turn": [user(IMAGE["wide"], text("What is this?")), {"role": "assistant", "content": "A cat."},
                   user(text("And where?")), {"role": "assistant", "content": [text("<answer>[1, 2, 3, 4]</answer>")]},
                   {"role": "user", "content": "Sure? \u00e9lan \U0001f642"}],
    "ends_with_the_assistant": [user(text("Hm?")), {"role": "assistant", "content": "Hm."}],
    "images_of_different_aspect": [user(IMAGE["tall"], text("and"), IMAGE["wide"], IMAGE["near"], text("compare"))],
    "images_in_two_turns": [user(IMAGE["near"], text("this")), {"role": "assistant", "content": "yes"},
                            user(text("or this"), IMAGE["tall"])],
    "extreme_aspect": [user(IMAGE["ribbon"], text("How long is it?"))],
    "video": [user(video(4, 2.0), text("What happens?"))],
    "video_odd": [user(text("Watch."), video(5, 1.0), text("What happens?"))],
    "video_fast": [user(video(5, 7.0), text("What happens?"))],
    "video_of_unknown_rate": [user(video(3), text("What happens?"))],
    "video_and_images": [user(IMAGE["wide"], video(3, 0.8), text("Is"), IMAGE["tall"], text("in"), video(4, 3.0)),
                         {"role": "assistant", "content": "No."}, user(IMAGE["near"], text("Is this?"))],
    "other_role": [user(text("Call it.")), {"role": "tool", "content": "42"}],
}
MESSAGES = [{"role": "system", "content": "Be <brief> & 'kind'."},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is it? "}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"function": {"name": "crop", "arguments": {"box": [1, 2.5, 1e-7, 3e20], "deep": {}, "on": True, "é": None}}}]},
            {"role": "user", "content": "One\ntwo"}]
SNIPPETS = [
    "{% set ns = namespace(n=0, last='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.last = m.role %}{% endfor %}{{ ns.n }}{{ ns.last }}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% continue %}{% endif %}{% if loop.index > 3 %}{% break %}{% endif %}{{ loop.index0 }}{{ loop.last }}{{ m.role }};{% endfor %}",
    "{{ messages[2].tool_calls | tojson }}", "{{ messages[2].tool_calls[0] | tojson(indent=2) }}",
    "{{ messages[2].tool_calls | tojson(ensure_ascii=True) }}", "{{ messages | tojson(separators=(',', ':')) }}",
    "{{ messages[2] | tojson(sort_keys=True, indent=4) }}", "{{ [] | tojson }}{{ {} | tojson(indent=2) }}{{ [[], {}] | tojson(indent=2) }}",
    "{{ 'a\"b\\\\c\\u2028' | tojson }}{{ 'é' | tojson }}{{ 1.0 | tojson }}{{ 1e-5 | tojson }}{{ 123456789012345678 | tojson }}",
    "{% for m in messages %}{{ m.content is string }}{{ m.content is mapping }}{{ m.content is iterable }}{{ m.content is sequence }}{{ m.content is none }};{% endfor %}",
    "{{ messages is iterable }}{{ messages[0] is mapping }}{{ messages[0] is iterable }}{{ 3 is number }}{{ true is boolean }}{{ x is defined }}{{ messages is defined }}{{ tools is none }}{{ tools is defined }}{{ documents is none }}",
    "{{ ' x y '.strip() }}|{{ '--x-'.strip('-') }}|{{ 'xxa'.lstrip('x') }}|{{ 'a\\n\\n'.rstrip('\\n') }}|{{ 'A b'.upper() }}{{ 'A b'.lower() }}{{ 'a b'.title() }}{{ 'ab'.capitalize() }}",
    "{{ 'a,b,c'.split(',') }}{{ 'a,b,c'.split(',', 1)[1] }}{{ 'a b  c'.split() }}{{ 'a,b,c'.split(',')[-1] }}{{ 'x\\ny'.splitlines() }}",
    "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('bc') }}{{ 'abcb'.replace('b', 'x') }}{{ 'abcb'.replace('b', 'x', 1) }}{{ 'abcb'.find('b') }}{{ 'abcb'.count('b') }}{{ 'b' in 'abc' }}{{ 'abc'.isdigit() }}",
    "{{ messages[1:] | length }}{{ messages[:-1] | length }}{{ messages[::-1][0].content }}{{ messages[1:3][0].role }}{{ 'abcdef'[1:4] }}{{ 'abcdef'[-2:] }}{{ 'abc'[::-1] }}{{ messages[-1].content }}",
    "{%- if messages[0]['role'] == 'system' -%}\n  {%- set system = messages[0]['content'] -%}\n  {%- set rest = messages[1:] -%}\n{%- else -%}\n  {%- set rest = messages -%}\n{%- endif -%}\n{{ system }}{{ rest | length }}",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}{{ messages[0].keys() | list }}{{ messages[0].get('nope') }}{{ messages[0].get('nope', 'd') }}{{ messages[0] | items | map('first') | list }}",
    "{% macro say(role, words='none') %}[{{ role }}: {{ words }}]{% endmacro %}{{ say('user', 'hi') }}{{ say(role='x') }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | map(attribute='role') | join(', ') }}{{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='role') | list }}",
    "{{ (messages | first).role }}{{ (messages | last).role }}{{ nope | default('d') }}{{ none | default('d') }}{{ '' | default('d', true) }}{{ [3, 1, 2] | sort }}{{ [1, 2] | sum }}{{ [1, 2] | max }}",
    "{{ none }} {{ true }} {{ false }} {{ 1.0 }} {{ 0.1 }} {{ 1e20 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 7 % 4 }} {{ -3 }} {{ nope }}|",
    "{{ ['a', \"it's\", none, true, 1.5] }}{{ {'a': [1, {'b': 'c'}]} }}{{ (1, 2) | list }}",
    "{{ 'a' ~ 1 ~ 'b' }}{{ 'a' + 'b' }}{{ 'ab' * 2 }}{{ [1] + [2] }}{{ '%s is %d' | format('x', 3) }}{{ 'x' | string }}{{ 3 | string + '4' }}{{ true | string }}",
    "{% generation %}said{% endgeneration %}{%- generation -%}  x  {%- endgeneration -%} y",
    "{% if true %}\n  {% generation %}\n  said\n  {% endgeneration %}\n{% endif %}\nend",
    "{% if messages %}\n    {% for m in messages if m.role == 'user' %}\n    - {{ m.role }}\n    {% else %}\n    none\n    {% endfor %}\n{% endif %}\n",
    "{# a comment #}\n  {#- another -#}  \n{% raw %}{{ untouched }}{% endraw %}\n{% set x %}block {{ 1 + 1 }}{% endset %}{{ x }}",
    "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}", "{{ 'a' if messages else 'b' }}{{ 'x' if nope }}{{ 'k' in messages[0] }}{{ 'role' in messages[0] }}{{ not nope }}{{ 1 < 2 < 3 }}",
    "{% for c in messages[1].content %}{% if c.type == 'text' %}{{ c.text | trim }}{% else %}<{{ c['type'] }}>{% endif %}{{ loop.previtem.type if loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{%- for i in range(3) -%}{{ loop.cycle('a', 'b') }}{{ loop.revindex }}{%- endfor -%}{{ range(1, 7, 2) | list }}{{ dict(a=1, b='c') }}",
    "{% with a = 1 %}{{ a }}{% endwith %}{% filter upper %}shout{% endfilter %}{{ 'a-b_c' | replace('-', '') | upper }}{{ ['x', 'y'] | join }}{{ 'abc' | length }}{{ '<b>' | escape }}{{ '<b>' | safe }}",
    "{{ strftime_now('%Y') | length }}{{ 'x' | indent(2, true) }}{{ 3.7 | int }}{{ '12' | int + 1 }}{{ 2.5 | round }}{{ -3 | abs }}{{ [1, 1, 2] | unique | list }}{{ ['b', 'a'] | reverse | list }}",
]


def make_image(width, height, seed):
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            red = int(127.5 + 127.5 * math.sin(0.31 * x + 0.17 * y + seed))
            green = 255 if (x // 7 + y // 5 + seed) % 2 else 0
            image.putpixel((x, y), (red, green, (x * 11 + y * 5 + x * y + 40 * seed) % 256))
    return image


def write_checkpoint(family, tokens_per_second):
    """The small files of a checkpoint in the layout of its publication, and transformers' processor and model of it."""
    folder = CHAT / family
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "qwen2_vl")
    shutil.copy(GOLDEN / "qwen2_vl/tokenizer.json", folder)
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>")
           for name in ("image_pad", "video_pad", "vision_start", "vision_end", "im_end")}
    named = dict(image_token_id=ids["image_pad"], video_token_id=ids["video_pad"],
                 vision_start_token_id=ids["vision_start"], vision_end_token_id=ids["vision_end"])
    vision = dict(spatial_merge_size=2, patch_size=8) | (
        {"tokens_per_second": tokens_per_second} if tokens_per_second else {})
    write = lambda file, value: (folder / file).write_text(json.dumps(value, indent=1) + "\n")
    write("config.json", dict(model_type=family, eos_token_id=ids["im_end"], vision_config=vision, **named))
    write("preprocessor_config.json", PREPROCESSOR)
    write("chat_template.json", {"chat_template": TEMPLATE})
    write("tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>",
                                    "pad_token": "<|endoftext|>", "bos_token": None, "unk_token": None})
    text_config = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
                       intermediate_size=16, vocab_size=320)
    kind = (Qwen2_5_VLConfig, Qwen2_5_VLModel, Qwen2_5_VLProcessor) if tokens_per_second else (
        Qwen2VLConfig, Qwen2VLModel, Qwen2VLProcessor)
    with torch.device("meta"):
        model = kind[1](kind[0](text_config=text_config, vision_config=vision | dict(depth=1), **named))
    processor = kind[2](image_processor=Qwen2VLImageProcessor(**PREPROCESSOR), tokenizer=tokenizer,
                        video_processor=Qwen2VLVideoProcessor(**PREPROCESSOR), chat_template=TEMPLATE)
    return processor, model


def media(messages, kind):
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    return [part for part in parts if part["type"] == kind]


def open_image(file):
    return Image.open(CHAT / "images" / file)


def run(messages, generate, processor, model):
    rendered = processor.apply_chat_template(messages, add_generation_prompt=generate, tokenize=False)
    images = [open_image(part["path"]) for part in media(messages, "image")]
    parts = media(messages, "video")
    videos = [torch.stack([torch.from_numpy(np.array(open_image(file))).permute(2, 0, 1) for file in part["video"]])
              for part in parts]
    metadata = [dict(total_num_frames=len(part["video"]), fps=part.get("fps"), frames_indices=list(
        range(len(part["video"])))) if part.get("fps") else dict(total_num_frames=len(part["video"])) for part in parts]
    out = processor(text=[rendered], images=images or None, videos=videos or None, return_tensors="pt",
                    return_mm_token_type_ids=True, **({"video_metadata": metadata} if videos else {}))
    seconds = out.get("second_per_grid_ts")
    positions, deltas = model.get_rope_index(
        out["input_ids"], out["mm_token_type_ids"], out.get("image_grid_thw"), out.get("video_grid_thw"),
        **({"second_per_grid_ts": seconds} if seconds is not None else {}))
    patches = {kind: split(out, *keys) for kind, keys in
               {"image": ("pixel_values", "image_grid_thw"), "video": ("pixel_values_videos", "video_grid_thw")}.items()}
    order = [part["type"] for message in messages if isinstance(message["content"], list)
             for part in message["content"] if part["type"] != "text"]
    mixed = [patches[kind].pop(0) for kind in order]
    return dict(messages=messages, add_generation_prompt=generate, rendered=rendered,
                input_ids=out["input_ids"][0].tolist(), positions=positions[:, 0].T.tolist(),
                next_position=out["input_ids"].shape[1] + deltas[0, 0].item(), grids=[grid for grid, _ in mixed],
                patches_crc32=[zlib.crc32(pixels.numpy().tobytes()) for _, pixels in mixed])


def split(out, values, grids):
    if values not in out:
        return []
    sizes = out[grids].prod(-1).tolist()
    return list(zip(out[grids].tolist(), out[values].contiguous().float().split(sizes)))


def render(snippet):
    return render_jinja_template([MESSAGES], chat_template=snippet, eos_token="<|im_end|>", pad_token="<|endoftext|>")[0][0]


def main():
    torch.set_num_threads(1)
    (CHAT / "images").mkdir(parents=True, exist_ok=True)
    for seed, (name, size) in enumerate(IMAGES.items()):
        make_image(*size, seed).save(CHAT / f"images/{name}.png")
    cases = {}
    for family, tokens_per_second in (("qwen2_vl", None), ("qwen2_5_vl", 2)):
        processor, model = write_checkpoint(family, tokens_per_second)
        cases[family] = {name: run(messages, not name.startswith("ends"), processor, model)
                         for name, messages in CASES.items()}
        for name, case in cases[family].items():
            print(family, name, len(case["input_ids"]), case["grids"], case["next_position"])
    (HERE / "conversations.json").write_text(json.dumps(cases, ensure_ascii=False) + "\n")
    made = []
    for snippet in SNIPPETS:
        try:
            made.append(dict(template=snippet, text=render(snippet)))
        except Exception as error:
            print("left out:", snippet, repr(error))
    (HERE / "templates.json").write_text(json.dumps(dict(messages=MESSAGES, made=made), ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
