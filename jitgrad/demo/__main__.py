"""Run the demonstration: ``python -m jitgrad.demo``.

The tutorial on gradients; a classifier of handwritten digits trained by a compiled step; how long
such a step takes; and the source that was generated. Ends with status 1 if fewer than 97 % of the
held-out digits are told right.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import jitgrad
from jitgrad.demo import digits as task
from jitgrad.demo import timing, tutorial

_ROUNDS = 25
_LINES_SHOWN = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line's.

    Returns
    -------
    int
        Status of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m jitgrad.demo", description="Show jitgrad.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="where files go")
    parser.add_argument("--measure-first-call", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure_first_call:
        print(json.dumps(timing.first_call()))
        return 0
    import scipy.linalg  # noqa: F401 - only libraries that are loaded can be limited

    # Matrices of this size gain nothing from a second thread, and lose much where it has to wait.
    with threadpool_limits(1):
        return _show(options.output)


def _show(output: Path) -> int:
    output.mkdir(parents=True, exist_ok=True)
    _title("1. Gradients")
    tutorial.run()

    _title("2. Handwritten digits")
    data = task.load_digits()
    training = task.make_training()
    print(training.network)
    print(
        f"  {len(data.images)} images to learn from, {len(data.test_images)} held out;"
        f" batches of {task.BATCH}, AdamW"
    )
    began = time.perf_counter()
    curve = task.train(training, jitgrad.compile(training.step), data)
    seconds = time.perf_counter() - began
    final = curve.accuracies[-1]
    task.save_curve(curve, output / "learning-curve.png")
    print(f"  trained in {seconds:.1f} s, compiling included")
    print(f"  final test accuracy: {100 * final:.2f} %")

    _title("3. Time for a training step")
    rivals = timing.contenders()
    difference = timing.largest_difference(rivals, data, steps=10)
    print(f"  10 steps with the same data: losses agree to {difference:.0e}")
    print(timing.table(rivals, timing.seconds_per_step(rivals, data, _ROUNDS)))
    cold, warm = timing.first_calls_of_new_processes()
    print(f"  first call of the compiled step, nothing cached:           {cold:6.2f} s")
    print(f"  first call in a new process, kernels from the disk cache:  {warm:6.2f} s")

    _title("4. What was generated")
    _save_sources(training, data, output)

    _title("Files")
    for path in sorted(output.iterdir()):
        print(f"  {path}")
    if final < task.WANTED_ACCURACY:
        print(f"\nThe accuracy is below {100 * task.WANTED_ACCURACY:.0f} %.", file=sys.stderr)
        return 1
    return 0


def _save_sources(training: task.Training, data: task.Digits, output: Path) -> None:
    """Save the loss's generated source, forward and adjoint, and print how they begin."""
    loss: Any = jitgrad.compile(training.loss)
    batch = (data.images[: task.BATCH], data.labels[: task.BATCH])
    sources = {
        "loss_forward.py": loss.source(*batch),
        "loss_adjoint.py": loss.adjoint_source(*batch),
    }
    for name, text in sources.items():
        (output / name).write_text(text, encoding="utf-8")
        lines = text.splitlines()
        print(f"  {output / name}, {len(lines)} lines, begins:\n")
        for line in lines[:_LINES_SHOWN]:
            print(f"    {line}".rstrip())
        print()


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


if __name__ == "__main__":
    sys.exit(main())
