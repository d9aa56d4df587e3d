"""Writes from_trl.json: losses, gradients and advantages of TRL 1.16, for libs/objective/tests/from_trl.rs.

What runs is TRL's own code. The loss is `GRPOTrainer._compute_loss` on an object that has no model: its logprobs and
entropies are the leaves of the graph. Advantages and the correction for the sampler stand in the middle of a long
method of TRL, so their lines are cut out of its source and executed as they are.
"""

import inspect
import json
import pathlib
import textwrap
from collections import defaultdict
from types import SimpleNamespace

import torch
import trl
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer import grpo_trainer, rloo_trainer

assert trl.__version__ == "1.16.0", trl.__version__
LENGTHS = [3, 5, 1, 4, 2, 6]
ADVANTAGES = [0.976, -0.325, -1.255, 0.604, 0.0, -0.7]


def excerpt(method, first, last):
    """The lines of a method from the one that contains `first` to the next one that contains `last`."""
    lines = inspect.getsource(method).splitlines()
    start = next(i for i, line in enumerate(lines) if first in line)
    end = next(i for i in range(start, len(lines)) if last in lines[i])
    return textwrap.dedent("\n".join(lines[start : end + 1]))


class OneProcess:
    num_processes = 1
    sync_gradients = True
    pad_across_processes = staticmethod(lambda tensor, **_: tensor)
    gather = staticmethod(lambda tensor: tensor)
    gather_for_metrics = staticmethod(lambda tensor: tensor)
    reduce = staticmethod(lambda tensor, reduction: tensor)


def trainer(logprobs, entropies, options):
    t = GRPOTrainer.__new__(GRPOTrainer)
    t._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, entropies, None)
    t.accelerator, t.model = OneProcess(), SimpleNamespace(training=True)
    t.aux_loss_enabled = False
    t.current_gradient_accumulation_steps = 1
    t._metrics = {"train": defaultdict(list)}
    t.loss_type = options.get("loss_type", "grpo")
    t.importance_sampling_level = options.get("level", "token")
    t.beta = options.get("beta", 0.0)
    t.epsilon_low = options.get("epsilon", 0.2)
    t.epsilon_high = options.get("epsilon_high", t.epsilon_low)
    t.max_completion_length = options.get("max_completion_length", 8)
    t.top_entropy_quantile = options.get("top_entropy_quantile", 1.0)
    t.off_policy_mask_threshold = options.get("off_policy_mask_threshold")
    t.use_vllm = t.vllm_importance_sampling_correction = "correction" in options
    t.entropy_coef = options.get("entropy_coef", 0.0)
    t._entropy_bonus_enabled = t.entropy_coef > 0
    t.use_adaptive_entropy = False
    t.args = SimpleNamespace(
        delta=options.get("delta"), use_bias_correction_kl=options.get("bias_correction", False),
        steps_per_generation=1, report_to=[],
        sapo_temperature_pos=options.get("sapo_pos", 1.0), sapo_temperature_neg=options.get("sapo_neg", 1.05),
        vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0,
    )
    return t


def correction(old, sampler, mask, mode, low, high):
    code = excerpt(
        GRPOTrainer._generate_and_score_completions,
        "per_token_logps_diff = (old_per_token_logps - sampling_per_token_logps) * mask",
        "invalid_mis_mask, value=0.0",
    ) + "\n        )"
    self = SimpleNamespace(
        vllm_importance_sampling_mode=mode, vllm_importance_sampling_clip_min=low,
        vllm_importance_sampling_clip_max=high,
    )
    scope = dict(
        vars(grpo_trainer), self=self, old_per_token_logps=old, sampling_per_token_logps=sampler, mask=mask,
    )
    exec(code, scope)
    return scope["vllm_importance_sampling_ratio"]


