"""Tell two clouds of points apart, and say how sure of it the model is.

Run it: python examples/logistic_regression.py
"""

import numpy as np

import jitgrad
from jitgrad import nn, optim


def main():
    """Train the model, and look at its probabilities."""
    jitgrad.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = np.repeat([0.0, 1.0], 200).astype(np.float32)
    centres = np.where(labels[:, None] == 1, [1.0, 0.5], [-1.0, -0.5])
    points = rng.normal(centres, 1.0).astype(np.float32)

    model = nn.Linear(2, 1)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    loss_of = nn.BCEWithLogitsLoss()
    for step in range(101):
        optimizer.zero_grad()
        logits = model(points).squeeze(1)
        loss = loss_of(logits, labels)
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            right = ((logits > 0) == (labels == 1)).numpy().mean()
            print(f"step {step:3d}  loss {loss.item():.4f}  right {100 * right:.1f} %")

    # At the best weights the gradient vanishes, so the mean probability is the share of ones.
    with jitgrad.no_grad():
        probabilities = jitgrad.sigmoid(model(points)).numpy()
    weight, bias = model.weight.detach().numpy().ravel(), model.bias.detach().numpy()
    print("weight", np.round(weight, 3), "bias", np.round(bias, 3))
    print(
        f"mean probability of class 1: {probabilities.mean():.3f}, its share: {labels.mean():.3f}"
    )
    assert right > 0.8
    assert abs(probabilities.mean() - labels.mean()) < 0.01


if __name__ == "__main__":
    main()
