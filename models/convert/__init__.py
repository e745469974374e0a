"""From a float model to a certified integer graph.

`certify` traces any JAX callable (a Flax NNX module in evaluation mode), calibrates it on int8
samples, quantises it per channel and returns a package with golden vectors and a loss report. It
also reads fitted linear models and tree ensembles of scikit-learn.
"""

from models.convert.callables import Conversion, Options
from models.convert.certify import certify, convert

__all__ = ["Conversion", "Options", "certify", "convert"]