def case(loss, truncated=(), spread=0.5, **options):
    """`loss` is what our configuration says, `options` is what TRL's says."""
    width = max(LENGTHS)
    real = torch.tensor([[1] * n + [0] * (width - n) for n in LENGTHS])
    mask = real.clone()
    for i in truncated:
        mask[i] = 0
    shape = (len(LENGTHS), width)
    logprobs = (-2 * torch.rand(shape)).requires_grad_()
    entropies = (3 * torch.rand(shape)).requires_grad_()
    old = logprobs.detach() + spread * torch.randn(shape)
    sampler = old + 0.3 * torch.randn(shape)
    ref = logprobs.detach() + 0.5 * torch.randn(shape)
    advantages = torch.tensor(ADVANTAGES)
    inputs = dict(
        prompt_ids=torch.zeros(len(LENGTHS), 1), prompt_mask=torch.ones(len(LENGTHS), 1),
        completion_ids=torch.zeros(shape), completion_mask=mask, advantages=advantages,
        old_per_token_logps=old, ref_per_token_logps=ref, num_items_in_batch=mask.sum(),
    )
    if "correction" in options:
        inputs["importance_sampling_ratio"] = correction(old, sampler, mask, *options["correction"])
        inputs["sampling_per_token_logps"] = sampler
    t = trainer(logprobs, entropies, options)
    value = t._compute_loss(t.model, inputs)
    value.backward()
    packed = lambda x: x.detach()[real.bool()].tolist()
    gradient = lambda x: packed(x.grad if x.grad is not None else torch.zeros(shape))
    mean = lambda name: t._metrics["train"][name][0] if name in t._metrics["train"] else None
    return dict(
        loss=loss, lengths=LENGTHS, truncated=list(truncated), advantages=ADVANTAGES,
        max_length=t.max_completion_length, logprobs=packed(logprobs), entropies=packed(entropies),
        old_logprobs=packed(old), sampler_logprobs=packed(sampler), ref_logprobs=packed(ref),
        value=value.item(), logprob_gradient=gradient(logprobs), entropy_gradient=gradient(entropies),
        clipped=mean("clip_ratio/region_mean"),
    )


def losses():
    free = dict(kl_coef=0.0)
    kl = dict(kl_coef=0.04)
    cases = {
        "grpo": case(dict(type="grpo", **kl), beta=0.04),
        "grpo on policy": case(dict(type="grpo", **kl), beta=0.04, spread=0.0),
        "grpo, corrected KL": case(dict(kl_bias_correction=True, **kl), beta=0.04, bias_correction=True),
        "grpo, clip higher": case(dict(clip_epsilon_high=0.28, **free), epsilon_high=0.28),
        "grpo, two-sided": case(dict(clip_delta=1.4, **free), delta=1.4),
        "grpo, truncated": case(dict(mask_truncated=True, **kl), truncated=[1, 3], beta=0.04),
        "grpo, off-policy mask": case(
            dict(off_policy_threshold=0.1, **kl), beta=0.04, off_policy_mask_threshold=0.1,
            correction=("token_truncate", None, 1e30),
        ) | dict(loss=dict(
            off_policy_threshold=0.1, sampler_correction=dict(mode="token_truncate", max=1e30), **kl)),
        "grpo, off-policy mask, old": case(
            dict(off_policy_threshold=0.1, **free), off_policy_mask_threshold=0.1),
        # Shares whose quantile lies between two tokens: on one, it is rounding that decides about it.
        "grpo, top entropy": case(dict(top_entropy=0.37, **kl), beta=0.04, top_entropy_quantile=0.37),
        "grpo, entropy bonus": case(dict(entropy_coef=0.02, **free), entropy_coef=0.02),
        "dapo, entropy bonus on top": case(
            dict(type="dapo", entropy_coef=0.02, top_entropy=0.3, mask_truncated=True, **free), truncated=[5],
            loss_type="dapo", entropy_coef=0.02, top_entropy_quantile=0.3),
        "bnpo": case(dict(type="bnpo", **kl), loss_type="bnpo", beta=0.04),
        "bnpo, truncated": case(
            dict(type="bnpo", mask_truncated=True, **kl), truncated=[0], loss_type="bnpo", beta=0.04),
        "dr_grpo": case(
            dict(type="dr_grpo", length=7, **kl), loss_type="dr_grpo", beta=0.04, max_completion_length=7),
        "dapo": case(dict(type="dapo", **kl), loss_type="dapo", beta=0.04),
        "dapo, all truncated": case(
            dict(type="dapo", mask_truncated=True, **kl), truncated=range(6), loss_type="dapo", beta=0.04),
        "gspo": case(dict(type="gspo", clip_epsilon=0.1, **free), level="sequence", epsilon=0.1),
        "gspo, corrected KL": case(
            dict(type="gspo", kl_bias_correction=True, **kl), level="sequence", beta=0.04, bias_correction=True),
        "luspo": case(dict(type="luspo", **free), loss_type="luspo", level="sequence"),
        "luspo, KL": case(dict(type="luspo", **kl), loss_type="luspo", level="sequence", beta=0.04),
        "cispo": case(
            dict(type="cispo", cispo=dict(max_ratio=1.3), **kl), loss_type="cispo", epsilon_high=1.3, beta=0.04),
        "sapo": case(dict(type="sapo", **kl), loss_type="sapo", beta=0.04),
        "sapo, other temperatures": case(
            dict(type="sapo", sapo=dict(temperature_pos=2.0, temperature_neg=3.0), **free), loss_type="sapo",
            sapo_pos=2.0, sapo_neg=3.0),
        "vespo": case(dict(type="vespo", **kl), loss_type="vespo", beta=0.04, spread=0.2),
        "vespo, far": case(dict(type="vespo", **free), loss_type="vespo", spread=1.0),
    }
    for mode in ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]:
        for low, high in [(None, 1.2), (0.8, None), (0.9, 1.1)]:
            bounds = {k: v for k, v in dict(min=low, max=high).items() if v is not None}
            ours = dict(sampler_correction=dict(mode=mode, **bounds), **kl)
            cases[f"{mode} {bounds}"] = case(ours, correction=(mode, low, high), beta=0.04)
            if mode == "token_truncate":
                ours = dict(type="vespo", sampler_correction=dict(mode=mode, **bounds), **free)
                cases[f"vespo, {bounds}"] = case(ours, correction=(mode, low, high), loss_type="vespo", spread=0.2)
    return cases


