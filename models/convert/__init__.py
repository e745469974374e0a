"""From a float JAX function to a certified integer graph.

`certify` traces any JAX callable (a Flax NNX module in evaluation mode), calibrates it on int8
samples, quantises it per channel and returns a package with golden vectors and a loss report.
"""

from models.convert.certify import Conversion, Options, certify, convert

__all__ = ["Conversion", "Options", "certify", "convert"]
