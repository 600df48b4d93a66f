# golden
from jitgrad.intrinsics.arithmetic import f64
from jitgrad.intrinsics.memory import block


def kernel(u, ct, d_add2, sizes, arena):
    ct_ = ct[()]
    n0 = d_add2.shape[0]
    n1 = sizes[8]
    n2 = sizes[9]
    n3 = sizes[10]
    d_slice_transpose4 = block(arena, sizes[0], (n0,), f64)
    d_slice_transpose3 = block(arena, sizes[1], (n0,), f64)
    d_slice_transpose2 = block(arena, sizes[2], (n1,), f64)
    d_slice_transpose1 = block(arena, sizes[3], (n1,), f64)
    flux = block(arena, sizes[4], (n2,), f64)
    d_mul4 = block(arena, sizes[5], (n1,), f64)
    d_slice_transpose5 = block(arena, sizes[6], (n0,), f64)
    d_add1 = block(arena, sizes[7], (n0,), f64)
    for i in range(n0):
        # adjoint of functions.py:23  flux = (u[1:] - u[:-1]) * 0.5
        d_slice_transpose4[i] = 0.0
        # adjoint of functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        d_slice_transpose3[i] = 0.0
    for i in range(n1):
        d_slice_transpose2[i] = 0.0
        d_slice_transpose1[i] = 0.0
    for i in range(n2):
        # functions.py:23  flux = (u[1:] - u[:-1]) * 0.5
        flux[i] = (u[i + 1] - u[i]) * 0.5
    for i in range(n3):
        # functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        inner = u[i + 1] + (0.1 * (flux[i + 1] - flux[i]))
        # adjoint of functions.py:25  return (inner * inner).sum()
        d_mul1 = ct_ * inner
        dinner = d_mul1 + d_mul1
        # adjoint of functions.py:24  inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
        d_slice_transpose3[i + 1] = dinner
        d_mul2 = dinner * 0.1
        d_slice_transpose2[i + 1] = d_mul2
        d_slice_transpose1[i] = d_mul2 * -1.0
    for i in range(n1):
        dflux = d_slice_transpose1[i] + d_slice_transpose2[i]
        # adjoint of functions.py:23  flux = (u[1:] - u[:-1]) * 0.5
        d_mul4_ = dflux * 0.5
        d_mul4[i] = d_mul4_
        d_slice_transpose4[i] = d_mul4_ * -1.0
    for i in range(n0):
        d_slice_transpose5[i] = 0.0
        d_add1[i] = d_slice_transpose3[i] + d_slice_transpose4[i]
    for i in range(n1):
        d_slice_transpose5[i + 1] = d_mul4[i]
    for i in range(n0):
        d_add2[i] = d_add1[i] + d_slice_transpose5[i]
