// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The data of an MCP connection and its named steps. Its beginning is in mcp_connect.cpp, the connection itself in mcp_server.cpp,
/// what the server says in mcp_replies.cpp.

#include "actors/mcp_server.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/secrets.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/mcp_tools.hpp"
#include "transports/mcp_channel.hpp"

#include <caf/all.hpp>

#include <map>
#include <optional>
#include <set>

namespace conclave {

/// What the channel's thread reports; `generation` tells a restarted channel from the one before. Never cross nodes.
struct channel_text {
  std::uint64_t generation = 0;
  std::string text;
};
struct channel_closed {
  std::uint64_t generation = 0;
  ec code = ec::none;
  std::string why;
  bool was_there = false; ///< there was a server at the other end
};

/// A request is late.
struct mcp_tick {
  std::uint64_t request = 0;
  std::string why;    ///< its reply is lost, as it seems; empty = its deadline
  bool stray = false; ///< the moment for another reply that is nobody's is over
};

/// Nothing is left of the process behind a channel.
struct channel_gone {
  std::uint64_t generation = 0;
};

/// The server is slow to start.
struct mcp_wait {
  std::uint64_t generation = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::channel_text)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::channel_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::channel_gone)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::mcp_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::mcp_wait)

namespace conclave {

using mcp_impl =
    tool_source_actor::extend<caf::reacts_to<channel_text>, caf::reacts_to<channel_closed>, caf::reacts_to<channel_gone>,
                              caf::reacts_to<mcp_tick>, caf::reacts_to<mcp_wait>, caf::replies_to<end_server>::with<server_ended>>;

/// What a request of ours was for.
enum class purpose : std::uint8_t { initialize, list, call };

struct open_request {
  purpose why = purpose::call;
  tool_invocation asked;
  caf::typed_response_promise<tool_result> promise;
  bool doubted = false;                          ///< its reply seems lost; the proper one is waited for a little longer
  std::optional<wire::mcp::incoming> stray = {}; ///< a reply without a usable id, taken if no other comes right behind it
  bool many_strays = false;                      ///< another did: none is believed
};

enum class link : std::uint8_t { down, connecting, up };

struct mcp_state {
  mcp_state() {} // no aggregate: CAF would hand the actor itself to the first member
  void hide(std::string& text) const { conclave::hide(text, hidden, known); }
  static inline const char* name = "mcp_server";
  std::shared_ptr<conclave::outside> outside;
  mcp_server_config config;
  lookup env;
  std::string stderr_path;
  bool has_allowed = false;
  std::vector<std::string> allowed, excluded;
  mcp_teller tell;
  secrets hidden;                             ///< what the server was told and must not repeat in its errors
  std::shared_ptr<const known_secrets> known; ///< what others of the task were told; may be null
  wall_actor walls;                           ///< null = it is not confined
  bool confined = false;                      ///< the one that runs is
  std::set<std::uint64_t> alive;              ///< channels whose process has not ended yet
  std::vector<caf::typed_response_promise<server_ended>> ending;
  std::unique_ptr<mcp_channel> channel;
  std::uint64_t generation = 0, ids = 0;
  std::uint64_t first_call = UINT64_MAX; ///< id of the first call; those before started a server or listed its tools
  link now = link::down;
  std::map<std::uint64_t, open_request> open;
  std::vector<caf::typed_response_promise<tool_list>> listing; ///< who waits for the list
  std::vector<open_request> queued;                            ///< calls that wait for the connection
  wire::mcp::tool_catalogue found;
  std::int64_t list_until_ms = 0; ///< all pages together
  bool stale = false;             ///< the list changed since its reading began
  list_version version;
  caf::actor_clock::time_point since; ///< of the start, or of the list
  std::string skipped;                ///< the last line of its stdout that was no message: maybe why it ended
  std::size_t notes = 0;              ///< lines added to the server's log
  std::size_t unanswered = 0;         ///< notifications of ours that the server may yet complain about
  std::size_t abandoned = 0;          ///< calls given up, whose replies may yet come
  std::size_t strays = 0;             ///< replies that were nobody's
  std::optional<caf::actor_clock::time_point> progress_told;
  std::size_t unasked = 0, unasked_bytes = 0; ///< messages that answered nothing, of this window
  caf::actor_clock::time_point unasked_since;
  std::string flooded;      ///< why it was ended for good
  bool flood_known = false; ///< one who called was told so
  tool_list tools;
  std::map<std::string, std::string> original; ///< public name -> the server's own
};

using mcp_ptr = mcp_impl::stateful_pointer<mcp_state>;

/// Returns a sentence for an error. `text` may hold what the server said.
std::string about(mcp_ptr self, std::string text);

/// What a person needs to see why a server is gone; whether it wrote nothing to stderr may be of interest, too.
std::string last_words(mcp_ptr self, bool silence_counts);

/// Adds a line of ours to the server's log; a person who looks for a lost reply finds it there.
void note_line(mcp_ptr self, const std::string& text);

/// The connection is gone: whoever waits is told at once. `was_there`: with what the server said last and where the rest stands.
void fail_all(mcp_ptr self, ec code, std::string why, bool was_there);

/// One request will get no usable reply. Without the ones before the first call there is no connection.
void fail_request(mcp_ptr self, std::uint64_t id, const std::string& why);

/// The list is not to be had: a server that is up goes on with the one it gave before, for all but those who wait for the new one.
void fail_list(mcp_ptr self, ec code, const std::string& why);

/// "3 s", "300 ms"
std::string span(std::int64_t ms);

/// Sends what `make` makes of an id, and waits for its reply that long.
std::uint64_t send_request(mcp_ptr self, purpose why, std::int64_t limit_ms, const std::function<std::string(std::uint64_t)>& make);

void connect(mcp_ptr self);                    ///< starts the server, or reaches it, if that is not under way
void on_wait(mcp_ptr self, const mcp_wait& w); ///< says that it takes long, and goes on waiting
void ask_page(mcp_ptr self, const std::string& cursor);
void list_again(mcp_ptr self);                  ///< reads the list anew
void list_changed(mcp_ptr self);                ///< the list that was read is not the server's any more
void up(mcp_ptr self);                          ///< the list is complete
void notify(mcp_ptr self, std::string message); ///< sends what has no reply

/// Answers a request with the one reply that can only be its own, unless there were several.
void take_stray(mcp_ptr self, std::uint64_t id);

void on_text(mcp_ptr self, channel_text& t);

} // namespace conclave
