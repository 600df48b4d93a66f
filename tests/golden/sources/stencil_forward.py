# golden
from jitgrad.intrinsics.accumulate import accumulate_sum
from jitgrad.intrinsics.arithmetic import f64
from jitgrad.intrinsics.memory import block


def kernel(u, sum1, sizes, arena):
    n0 = sizes[1]
    n1 = sizes[2]
    flux = block(arena, sizes[0], (n0,), f64)
    for i in range(n0):
        # functions.py:23  flux = (u[1:] - u[:-1]) * 0.5
        flux[i] = (u[i + 1] - u[i]) * 0.5
    sum1_ = 0.0
    for i in range(n1):
        # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        inner = u[i + 1] + (0.1 * (flux[i + 1] - flux[i]))
        # functions.py:25  return (inner * inner).sum()
        sum1_ = accumulate_sum(sum1_, inner * inner)
    sum1[()] = sum1_
