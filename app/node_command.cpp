// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/node_command.hpp"

#include "actors/node.hpp"
#include "app/engine_core.hpp"
#include "app/environment.hpp"
#include "app/node_log.hpp"
#include "app/version.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/key_route.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/child_process.hpp"
#include "transports/home.hpp"
#include "transports/node_link.hpp"
#include "transports/outside.hpp"
#include "transports/process_room.hpp"

#include <caf/all.hpp>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <unistd.h>

namespace conclave {

namespace {

struct node_config : caf::actor_system_config {
  node_config() {
    add_messages(*this);
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", scheduler_threads(0));
    set("scheduler.max-throughput", std::size_t{100});
  }
};

/// The text may quote the command line or a file: it must not drive the terminal.
int complain(const std::string& text, int code) {
  std::fprintf(stderr, "conclave node: %s\n", for_terminal(text).c_str());
  return code;
}

/// Waits for the first signal and returns it; a second one ends the process as soon as its children have ended. Meanwhile the log
/// says now and then what it left out.
int wait_for_signal(const std::shared_ptr<node_log>& log, const std::shared_ptr<node_load>& load) {
  sigset_t set;
  sigemptyset(&set);
  for (auto s : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&set, s);
  int got = 0;
  const timespec pause{node_log::settle_every.count(), 0};
  while ((got = sigtimedwait(&set, nullptr, &pause)) < 0)
    log->settle();
  outside::of_machine()->start_thread("signals", [set, log, load] {
    int again = 0;
    sigwait(&set, &again);
    auto tasks = [&load] {
      std::lock_guard guard{load->mutex};
      return load->tasks;
    }();
    log->keep(
        {note_weight::trouble,
         "node_ended",
         {{"version", version}, {"why", std::string("SIG") + ::sigabbrev_np(again) + ": it waits no longer"}, {"tasks", tasks}}});
    log->finish();
    child_process::end_all();
    _exit(4);
  });
  return got;
}

std::string shown_address(const std::string& host, std::uint16_t port) {
  auto v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]:" : host + ":") + std::to_string(port);
}

/// The names of the keys this node has, never a value.
std::string keys_found(const environment& env) {
  std::string out;
  for (auto& name : known_key_names())
    if (auto* value = env.find(name); value != nullptr && value->find_first_not_of(" \t\r\n") != std::string::npos)
      out += (out.empty() ? "" : ",") + name;
  return out.empty() ? "none" : out;
}

/// Lets the tasks end that are here, for so long; callers are told that no new one is taken.
void let_tasks_end(node_load& load, const node_options& options, int signal, node_log& log) {
  load.ending = true;
  std::unique_lock lock{load.mutex};
  log.keep({note_weight::info,
            "node_ending",
            {{"signal", std::string("SIG") + ::sigabbrev_np(signal)},
             {"tasks", load.tasks},
             {"grace_seconds", load.tasks > 0 ? note_value::seconds(options.grace_ms) : note_value("")}}});
  load.changed.wait_for(lock, std::chrono::milliseconds(options.grace_ms), [&load] { return load.tasks == 0; });
}

link_identity identity_of(const node_options& options, std::string& error) {
  auto tls = options.tls;
  tls.insecure_loopback = options.insecure_loopback;
  auto me = load_link_identity(tls, error);
  me.build = version;
  return me;
}

} // namespace

int run_node(const node_options& options) {
  std::string error;
  auto me = identity_of(options, error);
  if (!error.empty())
    return complain(error, 1);
  if (error = lack_of_room(0); !error.empty())
    return complain(error, 2);
  node_config config;
  configure_link(config);
  std::vector<problem> problems;
  auto env = std::make_shared<environment>(environment::load(problems));
  if (!options.quiet)
    for (auto& p : problems)
      complain(to_string(p), 0);
  if (auto astray = env->target_faults(); !astray.empty())
    return complain(to_string(astray.front()), 1);
  auto log = std::make_shared<node_log>(options.json, options.quiet     ? note_weight::trouble
                                                      : options.verbose ? note_weight::detail
                                                                        : note_weight::info);
  auto system = std::make_unique<caf::actor_system>(config);
  auto& sys = *system;
  node_resources resources;
  resources.http = resources.outside->open_http({});
  resources.env = [env](const std::string& name) { return env->find(name); };
  resources.sources = [env](const std::string& name) { return env->source(name); };
  resources.known = env->known_secrets();
  resources.log_dir = log_dir("", error);
  resources.note = [log](const node_note& n) { log->keep(n); };
  resources.callers = std::make_shared<caller_book>();
  resources.peers = peer_book(sys);
  auto load = resources.load = std::make_shared<node_load>();
  auto lent = resources;
  auto node = spawn_node(sys, std::move(resources));
  auto door = spawn_door(sys, node, version, lent);
  error.clear();
  auto opened = publish_door(sys, door, options.host, options.port, me, error, lent.note);
  if (opened.port() == 0) {
    caf::anon_send_exit(door, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(node, caf::exit_reason::user_shutdown);
    return complain(error, 2);
  }
  if (options.insecure_loopback && !options.quiet)
    std::fprintf(stderr, "conclave node: warning: no TLS; every user of this machine may use this node and its keys\n");
  auto address = shown_address(options.host, opened.port());
  if (!options.json) {
    std::printf("listening on %s\n", address.c_str());
    std::fflush(stdout);
  }
  log->keep({note_weight::info,
             "listening",
             {{"address", address},
              {"version", version},
              {"protocol", protocol_max},
              {"oldest_protocol", protocol_min == protocol_max ? note_value("") : note_value(protocol_min)},
              {"authority", me.tls ? me.authority : "none"},
              {"keys", keys_found(*env)}}});
  let_tasks_end(*load, options, wait_for_signal(log, load), *log);
  caf::anon_send_exit(door, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(node, caf::exit_reason::user_shutdown);
  door = nullptr;
  node = nullptr;
  lent.peers = nullptr;
  opened = open_door{};
  system.reset();
  log->settle();
  log->keep({note_weight::info, "node_ended", {{"version", version}}});
  log->finish();
  return 0;
}

int check_node(const node_options& options) {
  std::string error;
  auto me = identity_of(options, error);
  auto address = shown_address(options.host, options.port);
  welcome said;
  node_actor node;
  if (error.empty()) {
    node_config config;
    configure_link(config);
    caf::actor_system sys{config};
    node = join_node(sys, address, me, error, &said);
    said.node = nullptr;
    auto ok = static_cast<bool>(node);
    node = nullptr;
    if (ok)
      error.clear();
    else if (error.empty())
      error = "node " + address + " gives no reason";
  }
  auto protocol = said.version > 0 ? std::to_string(said.version) : std::string{};
  auto authority = me.tls ? me.authority : std::string("none");
  if (options.json)
    std::printf("{\"node\":%s,\"ok\":%s,\"version\":%s,\"protocol\":%s,\"authority\":%s,\"error\":%s}\n",
                wire::quote(address).c_str(), error.empty() ? "true" : "false", wire::quote(said.build).c_str(),
                protocol.empty() ? "null" : protocol.c_str(), wire::quote(authority).c_str(), wire::quote(error).c_str());
  else if (error.empty())
    std::printf("node %s: ok, conclave %s, protocol %s, authority %s\n", address.c_str(),
                for_terminal(shown_text(said.build)).c_str(), protocol.c_str(), authority.c_str());
  if (!error.empty())
    return options.json ? 1 : complain(error, 1);
  return 0;
}

} // namespace conclave
