"""Records what PyTorch's optimizers and schedules do: ``python tests/golden/record_optim.py``.

Needs PyTorch; writes optim.json beside this file. The tests read only that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd with weight decay": ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    "sgd with momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd with dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "sgd with nesterov": (
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    "sgd upwards": ("SGD", {"lr": 0.002, "momentum": 0.5, "maximize": True}),
    "adam": ("Adam", {"lr": 0.05}),
    "adam with weight decay": ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
    "adam with other averages": ("Adam", {"lr": 0.05, "betas": [0.8, 0.9], "eps": 1e-3}),
    "amsgrad": ("Adam", {"lr": 0.05, "betas": [0.8, 0.5], "amsgrad": True}),
    "adam upwards": ("Adam", {"lr": 0.05, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.02, "alpha": 0.9}),
    "rmsprop with momentum": (
        "RMSprop",
        {"lr": 0.02, "momentum": 0.5, "centered": True, "weight_decay": 0.1, "eps": 1e-3},
    ),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad with decay": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.3},
    ),
    "adamw": ("AdamW", {"lr": 0.05}),
    "adamw with amsgrad": (
        "AdamW",
        {"lr": 0.05, "betas": [0.8, 0.5], "weight_decay": 0.2, "amsgrad": True},
    ),
}
SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = {
    "steps": ("StepLR", {"step_size": 3, "gamma": 0.5}),
    "milestones": ("MultiStepLR", {"milestones": [6, 2, 2], "gamma": 0.3}),
    "exponential": ("ExponentialLR", {"gamma": 0.8}),
    "linear": ("LinearLR", {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 4}),
    "cosine": ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    "plateau": ("ReduceLROnPlateau", {"factor": 0.5, "patience": 1, "cooldown": 1}),
    "plateau of a maximum": (
        "ReduceLROnPlateau",
        {"mode": "max", "factor": 0.5, "patience": 1, "min_lr": 0.06},
    ),
}
FIGURES = [5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.5, 3.6, 3.7, 3.8]
STEPS = 6


def target(step: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the values that the loss of a step pulls towards; also written in the tests."""
    count = torch.arange(1, 1 + int(torch.tensor(shape).prod()), dtype=torch.float64)
    return torch.sin(count * (step + 1)).reshape(shape)


def run_optimizer(name: str, settings: dict[str, Any]) -> list[list[list[float]]]:
    """Return the parameters, each flat, after every step."""
    params = [
        torch.linspace(-1, 2, 6, dtype=torch.float64).reshape(2, 3).requires_grad_(),
        torch.linspace(0.5, 1, 3, dtype=torch.float64).requires_grad_(),
    ]
    optimizer = getattr(torch.optim, name)(params, **settings)
    taken = []
    for step in range(STEPS):
        loss = sum(((p - target(step, tuple(p.shape))) ** 2).sum() * (p * p).mean() for p in params)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        taken.append([p.detach().flatten().tolist() for p in params])
    return taken


def run_schedule(name: str, settings: dict[str, Any]) -> list[float]:
    """Return the learning rate in every epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **settings)
    rates = []
    for figure in FIGURES:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(*([figure] if name == "ReduceLROnPlateau" else []))
    return rates


def main() -> None:
    """Write the file, a line for each case."""
    optimizers = [
        {"label": label, "name": name, "settings": settings, "taken": run_optimizer(name, settings)}
        for label, (name, settings) in OPTIMIZERS.items()
    ]
    schedules = [
        {"label": label, "name": name, "settings": settings, "rates": run_schedule(name, settings)}
        for label, (name, settings) in SCHEDULES.items()
    ]
    path = Path(__file__).with_name("optim.json")
    path.write_text(
        f'{{"torch": "{torch.__version__.split("+")[0]}",\n'
        f' "figures": {json.dumps(FIGURES)},\n'
        f' "optimizers": [\n{_lines(optimizers)}\n ],\n'
        f' "schedules": [\n{_lines(schedules)}\n ]}}\n',
        encoding="utf-8",
    )


def _lines(cases: list[dict[str, Any]]) -> str:
    return ",\n".join(f"  {json.dumps(case)}" for case in cases)


if __name__ == "__main__":
    main()
