"""Writes offline.json: AWR's loss and gradient by torch, for libs/objective/tests/offline.rs.

Written padded with a mask, from algorithm 1 of arXiv 1910.00177: every completion is demonstrated, weighed by
min(exp(A / temperature), max_weight), with the KL to a reference policy beside it.
"""

import json
import pathlib

import torch


def case(lengths, advantages, temperature, max_weight, beta):
    width = max(lengths)
    mask = torch.tensor([[1.0] * n + [0.0] * (width - n) for n in lengths])
    logprobs = (-2 * torch.rand(len(lengths), width)).requires_grad_()
    ref = logprobs.detach() + 0.5 * torch.randn(len(lengths), width)
    advantage = torch.tensor(advantages)
    weight = torch.exp(advantage / temperature).clamp(max=max_weight)
    kl = torch.exp(ref - logprobs) - (ref - logprobs) - 1
    per_token = -weight.unsqueeze(1) * logprobs + beta * kl
    mean = lambda x: ((x * mask).sum(-1) / mask.sum(-1)).mean()
    loss = mean(per_token)
    loss.backward()
    cut = (torch.exp(advantage / temperature) > max_weight).float().unsqueeze(1).expand_as(mask)
    packed = lambda x: x.detach()[mask.bool()].tolist()
    return dict(
        lengths=lengths, advantages=advantages, temperature=temperature, max_weight=max_weight, kl_coef=beta,
        logprobs=packed(logprobs), ref_logprobs=packed(ref), loss=loss.item(), cut=mean(cut).item(),
        gradient=packed(logprobs.grad),
    )


torch.manual_seed(0)
cases = {
    "as the paper": case([3, 5, 1, 4], [1.5, -0.5, 0.0, -1.0], 1.0, 20.0, 0.0),
    "cut": case([2, 6, 3], [4.0, 0.5, -3.0], 0.5, 20.0, 0.0),
    "with a KL": case([4, 4], [0.7, -0.7], 2.0, 20.0, 0.04),
    "too large for f32 without the bound": case([2, 2], [100.0, -100.0], 0.5, 20.0, 0.0),
}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
