// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// How an MCP connection begins, and what is said of one that has ended.

#include "actors/mcp_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/key_route.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/wire/http_reply.hpp"
#include "transports/child_command.hpp"
#include "transports/home.hpp"

#include <algorithm>

namespace conclave {

namespace {

namespace mcp = wire::mcp;

constexpr std::size_t max_quote = 160; ///< bytes of the server's last words in a sentence
constexpr auto first_wait = std::chrono::seconds(5), next_wait = std::chrono::seconds(10);

std::int64_t seconds_of(std::chrono::milliseconds x) {
  return (x.count() + 500) / 1000;
}

/// The last line that says something, and the last that names an error if that is another one: programs like to end on a stack, a
/// version or a hint where to read more.
std::string telling_lines(std::string text, const mcp_state& st) {
  st.hide(text);
  std::string last, error;
  for (std::size_t from = 0; from < text.size();) {
    auto lf = std::min(text.find_first_of("\r\n", from), text.size());
    auto line = wire::brief(std::string_view(text).substr(from, lf - from), max_quote);
    from = lf + 1;
    auto begin = line.find_first_not_of(' ');
    if (begin == std::string::npos || std::none_of(line.begin(), line.end(), [](unsigned char c) { return std::isalnum(c) != 0; }))
      continue;
    last = line.substr(begin);
    for (auto* word : {"rror", "ERR", "xception", "fatal", "FATAL", "anic", "denied", "not found"})
      if (last.find(word) != std::string::npos)
        error = last;
  }
  return error.empty() || error == last ? last : error + " ... " + last;
}

/// Expands the variables of args and env; only what the configuration names, never what is inherited. Notes which values are
/// secret.
std::string resolve(mcp_ptr self, mcp_server_config& c) {
  auto& st = self->state;
  st.hidden = {};
  std::string cleaned;
  auto env = [&](const std::string& name) -> const std::string* {
    auto* value = st.env ? st.env(name) : nullptr;
    if (value == nullptr)
      return nullptr;
    cleaned = *value;
    if (may_be_secret(name, cleaned))
      clean_key(cleaned); // a line feed or quotes around a token: its server would only say that it is wrong
    st.hidden.add_variable(name, cleaned);
    return &cleaned;
  };
  std::string missing;
  for (std::size_t i = 1; i < c.command.size(); ++i)
    if (!expand(c.command[i], env, missing))
      return missing;
  for (auto& [key, value] : c.env)
    if (expand(value, env, missing))
      st.hidden.add_server_variable(key, value);
    else
      return missing;
  for (auto& [key, value] : c.headers)
    if (expand(value, env, missing))
      st.hidden.add_named(key, value);
    else
      return missing;
  if (!expand(c.cwd, env, missing) || !expand(c.url, env, missing))
    return missing;
  backend_config whole;
  whole.mcp_servers = {c};
  add_secrets(whole, st.hidden); // also what stands in arguments
  return {};
}

/// Expands `~` in the paths of a server. Returns what is wrong, or empty.
std::string resolve_home(mcp_server_config& c) {
  auto fault = expand_home(c.cwd);
  return fault.empty() && !c.command.empty() ? expand_home(c.command.front()) : fault;
}

} // namespace

std::string last_words(mcp_ptr self, bool silence_counts) {
  auto& st = self->state;
  auto said = st.channel ? telling_lines(st.channel->last_words(), st) : std::string{};
  auto out = !said.empty()        ? "; its last words: \"" + said + "\""
             : !silence_counts    ? ""
             : st.skipped.empty() ? "; it wrote nothing to stderr"
                                  : "; it wrote nothing to stderr, the last line of its stdout is " + st.skipped;
  return st.stderr_path.empty() ? out : out + "; log: " + st.stderr_path;
}

namespace {

/// Starts what `config` says, within the walls if there are some.
void start(mcp_ptr self, mcp_server_config config, const server_walls* walls) {
  auto& st = self->state;
  std::string opening;
  st.confined = walls != nullptr && walls->profile.tier != sandbox_tier::off;
  if (walls != nullptr)
    if (auto fault = confine(config, *walls, safe_environment(), opening); !fault.empty())
      return fail_all(self, ec::bad_config, "cannot be started: " + fault, false);
  auto generation = st.generation;
  auto weak = caf::actor_cast<caf::actor_addr>(self);
  auto post = [weak](auto msg) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(weak))
      caf::anon_send(caf::actor_cast<mcp_impl>(strong), std::move(msg));
  };
  mcp_channel::callbacks cb;
  cb.on_message = [post, generation](std::string text) { post(channel_text{generation, std::move(text)}); };
  cb.on_close = [post, generation](ec code, std::string why, bool was_there) {
    post(channel_closed{generation, code, std::move(why), was_there});
  };
  cb.on_gone = [post, generation] { post(channel_gone{generation}); };
  cb.clean_log = [hidden = st.hidden, known = st.known](std::string& text) { hide(text, hidden, known); };
  std::string error;
  st.channel = open_mcp_channel(*st.outside, config, st.stderr_path, std::move(cb), error, opening);
  if (!st.channel)
    return fail_all(self, ec::bad_config, "cannot be used: " + error, false);
  st.alive.insert(generation);
  send_request(self, purpose::initialize, tool_waits::step(st.config).count(), mcp::initialize);
  if (st.tell)
    self->delayed_send(self, first_wait, mcp_wait{generation});
}

} // namespace

void connect(mcp_ptr self) {
  auto& st = self->state;
  if (st.now != link::down)
    return;
  // The first call to learn of it is reported as a lost source; the model reads the same of every later one.
  if (!st.flooded.empty())
    return fail_all(self, std::exchange(st.flood_known, true) ? ec::denied : ec::bad_reply, st.flooded, false);
  auto config = st.config;
  if (auto missing = resolve(self, config); !missing.empty())
    return fail_all(self, ec::bad_config, "needs variable " + missing + ", which is not set", false);
  if (auto fault = resolve_home(config); !fault.empty())
    return fail_all(self, ec::bad_config, "cannot be started: " + fault, false);
  st.now = link::connecting;
  st.notes = st.unanswered = st.abandoned = st.strays = st.unasked = st.unasked_bytes = 0;
  st.skipped.clear();
  st.progress_told.reset();
  st.since = self->clock().now();
  auto generation = ++st.generation;
  if (!st.walls)
    return start(self, std::move(config), nullptr);
  self->request(st.walls, tool_waits::workspace, ask_walls{config.name, caf::actor_cast<confined_server_actor>(self)})
      .then(
          [self, generation, config](const server_walls& w) {
            if (self->state.generation == generation)
              start(self, config, &w);
          },
          [self, generation](const caf::error& e) {
            if (self->state.generation == generation)
              fail_all(self, code_of(e), "cannot be started: " + text_of(e), false);
          });
}

void on_wait(mcp_ptr self, const mcp_wait& w) {
  auto& st = self->state;
  if (w.generation != st.generation || st.now != link::connecting)
    return;
  auto listing = std::any_of(st.open.begin(), st.open.end(), [](auto& r) { return r.second.why == purpose::list; });
  auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(self->clock().now() - st.since);
  st.tell(about(self, std::string(listing ? "is still listing its tools" : "is still starting") + ", "
                          + std::to_string(seconds_of(waited)) + " s so far (at most " + span(tool_waits::step(st.config).count())
                          + ", startup_timeout_seconds)"),
          false);
  self->delayed_send(self, next_wait, mcp_wait{w.generation});
}

} // namespace conclave
