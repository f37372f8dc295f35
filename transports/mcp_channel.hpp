// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A channel that moves whole lines of JSON-RPC to and from one MCP server: send / on_message / close. Decides nothing.
///
/// Thread rule: any thread may call; callbacks run on a transport thread and must only post a message. on_close exactly once.

#include "protocols/config.hpp"

#include <functional>
#include <memory>
#include <string>

namespace conclave {

class outside;

class mcp_channel {
public:
  struct callbacks {
    std::function<void(std::string)> on_message; ///< one line or body of the server's, whatever is in it
    std::function<void(ec, std::string, bool)>
        on_close;                                  ///< why, also after close(); whether there ever was a server at the other end
    std::function<void()> on_gone{};               ///< nothing is left of the server; once, also after close()
    std::function<void(std::string&)> clean_log{}; ///< takes secrets out of what the server says beside the protocol
  };

  virtual ~mcp_channel() = default;
  virtual bool send(std::string json) = 0; ///< false = closed
  virtual void close() = 0;                ///< bounded teardown, returns at once

  /// The end of what the server said beside the protocol (its stderr), a few KiB of whole words. Complete once on_close was called.
  virtual std::string last_words() const = 0;

  /// Adds a line of ours to where that goes.
  virtual void note(std::string line) = 0;

  /// Gives back a message of this size that has been dealt with. A channel hands on no more than a MiB, or one message, that
  /// were not given back.
  virtual void consumed(std::size_t bytes) = 0;
};

/// The table kind -> channel. What is at the other end comes from `from`. `config` has its variables expanded. Returns nullptr and
/// sets `error` for an unknown kind or a refused command. `stderr_path`: where the server's stderr goes. `opening`: what a program
/// reads before the first message (transports/server_walls.hpp).
std::unique_ptr<mcp_channel> open_mcp_channel(outside& from, const mcp_server_config& config, const std::string& stderr_path,
                                              mcp_channel::callbacks cb, std::string& error, const std::string& opening = {});

} // namespace conclave
