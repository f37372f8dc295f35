// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How nodes find each other: CAF's network layer under mutual TLS. Blocking calls with deadlines; any thread but an actor's.
///
/// Loopback too is a multi-user place: an open port there means spawn rights with the owner's keys. Plain connections are therefore
/// only made with `insecure_loopback`, and only to loopback.

#include "protocols/cluster.hpp"
#include "protocols/interfaces.hpp"
#include "protocols/node_note.hpp"

#include <caf/fwd.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

struct ssl_ctx_st;

namespace conclave {

class node_listener;

/// Who we are in a cluster. The default value may connect to nobody.
struct link_identity {
  std::shared_ptr<ssl_ctx_st> tls;
  bool insecure_loopback = false; ///< no TLS; loopback addresses only
  std::string authority = {};     ///< fingerprint of the authority both sides must be of
  std::string files = {};         ///< for messages: whose certificates these are
  std::string build = {};         ///< our version, for the other side's log
};

/// Loads the network module into `config`, with heartbeats (1 s, lost after 6 s). Call it before the actor_system is made.
void configure_link(caf::actor_system_config& config);

/// Reads the certificates, or makes them on first use. `error` says what is wrong with them.
link_identity load_link_identity(const tls_config& tls, std::string& error);

/// A door that is open to others. Destroy it before its actor_system.
class open_door {
public:
  open_door();
  open_door(std::unique_ptr<node_listener> listener, std::shared_ptr<std::atomic<bool>> ending);
  open_door(open_door&&) noexcept;
  open_door& operator=(open_door&&) noexcept;
  ~open_door();
  std::uint16_t port() const; ///< 0 if it is not open

private:
  std::unique_ptr<node_listener> listener_;
  std::shared_ptr<std::atomic<bool>> ending_; ///< what is closed from now on is closed because it is
};

/// Publishes `door`. `host` is a numeric address or a name of this machine; port 0 = any free one. `error` if it cannot listen.
/// `keep` is told who connected and who was turned away.
open_door publish_door(caf::actor_system& sys, const door_actor& door, const std::string& host, std::uint16_t port,
                       const link_identity& me, std::string& error, note_taker keep = {});

/// The network layer, asked for the address a node of CAF is connected from.
using peer_book_actor =
    caf::typed_actor<caf::replies_to<caf::get_atom, caf::node_id>::with<caf::node_id, std::string, std::uint16_t>>;

/// Knows the callers of a published door.
peer_book_actor peer_book(caf::actor_system& sys);

/// Connects to HOST:PORT, says hello and returns the node; null and `error` (unreachable within 3 s, silent for 3 s, refused, other
/// version) otherwise. A node that hangs up because many wait at its door is tried again within the 3 s.
/// `said`: what it answered, if it answered.
node_actor join_node(caf::actor_system& sys, const std::string& address, const link_identity& me, std::string& error,
                     welcome* said = nullptr);

} // namespace conclave
