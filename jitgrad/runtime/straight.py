"""A generated function for calls that take no branch: checks, run, results, nothing else.

Most compiled functions ask for no value, so that one program serves a kind of call. For such a
kind this file writes a Python function that compares the arguments with what the program was made
for, runs it and wraps its results, without looking anything up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import thread_state
from jitgrad.core.dtypes import int64
from jitgrad.core.tree import LEAF, Tree, leaf_count, unflatten
from jitgrad.ir.graph import Literal, Operand, Value
from jitgrad.runtime.built_in import is_usual
from jitgrad.runtime.dispatch import compile_segment, share_memory, spent, write_back
from jitgrad.runtime.graph_function import Derivative, ProgramNode
from jitgrad.runtime.into_leaves import raw_of, write_into_leaves
from jitgrad.runtime.key import MOST_INT, is_static, leaf_key
from jitgrad.runtime.native import MISS, ArrayInput, native_check
from jitgrad.runtime.program import USUAL_LAYOUT, layout_of
from jitgrad.runtime.variant import Variant
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.capture import Captured, Source
from jitgrad.trace.guards import GUARD_ERRORS
from jitgrad.trace.narrow import Widened, is_narrow

Straight = Callable[[Any], Any]


def make_straight(
    variant: Variant,
    leaves: Sequence[Any],
    tree: Tree,
    dynamic: frozenset[int],
    captured: Sequence[Any],
    title: str,
) -> Straight | None:
    """Return the function for calls like this one, None where the general way is needed.

    Parameters
    ----------
    variant : Variant
        What was traced; it must consist of one segment.
    leaves, tree : sequence, Tree
        The arguments of this call, taken apart.
    dynamic : frozenset of int
        Numbers of the leaves that are ints and run-time inputs.
    captured : sequence
        What the function reads from outside, as of now.
    title : str
        As of `compile_segment`.

    Returns
    -------
    callable or None
        Takes the arguments in the structure `tree`; returns `MISS` for a call of another kind.
    """
    root = variant.tree.root
    if root is None or root.result is None:
        return None
    writer = CallWriter(variant, leaves, captured, title)
    return writer.write(tree, dynamic, root.result)


class CallWriter:
    """Writes the function; see `make_straight`."""

    def __init__(
        self, variant: Variant, arguments: Sequence[Any], captured: Sequence[Any], title: str
    ) -> None:
        assert variant.tree.root is not None
        self.title = title
        self.variant = variant
        self.arguments = arguments
        self.captured = captured
        self.compiled = compile_segment(variant.tree.root, title)
        self.guards = variant.environment.check_text("return MISS")
        self.lines: list[str] = []
        self.raws: dict[Source, str] = {}
        self.tensors: set[int] = set()
        # What the program itself changes in place.
        self.done: set[Source] = set()
        self.bound: dict[str, Any] = {
            **self.guards.bound,
            "MISS": MISS, "Tensor": Tensor, "ndarray": np.ndarray, "modes": modes,
            "thread": thread_state, "make": make_tensor, "new": object.__new__,
            "unflatten": unflatten, "write_back": write_back, "asarray": np.asarray,
        }  # fmt: skip

    def bind(self, stem: str, thing: Any) -> str:
        """Return a name by which the function finds `thing`."""
        name = f"{stem}{len(self.bound)}"
        self.bound[name] = thing
        return name

    def miss_if(self, condition: str) -> None:
        """Write that a call is of another kind if `condition` holds."""
        self.lines.append(f"if {condition}: return MISS")

    def write(self, tree: Tree, dynamic: frozenset[int], result: Captured) -> Straight | None:
        """Return the function; None if a part can't be written."""
        sources = self.sources()
        function = self.compiled.function
        wrt = tuple(
            [
                k
                for k, source in enumerate(sources)
                if modes.grad and getattr(self.now(source), "_requires_grad", False)
            ]
        )
        derivative = function.derivative(wrt) if wrt else None
        if derivative is not None and not derivative.outputs:
            derivative = None
        layouts = tuple([layout_of(raw_of(self.now(source))) for source in sources])
        program = (derivative or function).forward_program(layouts)
        written = self.written_back(result, sources) if derivative is None else {}
        native = program.make_native(*written.items()) if written else None
        if native is None:
            written, native = {}, program.make_native()

        # Inside another trace the plain function is traced along.
        self.miss_if(f"thread.trace is not None or modes.grad is not {modes.grad}")
        if not self.take_apart("given", tree):
            return None
        passed = {s.number for s in sources if s.kind == "argument" and not s.gradient}
        if native is None:
            passed = self.arrays_to_check(passed)
        for number, argument in enumerate(self.arguments):
            # A native program compares what it is given itself.
            checked = number in passed
            if not self.check_argument(number, argument, number in dynamic, checked):
                return None
        if native is None and not self.check_arrays(passed):
            return None
        self.check_guards()
        self.check_identities()
        raws = [self.raw(source, native is not None) for source in sources]
        outputs = [f"o{k}" for k in range(len(program.graph.outputs)) if k not in written]
        for k in written.values():
            is_tensor = isinstance(self.now(sources[k]), Tensor)
            unfit = "._view is not None" if is_tensor else ".flags.writeable is not True"
            self.miss_if(self.thing(sources[k]) + unfit)
        run = self.bind("run", native or program.run)
        call = f"o = {run}({', '.join(raws)})"
        if native is None:
            # Before the run, which may draw random numbers.
            self.check_memory(result, raws)
            self.lines.append(call)
        else:
            # Only then these are known to be arrays.
            self.lines.append(call)
            self.miss_if("o is MISS")
            if not written:
                self.check_memory(result, raws)
        if outputs:
            self.lines.append(f"{', '.join(outputs)}, = o")
        if derivative is not None:
            self.make_node(derivative, outputs[len(function.graph.outputs) :])
        self.done = {sources[k] for k in written.values()}
        self.lines.append(f"result = {self.result_text(result, derivative)}")
        for number, memory in self.variant.spent.items():
            # Only what somebody has asked for has a storage, in which changes are counted.
            self.lines.append(f"s = a{number}.__dict__.get('_storage')")
            self.lines.append("if s is not None: s.version += 1")
            self.lines.append(f"a{number}._raw = {self.bind('spent', memory)}")
        self.lines.append("return result")
        return self.finish()

    def written_back(self, result: Captured, sources: list[Source]) -> dict[int, int]:
        """Return which outputs the program can copy to inputs, which no one else asks for.

        All that are changed in place or none: others could fail when some have been changed.
        """
        outputs = {value: k for k, value in enumerate(self.compiled.outputs)}
        targets = [self.now(source) for source, _ in result.writes]
        asked = [leaf.content for leaf in result.leaves if leaf.kind in ("value", "array")]
        asked += [gradient for _, gradient in result.gradients]
        values = [value for _, value in result.writes]
        if (
            result.checks
            or not all(isinstance(t, np.ndarray) or t._view is None for t in targets)
            or not all(v in outputs and values.count(v) == 1 and v not in asked for v in values)
            or not all(source in sources for source, _ in result.writes)
        ):
            return {}
        return {outputs[value]: sources.index(source) for source, value in result.writes}

    def finish(self) -> Straight:
        """Return the function of the lines so far."""
        body = "".join(f"    {line}\n" for line in self.lines)
        namespace = dict(self.bound)
        exec(f"def straight(given):\n{body}", namespace)
        straight: Straight = namespace["straight"]
        return straight

    # -- inputs ---------------------------------------------------------------------------

    def take_apart(self, name: str, tree: Tree, number: int = 0) -> bool:
        """Write what names the leaves of a container from `number` on; False if that can't be."""
        kind = tree.kind
        if kind is None or not (kind is list or kind is dict or issubclass(kind, tuple)):
            return False
        if name != "given":
            self.miss_if(f"type({name}) is not {self.bind('kind', kind)}")
        names, nested = [], []
        for child in tree.children:
            if child.kind is None:
                names.append(f"a{number}")
            else:
                names.append(self.bind("n", None))
                nested.append((names[-1], child, number))
            number += leaf_count(child)
        if kind is dict:
            self.miss_if(f"tuple({name}) != {self.bind('keys', tree.keys)}")
            name += ".values()"
        else:
            self.miss_if(f"len({name}) != {len(names)}")
        if names:
            self.lines.append(f"{', '.join(names)}, = {name}")
        return all(self.take_apart(*parts) for parts in nested)

    def sources(self) -> list[Source]:
        """Return where the program's inputs come from."""
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

    def check_guards(self) -> None:
        """Write the checks of what the function reads from outside, and the reading of it."""
        lines = list(self.guards.lines)
        lines += [f"c{k} = {path}" for k, path in enumerate(self.guards.captured)]
        if lines:
            if any("leaves[" in line for line in lines):
                names = [f"a{k}" for k in range(len(self.arguments))]
                self.lines.append(f"leaves = {_tuple_text(names)}")
            self.lines.append("try:")
            self.lines += [f"    {line}" for line in lines]
            self.lines.append(f"except {GUARD_ERRORS}: return MISS")

    def check_identities(self) -> None:
        """Write the comparison of which of those objects are one that might be."""
        named = [(f"a{k}", argument) for k, argument in enumerate(self.arguments)]
        named += [(f"c{k}", thing) for k, thing in enumerate(self.captured)]
        for place in range(len(self.arguments)):
            name, argument = named[place]
            for other, thing in named[place + 1 :]:
                if not isinstance(argument, (Tensor, np.ndarray)):
                    continue
                if argument is thing:
                    self.miss_if(f"{name} is not {other}")
                elif type(argument) is type(thing) and leaf_key(argument) == leaf_key(thing):
                    self.miss_if(f"{name} is {other}")

    def check_memory(self, result: Captured, raws: list[str]) -> None:
        """Write the check that what is changed in place is shown by nothing else."""
        changed = {source: self.raw(source, False) for source, _ in result.writes}
        others = [
            raw
            for raw, source in zip(raws, self.sources(), strict=True)
            if source not in changed and isinstance(raw_of(self.now(source)), np.ndarray)
        ]
        if others or len(changed) > 1:
            self.bound["share_memory"] = share_memory
            changed_text = _tuple_text(list(changed.values()))
            self.miss_if(f"share_memory({changed_text}, {_tuple_text(others)})")

    def arrays_to_check(self, passed: set[int]) -> set[int]:
        """Return which of the arguments a built-in function can compare, all at once."""
        kinds = (Tensor, np.ndarray)
        return {k for k in passed if type(self.arguments[k]) in kinds} if is_usual() else set()

    def check_arrays(self, numbers: set[int]) -> bool:
        """Write the call that compares these arguments; False if the general way is needed."""
        inputs = self.variant.tree.inputs
        assert self.variant.tree.root is not None
        given = [inputs[value].number for value in self.variant.tree.root.given]
        order = [*given, *sorted(numbers.difference(given))]
        arrays = [raw_of(self.arguments[number]) for number in order]
        if given and not all(a.flags.c_contiguous for a in arrays):
            return False
        wanted = [ArrayInput(a.shape, a.dtype, USUAL_LAYOUT, layout_of(a)) for a in arrays]
        check = native_check(wanted, len(given)) if order else None
        if check is not None:
            names = [f"{'r' if isinstance(self.arguments[k], Tensor) else 'a'}{k}" for k in order]
            self.miss_if(f"{self.bind('check', check)}({', '.join(names)}) is MISS")
        return check is not None or not order

    def check_argument(self, number: int, argument: Any, is_dynamic: bool, checked: bool) -> bool:
        """Write the comparison of one argument; False if it can't be written in a line.

        Type, shape, dtype and layout of an array, and the type of a float, are compared later if
        `checked` says so.
        """
        name = f"a{number}"
        kind = type(argument)
        if kind is Tensor or kind is np.ndarray:
            raw = f"r{number}"
            if kind is Tensor:
                requires = argument.requires_grad
                leaf = f" or {name}._node is not None" if self.is_leaf(argument) else ""
                self.miss_if(
                    f"type({name}) is not Tensor or {name}._view is not None"
                    f" or {name}._requires_grad is not {requires}{leaf}"
                )
                self.lines.append(f"{raw} = {name}._raw")
            else:
                raw = name
            array = raw_of(argument)
            if not checked:
                shape, dtype = self.bind("shape", array.shape), self.bind("dtype", array.dtype)
                self.miss_if(
                    f"type({raw}) is not ndarray"
                    f" or {raw}.shape != {shape} or {raw}.dtype is not {dtype}"
                    f" or {raw}.flags.num & {USUAL_LAYOUT} != {layout_of(array)}"
                )
            return True
        if isinstance(argument, Widened):
            shape, dtype = self.bind("shape", argument.shape), self.bind("dtype", argument.narrow)
            self.bound["is_narrow"], self.bound["int64"] = is_narrow, int64
            self.miss_if(f"not is_narrow({name})")
            self.miss_if(f"{name}.shape != {shape} or {name}.dtype != {dtype}")
            self.lines.append(f"r{number} = {name}.astype(int64)")
            self.miss_if(f"r{number}.flags.num & {USUAL_LAYOUT} != {layout_of(argument)}")
            return True
        if kind is float:
            if not checked:
                self.miss_if(f"type({name}) is not float")
            return True
        if isinstance(argument, np.generic):
            self.miss_if(f"type({name}) is not {self.bind('kind', kind)}")
            self.lines.append(f"r{number} = asarray({name})")
            return True
        if kind is int and is_dynamic:
            self.miss_if(f"type({name}) is not int or not {-MOST_INT} <= {name} <= {MOST_INT}")
            return True
        if is_static(argument):
            value = self.bind("static", argument)
            self.miss_if(f"type({name}) is not {self.bind('kind', kind)} or {name} != {value}")
            return True
        return False

    def is_leaf(self, thing: Any) -> bool:
        """Return whether gradients end at it."""
        return isinstance(thing, Tensor) and thing._requires_grad and thing._node is None

    def raw(self, source: Source, checked: bool) -> str:
        """Return the text of what the program is given for `source`."""
        thing = self.now(source)
        if source.kind == "constant":
            return self.bind("constant", thing)
        if source.kind == "argument" and not source.gradient:
            return (
                f"{'r' if isinstance(thing, (Tensor, np.generic, Widened)) else 'a'}{source.number}"
            )
        if source not in self.raws:
            name = self.raws[source] = f"g{len(self.raws)}"
            text = self.thing(source) + ("._raw" if isinstance(thing, Tensor) else "")
            self.lines.append(f"{name} = {text}")
            if not checked:
                # Shape and dtype are guarded; how the elements lie in memory is not.
                self.miss_if(f"{name}.flags.num & {USUAL_LAYOUT} != {layout_of(raw_of(thing))}")
        return self.raws[source]

    def thing(self, source: Source) -> str:
        """Return the text of the object that `source` names."""
        if source.kind == "constant":
            return self.bind("constant", self.now(source))
        text = f"{'a' if source.kind == 'argument' else 'c'}{source.number}"
        return f"{text}._grad" if source.gradient else text

    # -- results --------------------------------------------------------------------------

    def make_node(self, derivative: Derivative, kept: list[str]) -> None:
        """Write what makes the tape's node; its edges and versions without asking each input."""
        sources = self.sources()
        things = [
            self.raw(source, True)
            if isinstance(self.now(source), np.generic)
            else self.thing(source)
            for source in sources
        ]
        versions = [
            f"{text}._storage.version" if isinstance(self.now(source), Tensor) else "0"
            for text, source in zip(things, sources, strict=True)
        ]
        edges = []
        for k in derivative.wrt:
            if self.is_leaf(self.now(sources[k])):
                edges.append(f"({things[k]}._leaf or {things[k]}._edge()[0], 0)")
            else:
                edges.append(f"{things[k]}._edge()")
        made_by = self.bind("derivative", derivative)
        back = self.bind("back", self.into_leaves(derivative))
        parts = [_tuple_text(texts) for texts in (things, edges, kept)]
        self.bound["ProgramNode"] = ProgramNode
        self.lines.append(
            f"node = ProgramNode({made_by}, {', '.join(parts)}, [{', '.join(versions)}], {back})"
        )

    def into_leaves(self, derivative: Derivative) -> Callable[..., Any] | None:
        """Return the function that runs the adjoint without detour, for leaves and one number."""
        sources = self.sources()
        # An argument is checked to be a leaf at each call; what is read from outside is not.
        leaves = all(
            self.is_leaf(self.now(sources[k])) and sources[k].kind == "argument"
            for k in derivative.wrt
        )
        one = len(derivative.outputs) == 1 and derivative.out_specs[0].size == 1
        if not (leaves and one and all(derivative.has_gradient)):
            return None
        return write_into_leaves(derivative, [self.now(source) for source in sources])

    def numbers(self) -> dict[Value, int]:
        """Return the number of each output."""
        return {value: k for k, value in enumerate(self.compiled.outputs)}

    def operand(self, k: int) -> Operand:
        """Return what the graph has as output number `k`."""
        return self.compiled.function.graph.outputs[k]

    def result_text(self, result: Captured, derivative: Derivative | None) -> str:
        """Return the text of what the function returns."""
        assert result.tree is not None
        number = self.numbers()
        if derivative is not None:
            for slot, k in enumerate(derivative.outputs):
                self.tensor(k)
                self.lines.append(f"t{k}._requires_grad = True; t{k}._node = node")
                if slot:
                    self.lines.append(f"t{k}._slot = {slot}")
        for value in result.checks:
            self.miss_if(self.value(value, number))
        for source, value in result.writes:
            if source in self.done:
                if isinstance(self.now(source), Tensor):
                    self.lines.append(f"{self.thing(source)}._storage.version += 1")
                continue
            if derivative is not None and source in self.sources():
                self.lines.append(f"node.keep_copy({self.sources().index(source)})")
            if derivative is None and value in number and isinstance(self.now(source), Tensor):
                self.overwrite(self.thing(source), number[value])
            else:
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
                text = self.value(leaf.content, number) + own
                if leaf.spent:
                    text = f"{self.bind('spent', spent)}({text}, {leaf.spent!r})"
                texts.append(text)
            elif leaf.kind == "array":
                texts.append(self.array(leaf.content, number))
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

    def overwrite(self, target: str, k: int) -> None:
        """Write the lines of `write_back` for output number `k`, which has no history."""
        self.bound["copyto"] = np.copyto
        self.lines.append(f"if {target}._view is not None: write_back({target}, make(o{k}))")
        self.lines.append(f"else: copyto({target}._raw, o{k}); {target}._storage.version += 1")

    def tensor(self, k: int) -> str:
        """Return the name of output number `k` as the general way has it: mostly a Tensor."""
        operand = self.operand(k)
        if isinstance(operand, Literal):
            return f"o{k}"
        if k not in self.tensors:
            self.tensors.add(k)
            if operand.spec.weak:
                self.lines.append(f"t{k} = o{k}.item()")
            else:
                # `make_tensor`, without the call
                self.lines.append(f"t{k} = new(Tensor); t{k}._raw = o{k}")
        return f"t{k}"

    def array(self, value: Value, number: dict[Value, int]) -> str:
        """Return the text of the array of a value, a scalar of NumPy where it has no axes."""
        text = f"o{number[value]}" if value in number else f"{self.value(value, number)}._raw"
        return text if value.ndim else f"{text}[()]"

    def value(self, value: Value, number: dict[Value, int]) -> str:
        """Return the text of a Tensor that the program computes, or that is passed on."""
        if value in number:
            return self.tensor(number[value])
        source = self.variant.tree.inputs[value]
        thing = self.now(source)
        text = self.raw(source, True) if isinstance(thing, np.generic) else self.thing(source)
        return text if isinstance(thing, Tensor) else f"make({text})"


def _tuple_text(texts: Sequence[str]) -> str:
    return f"({', '.join(texts)}{',' if texts else ''})"


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
