# golden
from jitgrad.intrinsics.arithmetic import f64
from jitgrad.intrinsics.arrays import disjoint
from jitgrad.intrinsics.blas import gemm
from jitgrad.intrinsics.hyperbolic import tanh
from jitgrad.intrinsics.memory import block


def kernel(x, weight, bias, tanh1, sizes, arena):
    x, weight, bias, tanh1 = disjoint(x, weight, bias, tanh1)
    n0 = x.shape[0]
    n1 = weight.shape[0]
    matmul1 = block(arena, sizes[0], (n0, n1), f64, 0)
    # functions.py:29  hidden = x @ weight.T + bias
    gemm(x, weight, matmul1, False, True, False)
    for i in range(n0):
        for j in range(n1):
            hidden = matmul1[i, j] + bias[j]
            # functions.py:30  return jg.tanh(hidden)
            tanh1[i, j] = tanh(hidden)
