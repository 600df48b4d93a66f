"""Records PyTorch's convolutions and pools: ``python tests/golden/record_convolution.py``.

Needs PyTorch; writes convolution.json beside this file. The tests read only that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

# A function of nn.functional, the shapes of its arrays, the other arguments.
CASES: list[tuple[str, list[list[int]], dict[str, Any]]] = [
    ("conv2d", [[2, 2, 4, 5], [3, 2, 2, 3], [3]], {"stride": [1, 2], "padding": 1}),
    ("conv2d", [[2, 5, 6], [4, 1, 3, 2]], {"dilation": [2, 1], "groups": 2}),
    ("conv2d", [[1, 1, 4, 4], [2, 1, 4, 3]], {"padding": "same"}),
    ("conv2d", [[1, 1, 4, 4], [2, 1, 2, 3]], {"padding": "valid"}),
    ("conv1d", [[2, 2, 7], [3, 2, 3], [3]], {"stride": 2, "padding": 2}),
    ("conv1d", [[2, 7], [4, 2, 2]], {"dilation": 3}),
    (
        "conv_transpose2d",
        [[1, 4, 2, 3], [4, 1, 3, 2], [2]],
        {"stride": [2, 3], "padding": 1, "output_padding": [1, 2], "groups": 2},
    ),
    ("conv_transpose1d", [[2, 3], [2, 3, 3]], {"dilation": 2, "output_padding": 1}),
    ("max_pool2d", [[1, 2, 4, 6]], {"kernel_size": 2}),
    ("max_pool2d", [[1, 2, 5, 6]], {"kernel_size": [3, 2], "stride": 1, "padding": [1, 0]}),
    ("max_pool2d", [[2, 6, 7]], {"kernel_size": 3, "stride": 2, "dilation": 2}),
    ("max_pool2d", [[1, 5, 6]], {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
    ("max_pool1d", [[2, 2, 7]], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool2d", [[1, 2, 5, 6]], {"kernel_size": [3, 2], "stride": 2, "padding": 1}),
    (
        "avg_pool2d",
        [[1, 5, 6]],
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    ),
    ("avg_pool2d", [[1, 6, 7]], {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", [[1, 4, 4]], {"kernel_size": 2, "divisor_override": 3}),
    ("avg_pool1d", [[2, 2, 7]], {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ("adaptive_avg_pool2d", [[1, 5, 7]], {"output_size": [2, 3]}),
    ("adaptive_avg_pool2d", [[1, 4, 6]], {"output_size": [2, None]}),
    ("adaptive_avg_pool1d", [[2, 5]], {"output_size": 3}),
]


def numbers(shape: list[int], step: float) -> torch.Tensor:
    """Return an array of a few different numbers, some of them equal; also written in the tests."""
    count = torch.arange(torch.tensor(shape).prod(), dtype=torch.float64)
    return torch.round(4 * torch.sin(step * (count + 1))).reshape(shape) / 4


def record(name: str, shapes: list[list[int]], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a case, and its derivatives by all arrays."""
    arrays = [numbers(shape, 1 + k).requires_grad_() for k, shape in enumerate(shapes)]
    function = getattr(torch.nn.functional, name)
    out = function(*arrays, **arguments)
    out.backward(numbers(list(out.shape), 0.7))
    found: dict[str, Any] = {"name": name, "shapes": shapes, "arguments": arguments}
    found["out"] = rounded(out)
    found["gradients"] = [rounded(array.grad) for array in arrays]
    if name.startswith("max_pool"):
        _, places = function(arrays[0], **arguments, return_indices=True)
        found["places"] = places.tolist()
    return found


def rounded(array: Any) -> Any:
    """Return nested lists of numbers with as many digits as the tests compare."""
    return torch.round(array.detach(), decimals=10).tolist()


def main() -> None:
    """Write the file."""
    rows = ",\n  ".join(json.dumps(record(*case)) for case in CASES)
    path = Path(__file__).with_name("convolution.json")
    text = f'{{"torch": "{torch.__version__.split("+")[0]}",\n "cases": [\n  {rows}\n ]}}\n'
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
