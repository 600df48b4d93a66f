"""Gradients of Python code on a CPU, compiled."""
