"""Operations with a derivative of the user's own, in traces: an operation that holds both graphs.

Once no derivative is taken any more, `simplify` puts the first graph in the operation's place, so
that kernels fuse it with what is around.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jitgrad.control.bodies import BodyTrace, merge_closures, runner_of, subgraph, trace_body
from jitgrad.control.draws import take_out_draws
from jitgrad.control.run_loop import own_copies, usual_arrays
from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import is_floating
from jitgrad.core.errors import TraceError
from jitgrad.core.primitive import Examples, External, Primitive, together
from jitgrad.core.spec import Spec
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ops.batching import all_batched
from jitgrad.tensor.function import Function, FunctionContext, set_recorder
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.stand_ins import strong
from jitgrad.transforms.replay import replay


def _run(*operands: Any, body: SubGraph, **params: Any) -> Any:
    given = usual_arrays(operands)
    return tuple(own_copies(runner_of(body)(*given), given))


def _infer(*specs: Spec, body: SubGraph, **params: Any) -> tuple[Spec, ...]:
    return tuple([Spec(v.spec.shape, v.spec.dtype) for v in body.graph.outputs])


def _backward(ct: Any, xs: Any, wanted: Any, params: Any) -> Sequence[Any]:
    cts = ct if isinstance(ct, tuple) else (ct,)
    floating = [c for c, spec in zip(cts, _infer(**params), strict=True) if is_floating(spec.dtype)]
    found = replay(params["back"].graph, [*floating, *xs])
    given = params["given"]
    return [found[given.index(k)] if k in given else None for k in wanted]


def _for_examples(
    examples: Examples, *xs: Any, body: SubGraph, back: SubGraph, **params: Any
) -> Any:
    there, _ = examples.of_graph(
        body.graph, (True,) * len(body.graph.inputs), (True,) * len(body.graph.outputs)
    )
    again, _ = examples.of_graph(
        back.graph, (True,) * len(back.graph.inputs), (True,) * len(back.graph.outputs)
    )
    return user_function(
        *all_batched(examples, xs),
        body=SubGraph(there, body.name),
        back=SubGraph(again, back.name),
        **params,
    )


user_function = Primitive(
    "user_function",
    ("*xs",),
    eager=_run,
    infer=_infer,
    derivative=together(_backward),
    lowering=External(),
    samples=lambda rng: [],
    doc="Runs a graph whose derivative is another graph.",
    grad_name="FunctionBackward",
    batching=_for_examples,
    inline=True,
)


def _record(cls: type[Function], args: tuple[Any, ...]) -> Any:
    """Record ``cls.apply(*args)`` in the trace that is running."""
    outer = active_trace()
    assert outer is not None
    places = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
    given: list[Any] = [strong(args[k]) for k in places]
    trace = BodyTrace(cls.__name__)
    inputs = [trace.input(Spec(t.shape, t.dtype)) for t in given]
    filled = list(args)
    for place, tensor in zip(places, inputs, strict=True):
        filled[place] = tensor
    ctx = FunctionContext(cls, tuple(filled))
    ctx.needs_input_grad = tuple([isinstance(a, Tensor) and is_floating(a.dtype) for a in filled])
    result: list[Any] = []
    fitted: list[int] = []

    def forward() -> Any:
        result.append(ctx.call_forward(tuple(filled)))
        several = result[0] if isinstance(result[0], tuple) else (result[0],)
        return [out for out in several if isinstance(out, Tensor)]

    def backward(cts: list[Any]) -> Any:
        several = result[0] if isinstance(result[0], tuple) else (result[0],)
        arriving = iter(cts)
        found = ctx.call_backward([_cotangent_of(out, arriving) for out in several])
        fitted.extend(k for k, ct in enumerate(found) if ct is not None)
        return [found[k] for k in fitted]

    try:
        there = trace_body(trace, forward, ())
        outputs = [t for t in there.outputs if is_floating(t.dtype)]
        cts = [trace.input(Spec(t.shape, t.dtype)) for t in outputs]
        back = trace_body(trace, backward, (cts,))
    except TraceError as error:
        outer.refuse(error.what)
        raise
    if ctx.is_dirty or take_out_draws([trace]):
        outer.refuse(f"{cls.__name__} changes its inputs in place, or draws random numbers")
    closures = merge_closures([trace])
    count = len(inputs)
    values, seeds = trace.inputs[:count], trace.inputs[count:]
    body = subgraph(there, values, closures, cls.__name__)
    # Cotangents come first, since what is found outside comes last.
    inner = subgraph(back, [*seeds, *values], closures, f"adjoint of {cls.__name__}")
    found = user_function(
        *given,
        *closures.values(),
        body=body,
        back=inner,
        given=tuple([places.index(k) for k in fitted]),
    )
    made = iter(found if isinstance(found, tuple) else (found,))
    if not isinstance(result[0], tuple):
        return next(made)
    return tuple([next(made) if isinstance(out, Tensor) else out for out in result[0]])


def _cotangent_of(output: Any, arriving: Iterator[Any]) -> Any:
    if not isinstance(output, Tensor):
        return None
    return next(arriving) if is_floating(output.dtype) else Tensor.zeros_of(output.spec)


set_recorder(_record)
