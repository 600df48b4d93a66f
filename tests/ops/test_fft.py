"""Fourier transforms are NumPy's, on pairs of real and imaginary parts; pairs compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import check_grads

ONE_AXIS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"]
NORMS = [None, "backward", "ortho", "forward"]


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.normal(size=(3, 4, 6))


@pytest.fixture
def z(x: Any, rng: np.random.Generator) -> Any:
    return x + 1j * rng.normal(size=x.shape)


def pair(z: Any) -> Any:
    return jg.complex(z.real.copy(), z.imag.copy())


def given(name: str, x: Any, z: Any) -> tuple[Any, Any]:
    """Return the argument of a transform for us and for NumPy: reals where it takes reals."""
    return (x, x) if name.startswith(("rfft", "ihfft")) else (pair(z), z)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ONE_AXIS)
def test_a_transform_along_an_axis_is_that_of_numpy(name: str, norm: Any, x: Any, z: Any) -> None:
    ours, theirs = getattr(jg.fft, name), getattr(np.fft, name)
    a, b = given(name, x, z)
    for n in (None, 3, 9):
        for axis in (0, 1, -1):
            expected = theirs(b, n, axis, norm)
            np.testing.assert_allclose(ours(a, n, axis, norm).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", SEVERAL)
def test_a_transform_over_axes_is_that_of_numpy(name: str, norm: Any, x: Any, z: Any) -> None:
    ours, theirs = getattr(jg.fft, name), getattr(np.fft, name)
    a, b = given(name, x, z)
    np.testing.assert_allclose(ours(a, norm=norm).numpy(), theirs(b, norm=norm), atol=1e-12)
    sizes, axes = (3, 5), (0, 2)
    expected = theirs(b, sizes, axes, norm)
    np.testing.assert_allclose(ours(a, sizes, axes, norm).numpy(), expected, atol=1e-12)


def test_numpy_s_transforms_of_tensors_are_ours(x: Any) -> None:
    found = np.fft.rfft(jg.tensor(x), axis=0)
    np.testing.assert_allclose(found.numpy(), np.fft.rfft(x, axis=0), atol=1e-12)


def test_frequencies_and_shifts_are_those_of_numpy() -> None:
    for n in (4, 5):
        order = np.fft.fftfreq(n, 0.5)
        np.testing.assert_allclose(jg.fft.fftfreq(n, 0.5).numpy(), order)
        np.testing.assert_allclose(jg.fft.rfftfreq(n, 0.5).numpy(), np.fft.rfftfreq(n, 0.5))
        shifted = jg.fft.fftshift(jg.tensor(order))
        np.testing.assert_array_equal(shifted.numpy(), np.fft.fftshift(order))
        np.testing.assert_array_equal(jg.fft.ifftshift(shifted).numpy(), order)


def smoothed(x: Any, kernel: Any) -> Any:
    return jg.fft.irfft(jg.fft.rfft(x) * jg.fft.rfft(kernel), x.shape[-1])


def test_a_convolution_by_transforms_has_derivatives(rng: np.random.Generator) -> None:
    x, kernel = rng.normal(size=(2, 5)), rng.normal(size=5)
    check_grads(smoothed, [x, kernel], order=2)


def test_the_spectral_derivative_of_a_sine_is_a_cosine() -> None:
    x = 2.0 * np.pi * np.arange(16) / 16
    wavenumbers = 2j * np.pi * np.fft.rfftfreq(16, x[1])
    slope = jg.fft.irfft(wavenumbers * jg.fft.rfft(np.sin(x)), 16)
    np.testing.assert_allclose(slope.numpy(), np.cos(x), atol=1e-12)


def test_a_compiled_transform_computes_what_the_eager_one_does(rng: np.random.Generator) -> None:
    def loss(x: Any, kernel: Any) -> Any:
        return abs(jg.fft.fft2(smoothed(x, kernel))).sum()

    x, kernel = rng.normal(size=(2, 5)), rng.normal(size=5)
    eager = jg.value_and_grad(loss, argnums=(0, 1))(x, kernel)
    compiled = jg.compile(jg.value_and_grad(loss, argnums=(0, 1)))(x, kernel)
    jg.testing.assert_close(compiled, eager)


# -- pairs -----------------------------------------------------------------------------------


def test_pairs_compute_as_complex_numbers_do(z: Any) -> None:
    a, b, k = pair(z), pair(z * 1j + 1), z[0, 0]
    for found, expected in [
        (a + b, z + (z * 1j + 1)), (a - b, z - (z * 1j + 1)), (a * b, z * (z * 1j + 1)),
        (a / b, z / (z * 1j + 1)), (-a, -z), (2 - a, 2 - z), (2j * a, 2j * z), (1 / a, 1 / z),
        (k * a, k * z), (a / 2, z / 2), (jg.tensor(z.real) * a, z.real * z), (a + 1j, z + 1j),
        (a.conj(), z.conj()), (jg.conj(a), z.conj()), (jg.sgn(a), z / abs(z)),
        (jg.view_as_complex(jg.view_as_real(a)), z), (jg.polar(abs(a), jg.angle(a)), z),
    ]:  # fmt: skip
        assert isinstance(found, type(a))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(abs(a).numpy(), abs(z))
    np.testing.assert_allclose(jg.angle(a).numpy(), np.angle(z))
    np.testing.assert_array_equal(jg.real(a).numpy(), z.real)
    np.testing.assert_array_equal(jg.imag(a).numpy(), z.imag)


def test_the_gradient_of_the_magnitude_of_zero_is_zero() -> None:
    parts = [jg.zeros(2, requires_grad=True) for _ in range(2)]
    (abs(jg.complex(*parts)).sum() + jg.angle(jg.complex(*parts)).sum()).backward()
    assert [part.grad.tolist() for part in parts] == [[0.0, 0.0], [0.0, 0.0]]


def test_the_angle_of_a_real_is_zero_or_pi() -> None:
    angles = jg.angle(jg.tensor([-1.0, 0.0, 2.0, np.nan])).numpy()
    np.testing.assert_allclose(angles, [np.pi, 0.0, 0.0, np.nan], rtol=1e-6)
    assert jg.real(jg.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: jg.complex(jg.ones(2), jg.ones(3)), jg.ArgumentError, "must be equal"),
        (lambda: jg.imag(jg.ones(2)), jg.DtypeError, "no imaginary part"),
        (lambda: jg.view_as_complex(jg.ones(3)), jg.ArgumentError, "must be 2"),
        (lambda: jg.fft.fft(jg.ones(3), norm="other"), jg.ArgumentError, "no norm 'other'"),
        (lambda: jg.fft.fft(jg.ones(3), n=0), jg.ShapeError, "0 elements"),
        (lambda: jg.fft.irfft(jg.fft.fft(jg.ones(1))), jg.ShapeError, "can't be made"),
        (lambda: jg.fft.fft2(jg.ones(3)), jg.ShapeError, "no axis -2"),
        (lambda: jg.fft.fftn(jg.ones(3, 2), (1, 2), 0), jg.ShapeError, "2 sizes for 1 axes"),
    ],
)
def test_misuse_is_an_error_that_says_why(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call()
