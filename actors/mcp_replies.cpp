// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What an MCP server says. A reply that cannot be read or matched must not leave its request waiting for the time limit of a call:
// it is given to the request it can only belong to, or fails it, and the server's log says so.

#include "actors/mcp_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/http_reply.hpp"

#include <algorithm>

namespace conclave {

namespace {

namespace mcp = wire::mcp;

/// A line that may have been a reply: the proper one, if it is yet to come, comes right after.
constexpr auto grace = std::chrono::seconds(2);
constexpr auto stray_grace = std::chrono::milliseconds(50); ///< a server that sends replies without end sends the next at once

/// More than this in one window is a flood: tens of times what a server with a busy progress bar or a chatty log sends.
constexpr auto flood_window = std::chrono::seconds(10);
constexpr std::size_t flood_messages = 10'000;
constexpr std::size_t flood_bytes = std::size_t{64} << 20;

/// A person need not read of progress oftener.
constexpr auto progress_every = std::chrono::seconds(1);

/// A server that sent more replies than this that were nobody's mixes its ids up in a way that cannot be mended.
constexpr std::size_t max_strays = 8;

void on_listed(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  auto page = mcp::read_tools(m.payload);
  if (m.kind == mcp::kind::error || !page.valid) {
    auto why = m.message.empty() ? std::string("its reply has no list `tools`") : m.message;
    if (st.found.empty())
      return fail_list(self, ec::bad_reply, "did not list its tools: " + why);
    st.found.cut("the next page failed: " + why);
    return up(self);
  }
  auto next = st.found.add(std::move(page));
  if (next.empty())
    up(self);
  else
    ask_page(self, next);
}

void on_initialized(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  if (m.kind == mcp::kind::error)
    return fail_all(self, ec::bad_reply, "refused to start: " + m.message, true);
  std::string version;
  auto known = mcp::read_initialized(m.payload, version);
  st.hidden.hide(version); // before the cut
  if (!known)
    return fail_all(self, ec::version_mismatch,
                    version.empty() ? "names no protocol version"
                                    : "speaks protocol version '" + version.substr(0, 40) + "', which is not known here",
                    false);
  notify(self, mcp::initialized());
  list_again(self);
}

void give(mcp_ptr self, std::map<std::uint64_t, open_request>::iterator i, const mcp::incoming& m) {
  auto& st = self->state;
  auto r = std::move(i->second);
  st.open.erase(i);
  if (r.why == purpose::initialize)
    return on_initialized(self, m);
  if (r.why == purpose::list)
    return on_listed(self, m);
  auto out = m.kind == mcp::kind::error ? tool_result{"", "Error: " + m.message, true} : mcp::read_result(m.payload);
  if (out.is_error) // may repeat what it was told; of what succeeded its guard takes out what is secret by name
    admit(out, st.hidden);
  out.id = r.asked.call.id;
  r.promise.deliver(std::move(out));
}

/// Whether a result has the shape of the replies to these requests.
bool fits(const open_request& r, const std::string& payload) {
  std::string ignored;
  switch (r.why) {
  case purpose::initialize:
    return mcp::read_initialized(payload, ignored) || !ignored.empty();
  case purpose::list:
    return mcp::read_tools(payload).valid;
  default:
    return payload.find("\"content\"") != std::string::npos || payload.find("\"structuredContent\"") != std::string::npos;
  }
}

/// Every request that is open fails: one of them lost its reply, and none says which.
void fail_open(mcp_ptr self, const std::string& why) {
  std::vector<std::uint64_t> ids;
  for (auto& [id, r] : self->state.open)
    ids.push_back(id);
  for (auto id : ids)
    fail_request(self, id, why);
}

/// The request that a reply without a usable id can only belong to: the one that is open, if none was given up and the server does
/// not send replies that are nobody's all the time.
std::map<std::uint64_t, open_request>::iterator only_open(mcp_ptr self) {
  auto& st = self->state;
  return st.open.size() == 1 && st.abandoned == 0 && st.strays <= max_strays ? st.open.begin() : st.open.end();
}

/// The reply of a request seems lost: it fails unless the proper one comes within a moment. Once is enough for each.
void doubt(mcp_ptr self, std::uint64_t id, open_request& r, const std::string& why) {
  if (!std::exchange(r.doubted, true))
    self->delayed_send(self, grace, mcp_tick{id, why});
}

/// A reply without an id, or with one that was never sent. An error may also be about a notification, to which there is no reply,
/// but some servers send one.
void on_unmatched(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  auto is_error = m.kind == mcp::kind::error;
  auto what = std::string(is_error ? "an error " : "a result ") + (m.nameless ? "without an id" : "with an id that was never sent")
              + (is_error ? ": " + m.message : std::string{});
  auto only = only_open(self);
  auto fitting = !is_error && std::any_of(st.open.begin(), st.open.end(), [&](const auto& x) { return fits(x.second, m.payload); });
  if (only != st.open.end() && fitting) {
    auto& r = only->second;
    if (!r.stray) {
      note_line(self, what + "; taken as the reply to the only open request, unless more of them come");
      r.stray = m;
      return self->delayed_send(self, stray_grace, mcp_tick{only->first, {}, true});
    }
    note_line(self, what);
    ++st.strays;
    r.many_strays = true;
    return doubt(self, only->first, r, "sent more than one result for one call, and none with its id");
  }
  auto of_notice =
      st.unanswered > 0 && (is_error ? m.code == -32601 || m.message.find("notifications/") != std::string::npos : !fitting);
  if (of_notice || st.open.empty()) {
    st.unanswered -= of_notice ? 1 : 0;
    st.strays += of_notice ? 0 : 1;
    return note_line(self, what + "; ignored, it answers a notification or nothing");
  }
  if (!m.nameless) { // ids mixed up, or one reply too many: the proper one comes right after, or never
    note_line(self, what);
    ++st.strays;
    for (auto& [id, r] : st.open)
      doubt(self, id, r, "sent " + what + ", and nothing else");
    return;
  }
  note_line(self, what + (only != st.open.end() ? "; it ends the only open request" : "; it ends all open requests"));
  if (only != st.open.end())
    give(self, only, m);
  else
    fail_open(self, "sent " + what + ", so that it is not known which of the calls under way it ends");
}

void on_reply(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  auto i = st.open.find(m.id);
  if (i != st.open.end())
    return give(self, i, m);
  if (m.id == 0 || m.id > st.ids)
    return on_unmatched(self, m);
  auto over = "a reply to request " + std::to_string(m.id) + ", which is over: ";
  // A server that answers everything with the id of its start; a reply to a call that comes twice must not pass for another's.
  auto only = m.id < st.first_call && m.kind == mcp::kind::response ? only_open(self) : st.open.end();
  if (only != st.open.end() && fits(only->second, m.payload)) {
    note_line(self, over + "taken as the reply to the only open request");
    return give(self, only, m);
  }
  st.strays += st.abandoned > 0 ? 0 : 1;
  st.abandoned -= st.abandoned > 0 ? 1 : 0;
  note_line(self, over + "late, or sent twice");
}

/// A line, or a part of one, that says nothing we can read.
void on_unreadable(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  note_line(self, m.lost == mcp::lost_reply::no ? "skipped a line of its stdout; " + m.message
                                                : "what may be a reply cannot be read; " + m.message);
  if (m.lost == mcp::lost_reply::no) {
    st.skipped = m.message.substr(std::min(m.message.find('"'), m.message.size()));
    return;
  }
  auto why = "sent a reply that cannot be read; " + m.message;
  if (st.open.count(m.id) > 0)
    return fail_request(self, m.id, why);
  if (m.id > 0 || st.open.empty())
    return; // of a request that is over
  if (m.lost == mcp::lost_reply::certain)
    return fail_open(self, why);
  if (st.open.size() == 1)
    doubt(self, st.open.begin()->first, st.open.begin()->second, why);
}

bool is_listing(mcp_ptr self) {
  auto& open = self->state.open;
  return std::any_of(open.begin(), open.end(), [](auto& r) { return r.second.why == purpose::list; });
}

/// How far a call is, for a person: now and then, whatever a server sends.
void on_progress(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  auto call = st.open.find(m.id);
  auto now = self->clock().now();
  if (!st.tell || m.message.empty() || call == st.open.end() || call->second.why != purpose::call
      || (st.progress_told && now - *st.progress_told < progress_every))
    return;
  st.progress_told = now;
  st.tell(about(self, "is at work on '" + call->second.asked.call.name + "': " + m.message), false);
}

void on_message(mcp_ptr self, const mcp::incoming& m) {
  auto& st = self->state;
  switch (m.kind) {
  case mcp::kind::response:
  case mcp::kind::error:
    return on_reply(self, m);
  case mcp::kind::request:
    st.channel->send(m.method == "ping" ? mcp::result(m.id_json) : mcp::method_not_found(m.id_json));
    return;
  case mcp::kind::notification:
    if (m.method == "notifications/tools/list_changed" && (st.now == link::up || is_listing(self)))
      list_changed(self);
    else if (m.method == mcp::progress_method)
      on_progress(self, m);
    return;
  default:
    return on_unreadable(self, m);
  }
}

/// A server that floods is ended, and started no more: it would do the same again with every call.
void end_flood(mcp_ptr self, const std::string& what) {
  auto& st = self->state;
  auto why = "was ended: it sent " + std::to_string(st.unasked) + " messages (" + std::to_string(st.unasked_bytes >> 10)
             + " KiB) that nobody asked for within " + std::to_string(flood_window.count()) + " s, the last was " + what
             + "; it is not started again in this task: mend it, or take it out of `mcp_servers`";
  auto calling = std::any_of(st.open.begin(), st.open.end(), [](auto& r) { return r.second.why == purpose::call; });
  st.flood_known = calling || !st.listing.empty() || !st.queued.empty();
  st.flooded = why + last_words(self, false);
  if (st.tell)
    st.tell(about(self, st.flooded), true);
  if (st.tell && !st.flood_known) // else the call that fails of it says so
    st.tell(about(self, st.flooded), false);
  fail_all(self, ec::bad_reply, st.flooded, false);
}

/// What a message is, for a sentence about it.
std::string kind_of(const mcp::incoming& m) {
  switch (m.kind) {
  case mcp::kind::response:
    return "a result";
  case mcp::kind::error:
    return "an error";
  case mcp::kind::request:
  case mcp::kind::notification:
    return "'" + wire::brief(m.method, 60) + "'";
  default:
    return "no message";
  }
}

/// What answers nothing we asked: a server may say a lot of it, but not without end. Returns whether it is too much.
bool floods(mcp_ptr self, std::size_t messages, std::size_t bytes) {
  auto& st = self->state;
  auto now = self->clock().now();
  if (now - st.unasked_since > flood_window) {
    st.unasked_since = now;
    st.unasked = st.unasked_bytes = 0;
  }
  st.unasked_bytes += bytes;
  st.unasked += std::max<std::size_t>(messages, 1);
  return st.unasked > flood_messages || st.unasked_bytes > flood_bytes;
}

} // namespace

void take_stray(mcp_ptr self, std::uint64_t id) {
  auto i = self->state.open.find(id);
  if (i == self->state.open.end() || !i->second.stray || i->second.many_strays)
    return;
  auto reply = std::move(*i->second.stray);
  give(self, i, reply);
}

void on_text(mcp_ptr self, channel_text& t) {
  auto& st = self->state;
  auto gone = [&] { return t.generation != st.generation || !st.channel; }; // also when one of its messages ended the connection
  if (gone())
    return;
  auto bytes = t.text.size();
  auto open = st.open.size() + st.listing.size();
  auto messages = mcp::read_line(t.text, st.hidden);
  std::string{}.swap(t.text); // it may be as large as all that is made of it
  for (auto& m : messages) {
    if (gone())
      return;
    on_message(self, m);
  }
  if (gone())
    return;
  st.channel->consumed(bytes); // not before: what is being read costs as much again
  if (st.open.size() + st.listing.size() >= open && floods(self, messages.size(), bytes))
    end_flood(self, messages.empty() ? "a blank line" : kind_of(messages.back()));
}

} // namespace conclave
