# golden
from jitgrad.intrinsics.arithmetic import f64
from jitgrad.intrinsics.arrays import disjoint
from jitgrad.intrinsics.memory import block


def kernel(u, ct, d_add2, sizes, arena):
    ct_ = ct[()]
    u, d_add2 = disjoint(u, d_add2)
    n0 = sizes[9]
    n1 = sizes[10]
    n2 = sizes[11]
    o0 = sizes[0]
    o1 = sizes[1]
    o2 = sizes[2]
    o3 = sizes[3]
    o4 = sizes[4]
    o5 = sizes[6]
    o6 = sizes[7]
    o7 = sizes[8]
    dflux = block(arena, sizes[5], (n0,), f64, 0)
    # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
    sub14 = ((u[o2] - u[o3]) * 0.5) - ((u[o0] - u[o1]) * 0.5)
    # adjoint of functions.py:25  return (inner * inner).sum()
    d_mul14 = ct_ * (u[o4] + (0.1 * sub14))
    # adjoint of functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
    dflux[o5] = (d_mul14 + d_mul14) * 0.1
    # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
    mul4 = 0.1 * (((u[2] - u[1]) * 0.5) - ((u[1] - u[0]) * 0.5))
    # adjoint of functions.py:25  return (inner * inner).sum()
    d_mul6 = ct_ * (u[1] + mul4)
    # adjoint of functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
    dflux[0] = ((d_mul6 + d_mul6) * 0.1) * -1.0
    for i in range(n1):
        # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        sub11 = ((u[i + 2] - u[i + 1]) * 0.5) - ((u[i + 1] - u[i]) * 0.5)
        # adjoint of functions.py:25  return (inner * inner).sum()
        d_mul12 = ct_ * (u[i + 1] + (0.1 * sub11))
        # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        sub8 = ((u[i + 3] - u[i + 2]) * 0.5) - ((u[i + 2] - u[i + 1]) * 0.5)
        # adjoint of functions.py:25  return (inner * inner).sum()
        d_mul9 = ct_ * (u[i + 2] + (0.1 * sub8))
        # adjoint of functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        dflux[i + 1] = (((d_mul9 + d_mul9) * 0.1) * -1.0) + ((d_mul12 + d_mul12) * 0.1)
    # adjoint of functions.py:23  flux = (u[1:] - u[:-1]) * 0.5
    d_mul21 = dflux[o6] * 0.5
    d_add2[o7] = d_mul21
    d_mul16 = dflux[0] * 0.5
    d_add2[0] = d_mul16 * -1.0
    for i in range(n2):
        # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        sub2 = ((u[i + 2] - u[i + 1]) * 0.5) - ((u[i + 1] - u[i]) * 0.5)
        inner = u[i + 1] + (0.1 * sub2)
        # adjoint of functions.py:25  return (inner * inner).sum()
        d_mul1 = ct_ * inner
        dinner = d_mul1 + d_mul1
        # adjoint of functions.py:23  flux = (u[1:] - u[:-1]) * 0.5
        d_add2[i + 1] = (dinner + ((dflux[i + 1] * 0.5) * -1.0)) + (dflux[i] * 0.5)
