// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/mcp_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/tool_waits.hpp"

#include <algorithm>

namespace conclave {

namespace {

namespace mcp = wire::mcp;

constexpr std::size_t max_notes = 200; ///< lines of ours in a server's log

std::int64_t now_ms(mcp_ptr self) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(self->clock().now().time_since_epoch()).count();
}

} // namespace

std::string span(std::int64_t ms) {
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

std::uint64_t send_request(mcp_ptr self, purpose why, std::int64_t limit_ms,
                           const std::function<std::string(std::uint64_t)>& make) {
  auto& st = self->state;
  auto id = ++st.ids;
  st.open[id].why = why;
  if (!st.channel || !st.channel->send(make(id))) // if it ended, that is reported too, and says more
    self->delayed_send(self, std::chrono::seconds(2), mcp_tick{id, "takes no more requests: it does not read those that wait"});
  self->delayed_send(self, std::chrono::milliseconds(limit_ms), mcp_tick{id, {}});
  return id;
}

std::string about(mcp_ptr self, std::string text) {
  self->state.hide(text);
  return "MCP server '" + self->state.config.name + "' " + text;
}

void note_line(mcp_ptr self, const std::string& text) {
  auto& st = self->state;
  if (!st.channel || st.notes > max_notes)
    return;
  auto full = ++st.notes > max_notes;
  st.channel->note("[conclave] " + (full ? std::string("more lines like these are not noted") : text));
}

void fail_all(mcp_ptr self, ec code, std::string why, bool was_there) {
  auto& st = self->state;
  if (was_there)
    why += last_words(self, code == ec::unavailable);
  if (was_there && st.confined && st.now == link::connecting && code == ec::unavailable)
    why += server_walls_hint;
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

void fail_request(mcp_ptr self, std::uint64_t id, const std::string& why) {
  auto& st = self->state;
  auto i = st.open.find(id);
  if (i == st.open.end())
    return;
  if (i->second.why == purpose::list) {
    st.open.erase(i);
    return fail_list(self, ec::bad_reply, why);
  }
  if (i->second.why != purpose::call)
    return fail_all(self, ec::bad_reply, why, true);
  auto r = std::move(i->second);
  st.open.erase(i);
  auto log = st.stderr_path.empty() ? std::string{} : "; log: " + st.stderr_path;
  r.promise.deliver(make_error(ec::bad_reply, about(self, why + log)));
}

void notify(mcp_ptr self, std::string message) {
  auto& st = self->state;
  if (st.channel && st.channel->send(std::move(message)))
    ++st.unanswered;
}

namespace {

/// Public names, filters, notes about what was left out.
void publish(mcp_ptr self) {
  auto& st = self->state;
  mcp::tool_filter filter;
  filter.has_allowed = st.config.has_allowed_tools || st.has_allowed;
  filter.allowed = st.config.has_allowed_tools ? st.config.allowed_tools : st.allowed;
  filter.excluded = st.excluded;
  filter.expected = st.config.allowed_tools;
  for (auto* list : {&filter.excluded, &filter.expected})
    list->insert(list->end(), st.config.exclude_tools.begin(), st.config.exclude_tools.end());
  auto offered = st.found.offer(st.config.name, filter);
  offered.list.source = "MCP server '" + st.config.name + "'";
  // After a loss it may list other tools; whoever waits for this list has it, unless it came late.
  auto waited_for = !st.listing.empty() && self->clock().now() - st.since < tool_waits::patience;
  if (st.version && !st.tools.source.empty() && !waited_for && !(offered.list == st.tools))
    ++*st.version;
  st.tools = std::move(offered.list);
  st.original = std::move(offered.original);
}

void call(mcp_ptr self, open_request r) {
  auto& st = self->state;
  auto own = st.original.find(r.asked.call.name);
  if (own == st.original.end()) {
    r.promise.deliver(tool_result{r.asked.call.id,
                                  "Error: there is no tool named '" + r.asked.call.name + "' any more; "
                                      + std::to_string(st.original.size()) + " tools are available",
                                  true});
    return;
  }
  auto id = send_request(self, purpose::call, std::min(r.asked.timeout_ms, st.config.timeout_ms), [&](std::uint64_t n) {
    return mcp::call_tool(n, own->second, r.asked.call.arguments.empty() ? "{}" : r.asked.call.arguments);
  });
  st.first_call = std::min(st.first_call, id);
  st.open[id] = std::move(r);
}

} // namespace

void ask_page(mcp_ptr self, const std::string& cursor) {
  auto left = std::max<std::int64_t>(self->state.list_until_ms - now_ms(self), 1);
  send_request(self, purpose::list, left, [&](std::uint64_t id) { return mcp::list_tools(id, cursor); });
}

void list_changed(mcp_ptr self) {
  auto& st = self->state;
  st.stale = true;
  if (st.version)
    ++*st.version;
}

void fail_list(mcp_ptr self, ec code, const std::string& why) {
  auto& st = self->state;
  if (st.now != link::up)
    return fail_all(self, code, why, true);
  st.stale = true; // the next to ask has it tried again
  for (auto& p : std::exchange(st.listing, {}))
    p.deliver(make_error(code, about(self, why)));
  if (st.tell && self->clock().now() - st.since >= tool_waits::patience) // nobody waits any more
    st.tell(about(self, why + "; its tools are offered as they were"), false);
}

/// Only where no reading is under way, or two would be added up.
void list_again(mcp_ptr self) {
  auto& st = self->state;
  st.stale = false;
  st.found = {};
  st.since = self->clock().now();
  st.list_until_ms = now_ms(self) + tool_waits::step(st.config).count();
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
}

namespace {

void on_late(mcp_ptr self, const mcp_tick& t) {
  auto& st = self->state;
  auto i = st.open.find(t.request);
  if (i == st.open.end())
    return;
  if (t.stray)
    return take_stray(self, t.request);
  if (!t.why.empty())
    return fail_request(self, t.request, t.why);
  auto limit = span(tool_waits::step(st.config).count());
  if (i->second.why == purpose::list && !st.found.empty()) {
    st.found.cut("no more came within " + limit + " (startup_timeout_seconds)");
    st.open.erase(i);
    return up(self);
  }
  if (i->second.why == purpose::list) {
    st.open.erase(i);
    return fail_list(self, ec::unavailable, "did not list its tools within " + limit + " (startup_timeout_seconds)");
  }
  if (i->second.why != purpose::call)
    return fail_all(self, ec::unavailable, "did not start within " + limit + " (startup_timeout_seconds)", true);
  auto r = std::move(i->second);
  st.open.erase(i);
  ++st.abandoned;
  notify(self, mcp::cancelled(t.request, "timeout"));
  r.promise.deliver(make_error(ec::timeout, about(self, "gave no result of '" + r.asked.call.name + "' within "
                                                            + span(std::min(r.asked.timeout_ms, st.config.timeout_ms)))));
}

/// Gives the list as it is now. One that changed while it is read is given as it was read: its version says that there is another.
caf::result<tool_list> on_list(mcp_ptr self) {
  auto& st = self->state;
  if (st.now == link::up && !st.stale && st.listing.empty())
    return st.tools;
  auto again = st.now == link::up && st.listing.empty();
  st.listing.push_back(self->template make_response_promise<tool_list>());
  if (again)
    list_again(self);
  else
    connect(self);
  return caf::delegated<tool_list>{};
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

/// What waits for it gets an error result: the server is not lost, and may be started again.
void end_calls(mcp_ptr self, const std::string& why) {
  auto& st = self->state;
  note_line(self, why);
  auto text = "Error: " + about(self, "was ended. " + why);
  for (auto& [id, r] : st.open)
    if (r.why == purpose::call)
      r.promise.deliver(tool_result{r.asked.call.id, text, true});
  for (auto& r : st.queued)
    r.promise.deliver(tool_result{r.asked.call.id, text, true});
  std::erase_if(st.open, [](auto& x) { return x.second.why == purpose::call; });
  st.queued.clear();
}

/// The run that it works for is over, or about to be kept, or its folders are too full: another is started when it is needed.
caf::result<server_ended> on_end(mcp_ptr self, const std::string& why) {
  auto& st = self->state;
  if (st.now != link::down && !why.empty())
    end_calls(self, why);
  if (st.now != link::down)
    fail_all(self, ec::cancelled, "was ended with its run", false);
  if (st.alive.empty())
    return server_ended{};
  st.ending.push_back(self->template make_response_promise<server_ended>());
  return caf::delegated<server_ended>{};
}

void on_gone(mcp_ptr self, std::uint64_t generation) {
  auto& st = self->state;
  st.alive.erase(generation);
  if (st.alive.empty())
    for (auto& p : std::exchange(st.ending, {}))
      p.deliver(server_ended{});
}

mcp_impl::behavior_type mcp_server(mcp_ptr self, std::shared_ptr<outside> from, mcp_server_config config, lookup env,
                                   std::string stderr_path, bool has_allowed, std::vector<std::string> allowed,
                                   std::vector<std::string> excluded, mcp_teller tell, list_version version,
                                   std::shared_ptr<const known_secrets> known, wall_actor walls) {
  auto& st = self->state;
  st.outside = std::move(from);
  st.config = std::move(config);
  st.env = std::move(env);
  st.stderr_path = std::move(stderr_path);
  st.has_allowed = has_allowed;
  st.allowed = std::move(allowed);
  st.excluded = std::move(excluded);
  st.tell = std::move(tell);
  st.version = std::move(version);
  st.known = std::move(known);
  st.walls = std::move(walls);
  self->set_exit_handler([self](caf::exit_msg& m) {
    fail_all(self, ec::cancelled, "is being closed", false);
    self->quit(m.reason);
  });
  return {
      [self](list_tools) { return on_list(self); },
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
          ++s.abandoned;
          notify(self, mcp::cancelled(i->first, "cancelled"));
          i->second.promise.deliver(tool_result{a.call.id, "Error: cancelled", true});
          i = s.open.erase(i);
        }
      },
      [self](channel_text& t) { on_text(self, t); },
      [self](const channel_closed& c) {
        if (c.generation == self->state.generation)
          fail_all(self, c.code == ec::none ? ec::unavailable : c.code, c.why, c.was_there);
      },
      [self](const channel_gone& c) { on_gone(self, c.generation); },
      [self](const mcp_tick& t) { on_late(self, t); },
      [self](const mcp_wait& w) { on_wait(self, w); },
      [self](const end_server& e) { return on_end(self, e.why); },
  };
}

} // namespace

tool_source_actor spawn_mcp_server(caf::actor_system& sys, std::shared_ptr<outside> from, mcp_server_config config, lookup env,
                                   std::string stderr_path, bool has_allowed, std::vector<std::string> allowed,
                                   std::vector<std::string> excluded, mcp_teller tell, list_version version,
                                   std::shared_ptr<const known_secrets> known, wall_actor walls) {
  return sys.spawn(mcp_server, std::move(from), std::move(config), std::move(env), std::move(stderr_path), has_allowed,
                   std::move(allowed), std::move(excluded), std::move(tell), std::move(version), std::move(known),
                   std::move(walls));
}

} // namespace conclave
