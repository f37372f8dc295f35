// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/mcp_server.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/secrets.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/mcp.hpp"
#include "transports/mcp_channel.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <map>

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
};
struct mcp_tick {
  std::uint64_t request = 0; ///< a call's deadline
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::channel_text)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::channel_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::mcp_tick)

namespace conclave {

namespace {

namespace mcp = wire::mcp;
using mcp_impl = tool_source_actor::extend<caf::reacts_to<channel_text>, caf::reacts_to<channel_closed>, caf::reacts_to<mcp_tick>>;

constexpr std::int64_t connect_ms = 30'000;
constexpr std::size_t max_tools = 1000, max_pages = 100;

/// What a request of ours was for.
enum class purpose : std::uint8_t { initialize, list, call };

struct open_request {
  purpose why = purpose::call;
  tool_invocation asked;
  caf::typed_response_promise<tool_result> promise;
};

enum class link : std::uint8_t { down, connecting, up };

struct mcp_state {
  mcp_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "mcp_server";
  mcp_server_config config;
  lookup env;
  std::string stderr_path;
  bool has_allowed = false;
  std::vector<std::string> allowed, excluded;
  secrets hidden; ///< what the server was told and must not repeat in its errors
  std::unique_ptr<mcp_channel> channel;
  std::uint64_t generation = 0, ids = 0;
  link now = link::down;
  std::map<std::uint64_t, open_request> open;
  std::vector<caf::typed_response_promise<tool_list>> listing; ///< who waits for the list
  std::vector<open_request> queued;                            ///< calls that wait for the connection
  std::vector<mcp::listed_tool> found;
  std::size_t pages = 0;
  bool stale = false; ///< the list changed while it was being read
  tool_list tools;
  std::map<std::string, std::string> original; ///< public name -> the server's own
};

using mcp_ptr = mcp_impl::stateful_pointer<mcp_state>;

/// Returns a sentence for an error. `text` may hold what the server said.
std::string about(mcp_ptr self, std::string text) {
  self->state.hidden.hide(text);
  return "MCP server '" + self->state.config.name + "' " + text;
}

std::uint64_t send_request(mcp_ptr self, purpose why, std::int64_t limit_ms,
                           const std::function<std::string(std::uint64_t)>& make) {
  auto& st = self->state;
  auto id = ++st.ids;
  st.open[id].why = why;
  if (st.channel)
    st.channel->send(make(id)); // a closed channel reports itself
  self->delayed_send(self, std::chrono::milliseconds(limit_ms), mcp_tick{id});
  return id;
}

/// The connection is gone: whoever waits is told at once.
void fail_all(mcp_ptr self, ec code, const std::string& why) {
  auto& st = self->state;
  st.now = link::down;
  st.stale = false;
  ++st.generation;
  if (st.channel)
    st.channel->close();
  st.channel.reset();
  auto error = make_error(code, about(self, why));
  for (auto& p : st.listing)
    p.deliver(error);
  for (auto& [id, r] : st.open)
    if (r.why == purpose::call)
      r.promise.deliver(error);
  for (auto& r : st.queued)
    r.promise.deliver(error);
  st.listing.clear();
  st.open.clear();
  st.queued.clear();
}

/// Expands the variables of args and env; only what the configuration names, never what is inherited. Notes which values are
/// secret.
std::string resolve(mcp_ptr self, mcp_server_config& c) {
  auto& st = self->state;
  st.hidden = {};
  auto env = [&st](const std::string& name) {
    auto* value = st.env ? st.env(name) : nullptr;
    if (value != nullptr)
      st.hidden.add_variable(name, *value);
    return value;
  };
  std::string missing;
  for (std::size_t i = 1; i < c.command.size(); ++i)
    if (!expand(c.command[i], env, missing))
      return missing;
  for (auto* values : {&c.env, &c.headers})
    for (auto& [key, value] : *values)
      if (expand(value, env, missing))
        st.hidden.add_named(key, value);
      else
        return missing;
  return expand(c.cwd, env, missing) && expand(c.url, env, missing) ? std::string{} : missing;
}

void connect(mcp_ptr self) {
  auto& st = self->state;
  if (st.now != link::down)
    return;
  auto config = st.config;
  if (auto missing = resolve(self, config); !missing.empty())
    return fail_all(self, ec::bad_config, "needs variable " + missing + ", which is not set");
  st.now = link::connecting;
  auto generation = ++st.generation;
  auto weak = caf::actor_cast<caf::actor_addr>(self);
  auto post = [weak](auto msg) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(weak))
      caf::anon_send(caf::actor_cast<mcp_impl>(strong), std::move(msg));
  };
  mcp_channel::callbacks cb;
  cb.on_message = [post, generation](std::string text) { post(channel_text{generation, std::move(text)}); };
  cb.on_close = [post, generation](ec code, std::string why) { post(channel_closed{generation, code, std::move(why)}); };
  if (!st.hidden.empty())
    cb.clean_log = [hidden = st.hidden](std::string& text) { hidden.hide(text); };
  std::string error;
  st.channel = open_mcp_channel(config, st.stderr_path, std::move(cb), error);
  if (!st.channel)
    return fail_all(self, ec::bad_config, "cannot be used: " + error);
  send_request(self, purpose::initialize, connect_ms, mcp::initialize);
}

