#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A llama.cpp HTTP server for one model: local_server.py MODEL CONTEXT_PER_SLOT SLOTS

Prints the address it listens on, and nothing else, on stdout; then serves until its stdin closes, that is until whoever started it is
gone, however it went. The key every request must carry comes in the variable CONCLAVE_LOCAL_KEY, never on the command line, where other
users could read it.
"""

import os
import sys


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model, context, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    key = os.environ.pop("CONCLAVE_LOCAL_KEY", "")
    if not key:
        sys.exit("CONCLAVE_LOCAL_KEY is not set: without a key any web page could use this server")
    with open(model, "rb") as f:
        if f.read(4) != b"GGUF":
            sys.exit(f"{model} is not a GGUF file")

    # llama.cpp logs to both streams: all of it goes to stderr, which the parent keeps in a file.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # any free one
    params.n_ctx = context * slots  # divided among the slots
    params.n_parallel = slots
    params.use_jinja = True
    params.verbosity = 2
    params.offline = True  # a local model never fetches anything
    params.ui = False
    params.api_keys = [key]
    server = xllamacpp.Server(params)
    print(server.listening_address, file=out, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # there is nothing to save, and a generation under way must not delay the end


if __name__ == "__main__":
    main()
