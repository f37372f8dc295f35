// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The loopback port of a server that cannot be asked for "any": between our choice and its bind somebody else may take it, and
/// servers that share ports (SO_REUSEPORT, as llama.cpp's did until 2026) then get each other's requests without an error. Private
/// to transports/local_model*. Any thread; blocks only for what the kernel tells of itself.

namespace conclave {

/// A free port of 127.0.0.1; 0 = there is none.
int free_port();

/// Whether nobody can listen there now: somebody does, or has a connection from there.
bool port_taken(int port);

enum class port_holder {
  nobody,
  group,   ///< processes of the group, and nobody else
  others,  ///< also, or only, somebody else
  unknown, ///< the system does not say
};

/// Who takes what is sent to a port of 127.0.0.1. `group`: of processes; 0 = none.
port_holder holder_of(int port, int group);

} // namespace conclave
