# golden
from jitgrad.intrinsics.accumulate import accumulate_sum
from jitgrad.intrinsics.arithmetic import f64, isfinite, select
from jitgrad.intrinsics.arrays import disjoint
from jitgrad.intrinsics.memory import block


def kernel(logits, x1, x2, target, x3, x4, ct, d_add1, d_mul3, sizes, numbers, arena):
    ct_ = ct[()]
    logits, x1, x2, target, x3, x4, d_add1, d_mul3 = disjoint(logits, x1, x2, target, x3, x4, d_add1, d_mul3)
    n0 = target.shape[0]
    n1 = target.shape[1]
    n2 = logits.shape[0]
    n3 = logits.shape[1]
    c0 = numbers[0]
    dlog_p = block(arena, sizes[0], (n1,), f64, 0)
    # adjoint of functions.py:19  return -(target * log_p).sum(1).mean()
    d_mul2 = (ct_ * -1.0) * c0
    for i in range(n0):
        d_sum1 = 0.0
        for j in range(n1):
            dlog_p_ = d_mul2 * target[i, j]
            dlog_p[j] = dlog_p_
            # adjoint of functions.py:18  log_p = logits - jg.logsumexp(logits, 1, keepdim=True)
            d_sum1 = accumulate_sum(d_sum1, dlog_p_ * -1.0)
        d_scale_cotangent1 = select(d_sum1 == 0.0, 0.0, d_sum1 * (1.0 / x3[i, 0]))
        for j in range(n1):
            d_add1[i, j] = dlog_p[j] + (d_scale_cotangent1 * x4[i, j])
    for i in range(n2):
        # functions.py:18  log_p = logits - jg.logsumexp(logits, 1, keepdim=True)
        add1 = x1[i, 0] + (select(isfinite(x2[i, 0]), x2[i, 0], 0.0))
        for j in range(n3):
            log_p = logits[i, j] - add1
            # adjoint of functions.py:19  return -(target * log_p).sum(1).mean()
            d_mul3[i, j] = d_mul2 * log_p
