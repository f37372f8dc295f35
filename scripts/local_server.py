#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A llama.cpp HTTP server for one model: local_server.py MODEL CONTEXT_PER_SLOT SLOTS

Prints the address it listens on, then serves until its stdin closes, that is until whoever started it is gone, however it went.
The key every request must carry comes in the variable CONCLAVE_LOCAL_KEY, never on the command line, where other users could read it.
"""

import os
import sys

import xllamacpp


def main():
    model, context, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = 0
    params.n_ctx = context * slots
    params.n_parallel = slots
    params.use_jinja = True
    params.verbosity = 2
    params.api_keys = [os.environ.pop("CONCLAVE_LOCAL_KEY")]
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


main()