def advantages(terms, weights, group_size, config, trainer=GRPOTrainer, **options):
    """`terms` has a row for each completion; nan is a term that could not be had."""
    module = grpo_trainer if trainer is GRPOTrainer else rloo_trainer
    code = excerpt(
        trainer._generate_and_score_completions, "unscorable_mask = torch.isnan(rewards_per_func)",
        "advantages = torch.nan_to_num(advantages, nan=0.0)",
    )
    self = SimpleNamespace(
        reward_weights=torch.tensor(weights), reward_funcs=weights, reward_clip_range=None,
        multi_objective_aggregation="sum_then_normalize", scale_rewards="group", normalize_advantages=False,
        beta=0.0,
    )
    vars(self).update(options)
    rewards = torch.tensor(terms)
    scope = dict(
        vars(module), self=self, rewards_per_func=rewards, num_generations=group_size, device="cpu",
        gather=lambda tensor: tensor, **options.get("scope", {}),
    )
    exec(code, scope)
    none = lambda row: [None if value != value else value for value in row]
    return dict(
        config=config, terms=[none(row) for row in terms], weights=weights, group_size=group_size,
        advantages=scope["advantages"].tolist(), **options.get("fixture", {}),
    )


def all_advantages():
    nan = float("nan")
    terms = [
        [0.9, 1.0], [0.1, 1.0], [0.4, 0.0], [0.0, 0.0],
        [0.5, 1.0], [0.5, 0.0], [0.7, 1.0], [0.2, 1.0],
        [0.3, 1.0], [0.3, 1.0], [0.3, 1.0], [0.3, 1.0],
    ]
    holes = [
        [0.9, 1.0], [nan, nan], [0.4, 0.0], [0.0, 0.5],
        [0.5, 1.0], [0.5, 0.0], [nan, nan], [0.2, 1.0],
        [nan, nan], [nan, nan], [nan, nan], [0.7, 0.3],
    ]
    weights = [1.0, 0.2]
    cases = {}
    for name, rows in [("whole", terms), ("with holes", holes)]:
        for scale in ["group", "batch", "none"]:
            cases[f"{scale}, {name}"] = advantages(rows, weights, 4, dict(scale=scale), scale_rewards=scale)
        cases[f"normalize_then_sum, {name}"] = advantages(
            rows, weights, 4, dict(aggregate="normalize_then_sum", scale="batch"),
            multi_objective_aggregation="normalize_then_sum")
        for scale, normalize in [("none", False), ("batch", True)]:
            cases[f"leave_one_out {scale}, {name}"] = advantages(
                rows, weights, 4, dict(baseline="leave_one_out", scale=scale), RLOOTrainer,
                normalize_advantages=normalize)
    return cases


torch.manual_seed(0)
out = dict(losses=losses(), advantages=all_advantages())
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
