#!/usr/bin/env python3
"""The tensors of GGUF files as the PyPI package gguf reads them: one line of JSON a file.

    python3 gguf_tensors.py FILE ...
"""

import hashlib
import json
import sys

import gguf

for path in sys.argv[1:]:
    reader = gguf.GGUFReader(path)
    print(json.dumps({"file": path, "keys": sorted(k for k in reader.fields if not k.startswith("GGUF.")), "tensors": [
        {"name": t.name, "type": t.tensor_type.name, "shape": [int(n) for n in t.shape],
         "sha256": hashlib.sha256(t.data.tobytes()).hexdigest()} for t in reader.tensors]}))
