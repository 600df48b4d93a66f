# golden
from jitgrad.intrinsics.accumulate import accumulate_sum
from jitgrad.intrinsics.arithmetic import select
from jitgrad.intrinsics.arrays import disjoint
from jitgrad.intrinsics.hyperbolic import sigmoid
from jitgrad.intrinsics.logarithm import softplus


def kernel(logits, target, d_sigmoid1, div1, numbers):
    logits, target, d_sigmoid1 = disjoint(logits, target, d_sigmoid1)
    n0 = logits.shape[0]
    c0 = numbers[0]
    sum1 = 0.0
    for i in range(n0):
        # adjoint of functions.py:13  loss = jg.nn.functional.softplus(logits) - logits * target
        d_sigmoid1[i] = sigmoid(logits[i])
        # functions.py:13  loss = jg.nn.functional.softplus(logits) - logits * target
        where1 = select((logits[i] > 20.0), logits[i], softplus(logits[i]))
        loss = where1 - (logits[i] * target[i])
        # functions.py:14  return loss.mean()
        sum1 = accumulate_sum(sum1, loss)
    div1[()] = sum1 / c0
