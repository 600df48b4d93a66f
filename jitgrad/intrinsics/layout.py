"""Where the parts of a float lie in its bits, by kind."""

MANTISSA_BITS = {"float32": 23, "float64": 52}
ONE_BITS = {"float32": 127 << 23, "float64": 1023 << 52}
EXPONENT_BITS = {"float32": 8, "float64": 11}
ROOT_HALF_BITS = {"float32": 0x3F3504F3, "float64": 0x3FE6A09E667F3BCD}
SHIFT = {"float32": 1.5 * 2.0**23, "float64": 1.5 * 2.0**52}
