# golden
from jitgrad.intrinsics.accumulate import accumulate_sum
from jitgrad.intrinsics.arithmetic import f64
from jitgrad.intrinsics.arrays import disjoint
from jitgrad.intrinsics.blas import gemm
from jitgrad.intrinsics.memory import block


def kernel(x1, weight, x, ct, d_sum1, d_matmul2, d_matmul1, sizes, arena):
    x1, weight, x, ct, d_sum1, d_matmul2, d_matmul1 = disjoint(x1, weight, x, ct, d_sum1, d_matmul2, d_matmul1)
    n0 = x1.shape[1]
    n1 = x1.shape[0]
    dhidden = block(arena, sizes[0], (n1, n0), f64, 0)
    for i in range(n0):
        d_sum1[i] = 0.0
    for i in range(n1):
        for j in range(n0):
            # adjoint of functions.py:30  return jg.tanh(hidden)
            dhidden_ = ct[i, j] * (1.0 - (x1[i, j] * x1[i, j]))
            dhidden[i, j] = dhidden_
            # adjoint of functions.py:29  hidden = x @ weight.T + bias
            d_sum1[j] = accumulate_sum(d_sum1[j], dhidden_)
    gemm(dhidden, x, d_matmul2, True, False, False)
    gemm(dhidden, weight, d_matmul1, False, False, False)