void ask_page(mcp_ptr self, const std::string& cursor) {
  send_request(self, purpose::list, connect_ms, [&](std::uint64_t id) { return mcp::list_tools(id, cursor); });
}

bool names(const std::vector<std::string>& list, const std::string& own, const std::string& shown) {
  return std::find(list.begin(), list.end(), own) != list.end() || std::find(list.begin(), list.end(), shown) != list.end();
}

/// Public names, filters, notes about what was left out.
void publish(mcp_ptr self) {
  auto& st = self->state;
  st.tools = {};
  st.original.clear();
  st.tools.source = "mcp server " + st.config.name;
  auto& allow = st.config.has_allowed_tools ? st.config.allowed_tools : st.allowed;
  auto filtered = st.config.has_allowed_tools || st.has_allowed;
  std::vector<std::string> seen;
  for (auto& t : st.found) {
    auto shown = mcp::public_name(st.config.name, t.name);
    if (shown.empty()) {
      st.tools.notes.push_back("a tool has a name that cannot be offered and is left out");
      continue;
    }
    for (int n = 2; st.original.count(shown) > 0 && n < 10; ++n)
      shown = mcp::public_name(st.config.name, t.name).substr(0, 62) + "_" + std::to_string(n);
    seen.push_back(t.name);
    seen.push_back(shown);
    if ((filtered && !names(allow, t.name, shown)) || names(st.config.exclude_tools, t.name, shown)
        || names(st.excluded, t.name, shown))
      continue;
    st.original[shown] = t.name;
    st.tools.tools.push_back({shown, t.description, t.schema});
    if (t.read_only)
      st.tools.read_only.push_back(shown);
  }
  for (auto* list : {&st.config.allowed_tools, &st.config.exclude_tools})
    for (auto& entry : *list)
      if (std::find(seen.begin(), seen.end(), entry) == seen.end())
        st.tools.notes.push_back("filter entry '" + entry + "' matches no tool");
}

void call(mcp_ptr self, open_request r) {
  auto& st = self->state;
  auto own = st.original.find(r.asked.call.name);
  if (own == st.original.end()) {
    r.promise.deliver(tool_result{
        r.asked.call.id,
        "Error: no tool named '" + r.asked.call.name + "'; " + std::to_string(st.original.size()) + " tools are available", true});
    return;
  }
  auto id = send_request(self, purpose::call, std::min(r.asked.timeout_ms, st.config.timeout_ms), [&](std::uint64_t n) {
    return mcp::call_tool(n, own->second, r.asked.call.arguments.empty() ? "{}" : r.asked.call.arguments);
  });
  st.open[id] = std::move(r);
}

/// Reads the list anew; one reading at a time, or two would be added up (and a flood of notices would pile up requests).
void list_again(mcp_ptr self) {
  auto& st = self->state;
  for (auto& [id, r] : st.open)
    if (r.why == purpose::list) {
      st.stale = true;
      return;
    }
  st.stale = false;
  st.found.clear();
  st.pages = 0;
  ask_page(self, {});
}

void up(mcp_ptr self) {
  auto& st = self->state;
  publish(self);
  st.now = link::up;
  for (auto& p : st.listing)
    p.deliver(st.tools);
  st.listing.clear();
  auto queued = std::move(st.queued);
  st.queued.clear();
  for (auto& r : queued)
    call(self, std::move(r));
  if (st.stale)
    list_again(self);
}

void on_listed(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  auto page = mcp::read_tools(m.payload);
  if (m.kind == mcp::kind::error || !page.valid)
    return fail_all(self, ec::bad_reply, "did not list its tools" + (m.message.empty() ? std::string{} : ": " + m.message));
  for (auto& t : page.tools)
    if (st.found.size() < max_tools)
      st.found.push_back(std::move(t));
  if (!page.next.empty() && ++st.pages < max_pages && st.found.size() < max_tools)
    return ask_page(self, page.next);
  up(self);
}

void on_reply(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  auto i = st.open.find(m.id);
  if (i == st.open.end())
    return; // late or unknown
  auto r = std::move(i->second);
  st.open.erase(i);
  if (r.why == purpose::initialize) {
    std::string version;
    if (m.kind == mcp::kind::error)
      return fail_all(self, ec::bad_reply, "refused to start: " + m.message);
    auto known = mcp::read_initialized(m.payload, version);
    st.hidden.hide(version); // before the cut
    if (!known)
      return fail_all(self, ec::version_mismatch,
                      "speaks protocol version '" + version.substr(0, 40) + "', which is not known here");
    st.channel->send(mcp::initialized());
    st.found.clear();
    st.pages = 0;
    return ask_page(self, {});
  }
  if (r.why == purpose::list)
    return on_listed(self, m);
  auto out = m.kind == mcp::kind::error ? tool_result{"", "Error: " + m.message, true} : mcp::read_result(m.payload);
  if (out.is_error) // what succeeded is the tool's answer and stays as it is
    st.hidden.hide(out.text);
  out.id = r.asked.call.id;
  r.promise.deliver(std::move(out));
}

