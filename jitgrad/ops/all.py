"""Imports every file of operations, so that the tables of operations and functions are complete."""

from __future__ import annotations

import jitgrad.ops.activations
import jitgrad.ops.aliases
import jitgrad.ops.arithmetic
import jitgrad.ops.bessel
import jitgrad.ops.bitwise
import jitgrad.ops.cast
import jitgrad.ops.comparison
import jitgrad.ops.complex
import jitgrad.ops.composite
import jitgrad.ops.contraction
import jitgrad.ops.convolution
import jitgrad.ops.counting
import jitgrad.ops.creation
import jitgrad.ops.decompositions
import jitgrad.ops.determinants
import jitgrad.ops.diagonal
import jitgrad.ops.distances
import jitgrad.ops.divergences
import jitgrad.ops.einsum
import jitgrad.ops.embedding
import jitgrad.ops.exponential
import jitgrad.ops.extrema
import jitgrad.ops.fft
import jitgrad.ops.indexing
import jitgrad.ops.integration
import jitgrad.ops.joining
import jitgrad.ops.linalg
import jitgrad.ops.losses
import jitgrad.ops.matrix_functions
import jitgrad.ops.mean_pooling
import jitgrad.ops.normalization
import jitgrad.ops.norms
import jitgrad.ops.numpy_protocol
import jitgrad.ops.ordering
import jitgrad.ops.pooling
import jitgrad.ops.power
import jitgrad.ops.probability
import jitgrad.ops.quantiles
import jitgrad.ops.random
import jitgrad.ops.rearranging
import jitgrad.ops.reduction
import jitgrad.ops.repeating
import jitgrad.ops.resampling
import jitgrad.ops.rounding
import jitgrad.ops.sampling
import jitgrad.ops.scans
import jitgrad.ops.scattering
import jitgrad.ops.selection
import jitgrad.ops.shape
import jitgrad.ops.slicing
import jitgrad.ops.spans
import jitgrad.ops.special
import jitgrad.ops.taking
import jitgrad.ops.trigonometric  # noqa: F401 - importing is the purpose
