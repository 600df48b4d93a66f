"""Derivatives most of which are zero, as sparse matrices of SciPy: ``jitgrad.sparse``."""

from jitgrad.api.sparse import hessian, jacobian

__all__ = ["hessian", "jacobian"]
