"""Writes loss.json: the GRPO loss and its gradients by torch, for libs/objective/tests/golden.rs.

The loss is written as in TRL's GRPOTrainer with loss_type="grpo", padded with a mask: an independent way to the
numbers that the crate computes from packed tokens.
"""

import json
import pathlib

import torch


def advantages(rewards, group_size, eps=1e-4):
    groups = rewards.view(-1, group_size)
    mean, std = groups.mean(1, keepdim=True), groups.std(1, keepdim=True)
    return ((groups - mean) / (std + eps)).flatten()


def grpo(logprobs, old_logprobs, ref_logprobs, advantages, mask, beta, epsilon):
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = torch.clamp(ratio, 1 - epsilon, 1 + epsilon)
    per_token = -torch.min(ratio * advantages.unsqueeze(1), clipped * advantages.unsqueeze(1))
    kl = torch.exp(ref_logprobs - logprobs) - (ref_logprobs - logprobs) - 1
    if beta != 0.0:
        per_token = per_token + beta * kl
    mean = lambda x: ((x * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
    adv = advantages.unsqueeze(1)
    is_clipped = ((ratio < 1 - epsilon) & (adv < 0)) | ((ratio > 1 + epsilon) & (adv > 0))
    return mean(per_token), mean(kl), mean(is_clipped.float())


def case(lengths, rewards, spread, beta, epsilon=0.2):
    width = max(lengths)
    mask = torch.tensor([[1.0] * n + [0.0] * (width - n) for n in lengths])
    logprobs = (-2 * torch.rand(len(lengths), width)).requires_grad_()
    old = logprobs.detach() + spread * torch.randn(len(lengths), width)
    ref = logprobs.detach() + 0.5 * torch.randn(len(lengths), width)
    adv = advantages(torch.tensor(rewards), len(rewards))
    loss, kl, clip_fraction = grpo(logprobs, old, ref, adv, mask, beta, epsilon)
    loss.backward()
    packed = lambda x: x.detach()[mask.bool()].tolist()
    return dict(
        lengths=lengths, rewards=rewards, kl_coef=beta, clip_epsilon=epsilon,
        logprobs=packed(logprobs), old_logprobs=packed(old), ref_logprobs=packed(ref),
        advantages=adv.tolist(), loss=loss.item(), kl=kl.item(), clip_fraction=clip_fraction.item(),
        gradient=packed(logprobs.grad),
    )


torch.manual_seed(0)
cases = {
    "on policy": case([3, 5, 1, 4], [3.0, 1.25, 0.0, 2.5], 0.0, 0.04),
    "off policy": case([3, 5, 1, 4], [3.0, 1.25, 0.0, 2.5], 0.5, 0.04),
    "without KL": case([2, 6], [1.0, 0.0], 0.5, 0.0),
    "equal rewards": case([2, 3, 4], [1.0, 1.0, 1.0], 0.5, 0.04),
    "narrow clip": case([7, 7, 7, 7], [0.1, 0.2, 0.7, 0.4], 0.1, 0.1, 0.05),
}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
