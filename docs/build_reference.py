"""Write the pages of ``docs/reference`` from the table of operations and the docstrings.

Run it from the top of the repository: ``python -m docs.build_reference``. A test compares the
pages with what it would write.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jitgrad
from jitgrad.api.compile import CompiledFunction
from jitgrad.api.explain import Explanation, KernelReport
from jitgrad.core.primitive import TABLE, NoDerivative, Primitive
from jitgrad.core.public import FUNCTIONS, PROPERTIES, PublicFunction
from jitgrad.diagnostics.nonfinite import NonfiniteReport
from jitgrad.diagnostics.profile import Profile

FOLDER = Path(__file__).with_name("reference")

_LOWERINGS = {
    "Template": "an expression",
    "Accumulation": "a loop",
    "IndexMap": "another index",
    "Alias": "another index",
    "Contraction": "BLAS or loops",
    "Fill": "an expression",
    "Pieces": "a loop for each piece",
    "Indexed": "a loop",
    "External": "a call of NumPy",
}

_TENSOR_ATTRIBUTES = (
    "shape", "dtype", "ndim", "requires_grad", "grad", "grad_fn", "is_leaf", "retains_grad",
    "data", "T", "mT",
)  # fmt: skip
_TENSOR_METHODS = (
    "backward", "requires_grad_", "retain_grad", "register_hook", "detach", "numpy", "item",
    "tolist", "dim", "size", "numel", "contiguous", "is_contiguous", "to", "type_as", "float",
    "double", "int", "long", "bool", "new_zeros", "new_ones", "new_full", "new_empty", "zero_",
    "fill_", "copy_", "uniform_", "normal_", "exponential_",
)  # fmt: skip


# -- docstrings ----------------------------------------------------------------------------


def sentence(thing: Any) -> str:
    """Return the first paragraph of a docstring as one line for a table."""
    doc = thing.doc if isinstance(thing, Primitive) else inspect.getdoc(thing)
    return " ".join(_marked(doc or "").split("\n\n")[0].split()).replace("|", "\\|")


def signature(thing: Any) -> str:
    """Return the parameters of a callable without annotations, ``(x, dim=None)``."""
    if isinstance(thing, Primitive):
        return f"({', '.join(thing.inputs)})"
    found = inspect.signature(thing)
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in found.parameters.values()
        if p.name not in ("self", "cls")
    ]
    text = str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    # defaults that are functions or sentinels show an address
    return re.sub(r"<(?:function |class ')?([\w.]+).*?>", r"\1", text)


def markdown(thing: Any) -> str:
    """Return the docstring of `thing`, in numpydoc's form, as Markdown."""
    parts = re.split(r"^(\w[\w ]*)\n-+\n", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    text = [_marked(parts[0]).strip()]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title == "Examples":
            # not `pycon`, which ruff would format otherwise than the docstring is
            text.append(f"```text\n{body.strip()}\n```")
        elif title in ("Notes", "References"):
            text.append(re.sub(r"^\.\. \[", "[", _marked(body).strip(), flags=re.MULTILINE))
        else:
            text.append(f"{title}:\n\n{_listed(body)}")
    return "\n\n".join(text)


def _listed(body: str) -> str:
    """Return the entries of a section as a list: a line at the margin begins one."""
    items: list[list[str]] = []
    for line in body.strip().splitlines():
        if line and not line.startswith(" "):
            name, colon, kind = line.partition(" : ")
            items.append([f"- `{name}`" + (f" ({_marked(kind)})" if colon else "")])
        elif line.strip():
            items[-1].append(_marked(line.strip()))
    return "\n".join(item[0] + (": " + " ".join(item[1:]) if item[1:] else "") for item in items)


def _marked(text: str) -> str:
    """Return reStructuredText with its code marked as Markdown marks it."""
    return re.sub(r"\[(\d)\]_", r"[\1]", text.replace("``", "`"))


def entry(name: str, thing: Any, level: int = 2) -> str:
    """Return a heading with the signature, and the docstring."""
    is_callable = callable(thing) and not isinstance(thing, property)
    return f"{'#' * level} `{name}{signature(thing) if is_callable else ''}`\n\n{markdown(thing)}"


def table(rows: Iterable[tuple[str, ...]], *titles: str) -> str:
    """Return a table of Markdown."""
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def members(owner: type, names: Iterable[str] = ()) -> str:
    """Return a table of methods and properties: of `names`, or all public ones."""
    own = [n for n in vars(owner) if not n.startswith("_")]
    rows = []
    for name in names or own:
        member = inspect.getattr_static(owner, name)
        member = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if inspect.isroutine(member) or isinstance(member, property):
            shown = signature(member) if inspect.isroutine(member) else ""
            rows.append((f"`{name}{shown}`", sentence(member)))
    return table(rows, "", "")


def page(title: str, *parts: str) -> str:
    """Return a page; every part is a paragraph or more."""
    return "\n\n".join([f"# {title}", *parts]) + "\n"


# -- operations ----------------------------------------------------------------------------


def homes() -> dict[str, types.ModuleType]:
    """Return for each primitive the module in which its entry is written."""
    found: dict[str, types.ModuleType] = {}
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("jitgrad.ops.") or module.__file__ is None:
            continue
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            for target in targets:
                value = getattr(module, target.id, None) if isinstance(target, ast.Name) else None
                if isinstance(value, Primitive):
                    found[value.name] = module
    return found


def operations() -> str:
    """Return the page of all functions that are operations, grouped by the file they are in."""
    home = homes()
    names: dict[int, list[str]] = {}
    entries: dict[int, PublicFunction] = {}
    for key, public in FUNCTIONS.items():
        if public.namespace != "Tensor":
            names.setdefault(id(public.function), []).append(key)
            entries.setdefault(id(public.function), public)
    groups: dict[str, list[tuple[str, ...]]] = {}
    for number, public in entries.items():
        primitive = _primitive_of(public.function, public.name)
        module = inspect.getmodule(inspect.unwrap(public.function))
        if primitive is not None and module in (None, jitgrad, sys.modules[Primitive.__module__]):
            module = home[primitive.name]
        assert module is not None
        if module.__name__.startswith("jitgrad.interop"):
            continue
        title = re.split(r"[:;.]", sentence(module))[0]
        groups.setdefault(title, []).append(_row(names[number], public, primitive))
    titles = ("function", "what it gives", "method", "gradient", "in kernels")
    parts = [f"## {title}\n\n{table(rows, *titles)}" for title, rows in groups.items()]
    return page("Operations", _OPERATIONS, *parts)


def _row(names: list[str], public: PublicFunction, primitive: Primitive | None) -> tuple[str, ...]:
    shown = f"`{names[0]}{signature(public.function)}`".replace("|", "\\|")
    if len(names) > 1:
        shown += " also " + ", ".join(f"`{name}`" for name in names[1:])
    what = sentence(primitive if isinstance(public.function, Primitive) else public.function)
    method = "yes" if public.method else ""
    if public.inplace:
        method = f"yes, `{public.name}_`" if public.method else f"`{public.name}_`"
    if primitive is None:
        return shown, what, method, "", ""
    derivative = primitive.derivative
    no = isinstance(derivative, NoDerivative)
    gradient = f"none: {derivative.reason}" if no else "yes"
    return shown, what, method, gradient, _LOWERINGS[type(primitive.lowering).__name__]


def _primitive_of(function: Callable[..., Any], name: str) -> Primitive | None:
    return function if isinstance(function, Primitive) else TABLE.get(name)


_OPERATIONS = """\
Every function takes Tensors, NumPy arrays, numbers and nested lists. Shapes broadcast and dtypes
are promoted as in PyTorch. What has `dim` and `keepdim` as parameters also takes `axis` and
`keepdims`. Names with a dot live in that module of jitgrad.

*method*: whether Tensors have it as a method, and the name of the one that changes the Tensor.
*in kernels*: what becomes of it in generated code; "another index" costs nothing, "a call of
NumPy" runs between kernels. Empty cells: the function is made of other operations, or picks one
by its arguments.

This page is written by `python -m docs.build_reference`."""


# -- the other pages -----------------------------------------------------------------------


def tensor() -> str:
    """Return the page of the Tensor."""
    methods = sorted(k for k, f in FUNCTIONS.items() if f.method and f.namespace == "")
    in_place = sorted(f"{k}_" for k, f in FUNCTIONS.items() if f.inplace and f.namespace == "")
    makers = [
        name
        for name, f in FUNCTIONS.items()
        if "." not in name
        and inspect.getmodule(inspect.unwrap(f.function)).__name__  # type: ignore[union-attr]
        in ("jitgrad.ops.creation", "jitgrad.tensor.creation", "jitgrad.ops.random")
    ]
    attributes = [
        (f"`{n}`", sentence(PROPERTIES.get(n) or inspect.getattr_static(jitgrad.Tensor, n)))
        for n in _TENSOR_ATTRIBUTES
    ]
    made = [(f"`{n}{signature(getattr(jitgrad, n))}`", sentence(getattr(jitgrad, n)))
            for n in makers]  # fmt: skip
    own = _TENSOR_METHODS
    return page(
        "Tensor",
        markdown(jitgrad.Tensor),
        "## Making Tensors",
        table(made, "", ""),
        "## Dtypes",
        "`float32` (also `float`), `float64` (`double`), `int32` (`int`), `int64` (`long`) and "
        "`bool`; in every place NumPy's dtypes are taken, too. Python floats become Tensors of the "
        "default dtype, Python ints of int64, arrays keep their dtype.",
        members_of_module(["get_default_dtype", "set_default_dtype"]),
        "## Attributes",
        table(attributes, "", ""),
        "## Methods",
        members(jitgrad.Tensor, own),
        "## Operations as methods",
        f"{_code(methods)}.",
        f"In place: {_code(in_place)}.",
        "Operators: `+ - * / // % ** @`, comparisons, `& | ^ ~` on booleans, `abs`, indexing and "
        "assignment to an index; `+=` and its kin change the Tensor.",
    )


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def members_of_module(names: Iterable[str], module: Any = jitgrad) -> str:
    """Return a table of functions of a module."""
    rows = [(f"`{n}{signature(getattr(module, n))}`", sentence(getattr(module, n))) for n in names]
    return table(rows, "", "")


def compiling() -> str:
    """Return the page of `compile` and what tells what became of a function."""
    return page(
        "compile, grad and diagnostics",
        entry("compile", jitgrad.compile),
        "## What a compiled function has",
        members(CompiledFunction),
        entry("Explanation", Explanation, 3),
        entry("KernelReport", KernelReport, 3),
        *[entry(n, getattr(jitgrad, n)) for n in ("grad", "value_and_grad")],
        *[entry(n, getattr(jitgrad, n)) for n in ("vjp", "jvp", "linearize", "hvp")],
        *[entry(n, getattr(jitgrad, n)) for n in ("jacrev", "jacfwd", "hessian", "vmap")],
        *[entry(f"sparse.{n}", getattr(jitgrad.sparse, n)) for n in ("jacobian", "hessian")],
        entry("clear_cache", jitgrad.clear_cache),
        *[entry(n, getattr(jitgrad, n)) for n in ("custom_vjp", "custom_jvp")],
        *[entry(n, getattr(jitgrad, n)) for n in ("set_num_threads", "get_num_threads")],
        *[entry(n, getattr(jitgrad, n)) for n in ("annotated_source", "profile")],
        entry("Profile", Profile, 3),
        entry("first_nonfinite", jitgrad.first_nonfinite),
        entry("NonfiniteReport", NonfiniteReport, 3),
        "## Environment variables",
        table(_VARIABLES, "variable", "meaning"),
    )


_VARIABLES = (
    ("`JITGRAD_CACHE_DIR`", "directory of the disk cache; by default `jitgrad` in the user's cache "
     "folder"),
    ("`JITGRAD_DISK_CACHE`", "`0` to keep nothing on disk"),
    ("`JITGRAD_CACHE_MB`", "how large the disk cache may grow, 512 by default; what was used "
     "longest ago goes first"),
    ("`JITGRAD_NUM_THREADS`", "how many threads a compiled function may use; by default as many as "
     "there are processors that the process may run on"),
)  # fmt: skip


def control() -> str:
    """Return the page of loops and branches that are functions."""
    names = ["fori_loop", "while_loop", "scan", "map", "cond", "switch", "checkpoint"]
    return page("Loops and branches", *[entry(n, getattr(jitgrad, n)) for n in names])


def autograd() -> str:
    """Return the page of `jitgrad.autograd` and the modes."""
    names = ["backward", "grad", "gradcheck", "gradgradcheck"]
    module = jitgrad.autograd
    return page(
        "autograd",
        "What PyTorch has under the same names. `Tensor.backward` is on the page of the "
        "[Tensor](tensor.md), `jitgrad.grad` on that of [compile](compile.md).",
        *[entry(f"autograd.{name}", getattr(module, name)) for name in names],
        "## Modes",
        "Context managers and decorators, in `jitgrad` and in `jitgrad.autograd`.",
        members_of_module(["no_grad", "enable_grad", "inference_mode", "set_grad_enabled"]),
        members_of_module(["is_grad_enabled"]),
        entry("autograd.Function", module.Function),
        members(module.Function),
        entry("autograd.FunctionContext", module.FunctionContext, 3),
        members(module.FunctionContext),
        entry("autograd.once_differentiable", module.once_differentiable, 3),
        "## Finding errors",
        entry("autograd.detect_anomaly", module.detect_anomaly, 3),
        entry("autograd.set_detect_anomaly", module.set_detect_anomaly, 3),
        "## What is kept, and gone through",
        entry("autograd.graph.saved_tensors_hooks", module.graph.saved_tensors_hooks, 3),
        entry("grad_fn.register_hook", module.graph.Node.register_hook, 3),
        entry("grad_fn.register_prehook", module.graph.Node.register_prehook, 3),
        "## Functions of functions",
        *[
            entry(f"autograd.functional.{name}", getattr(module.functional, name), 3)
            for name in sorted(module.functional.__all__)
        ],
    )


def networks() -> str:
    """Return the page of `nn` and `optim`."""
    nn, optim = jitgrad.nn, jitgrad.optim
    first = ("Module", "Parameter")
    layers = [n for n in sorted(nn.__all__) if n not in first and inspect.isclass(getattr(nn, n))]
    functions = sorted(nn.functional.__all__)
    return page(
        "nn and optim",
        "## Modules",
        entry("nn.Module", nn.Module, 3),
        members(nn.Module),
        entry("nn.Parameter", nn.Parameter, 3),
        "## Layers, containers and losses",
        *[entry(f"nn.{name}", getattr(nn, name), 3) for name in layers],
        "## nn.functional",
        members_of_module(functions, nn.functional),
        "## nn.init",
        members_of_module(sorted(nn.init.__all__), nn.init),
        "## nn.utils",
        members_of_module(sorted(nn.utils.__all__), nn.utils),
        "## Optimizers",
        members(optim.Optimizer, ["step", "zero_grad", "add_param_group", "state_dict",
                                  "load_state_dict"]),
        *[entry(f"optim.{n}", getattr(optim, n), 3) for n in ("SGD", "Adam", "AdamW", "RMSprop",
          "Adagrad")],
        "## Learning rates",
        *[entry(f"optim.{name}", getattr(optim, name), 3)
          for name in sorted(optim.__all__) if name.endswith(("LR", "Plateau"))],
    )  # fmt: skip


def errors() -> str:
    """Return the page of exceptions and warnings."""
    named = [(n, getattr(jitgrad, n)) for n in sorted(jitgrad.__all__)]
    raised = [(n, t) for n, t in named if isinstance(t, type) and issubclass(t, BaseException)]
    rows = [(f"`{n}`", _code(b.__name__ for b in t.__bases__), sentence(t)) for n, t in raised]
    return page(
        "Errors and warnings",
        "An error says what was wrong, which line of yours is responsible, why, and what to do:",
        "```text\nadd: shapes (64, 10) and (64,) do not broadcast\n"
        "  where: train.py:12, in loss:  logits = x @ w + b\n"
        "  why:   the last axes are 10 and 64; they must be equal, or one of them 1\n"
        "  do:    to add b to every column write b[:, None]\n```",
        "These parts are the attributes `what`, `where`, `why` and `do`. Each error also is one of "
        "Python's, so that `except ValueError` finds a `ShapeError`.",
        table(rows, "", "is a", "raised or given for"),
    )


def interop() -> str:
    """Return the page of `interop` and `testing`."""
    modules = (jitgrad.interop, jitgrad.testing)
    return page(
        "interop and testing",
        *[
            entry(f"{module.__name__.removeprefix('jitgrad.')}.{name}", getattr(module, name))
            for module in modules
            for name in sorted(module.__all__)
        ],
    )


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page's file and text."""
    yield FOLDER / "operations.md", operations()
    yield FOLDER / "tensor.md", tensor()
    yield FOLDER / "compile.md", compiling()
    yield FOLDER / "control.md", control()
    yield FOLDER / "autograd.md", autograd()
    yield FOLDER / "nn_and_optim.md", networks()
    yield FOLDER / "errors.md", errors()
    yield FOLDER / "interop_and_testing.md", interop()


if __name__ == "__main__":
    for file, text in pages():
        file.write_text(text, encoding="utf-8")