void on_text(mcp_ptr self, const channel_text& t) {
  auto& st = self->state;
  if (t.generation != st.generation || !st.channel)
    return;
  auto m = mcp::read(t.text, st.hidden);
  switch (m.kind) {
  case mcp::kind::response:
  case mcp::kind::error:
    return on_reply(self, m);
  case mcp::kind::request:
    st.channel->send(m.method == "ping" ? mcp::result(m.id_json) : mcp::method_not_found(m.id_json));
    return;
  case mcp::kind::notification:
    if (m.method == "notifications/tools/list_changed" && st.now == link::up)
      list_again(self);
    return;
  default:
    return; // no JSON-RPC: skipped
  }
}

void on_late(mcp_ptr self, std::uint64_t id) {
  auto& st = self->state;
  auto i = st.open.find(id);
  if (i == st.open.end())
    return;
  if (i->second.why != purpose::call)
    return fail_all(self, ec::timeout, "did not answer within " + std::to_string(connect_ms / 1000) + " s");
  auto r = std::move(i->second);
  st.open.erase(i);
  if (st.channel)
    st.channel->send(mcp::cancelled(id, "timeout"));
  r.promise.deliver(
      make_error(ec::timeout, about(self, "gave no result of '" + r.asked.call.name + "' within "
                                              + std::to_string(std::min(r.asked.timeout_ms, st.config.timeout_ms) / 1000) + " s")));
}

caf::result<tool_result> on_invocation(mcp_ptr self, tool_invocation& i) {
  auto& st = self->state;
  auto writes = i.call.name.find("write_file") != std::string::npos || i.call.name.find("edit_file") != std::string::npos;
  if (auto problem = i.call.arguments.empty() ? std::string{} : mcp::check_arguments(i.call.arguments, writes); !problem.empty())
    return tool_result{i.call.id, "Error: invalid arguments: " + problem, true};
  open_request r{purpose::call, std::move(i), self->template make_response_promise<tool_result>()};
  if (st.now == link::up) {
    call(self, std::move(r));
  } else {
    st.queued.push_back(std::move(r));
    connect(self);
  }
  return caf::delegated<tool_result>{};
}

mcp_impl::behavior_type mcp_server(mcp_ptr self, mcp_server_config config, lookup env, std::string stderr_path, bool has_allowed,
                                   std::vector<std::string> allowed, std::vector<std::string> excluded) {
  auto& st = self->state;
  st.config = std::move(config);
  st.env = std::move(env);
  st.stderr_path = std::move(stderr_path);
  st.has_allowed = has_allowed;
  st.allowed = std::move(allowed);
  st.excluded = std::move(excluded);
  self->set_exit_handler([self](caf::exit_msg& m) {
    fail_all(self, ec::cancelled, "is being closed");
    self->quit(m.reason);
  });
  return {
      [self](list_tools) -> caf::result<tool_list> {
        if (self->state.now == link::up)
          return self->state.tools;
        self->state.listing.push_back(self->template make_response_promise<tool_list>());
        connect(self);
        return caf::delegated<tool_list>{};
      },
      [self](tool_invocation& i) { return on_invocation(self, i); },
      [self](const cancel_tools& c) {
        auto& s = self->state;
        // One that still waits for the connection must not run later.
        for (auto i = s.queued.begin(); i != s.queued.end();) {
          auto& a = i->asked;
          if (a.task != c.task || a.agent != c.agent || a.run != c.run) {
            ++i;
            continue;
          }
          i->promise.deliver(tool_result{a.call.id, "Error: cancelled", true});
          i = s.queued.erase(i);
        }
        for (auto i = s.open.begin(); i != s.open.end();) {
          auto& a = i->second.asked;
          if (i->second.why != purpose::call || a.task != c.task || a.agent != c.agent || a.run != c.run) {
            ++i;
            continue;
          }
          if (s.channel)
            s.channel->send(mcp::cancelled(i->first, "cancelled"));
          i->second.promise.deliver(tool_result{a.call.id, "Error: cancelled", true});
          i = s.open.erase(i);
        }
      },
      [self](const channel_text& t) { on_text(self, t); },
      [self](const channel_closed& c) {
        if (c.generation == self->state.generation)
          fail_all(self, c.code == ec::none ? ec::unavailable : c.code, c.why);
      },
      [self](const mcp_tick& t) { on_late(self, t.request); },
  };
}

} // namespace

tool_source_actor spawn_mcp_server(caf::actor_system& sys, mcp_server_config config, lookup env, std::string stderr_path,
                                   bool has_allowed, std::vector<std::string> allowed, std::vector<std::string> excluded) {
  return sys.spawn(mcp_server, std::move(config), std::move(env), std::move(stderr_path), has_allowed, std::move(allowed),
                   std::move(excluded));
}

} // namespace conclave
