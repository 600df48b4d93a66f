# golden
from jitgrad.intrinsics.accumulate import accumulate_sum


def kernel(u, sum1, sizes):
    n0 = sizes[0]
    sum1_ = 0.0
    for i in range(n0):
        # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        sub2 = ((u[i + 2] - u[i + 1]) * 0.5) - ((u[i + 1] - u[i]) * 0.5)
        inner = u[i + 1] + (0.1 * sub2)
        # functions.py:25  return (inner * inner).sum()
        sum1_ = accumulate_sum(sum1_, inner * inner)
    sum1[()] = sum1_
