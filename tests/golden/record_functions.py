"""Records PyTorch's results and gradients: ``python tests/golden/record_functions.py``.

Needs PyTorch; writes functions.json beside this file. The tests read only that.
"""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

INF, NAN = float("inf"), float("nan")
EQUAL = [[3.0, 1.0, 1.0, 3.0, 2.0], [2.0, 2.0, 1.0, 1.0, 5.0]]
HOLES = [[1.0, NAN, 2.0, 0.0], [4.0, 3.0, 1.0, 3.0]]
SENT = [[0, 0, 1, 1]]
MASK = [[True, False, True, False], [False, False, False, False], [True, True, True, True]]

BENDS = [-7.0, -3.0, -1.0, -0.5, -0.2, 0.0, 0.3, 0.5, 1.0, 2.5, 3.0, 6.0, 40.0]
BENT = (
    "relu6", "hardtanh", "hardswish", "softshrink", "hardshrink", "mish", "celu", "selu",
    "softsign", "tanhshrink",
)  # fmt: skip

# A function, its arguments (floating arrays, of which gradients are taken; a string of letters
# and sizes stands for an array of such numbers), and others by name.
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    *[(name, [EQUAL], {"dim": 1}) for name in ("sort", "median", "nanmedian", "mode")],
    *[(name, [HOLES], {"dim": 1}) for name in ("sort", "median", "nanmedian", "cummax", "cummin")],
    *[(name, [EQUAL], {"dim": 0}) for name in ("cummax", "cummin")],
    ("sort", [EQUAL], {"dim": 1, "descending": True, "stable": True}),
    ("topk", ["x 3 5"], {"k": 3, "dim": 0}),
    ("topk", ["x 3 5"], {"k": 2, "largest": False}),
    ("kthvalue", ["x 3 5"], {"k": 2, "dim": 1, "keepdim": True}),
    *[(name, [[1.0, 2.0, 2.0, 5.0]], {}) for name in ("median", "nanmedian")],
    *[(name, [[NAN, 2.0, 1.0, 5.0]], {}) for name in ("median", "nanmedian")],
    *[
        (name, [HOLES, [0.2, 0.5]], {"dim": 1, "interpolation": mode})
        for name in ("quantile", "nanquantile")
        for mode in ("linear", "lower", "higher", "midpoint", "nearest")
    ],
    ("quantile", ["x 3 5", 0.3], {"keepdim": True}),
    *[
        ("scatter_reduce", [[[5.0, 2.0, 3.0]], 1, SENT, [[4.0, 5.0, 2.0, 2.0]], reduce], {})
        for reduce in ("sum", "prod", "mean", "amax", "amin")
    ],
    *[
        (
            "scatter_reduce",
            [[[5.0, 9.0, 3.0]], 1, SENT, [[4.0, 6.0, 2.0, 1.0]], reduce],
            {"include_self": False},
        )
        for reduce in ("sum", "prod", "mean", "amax", "amin")
    ],
    ("scatter_reduce", [[[2.0, 0.0, 3.0]], 1, SENT, [[4.0, 0.0, 2.0, 2.0]], "prod"], {}),
    ("as_strided", ["x 6"], {"size": [2, 3], "stride": [1, 1], "storage_offset": 1}),
    ("trapezoid", ["x 3 4", [0.0, 1.0, 3.0, 3.5]], {}),
    ("cumulative_trapezoid", ["x 3 4"], {"dx": 0.5, "dim": 0}),
    ("gradient", ["x 3 4"], {"edge_order": 2}),
    ("gradient", ["x 3 4"], {"spacing": 0.5, "dim": 1}),
    ("cross", ["x 3 4", "y 3 4"], {}),
    ("linalg.cross", ["x 2 3", "y 1 3"], {}),
    *[("cdist", ["x 3 4", "y 2 4"], {"p": p}) for p in (1.0, 2.0, 3.0)],
    ("dist", ["x 3 4", "y 3 4"], {"p": 3.0}),
    ("block_diag", ["x 2 3", "y 2", "x 2 1"], {}),
    ("linalg.matrix_exp", ["x 2 3 3"], {}),
    ("linalg.lu_factor", ["x 2 3 3"], {}),
    ("linalg.lu", ["x 2 3 3"], {}),
    *[(f"special.{name}", ["x 6"], {}) for name in ("i0", "i1", "i0e", "i1e", "ndtr", "log_ndtr")],
    ("special.multigammaln", [[2.5, 3.0]], {"p": 3}),
    ("nn.functional.embedding", [[[0, 2], [2, 1]], "x 3 2"], {"padding_idx": -2}),
    *[("nn.functional.normalize", ["x 2 3 4"], {"dim": dim}) for dim in (0, 1, 2)],
    ("nn.functional.normalize", [[[0.0, 0.0], [3.0, 4.0]]], {}),
    *[("nn.functional.cosine_similarity", ["x 2 3", "y 2 3"], {"dim": dim}) for dim in (0, 1)],
    ("nn.functional.pairwise_distance", ["x 2 3", "x 2 3"], {}),
    *[
        ("nn.functional.kl_div", ["x 2 3", [[0.2, 0.0, 0.8], [0.1, 0.3, 0.6]]], {"reduction": how})
        for how in ("mean", "batchmean", "sum", "none")
    ],
    ("nn.functional.kl_div", ["x 2 3", "y 2 3"], {"log_target": True}),
    ("nn.functional.gaussian_nll_loss", ["x 2 3", "y 2 3", [0.5, 0.2]], {"full": True}),
    ("nn.functional.gaussian_nll_loss", ["x 2 2", "y 2 2", [[0.5], [0.1]]], {"eps": 0.2}),
    ("nn.functional.poisson_nll_loss", ["x 2 2", [[1, 2], [0, 3]]], {}),
    ("nn.functional.batch_norm", ["x 3 2 2", None, None, "y 2", "x 2"], {"training": True}),
    ("nn.functional.instance_norm", ["x 2 2 3", None, None, "y 2", "x 2"], {}),
    ("nn.functional.group_norm", ["x 2 4 3", 2, "y 4", "x 4"], {}),
    ("nn.functional.rms_norm", ["x 2 3", [3], "y 3"], {}),
    *[
        ("nn.functional.interpolate", ["x 1 1 3 4"], {"mode": mode, **how})
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
        for how in ({"size": [5, 2]}, {"scale_factor": 1.7})
    ],
    *[
        ("nn.functional.interpolate", ["x 1 1 3 4"], {"size": 6, "mode": mode, **how})
        for mode in ("bilinear", "bicubic")
        for how in ({"align_corners": True},)
    ],
    ("nn.functional.interpolate", ["x 1 2 4"], {"size": 7, "mode": "linear"}),
    ("nn.functional.scaled_dot_product_attention", ["x 3 2", "y 4 2", "x 4 3"], {}),
    (
        "nn.functional.scaled_dot_product_attention",
        ["x 1 3 2", "y 1 4 2", "x 1 4 3"],
        {"is_causal": True, "scale": 0.3},
    ),
    ("nn.functional.scaled_dot_product_attention", ["x 3 2", "y 4 2", "x 4 3", MASK], {}),
    ("nn.functional.scaled_dot_product_attention", ["x 3 2", "y 4 2", "x 4 3", "y 3 4"], {}),
    (
        "nn.functional.scaled_dot_product_attention",
        ["x 4 3 2", "y 2 4 2", "x 2 4 3"],
        {"enable_gqa": True},
    ),
    ("take", ["x 3 4", [[0, 5], [-1, 5]]], {}),
    ("put", ["x 3 4", [[0, 5], [-1, 7]], "y 4"], {}),
    ("put", ["x 3 4", [[0, 5], [-1, 5]], "y 4"], {"accumulate": True}),
    ("Tensor.unfold", ["x 2 7"], {"dimension": 1, "size": 3, "step": 2}),
    ("masked_scatter", ["x 3 4", MASK, "y 9"], {}),
    ("select_scatter", ["x 3 4", "y 3"], {"dim": 1, "index": -2}),
    ("slice_scatter", ["x 5 2", "y 2 2"], {"dim": 0, "start": 1, "end": 5, "step": 2}),
    ("diagonal_scatter", ["x 3 4", "y 3"], {"offset": 1}),
    ("logaddexp2", ["x 3 4", "y 4"], {}),
    ("ldexp", ["x 4", "y 4"], {}),
    ("float_power", [[0.5, 2.0], [1.5, -2.0]], {}),
    *[("linalg.cond", ["x 3 3"], {"p": p}) for p in (None, 2, -2)],
    ("linalg.vander", ["x 2 3"], {"N": 4}),
    *[(f"nn.functional.{name}", [BENDS], {}) for name in BENT],
    ("nn.functional.margin_ranking_loss", ["x 2 2", "y 2 2", [[1, -1], [1, 1]]], {"margin": 0.3}),
    ("nn.functional.hinge_embedding_loss", ["x 2 2", [[1, -1], [1, -1]]], {"reduction": "none"}),
    ("nn.functional.cosine_embedding_loss", ["x 3 4", "y 3 4", [1.0, -1.0, -1.0]], {"margin": 0.1}),
    *[
        ("nn.functional.triplet_margin_loss", ["x 3 4", "y 3 4", "x 3 4"], {"swap": swap, "p": p})
        for swap, p in ((False, 2.0), (True, 1.0))
    ],
    ("nn.functional.soft_margin_loss", ["x 2 2", [[1, -1], [1, -1]]], {}),
    ("nn.functional.multilabel_soft_margin_loss", ["x 2 3", [[0, 1, 1], [1, 0, 0]], "y 3"], {}),
    ("std_mean", ["x 3 4"], {"dim": 1, "correction": 0}),
    ("var_mean", ["x 3 4"], {"dim": 0, "keepdim": True}),
    ("cov", ["x 3 4"], {"correction": 0}),
    ("corrcoef", ["x 3 4"], {}),
    ("cartesian_prod", ["x 2", "y 3"], {}),
    ("combinations", ["x 4"], {"r": 3, "with_replacement": True}),
    ("addr", ["x 2 3", "y 2", "x 3"], {"beta": 0.5, "alpha": -2.0}),
    ("renorm", ["x 3 4"], {"p": 1.0, "dim": 1, "maxnorm": 2.5}),
    ("nn.functional.threshold", [BENDS], {"threshold": 0.5, "value": 20.0}),
    ("nn.functional.glu", ["x 2 4"], {"dim": 1}),
    ("nn.functional.prelu", ["x 2 3 2", "y 3"], {}),
]  # fmt: skip


