"""The eager library: Tensors with PyTorch's names and semantics, and `backward`.

Begin with `tensor.py`, then `tape.py` (what eager operations record) and `backward.py` (the
reverse sweep over it).
"""
