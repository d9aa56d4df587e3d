"""Compares logits of an exported language model in llama.cpp with those of the checkpoint in transformers.

    python check_llama.py CHECKPOINT GGUF ...    (llama-cpp-python 0.3.36 built from its source)

Two programs, since their libraries seldom live in one environment: with transformers it writes what that computes for
`CHECKPOINT` to CHECKPOINT/logits.json, with llama_cpp it reads that and compares each GGUF file.
"""
import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
path = folder / "logits.json"
try:
    import llama_cpp
    import numpy
except ImportError:
    import torch
    from transformers import AutoModelForImageTextToText
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.randint(3, min(model.config.text_config.vocab_size, 256), (1, 48), generator=torch.manual_seed(1))
    with torch.inference_mode():
        logits = model(input_ids=tokens).logits[0].double()
    path.write_text(json.dumps({"tokens": tokens[0].tolist(), "logits": logits.tolist()}))
    print(f"{folder}: logits of {tokens.shape[1]} tokens written, of size {logits.abs().mean():.2f}")
    sys.exit()

told = json.loads(path.read_text())
expected = numpy.array(told["logits"])
for file in sys.argv[2:]:
    model = llama_cpp.Llama(file, n_ctx=64, logits_all=True, verbose=False, n_threads=1)
    model.eval(told["tokens"])
    got = numpy.array(model.scores[:len(told["tokens"])], dtype=float)
    log = lambda x: x - numpy.log(numpy.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(-1, keepdims=True)
    same = (got.argmax(-1) == expected.argmax(-1)).mean()
    print(f"{file}: largest difference of a logit {abs(got - expected).max():.2g}, mean of a log-probability "
          f"{abs(log(got) - log(expected)).mean():.2g}, same best token {same:.0%}")
