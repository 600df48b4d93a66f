"""Optimizers and learning rate schedules, with PyTorch's names.

An optimizer changes parameters in place. Begin with `base.py`, then `sgd.py`.
"""

from jitgrad.optim import learning_rate as lr_scheduler
from jitgrad.optim.adam import Adam, AdamW
from jitgrad.optim.base import Optimizer
from jitgrad.optim.learning_rate import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
    StepLR,
)
from jitgrad.optim.sgd import SGD
from jitgrad.optim.squares import Adagrad, RMSprop

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "StepLR",
    "lr_scheduler",
]
