"""A generated function for calls that take no branch: checks, run, results, nothing else.

Most compiled functions ask for no value, so that one program serves a kind of call. For such a
kind this file writes a Python function that compares the arguments with what the program was made
for, runs it and wraps its results, without looking anything up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.core.tree import LEAF, Tree, unflatten
from jitgrad.ir.graph import Literal, Value
from jitgrad.runtime.dispatch import as_array, compile_segment, share_memory, write_back
from jitgrad.runtime.graph_function import Derivative, ProgramNode
from jitgrad.runtime.key import is_static, leaf_key
from jitgrad.runtime.program import USUAL_LAYOUT, layout_of
from jitgrad.runtime.variant import Variant
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tape import AccumulateGrad
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.capture import Captured, Source

MISS = object()
Straight = Callable[[tuple[Any, ...]], Any]


def make_straight(
    variant: Variant, arguments: tuple[Any, ...], captured: Sequence[Any], title: str
) -> Straight | None:
    """Return the function for calls like this one, None where the general way is needed.

    Parameters
    ----------
    variant : Variant
        What was traced; it must consist of one segment.
    arguments : tuple
        Positional arguments, none of them nested.
    captured : sequence
        What the function reads from outside, as of now.
    title : str
        As of `compile_segment`.
    """
    root = variant.tree.root
    if root is None or root.result is None:
        return None
    return _Writer(variant, arguments, captured, title).write(root.result)


class _Writer:
    def __init__(
        self, variant: Variant, arguments: tuple[Any, ...], captured: Sequence[Any], title: str
    ) -> None:
        assert variant.tree.root is not None
        self.variant = variant
        self.arguments = arguments
        self.captured = captured
        self.compiled = compile_segment(variant.tree.root, title)
        self.lines: list[str] = []
        self.raws: dict[Source, str] = {}
        self.bound: dict[str, Any] = {
            "MISS": MISS, "Tensor": Tensor, "ndarray": np.ndarray, "modes": modes,
            "make": make_tensor, "unflatten": unflatten, "write_back": write_back,
            "check": variant.environment.check,
        }  # fmt: skip

    def bind(self, stem: str, thing: Any) -> str:
        name = f"{stem}{len(self.bound)}"
        self.bound[name] = thing
        return name

    def miss_if(self, condition: str) -> None:
        self.lines.append(f"if {condition}: return MISS")

    def write(self, result: Captured) -> Straight | None:
        self.miss_if(f"modes.grad is not {modes.grad} or len(args) != {len(self.arguments)}")
        if self.arguments:
            names = ", ".join(f"a{k}" for k in range(len(self.arguments)))
            self.lines.append(f"{names}, = args")
        for number, argument in enumerate(self.arguments):
            if not self.check_argument(number, argument):
                return None
        self.lines.append("c = check(args)")
        self.miss_if("c is None")
        self.check_identities()
        raws = [self.raw(source) for source in self.sources()]
        if result.writes:
            self.check_memory(raws)
        things = [self.thing(source) for source in self.sources()]
        wrt = tuple(
            [
                k
                for k, source in enumerate(self.sources())
                if modes.grad and getattr(self.now(source), "_requires_grad", False)
            ]
        )
        function = self.compiled.function
        layouts = tuple([layout_of(_raw_of(self.now(source))) for source in self.sources()])
        derivative = function.derivative(wrt) if wrt else None
        if derivative is not None and derivative.outputs:
            run = self.bind("run", derivative.forward_program(layouts).run)
            self.lines.append(f"o = {run}({', '.join(raws)})")
            self.attach_node(derivative, things)
        else:
            derivative = None
            run = self.bind("run", function.forward_program(layouts).run)
            self.lines.append(f"o = {run}({', '.join(raws)})")
        self.lines.append(f"return {self.result_text(result, derivative)}")
        return self.finish()

    def finish(self) -> Straight:
        body = "".join(f"    {line}\n" for line in self.lines)
        namespace = dict(self.bound)
        exec(f"def straight(args):\n{body}", namespace)
        straight: Straight = namespace["straight"]
        return straight

    # -- inputs ---------------------------------------------------------------------------

    def sources(self) -> list[Source]:
        return [self.variant.tree.inputs[value] for value in self.compiled.inputs]

    def now(self, source: Source) -> Any:
        """Return the object that `source` names in the call at hand."""
        if source.kind == "argument":
            found = self.arguments[source.number]
        elif source.kind == "captured":
            found = self.captured[source.number]
        else:
            found = self.variant.tree.constants[source.number]
        return found._grad if source.gradient else found

    def check_identities(self) -> None:
        """Write the comparison of which of those objects are one that might be."""
        named = [(f"a{k}", argument) for k, argument in enumerate(self.arguments)]
        named += [(f"c[{k}]", thing) for k, thing in enumerate(self.captured)]
        for place in range(len(self.arguments)):
            name, argument = named[place]
            for other, thing in named[place + 1 :]:
                if not isinstance(argument, (Tensor, np.ndarray)):
                    continue
                if argument is thing:
                    self.miss_if(f"{name} is not {other}")
                elif type(argument) is type(thing) and leaf_key(argument) == leaf_key(thing):
                    self.miss_if(f"{name} is {other}")

    def check_memory(self, raws: list[str]) -> None:
        """Write the check that what is changed in place is shown by nothing else."""
        arrays = [
            raw
            for raw, source in zip(raws, self.sources(), strict=True)
            if isinstance(_raw_of(self.now(source)), np.ndarray)
        ]
        if not arrays:
            return
        self.bound["share_memory"] = share_memory
        self.miss_if(f"share_memory(({', '.join(arrays)},))")

    def check_argument(self, number: int, argument: Any) -> bool:
        """Write the comparison of one argument; False if it can't be written in a line."""
        name = f"a{number}"
        kind = type(argument)
        if kind is Tensor or kind is np.ndarray:
            raw = f"r{number}"
            if kind is Tensor:
                requires = argument.requires_grad
                self.miss_if(
                    f"type({name}) is not Tensor or {name}._view is not None"
                    f" or {name}._requires_grad is not {requires}"
                )
                self.lines.append(f"{raw} = {name}._raw")
            else:
                self.miss_if(f"type({name}) is not ndarray")
                self.lines.append(f"{raw} = {name}")
            array = _raw_of(argument)
            shape, dtype = self.bind("shape", array.shape), self.bind("dtype", array.dtype)
            self.miss_if(
                f"{raw}.shape != {shape} or {raw}.dtype is not {dtype}"
                f" or {raw}.flags.num & {USUAL_LAYOUT} != {layout_of(array)}"
            )
            return True
        if kind is float:
            self.miss_if(f"type({name}) is not float")
            return True
        if is_static(argument):
            value = self.bind("static", argument)
            self.miss_if(f"type({name}) is not {self.bind('kind', kind)} or {name} != {value}")
            return True
        return False

    def raw(self, source: Source) -> str:
        """Return the text of what the program is given for `source`."""
        thing = self.now(source)
        if source.kind == "constant":
            return self.bind("constant", thing)
        if source.kind == "argument" and not source.gradient:
            is_array = isinstance(thing, (Tensor, np.ndarray))
            return f"{'r' if is_array else 'a'}{source.number}"
        if source not in self.raws:
            name = self.raws[source] = f"g{len(self.raws)}"
            text = self.thing(source) + ("._raw" if isinstance(thing, Tensor) else "")
            self.lines.append(f"{name} = {text}")
            # Shape and dtype are guarded; how the elements lie in memory is not.
            self.miss_if(f"{name}.flags.num & {USUAL_LAYOUT} != {layout_of(_raw_of(thing))}")
        return self.raws[source]

    def thing(self, source: Source) -> str:
        """Return the text of the object that `source` names."""
        if source.kind == "constant":
            return self.bind("constant", self.now(source))
        text = f"a{source.number}" if source.kind == "argument" else f"c[{source.number}]"
        return f"{text}._grad" if source.gradient else text

    # -- results --------------------------------------------------------------------------

    def attach_node(self, derivative: Derivative, things: list[str]) -> None:
        count = len(derivative.graph.outputs)
        node, made_by = self.bind("ProgramNode", ProgramNode), self.bind("derivative", derivative)
        arguments = f"({', '.join(things)}{',' if things else ''})"
        back = self.bind("back", self.into_leaves(derivative))
        self.lines.append(f"node = {node}({made_by}, {arguments}, o[{count}:], {back})")

    def into_leaves(self, derivative: Derivative) -> Callable[..., Any] | None:
        """Return the function that runs the adjoint without detour, for leaves and one number."""
        sources = self.sources()
        leaves = all(self.now(sources[k])._node is None for k in derivative.wrt)
        one = len(derivative.outputs) == 1 and derivative.out_specs[0].size == 1
        if not (leaves and one and all(derivative.has_gradient)):
            return None
        graph, plan = derivative.graph, derivative.split
        number = {value: k for k, value in enumerate(graph.inputs)}
        place = {value: k for k, value in enumerate(plan.kept)}
        lines, raws, layouts = ["a, v, k = node.arguments, node.versions, node.kept"], [], []
        for value in plan.saved:
            if value in place:
                raws.append(f"k[{place[value]}]")
                layouts.append(USUAL_LAYOUT)
                continue
            position = number[value]
            thing = self.now(sources[position])
            if isinstance(thing, Tensor):
                lines.append(f"if a[{position}]._storage.version != v[{position}]: return None")
            raws.append(f"a[{position}]" + ("._raw" if isinstance(thing, Tensor) else ""))
            layouts.append(layout_of(_raw_of(thing)))
        program = derivative.backward_program((*layouts, USUAL_LAYOUT))
        for k in range(len(derivative.wrt)):
            # The leaves of this call; in another one they may have become something else.
            lines.append(f"if type(node.edges[{k}][0]) is not AccumulateGrad: return None")
            lines.append(f"if node.edges[{k}][0].hooks: return None")
        lines.append(f"return run({', '.join([*raws, 'ct'])})")
        body = "".join(f"    {line}\n" for line in lines)
        namespace = {"run": program.run, "AccumulateGrad": AccumulateGrad}
        exec(f"def into_leaves(node, ct):\n{body}", namespace)
        made: Callable[..., Any] = namespace["into_leaves"]  # type: ignore[assignment]
        return made

    def result_text(self, result: Captured, derivative: Derivative | None) -> str:
        assert result.tree is not None
        number = {value: k for k, value in enumerate(self.compiled.outputs)}
        for k, operand in enumerate(self.compiled.function.graph.outputs):
            self.lines.append(self.output_line(k, operand))
        if derivative is not None:
            for slot, k in enumerate(derivative.outputs):
                self.lines.append(
                    f"t{k}._requires_grad = True; t{k}._node = node; t{k}._slot = {slot}"
                )
        for value in result.checks:
            self.miss_if(self.value(value, number))
        for source, value in result.writes:
            if derivative is not None and source in self.sources():
                self.lines.append(f"node.keep_copy({self.sources().index(source)})")
            self.lines.append(f"write_back({self.thing(source)}, {self.value(value, number)})")
        taken = {leaf.content for leaf in result.leaves if leaf.kind in ("value", "array")}
        for source, gradient in result.gradients:
            new = "None" if gradient is None else self.value(gradient, number)
            if gradient is not None and (gradient in taken or gradient not in number):
                # Each .grad has memory of its own, in which later gradients are added up.
                new += ".owned_copy()"
            taken.add(gradient)
            self.lines.append(f"{self.thing(source)}._grad = {new}")
        texts = []
        for leaf in result.leaves:
            if leaf.kind == "value":
                own = "" if leaf.content in number else ".owned_copy()"
                texts.append(self.value(leaf.content, number) + own)
            elif leaf.kind == "array":
                raw = f"{self.value(leaf.content, number)}._raw"
                texts.append(f"{self.bind('as_array', as_array)}({raw})")
            elif leaf.kind == "source":
                texts.append(self.thing(leaf.content))
            elif leaf.kind == "copy":
                texts.append(f"{self.bind('result', leaf.content)}.copy()")
            else:
                texts.append(self.bind("result", leaf.content))
        remaining = iter(texts)
        simple = _tree_text(result.tree, remaining)
        if simple is not None:
            return simple
        return f"unflatten({self.bind('tree', result.tree)}, [{', '.join(texts)}])"

    def output_line(self, k: int, operand: Any) -> str:
        if isinstance(operand, Literal):
            return f"t{k} = o[{k}]"
        if operand.spec.weak:
            return f"t{k} = o[{k}].item()"
        return f"t{k} = make(o[{k}])"

    def value(self, value: Value, number: dict[Value, int]) -> str:
        """Return the text of a Tensor that the program computes, or that is passed on."""
        if value in number:
            return f"t{number[value]}"
        source = self.variant.tree.inputs[value]
        text = self.thing(source)
        return text if isinstance(self.now(source), Tensor) else f"make({text})"


def _raw_of(thing: Any) -> Any:
    return thing._raw if isinstance(thing, Tensor) else thing


def _tree_text(tree: Tree, texts: Any) -> str | None:
    """Return the text of a nested tuple or list of `texts`; None for other structures."""
    if tree == LEAF:
        text: str = next(texts)
        return text
    if tree.kind not in (tuple, list):
        return None
    parts = [_tree_text(child, texts) for child in tree.children]
    if any(part is None for part in parts):
        return None
    inner = ", ".join(part for part in parts if part is not None)
    if tree.kind is list:
        return f"[{inner}]"
    return f"({inner}{',' if len(parts) == 1 else ''})"
