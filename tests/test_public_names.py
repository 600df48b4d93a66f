"""The names users may rely on are those in `public_names.txt`, each with a numpydoc docstring.

After a change that is meant: ``python -m tests.test_public_names --write``, and look at the diff.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

LIST = Path(__file__).with_name("public_names.txt")
MODULES = (
    "jitgrad",
    "jitgrad.autograd",
    "jitgrad.interop",
    "jitgrad.nn",
    "jitgrad.nn.functional",
    "jitgrad.optim",
    "jitgrad.testing",
)


def public_modules() -> dict[str, ModuleType]:
    """Return the modules above and those that their `__all__` name; jitgrad itself must exist."""
    found: dict[str, ModuleType] = {}
    waiting = list(MODULES)
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # A module that went away shows as removed names; one that fails inside is an error.
            if name == "jitgrad" or not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        if name != "jitgrad" and not hasattr(module, "__all__"):
            continue
        found[name] = module
        waiting += [
            value.__name__
            for value in (getattr(module, entry) for entry in module.__all__)
            if isinstance(value, ModuleType) and value.__name__.startswith("jitgrad.")
        ]
    return found


def public_objects() -> dict[str, Any]:
    """Return every public object under its full name, sorted."""
    return {
        f"{name}.{entry}": getattr(module, entry)
        for name, module in sorted(public_modules().items())
        for entry in sorted(module.__all__)
    }


def docstring_faults(name: str, value: Any) -> list[str]:
    """Return what a docstring lacks; constants, which cannot carry one, lack nothing."""
    is_class = inspect.isclass(value)
    if not (is_class or inspect.isroutine(value) or inspect.ismodule(value)):
        return []
    # a class must not pass on the docstring that it inherits
    doc = inspect.cleandoc(value.__doc__ or "")
    if not doc:
        return [f"{name}: no docstring"]
    faults = []
    if not doc.split("\n\n")[0].rstrip().endswith("."):
        faults.append(f"{name}: the first paragraph is not a sentence with a full stop")
    ours = str(getattr(value, "__module__", "")).startswith("jitgrad")
    if inspect.ismodule(value) or not ours or (is_class and issubclass(value, BaseException)):
        return faults
    try:
        signature = inspect.signature(value)
    except ValueError:
        return faults
    parameters = [p for p in signature.parameters if not p.startswith("_")]
    sections = set(re.findall(r"^(\w[\w ]*)\n-+$", doc, re.MULTILINE))
    if parameters and "Parameters" not in sections:
        faults.append(f"{name}: no section Parameters")
    faults += [
        f"{name}: parameter {parameter} is not described"
        for parameter in parameters
        if not re.search(rf"\b{parameter}\b", doc)
    ]
    # one sentence is enough for a function without parameters
    if parameters and not is_class and _returns(signature) and not sections & {"Returns", "Yields"}:
        faults.append(f"{name}: no section Returns")
    return faults


def _returns(signature: inspect.Signature) -> bool:
    return signature.return_annotation not in (None, "None", inspect.Signature.empty)


def test_public_names_are_those_of_the_list() -> None:
    listed = set(LIST.read_text(encoding="utf-8").split())
    actual = set(public_objects())
    changes = [f"removed: {name}" for name in sorted(listed - actual)]
    changes += [f"added: {name}" for name in sorted(actual - listed)]
    assert not changes, "\n" + "\n".join([*changes, __doc__ or ""])


def test_no_name_is_listed_twice_in_all() -> None:
    for name, module in public_modules().items():
        assert len(module.__all__) == len(set(module.__all__)), name


def test_every_public_name_has_a_numpydoc_docstring() -> None:
    faults = [
        fault for name, value in public_objects().items() for fault in docstring_faults(name, value)
    ]
    assert not faults, "\n" + "\n".join(faults)


def test_a_docstring_that_says_too_little_is_noticed() -> None:
    def scale(x: float, by: float) -> float:
        """Multiply

        Parameters
        ----------
        x : float
        """
        return x * by

    scale.__module__ = "jitgrad"
    assert docstring_faults("scale", scale) == [
        "scale: the first paragraph is not a sentence with a full stop",
        "scale: parameter by is not described",
        "scale: no section Returns",
    ]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    LIST.write_text("".join(f"{name}\n" for name in public_objects()), encoding="utf-8")
