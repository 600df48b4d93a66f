"""The tutorial on automatic differentiation, step by step."""

from __future__ import annotations

from collections.abc import Callable

import jitgrad
from jitgrad import Tensor, nn

Say = Callable[[str], object]


def forward_and_backward(say: Say) -> tuple[Tensor, Tensor]:
    """Compute the loss of one layer, and the gradients of its weight and bias."""
    say("One layer: z = x @ w + b, and the cross entropy of its logits.")
    x = jitgrad.ones(5)  # input
    y = jitgrad.zeros(3)  # what the output should be
    w = jitgrad.randn(5, 3, requires_grad=True)
    b = jitgrad.randn(3, requires_grad=True)
    z = jitgrad.matmul(x, w) + b
    loss = nn.functional.binary_cross_entropy_with_logits(z, y)
    say(f"  z    = {_indented(z)}")
    say(f"  loss = {_indented(loss)}")
    say(f"  z.grad_fn    is {z.grad_fn}")
    say(f"  loss.grad_fn is {loss.grad_fn}")

    loss.backward()
    say("\nAfter loss.backward():")
    say(f"  w.grad = {_indented(w.grad)}")
    say(f"  b.grad = {_indented(b.grad)}")
    return w, b


def without_tracking(say: Say, w: Tensor, b: Tensor) -> None:
    """Compute without recording, in the two ways there are."""
    x = jitgrad.ones(5)
    z = jitgrad.matmul(x, w) + b
    say("\nRecording, and doing without:")
    say(f"  z = matmul(x, w) + b    z.requires_grad is {z.requires_grad}")
    with jitgrad.no_grad():
        z = jitgrad.matmul(x, w) + b
    say(f"  under no_grad()         z.requires_grad is {z.requires_grad}")
    z = (jitgrad.matmul(x, w) + b).detach()
    say(f"  after z.detach()        z.requires_grad is {z.requires_grad}")


def accumulation(say: Say) -> None:
    """Show that gradients of several sweeps add up, for an output that is no scalar."""
    inp = jitgrad.eye(5, requires_grad=True)
    out = (inp + 1).pow(2)
    ones = jitgrad.ones_like(inp)
    say("\nA gradient of a matrix: inp = eye(5), out = (inp + 1).pow(2), out.backward(ones):")
    out.backward(ones, retain_graph=True)
    say(f"  first call   {_indented(inp.grad, 13)}")
    out.backward(ones, retain_graph=True)
    say(f"  second call, gradients add up\n               {_indented(inp.grad, 13)}")
    assert inp.grad is not None
    inp.grad.zero_()
    out.backward(ones, retain_graph=True)
    say(f"  third call, after inp.grad.zero_()\n               {_indented(inp.grad, 13)}")


def _indented(value: Tensor | None, width: int = 9) -> str:
    return str(value).replace("\n", "\n" + " " * (width + 2))


def run(say: Say = print) -> None:
    """Run the whole tutorial.

    Parameters
    ----------
    say : callable
        Takes the text, in parts.
    """
    jitgrad.manual_seed(0)
    w, b = forward_and_backward(say)
    without_tracking(say, w, b)
    accumulation(say)
