"""Prints what the Python package gguf reads of a file: name, type, shape, and
the SHA-256 of the tensor's bytes and of its values as float32, a line each."""

import hashlib
import sys

import numpy
from gguf import GGUFReader
from gguf.quants import dequantize

for t in GGUFReader(sys.argv[1]).tensors:
    values = numpy.ascontiguousarray(dequantize(t.data, t.tensor_type), dtype="<f4") + numpy.float32(0)
    print(
        t.name, t.tensor_type.name, "x".join(str(n) for n in t.shape),
        hashlib.sha256(t.data.tobytes()).hexdigest(), hashlib.sha256(values.tobytes()).hexdigest(),
    )
