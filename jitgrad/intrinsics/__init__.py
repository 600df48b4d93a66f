"""The functions that generated kernels call: plain Python, with LLVM code beside it.

Begin with `exponential.py`: a function that runs as Python (the twin), and below it the formula
that is compiled in its place. `declare.py` ties the two together, `emitter.py` is what formulas
are written with, `registration.py` tells Numba.
"""
