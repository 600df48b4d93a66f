"""Exchange with PyTorch, where it is installed; what is said where it is not."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError
from jitgrad.interop import from_torch, to_torch
from jitgrad.testing import assert_close
from tests.messages import message_of


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def test_without_pytorch_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for message in (
        message_of(ArgumentError, lambda: to_torch(jitgrad.ones(2))),
        message_of(ArgumentError, lambda: from_torch(object())),
    ):
        what, why, do = message.splitlines()
        assert what.endswith("_torch: PyTorch can't be imported")
        assert why.startswith("  why:   import of torch halted")
        assert do == "  do:    install it (pip install torch), or exchange arrays through NumPy"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_memory_is_shared_both_ways(torch: Any, dtype: str) -> None:
    theirs = torch.zeros((2, 3), dtype=getattr(torch, dtype))
    ours = from_torch(theirs)
    back = to_torch(ours)
    theirs[1, 2] = 1
    assert ours.dtype == np.dtype(dtype)
    assert ours[1, 2].item() == 1
    assert back.dtype == theirs.dtype
    assert back[1, 2].item() == 1


@pytest.mark.parametrize("flag", [True, False])
def test_requires_grad_is_carried_over_and_history_is_not(torch: Any, flag: bool) -> None:
    theirs = torch.ones(2, requires_grad=flag) * 2.0
    ours = from_torch(theirs)
    assert (ours.requires_grad, ours.is_leaf) == (flag, True)
    back = to_torch(ours * 2.0)
    assert (back.requires_grad, back.is_leaf) == (flag, True)
    assert back.tolist() == [4.0, 4.0]


def test_what_pytorch_cannot_describe_is_copied(torch: Any) -> None:
    array = np.arange(3.0)
    assert to_torch(jitgrad.Tensor(array[::-1])).tolist() == [2.0, 1.0, 0.0]
    array.flags.writeable = False
    copied = to_torch(jitgrad.Tensor(array))
    copied[0] = 9.0
    assert_close(array, np.arange(3.0))


def test_what_cannot_be_shared_is_an_error(torch: Any) -> None:
    with pytest.raises(DtypeError, match="list is not a Tensor of PyTorch"):
        from_torch([1.0])
    with pytest.raises(DtypeError, match="bfloat16 is not supported"):
        from_torch(torch.zeros(2, dtype=torch.bfloat16))
    with pytest.raises(DtypeError, match="float16 is not supported"):
        from_torch(torch.zeros(2, dtype=torch.float16))
    with pytest.raises(ArgumentError, match="sparse"):
        from_torch(torch.eye(2).to_sparse())
    with pytest.raises(ArgumentError, match="meta"):
        from_torch(torch.zeros(2, device="meta"))
