"""Writes from_teacher.json: the self-distillation loss of TRL's SDFT trainer, for libs/objective/tests/from_teacher.rs.

The mode is `sampled_token` with the reverse KL and the importance ratio cut at 2, TRL 1.16. Rows are tokens.
"""

import json
import pathlib

import torch
from trl.experimental.sdft.loss_utils import (
    apply_importance_sampling_clipping,
    compute_sampled_token_self_distillation_loss,
)

torch.manual_seed(0)


def case(n_tokens, spread, vocabulary=7):
    student = torch.randn(1, n_tokens, vocabulary)
    teacher = student + spread * torch.randn(1, n_tokens, vocabulary)
    tokens = torch.randint(vocabulary, (1, n_tokens))
    logprob = lambda logits: torch.log_softmax(logits, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    # The loss is made of logits; its gradient is wanted by logprob, so the logits are the logprobs of token and rest.
    logprobs = logprob(student).detach().requires_grad_()
    rest = torch.log(-torch.expm1(logprobs))
    two = torch.stack([logprobs, rest], -1)
    told = logprob(teacher)
    told_two = torch.stack([told, torch.log(-torch.expm1(told))], -1)
    first = torch.zeros_like(tokens)
    per_token = compute_sampled_token_self_distillation_loss(two, told_two, first, distillation_alpha=1.0)
    old = logprobs.detach() + spread * torch.randn(1, n_tokens)
    per_token = apply_importance_sampling_clipping(per_token, logprobs, old, 2.0)
    weights = torch.rand(1, n_tokens)
    loss = (weights * per_token).sum()
    loss.backward()
    row = lambda values: values.detach()[0].tolist()
    return dict(
        logprobs=row(logprobs), old_logprobs=row(old), teacher_logprobs=row(told), weights=row(weights),
        loss=loss.item(), gradient=row(logprobs.grad), kl=(weights * (logprobs.detach() - told)).sum().item(),
    )


cases = {"near": case(9, 0.1), "far": case(9, 2.0), "one token": case(1, 1.0)}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
