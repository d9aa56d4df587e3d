"""Makes the tiny sentence model of the tests and the vectors that transformers computes with it.

    python make_bert.py          needs transformers, torch and tokenizers

Writes bert/, a random BERT in the layout of sentence-transformers, and vectors.json: sentences, and the mean of the
model's output over their tokens.
"""

import json
import pathlib

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "bert"
MAX_TOKENS = 24

SENTENCES = [
    "a man opens the door",
    "A man OPENS the door!",
    "somebody closes a window",
    "the dog runs",
    "",
    "naïve café, 42 times",
    "unknown zebra 猫",
    "a man opens the door and then the man closes the door and a dog runs and a man opens a window and a cat runs",
]

words = sorted({"a", "man", "opens", "the", "door", "somebody", "closes", "window", "dog", "runs", "and", "then", "cat"})
letters = sorted("abcdefghijklmnopqrstuvwxyz0123456789,.!?")
vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *[l for l in letters if l not in words]]
vocab += ["##" + l for l in letters if l.isalnum()]
tokenizer = Tokenizer(models.WordPiece({token: k for k, token in enumerate(vocab)}, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.decoder = decoders.WordPiece()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", vocab.index("[CLS]")), ("[SEP]", vocab.index("[SEP]"))])

torch.manual_seed(0)
config = BertConfig(vocab_size=len(vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                    intermediate_size=48, max_position_embeddings=40, initializer_range=0.3)
model = BertModel(config, add_pooling_layer=False).eval()

FOLDER.mkdir(exist_ok=True)
model.save_pretrained(FOLDER)
tokenizer.save(str(FOLDER / "tokenizer.json"))
(FOLDER / "1_Pooling").mkdir(exist_ok=True)
write = lambda name, value: (FOLDER / name).write_text(json.dumps(value, indent=2) + "\n")
write("1_Pooling/config.json", {"word_embedding_dimension": 32, "pooling_mode_cls_token": False,
                                "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False})
write("sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})

cases = []
for sentence in SENTENCES:
    tokenizer.enable_truncation(MAX_TOKENS)
    ids = torch.tensor([tokenizer.encode(sentence).ids])
    with torch.no_grad():
        vector = model(input_ids=ids).last_hidden_state[0].mean(0)
    cases.append({"sentence": sentence, "n_tokens": ids.shape[1], "vector": vector.tolist()})
(HERE / "vectors.json").write_text(json.dumps(cases, ensure_ascii=False) + "\n")
print([case["n_tokens"] for case in cases], sum(p.numel() for p in model.parameters()), "parameters")
