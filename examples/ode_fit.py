"""Find the parameters of a differential equation from measurements of its solution.

Foxes eat rabbits (Lotka and Volterra): the equations are integrated by a Runge-Kutta method in a
plain Python loop, and the gradient goes back through all of its steps.

Run it: python examples/ode_fit.py
"""

import numpy as np

import jitgrad

STEP = 0.25  # years
COUNT = 24


def rates(state, parameters):
    """Return the growth of rabbits and foxes, in hundreds per year."""
    rabbits, foxes = state
    birth, hunting, death = parameters
    return jitgrad.stack(
        [birth * rabbits - hunting * rabbits * foxes, hunting * rabbits * foxes - death * foxes]
    )


def solve(start, parameters):
    """Return the states after each step of the classical Runge-Kutta method."""
    state, states = start, []
    for _ in range(COUNT):
        k1 = rates(state, parameters)
        k2 = rates(state + STEP / 2 * k1, parameters)
        k3 = rates(state + STEP / 2 * k2, parameters)
        k4 = rates(state + STEP * k3, parameters)
        state = state + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    return jitgrad.stack(states)


def main():
    """Make measurements, and find the parameters from them."""
    rng = np.random.default_rng(0)
    start = jitgrad.tensor(np.array([1.0, 0.5]))
    true = np.array([1.1, 0.8, 0.6])
    with jitgrad.no_grad():
        measured = solve(start, jitgrad.tensor(true)).numpy()
    measured = measured + 0.02 * rng.normal(size=measured.shape)

    parameters = jitgrad.tensor(np.array([0.8, 1.0, 0.8]), requires_grad=True)
    optimizer = jitgrad.optim.Adam([parameters], lr=0.08)
    for step in range(46):
        optimizer.zero_grad()
        loss = ((solve(start, parameters) - measured) ** 2).mean()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            print(f"step {step:2d}  mean squared error {loss.item():.5f}")

    found = parameters.detach().numpy()
    print("found:", np.round(found, 3))
    print("true: ", true)
    assert np.allclose(found, true, atol=0.05)


if __name__ == "__main__":
    main()
