"""The demonstration shows what it says, in shortened form; figures of time are not looked at."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the demonstration's data comes with scikit-learn")
pytest.importorskip("matplotlib", reason="the demonstration draws with matplotlib")

from jitgrad.demo import __main__ as demo
from jitgrad.demo import digits as task
from jitgrad.demo import timing, tutorial
from jitgrad.demo.by_hand import HandWritten


@pytest.fixture(scope="module")
def data() -> task.Digits:
    return task.load_digits()


def test_the_tutorial_prints_what_it_teaches() -> None:
    said: list[str] = []
    tutorial.run(said.append)
    text = "\n".join(said)
    assert "z.grad_fn    is <AddBackward0 object at" in text
    assert "loss.grad_fn is <BinaryCrossEntropyWithLogitsBackward0 object at" in text
    assert "z = matmul(x, w) + b    z.requires_grad is True" in text
    assert "under no_grad()         z.requires_grad is False" in text
    assert "after z.detach()        z.requires_grad is False" in text
    first, second, third = (
        text.index("first call   tensor([[4., 2., 2., 2., 2.],"),
        text.index("tensor([[8., 4., 4., 4., 4.],"),
        text.rindex("tensor([[4., 2., 2., 2., 2.],"),
    )
    assert first < second < third


def test_the_tutorials_gradients_are_those_of_the_formula() -> None:
    w, b = tutorial.forward_and_backward(lambda text: None)
    z = np.ones(5) @ w.detach().numpy() + b.detach().numpy()
    expected = 1 / (1 + np.exp(-z)) / 3
    assert w.grad is not None
    assert b.grad is not None
    np.testing.assert_allclose(b.grad.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(w.grad.numpy(), np.tile(expected, (5, 1)), rtol=1e-5)


def test_a_quarter_of_every_digit_is_held_out(data: task.Digits) -> None:
    assert len(data.images) == 1347
    assert len(data.test_images) == 450
    held_out = np.bincount(data.test_labels)
    np.testing.assert_allclose(held_out / (np.bincount(data.labels) + held_out), 0.25, atol=0.005)
    assert data.images.dtype == np.float32
    assert data.images.max() == 1


def test_a_shortened_training_tells_most_digits(data: task.Digits, tmp_path: Path) -> None:
    training = task.make_training()
    out = io.StringIO()
    curve = task.train(training, training.step, data, epochs=15, out=out)
    assert curve.accuracies[-1] > 0.96
    assert curve.losses[-1] < curve.losses[0] / 4
    assert curve.accuracies[-1] == task.accuracy(training.network, data)
    lines = out.getvalue().splitlines()
    assert len(lines) < 15
    assert lines[-1].startswith("  epoch 15/15  loss ")
    task.save_curve(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_terminal_gets_a_line_that_grows(data: task.Digits) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    training = task.make_training()
    task.train(training, training.step, data, epochs=2, out=out)
    shown = out.getvalue()
    assert shown.startswith("\r  [###############...............] epoch  1/2  loss ")
    assert "\r  [##############################] epoch  2/2" in shown
    assert shown.endswith("\n")
    assert shown.count("\n") == 1


def test_moved_images_are_the_images_moved_by_a_pixel(data: task.Digits) -> None:
    rng = np.random.default_rng(0)
    moved = task._moved(data.images[:200], rng).reshape(-1, 8, 8)
    images = data.images[:200].reshape(-1, 8, 8)
    same = (moved == images).all((1, 2))
    assert 0.5 < same.mean() < 0.8
    for image, other in zip(images[~same], moved[~same], strict=True):
        shifts = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        framed = np.pad(image, 1)
        assert any(np.array_equal(framed[1 + r : 9 + r, 1 + c : 9 + c], other) for r, c in shifts)


def test_the_step_in_numpy_is_the_same_step(data: task.Digits) -> None:
    training = task.make_training()
    values = [p.detach().numpy() for p in training.network.parameters()]
    by_hand = HandWritten(values[::2], values[1::2], task.RATE, task.DECAY)
    rivals = [
        timing.Contender("by hand", by_hand.step),
        timing.Contender("eager", lambda x, y: training.step(x, y).item()),
    ]
    assert timing.largest_difference(rivals, data, steps=5) < 1e-4
    for ours, theirs in zip(training.network.parameters(), by_hand.params, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-4)


def test_the_compiled_step_is_the_same_step(data: task.Digits) -> None:
    by_hand, eager, compiled = timing.contenders()
    assert timing.largest_difference([by_hand, eager, compiled], data, steps=5) < 1e-4


def test_the_table_has_medians_and_ratios() -> None:
    rivals = [timing.Contender(name, lambda x, y: 0.0) for name in ("one", "two")]
    text = timing.table(rivals, [[0.001, 0.002, 0.004], [0.002, 0.008, 0.008]])
    assert [line.split() for line in text.splitlines()] == [
        ["a", "step", "against", "NumPy"],
        ["one", "2.000", "ms", "1.00", "x"],
        ["two", "8.000", "ms", "2.00", "x"],
    ]


def test_the_first_call_is_measured_in_a_process_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert demo.main(["--measure-first-call"]) == 0
    assert json.loads(capsys.readouterr().out) > 0


@pytest.mark.parametrize(("wanted", "status"), [(0.5, 0), (1.01, 1)])
def test_the_whole_demonstration_ends_by_its_accuracy(
    wanted: float,
    status: int,
    data: task.Digits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _shorten(monkeypatch)
    monkeypatch.setattr(task, "WANTED_ACCURACY", wanted)
    assert demo.main(["--output", str(tmp_path / "out")]) == status
    shown = capsys.readouterr().out
    assert "final test accuracy: " in shown
    assert "jitgrad, compiled" in shown
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"learning-curve.png", "loss_forward.py", "loss_adjoint.py"}
    assert (tmp_path / "out" / "loss_adjoint.py").read_text(encoding="utf-8").strip()


def _shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    train = task.train

    def briefly(training: task.Training, step: task.Step, data: task.Digits) -> task.Curve:
        return train(training, step, data, epochs=3)

    monkeypatch.setattr(task, "train", briefly)
    monkeypatch.setattr(timing, "first_calls_of_new_processes", lambda: (1.0, 0.5))
    monkeypatch.setattr(demo, "_ROUNDS", 2)
