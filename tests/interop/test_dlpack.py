"""Memory shared through DLPack, and what can't be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, GradientError
from jitgrad.interop import from_dlpack
from jitgrad.testing import assert_close
from tests.messages import message_of


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_a_tensor_of_an_array_shares_its_memory(dtype: str) -> None:
    array = np.zeros((2, 3), dtype)
    shared = from_dlpack(array)
    array[1, 2] = 1
    assert (shared.shape, shared.dtype) == ((2, 3), np.dtype(dtype))
    assert shared[1, 2].item() == 1


def test_strides_are_kept() -> None:
    array = np.arange(12.0).reshape(3, 4)
    shared = from_dlpack(array.T[::2])
    array += 1
    assert_close(shared, array.T[::2])


def test_an_array_of_a_tensor_shares_its_memory() -> None:
    x = jitgrad.tensor([1.0, 2.0])
    array = np.from_dlpack(x)
    x.mul_(3.0)
    assert_close(array, np.array([3.0, 6.0], np.float32))
    assert x.__dlpack_device__() == (1, 0)


def test_a_tensor_of_a_tensor_shares_its_memory() -> None:
    x = jitgrad.tensor([1.0, 2.0])
    from_dlpack(x).add_(1.0)
    assert_close(x, jitgrad.tensor([2.0, 3.0]))


def test_a_tensor_that_requires_a_gradient_is_not_handed_out() -> None:
    x = jitgrad.tensor([1.0], requires_grad=True)
    message = (
        "dlpack: this Tensor requires a gradient, which another library would lose\n"
        "  do:    hand over x.detach()"
    )
    assert message_of(GradientError, lambda: np.from_dlpack(x)) == message
    assert message_of(GradientError, lambda: from_dlpack(x)) == message
    assert_close(np.from_dlpack(x.detach()), np.ones(1, np.float32))


def test_what_has_no_memory_to_hand_out_is_an_error() -> None:
    assert message_of(ArgumentError, lambda: from_dlpack([1.0])) == (
        "from_dlpack: a list does not hand out its memory\n"
        "  why:   it has no method __dlpack__\n"
        "  do:    use jitgrad.tensor, which copies"
    )


def test_memory_that_is_refused_is_an_error() -> None:
    class OnGpu:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("it is on a GPU")

    assert message_of(ArgumentError, lambda: from_dlpack(OnGpu())).startswith(
        "from_dlpack: this OnGpu does not hand out its memory\n  why:   "
    )


def test_a_dtype_that_is_not_supported_is_an_error() -> None:
    with pytest.raises(DtypeError, match="dtype float16 is not supported"):
        from_dlpack(np.zeros(2, np.float16))
