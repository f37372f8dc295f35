// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Tool servers of an agent's own, which run in the sandbox of its workspace. One is started with the grants of the run that needs
// it; it ends before the files of an answer are kept, and when the next run begins.

#include "actors/workspace_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/foreign_calls.hpp"

#include <caf/all.hpp>

#include <utility>

namespace conclave {

namespace {

/// A server has been killed long before, if it did not end by itself.
constexpr auto end_limit = std::chrono::seconds(15);

} // namespace

caf::result<server_walls> workspace_state::walls(const ask_walls& a) {
  if (!parts.tier)
    return make_error(ec::bad_config, "nothing on this machine confines it (see: conclave sandbox); `sandbox: off` in the "
                                      "server's entry runs it unconfined");
  if (a.server.empty() || a.server.find('/') != std::string::npos || a.server.front() == '.')
    return make_error(ec::bad_config, "its name is no name of a folder");
  auto promise = self->make_response_promise<server_walls>();
  if (held)
    held_servers.push_back([this, a, promise] { give_walls(a, promise); });
  else
    give_walls(a, promise);
  return caf::delegated<server_walls>{};
}

void workspace_state::give_walls(const ask_walls& a, caf::typed_response_promise<server_walls> promise) {
  servers[a.server] = a.who;
  watch_servers();
  struct found {
    std::string fault;
    path_policy::rules rules;
    std::vector<std::string> hidden, closed, guarded;
    bool fresh = false;
  };
  auto now = std::make_shared<found>();
  auto home = workspace_paths::server_home(parts.place, a.server);
  auto first = !laid_out;
  auto begun = on_disk(
      false,
      [files = files, now, home, first, by_grants = parts.tier == sandbox_tier::landlock] {
        now->fault = files->disk.lay_out(home, now->fresh);
        if (first) {
          now->rules = files->disk.rules();
          files->disk.find_secrets(now->hidden, now->closed, by_grants);
          now->guarded = files->disk.find_protected();
        }
      },
      [this, now, home, first, promise]() mutable {
        if (first && !laid_out) {
          rules = std::move(now->rules);
          hidden = std::move(now->hidden);
          closed = std::move(now->closed);
          guarded = std::move(now->guarded);
          laid_out = true;
          fresh = now->fresh;
        }
        if (!now->fault.empty()) {
          promise.deliver(make_error(ec::unavailable, now->fault));
          return;
        }
        server_walls out;
        out.launcher = parts.launcher;
        out.work = workspace_paths::work(parts.place);
        out.profile = profile_of(*this, *parts.tier);
        out.profile.env.clear();
        out.profile.home = home;
        out.profile.network = true;
        out.profile.server = true;
        promise.deliver(std::move(out));
      },
      [promise]() mutable { promise.deliver(make_error(ec::cancelled, "its task is over")); });
  if (!begun)
    promise.deliver(make_error(ec::unavailable, "the system gives no thread for the files of the agent"));
}

caf::result<call_ruling> workspace_state::ruling(const ask_ruling& a) {
  auto denied = [tool = a.tool](const path_policy::verdict& v) {
    return call_ruling{workspace_tools::error_text(tool, {v.code, v.text})};
  };
  if (a.run != of.run || a.task != of.task)
    return denied({path_policy::denial::hook_failed, SIZE_MAX, "", "the run is over"});
  auto promise = self->make_response_promise<call_ruling>();
  auto out = std::make_shared<call_ruling>();
  auto begun = on_disk(
      true,
      [out, denied, a, rules = rules, files = files, flag = cancel,
       work = a.base.empty() ? workspace_paths::work(parts.place) : a.base] {
        if (a.adds)
          if (auto amount = files->disk.measure(flag.get()); !amount.over.empty()) {
            *out = denied({path_policy::denial::size, SIZE_MAX, "", amount.over + room_advice});
            return;
          }
        std::string where;
        auto v = judge_foreign(rules, work, a.paths, where);
        if (v.ok())
          return;
        v.text += " (argument " + path_policy::shown(where) + ")";
        if (v.code == path_policy::denial::readonly && a.guessed)
          v.text += "; that this tool only reads, `tool_policies` in the configuration can say";
        *out = denied(v);
      },
      [promise, out]() mutable { promise.deliver(std::move(*out)); },
      [promise, denied]() mutable {
        promise.deliver(denied({path_policy::denial::hook_failed, SIZE_MAX, "", "the run is over"}));
      });
  if (!begun)
    return denied({path_policy::denial::hook_failed, SIZE_MAX, "", "the system gives no thread to look at its paths"});
  return caf::delegated<call_ruling>{};
}

void workspace_state::end_servers(const std::string& why) {
  for (auto& [of_server, who] : std::exchange(servers, {})) {
    ++servers_ending;
    auto gone = [this] {
      --servers_ending;
      maybe_quiet();
    };
    self->request(who, end_limit, end_server{why}).then([gone](server_ended) { gone(); }, [gone](const caf::error&) { gone(); });
  }
}

void workspace_state::release() {
  held = false;
  for (auto& go : std::exchange(held_servers, {}))
    go();
}

} // namespace conclave
