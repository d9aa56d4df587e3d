"""Writes small random checkpoints and what llama.cpp's own converter makes of them.

    python make_gguf.py LLAMA_CPP    (torch 2.15.0, transformers 5.23.0, gguf 0.19.0, sentencepiece; LLAMA_CPP is a folder with its source,
                                      as in the source package of llama-cpp-python 0.3.36)

FOLDER/       a checkpoint: random bfloat16 weights, a byte-level tokenizer with the splitting rules of its family
FOLDER.json   for each of text and mmproj, in f16 and q8_0: the metadata with its types, and of every tensor its type, its dimensions (the
              fastest first) and the SHA-256 of its bytes

The converter knows published tokenizers by a hash of what they make of a text. These are others, so it is told their kind.
"""
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLConfig,
                          Qwen2VLForConditionalGeneration, Qwen3VLConfig, Qwen3VLForConditionalGeneration, SmolVLMConfig,
                          SmolVLMForConditionalGeneration)

HERE = Path(__file__).parent
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
N_TOKENS = 272
ROPE = dict(rope_type="default", rope_theta=1e6, mrope_section=[2, 3, 3])
TEXT = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
            vocab_size=N_TOKENS, max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=258)
TOKENS = dict(image_token_id=259, video_token_id=260, vision_start_token_id=261, vision_end_token_id=262)


def qwen2():
    vision = dict(depth=3, embed_dim=32, hidden_size=64, num_heads=2, patch_size=4, mlp_ratio=2)
    return Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=dict(TEXT, rope_parameters=ROPE), vision_config=vision,
                                                         tie_word_embeddings=True, **TOKENS))


def qwen2_5():
    vision = dict(depth=4, hidden_size=32, intermediate_size=48, num_heads=2, patch_size=4, out_hidden_size=64,
                  window_size=16, fullatt_block_indexes=[1, 3])
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(
        text_config=dict(TEXT, rope_parameters=ROPE), vision_config=vision, tie_word_embeddings=False, **TOKENS))


def qwen3():
    vision = dict(depth=3, hidden_size=32, intermediate_size=48, num_heads=2, patch_size=4, out_hidden_size=64,
                  num_position_embeddings=36, deepstack_visual_indexes=[0, 2])
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(
        text_config=dict(TEXT, head_dim=32, rope_parameters=ROPE), vision_config=vision, tie_word_embeddings=True, **TOKENS))


def smolvlm():
    text = dict(TEXT, model_type="llama", rope_theta=1e5, head_dim=16, pad_token_id=2)
    vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4)
    config = SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=2, image_token_id=259, tie_word_embeddings=True)
    config.text_config.architectures = ["VLlama3ForCausalLM"]  # as published
    return SmolVLMForConditionalGeneration(config)


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
FOLDERS = {"qwen2_vl": (qwen2, "qwen2"), "qwen2_5_vl": (qwen2_5, "qwen2"), "qwen3_vl": (qwen3, "qwen2"), "smolvlm": (smolvlm, "smollm")}


def tokenizer(kind):
    merges = [("a", "n"), ("t", "h"), ("an", "d"), ("Ġ", "th")]
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(pair) for pair in merges]
    vocab = {token: n for n, token in enumerate(tokens)}
    model = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    if kind == "qwen2":
        split = [pre_tokenizers.Split(Regex(QWEN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    else:
        split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    model.pre_tokenizer = pre_tokenizers.Sequence(split)
    model.decoder = decoders.ByteLevel()
    model.add_special_tokens(SPECIAL)
    model.add_tokens(["<tool_call>"])
    return PreTrainedTokenizerFast(tokenizer_object=model, eos_token="<|im_end|>",
                                   pad_token="<|endoftext|>", clean_up_tokenization_spaces=False)


def write(folder):
    make, kind = FOLDERS[folder]
    torch.manual_seed(3)
    model = make()
    for name, parameter in model.named_parameters():
        parameter.data = torch.randn_like(parameter) * (0.1 if parameter.dim() == 1 else 0.4)
    path = HERE / folder
    model.to(torch.bfloat16).save_pretrained(path)
    (path / "generation_config.json").unlink()
    tokenizer(kind).save_pretrained(path)
    (path / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    pixels = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.2, 0.5]}
    if kind == "smollm":
        pixels["size"] = {"longest_edge": 32}
    (path / "preprocessor_config.json").write_text(json.dumps(pixels) + "\n")


def told(reader):
    metadata = {name: [" ".join(kind.name for kind in field.types), field.contents()]
                for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = {t.name: [t.tensor_type.name, [int(n) for n in t.shape], hashlib.sha256(t.data.tobytes()).hexdigest()]
               for t in reader.tensors}
    return {"metadata": metadata, "tensors": tensors}


def convert(folder, source):
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    import conversion.base as base
    import gguf
    from conversion import get_model_class
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: FOLDERS[folder][1]
    out = {}
    for part in ["text", "mmproj"]:
        for name, kind in [("f16", gguf.LlamaFileType.MOSTLY_F16), ("q8_0", gguf.LlamaFileType.MOSTLY_Q8_0)]:
            hparams = base.ModelBase.load_hparams(HERE / folder, False)
            of = base.ModelType.MMPROJ if part == "mmproj" else base.ModelType.TEXT
            arch = base.get_model_architecture(hparams, of)
            with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
                path = Path(temporary) / "out.gguf"
                get_model_class(arch, mmproj=part == "mmproj")(HERE / folder, kind, path, eager=True).write()
                out[f"{part}-{name}"] = told(gguf.GGUFReader(path))
    (HERE / f"{folder}.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    for folder in FOLDERS:
        write(folder)
        convert(folder, Path(sys.argv[1]))
