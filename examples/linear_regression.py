"""Fit a plane to noisy points by gradient descent, and compare with the exact least squares.

Run it: python examples/linear_regression.py
"""

import numpy as np

import jitgrad


def mean_squared_error(weights, offset, points, heights):
    """Return the mean squared distance of the plane from the points."""
    predicted = jitgrad.matmul(points, weights) + offset
    return ((predicted - heights) ** 2).mean()


def main():
    """Fit, and compare with the exact answer."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3))
    heights = points @ [1.5, -2.0, 0.5] + 0.7 + 0.1 * rng.normal(size=200)

    weights = jitgrad.zeros(3, dtype=jitgrad.float64, requires_grad=True)
    offset = jitgrad.zeros((), dtype=jitgrad.float64, requires_grad=True)
    optimizer = jitgrad.optim.SGD([weights, offset], lr=0.05, momentum=0.9)
    for step in range(201):
        optimizer.zero_grad()
        loss = mean_squared_error(weights, offset, points, heights)
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step:3d}  loss {loss.item():.6f}")

    columns = np.column_stack([points, np.ones(len(points))])
    exact, *_ = np.linalg.lstsq(columns, heights)
    found = [*weights.tolist(), offset.item()]
    print("found by descent:   ", np.round(found, 4))
    print("exact least squares:", np.round(exact, 4))
    assert np.allclose(found, exact, atol=1e-4)


if __name__ == "__main__":
    main()
