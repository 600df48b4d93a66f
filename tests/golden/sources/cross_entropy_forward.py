# golden
from jitgrad.intrinsics.accumulate import accumulate_max, accumulate_sum
from jitgrad.intrinsics.arithmetic import f64, isfinite, select
from jitgrad.intrinsics.arrays import disjoint
from jitgrad.intrinsics.exponential import exp
from jitgrad.intrinsics.logarithm import log
from math import inf


def kernel(logits, target, amax1, exp1, sum1, log1, neg1, numbers):
    logits, target, amax1, exp1, sum1, log1 = disjoint(logits, target, amax1, exp1, sum1, log1)
    n0 = logits.shape[0]
    n1 = logits.shape[1]
    c0 = numbers[0]
    sum3 = 0.0
    for i in range(n0):
        amax1_ = f64(-inf)
        for j in range(n1):
            # functions.py:18  log_p = logits - jg.logsumexp(logits, 1, keepdim=True)
            amax1_ = accumulate_max(amax1_, logits[i, j])
        amax1[i, 0] = amax1_
        where1 = select(isfinite(amax1_), amax1_, 0.0)
        sum1_ = 0.0
        for j in range(n1):
            exp1_ = exp((logits[i, j] - where1))
            exp1[i, j] = exp1_
            sum1_ = accumulate_sum(sum1_, exp1_)
        sum1[i, 0] = sum1_
        log1_ = log(sum1_)
        log1[i, 0] = log1_
        add1 = log1_ + where1
        sum2 = 0.0
        for j in range(n1):
            log_p = logits[i, j] - add1
            # functions.py:19  return -(target * log_p).sum(1).mean()
            sum2 = accumulate_sum(sum2, target[i, j] * log_p)
        sum3 = accumulate_sum(sum3, sum2)
    neg1[()] = -(sum3 / c0)
