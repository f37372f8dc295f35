#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves one model file for Conclave: local_server.py MODEL CONTEXT_PER_SLOT SLOTS

llama.cpp's HTTP server, from the Python package xllamacpp. The key comes from the environment (CONCLAVE_LOCAL_KEY), so it shows in no
process list. The first line on stdout is the address; the program ends when its stdin does, so it never outlives its parent.
"""

import os
import sys


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model, context, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    key = os.environ.get("CONCLAVE_LOCAL_KEY", "")
    if not key:
        sys.exit("CONCLAVE_LOCAL_KEY is not set")
    if not os.path.isfile(model):
        sys.exit(f"no model file {model}")

    # The library writes its log to stdout: it gets stderr, and we keep the real stdout for the address.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostname = "127.0.0.1"
    params.port = 0
    params.n_ctx = context * slots  # divided among the slots
    params.n_parallel = slots
    params.use_jinja = True
    params.verbosity = 2
    params.api_keys = [key]
    server = xllamacpp.Server(params)
    print(server.listening_address, file=out, flush=True)
    sys.stdin.buffer.read()
    out.close()
    os._exit(0)  # nothing to save, and a generation under way must not delay the end


if __name__ == "__main__":
    main()
