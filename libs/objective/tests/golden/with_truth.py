"""Writes with_truth.json: ViSurf and CHORD by torch, for libs/objective/tests/with_truth.rs.

Both are written from the papers' equations on padded tensors: an independent way to the numbers that the crate computes
from packed tokens. ViSurf (arXiv 2510.10606): the true answer is the last of its group. CHORD (arXiv 2508.11408): GRPO
over the sampled completions, and a supervised loss over the true answer's tokens.
"""

import json
import pathlib

import torch


def grpo(logprobs, old, ref, advantages, mask, beta, epsilon=0.2):
    ratio = torch.exp(logprobs - old)
    adv = advantages.unsqueeze(1)
    per_token = -torch.min(ratio * adv, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * adv)
    kl = torch.exp(ref - logprobs) - (ref - logprobs) - 1
    per_token = per_token + beta * kl
    return ((per_token * mask).sum(1) / mask.sum(1)).mean()


def tokens(lengths, spread):
    width = max(lengths)
    mask = torch.tensor([[1.0] * n + [0.0] * (width - n) for n in lengths])
    logprobs = (-2 * torch.rand(len(lengths), width)).requires_grad_()
    old = logprobs.detach() + spread * torch.randn(len(lengths), width)
    ref = logprobs.detach() + 0.5 * torch.randn(len(lengths), width)
    return logprobs, old, ref, mask


def written(logprobs, old, ref, mask, lengths, loss, **more):
    packed = lambda x: x.detach()[mask.bool()].tolist()
    return dict(
        lengths=lengths, logprobs=packed(logprobs), old_logprobs=packed(old), ref_logprobs=packed(ref),
        loss=loss.item(), gradient=packed(logprobs.grad), **more,
    )


def visurf(lengths, rewards, says, form, pays_form, smooth, beta=0.04):
    logprobs, old, ref, mask = tokens(lengths, 0.3)
    # Nobody sampled the true answer: its ratio is to the policy itself.
    old[-1] = logprobs.detach()[-1]
    truth = says + (form if pays_form else 0.0)
    if smooth and max(rewards) >= truth:
        truth = sum(rewards) / len(rewards)
    r = torch.tensor(rewards + [truth], dtype=torch.float64)
    adv = ((r - r.mean()) / (r.std() + 1e-4)).float()
    loss = grpo(logprobs, old, ref, adv, mask, beta)
    loss.backward()
    return written(
        logprobs, old, ref, mask, lengths, loss, rewards=rewards, says=says, form=form, pays_form=pays_form,
        smooth=smooth, kl_coef=beta, advantages=adv.tolist(),
    )


def chord(lengths, rewards, mu, phi, beta=0.04):
    """The last completion is the true answer, which is imitated."""
    logprobs, old, ref, mask = tokens(lengths, 0.3)
    r = torch.tensor(rewards)
    adv = (r - r.mean()) / (r.std() + 1e-4)
    n = len(rewards)
    sampled = grpo(logprobs[:n], old[:n], ref[:n], adv, mask[:n], beta)
    p = logprobs[n:].exp().detach()
    weight = p * (1 - p) if phi else torch.ones_like(p)
    supervised = -(mask[n:] * weight * logprobs[n:]).sum() / mask[n:].sum()
    loss = (1 - mu) * sampled + mu * supervised
    loss.backward()
    return written(
        logprobs, old, ref, mask, lengths, loss, mu=mu, phi=phi, kl_coef=beta, advantages=adv.tolist() + [0.0],
        imitation=supervised.item(),
    )


torch.manual_seed(0)
cases = dict(
    visurf={
        "nobody is as good": visurf([3, 5, 1, 4], [0.5, 1.25, 0.0], 2.0, 1.0, False, True),
        "somebody is as good": visurf([3, 5, 1, 4], [0.5, 2.0, 0.0], 2.0, 1.0, False, True),
        "paid for its form": visurf([2, 6, 3], [0.5, 2.0], 2.0, 1.0, True, True),
        "not smoothed": visurf([2, 6, 3], [2.5, 0.0], 2.0, 1.0, False, False),
    },
    chord={
        "phi": chord([3, 5, 1, 4], [0.5, 1.25, 0.0], 0.1, True),
        "plain": chord([3, 5, 1, 4], [0.5, 1.25, 0.0], 0.4, False),
    },
)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