def array_of(argument: Any) -> Any:
    """Return what stands for an array as nested lists."""
    if not isinstance(argument, str) or " " not in argument:
        return argument
    letter, *sizes = argument.split()
    shape = [int(size) for size in sizes]
    numbers = np.arange(1.0, np.prod(shape) + 1)
    wave = np.sin(3.0 * numbers) if letter == "x" else np.cos(2.0 * numbers)
    return np.round(1.5 * wave, 3).reshape(shape).tolist()


def is_floating(argument: Any) -> bool:
    """Return whether an argument is an array whose gradient is recorded."""
    first = argument
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, float)


def tensor_of(argument: Any) -> Any:
    """Return arrays as Tensors, everything else as it is."""
    if is_floating(argument):
        return torch.tensor(argument, dtype=torch.float64, requires_grad=True)
    nested = isinstance(argument, list) and isinstance(argument[0], list)
    return torch.tensor(argument) if nested else argument


def record(name: str, arguments: list[Any], others: dict[str, Any]) -> dict[str, Any]:
    """Return one case with results, and gradients of their sum weighted by cosines."""
    arguments = [array_of(a) for a in arguments]
    tensors = [tensor_of(a) for a in arguments]
    function = functools.reduce(getattr, name.split("."), torch)
    result = function(*tensors, **others)
    outputs = list(result) if isinstance(result, tuple) else [result]
    total = torch.zeros((), dtype=torch.float64)
    for y in outputs:
        if y.requires_grad:
            weights = torch.cos(torch.arange(float(y.numel()), dtype=torch.float64))
            total = total + (y * weights.reshape(y.shape)).nan_to_num().sum()
    total.backward()
    inputs = [t for t in tensors if getattr(t, "requires_grad", False)]
    return {
        "function": name,
        "arguments": arguments,
        "others": others,
        "outputs": [y.tolist() for y in outputs],
        "gradients": [None if t.grad is None else t.grad.tolist() for t in inputs],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    recorded = [record(*case) for case in CASES]
    lines = ",\n".join(json.dumps(case) for case in recorded)
    Path(__file__).with_name("functions.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
