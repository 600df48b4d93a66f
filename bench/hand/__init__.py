"""Gradients written by hand in C: what there is to approach. `kernel.py` builds and calls them."""
