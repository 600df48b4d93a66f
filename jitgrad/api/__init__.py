"""What users call: `compile`, `grad`, `vjp`, `jvp`, `hessian`, `vmap` and loops.

Begin with `compile.py`, one call from the arguments to the result; `pipeline.py` names the passes
in their order, `autodiff.py` has the functional derivatives.
"""
