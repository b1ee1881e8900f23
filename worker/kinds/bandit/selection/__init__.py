"""How much to smooth: policy effective sample size, the evidence of a path, SLOPE, and the default rule."""
