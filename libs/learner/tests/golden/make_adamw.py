"""Writes adamw.json: weights after each step of torch.optim.AdamW under a schedule of transformers.

    python make_adamw.py > adamw.json

A matrix, which decays, and a vector, which does not: the parameter groups of transformers' Trainer.
"""

import json

import torch
from transformers import get_scheduler

N_STEPS = 6
CASES = {
    "constant": dict(schedule="constant", warmup_steps=2, weight_decay=0.0, max_grad_norm=0.0),
    "linear": dict(schedule="linear", warmup_steps=0, weight_decay=0.1, max_grad_norm=1.0),
    "cosine": dict(schedule="cosine", warmup_steps=1, weight_decay=0.01, max_grad_norm=0.5),
}
NAMES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def run(seed, settings):
    generator = torch.Generator().manual_seed(seed)
    config = dict(learning_rate=0.01, beta1=0.9, beta2=0.99, eps=1e-8, **settings)
    matrix = torch.nn.Parameter(torch.randn(3, 4, generator=generator))
    vector = torch.nn.Parameter(torch.randn(4, generator=generator))
    case = dict(
        optimizer=config,
        n_steps=N_STEPS,
        matrix=matrix.flatten().tolist(),
        vector=vector.tolist(),
        steps=[],
    )
    optimizer = torch.optim.AdamW(
        [
            dict(params=[matrix], weight_decay=config["weight_decay"]),
            dict(params=[vector], weight_decay=0.0),
        ],
        lr=config["learning_rate"],
        betas=(config["beta1"], config["beta2"]),
        eps=config["eps"],
    )
    scheduler = get_scheduler(
        NAMES[config["schedule"]],
        optimizer,
        num_warmup_steps=config["warmup_steps"],
        num_training_steps=N_STEPS,
    )
    for _ in range(N_STEPS):
        for parameter in (matrix, vector):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        step = dict(
            matrix_grad=matrix.grad.flatten().tolist(),
            vector_grad=vector.grad.tolist(),
            learning_rate=scheduler.get_last_lr()[0],
        )
        max_norm = config["max_grad_norm"] or float("inf")
        step["grad_norm"] = torch.nn.utils.clip_grad_norm_([matrix, vector], max_norm).item()
        optimizer.step()
        scheduler.step()
        step.update(matrix=matrix.flatten().tolist(), vector=vector.tolist())
        case["steps"].append(step)
    return case


print(json.dumps({name: run(seed, CASES[name]) for seed, name in enumerate(CASES)}, indent=1))
