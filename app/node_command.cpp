// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/node_command.hpp"

#include "actors/node.hpp"
#include "app/engine_core.hpp"
#include "app/environment.hpp"
#include "app/version.hpp"
#include "protocols/prompts.hpp"
#include "transports/child_process.hpp"
#include "transports/home.hpp"
#include "transports/http_client.hpp"
#include "transports/node_link.hpp"
#include "transports/thread_room.hpp"

#include <caf/all.hpp>

#include <csignal>
#include <cstdio>
#include <thread>
#include <unistd.h>

namespace conclave {

namespace {

std::size_t scheduler_threads() {
  return std::max<std::size_t>(std::thread::hardware_concurrency(), 2);
}

struct node_config : caf::actor_system_config {
  node_config() {
    add_messages(*this);
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", scheduler_threads());
    set("scheduler.max-throughput", std::size_t{100});
  }
};

/// The text may quote the command line or a file: it must not drive the terminal.
int complain(const std::string& text, int code) {
  std::fprintf(stderr, "conclave node: %s\n", prompts::for_terminal(text).c_str());
  return code;
}

/// Waits for the first signal; a second one ends the process as soon as its children have ended.
void wait_for_signal() {
  sigset_t set;
  sigemptyset(&set);
  for (auto s : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&set, s);
  int got = 0;
  sigwait(&set, &got);
  std::thread([set] {
    int again = 0;
    sigwait(&set, &again);
    child_process::end_all();
    _exit(4);
  }).detach();
}

} // namespace

int run_node(const node_options& options) {
  auto tls = options.tls;
  tls.insecure_loopback = options.insecure_loopback;
  std::string error;
  auto me = load_link_identity(tls, error);
  if (!error.empty())
    return complain(error, 1);
  if (error = lack_of_threads(scheduler_threads() + threads_beside_scheduler); !error.empty())
    return complain(error, 2);
  node_config config;
  configure_link(config);
  std::vector<problem> problems;
  auto env = std::make_shared<environment>(environment::load(problems));
  if (!options.quiet)
    for (auto& p : problems)
      complain(to_string(p), 0);
  caf::actor_system sys{config};
  node_resources resources;
  resources.http = std::make_shared<http_client>();
  resources.env = [env](const std::string& name) { return env->find(name); };
  resources.sources = [env](const std::string& name) { return env->source(name); };
  resources.log_dir = log_dir("", error);
  auto node = spawn_node(sys, std::move(resources));
  auto door = spawn_door(sys, node, version);
  error.clear();
  auto opened = publish_door(sys, door, options.host, options.port, me, error);
  if (opened.port() == 0) {
    caf::anon_send_exit(door, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(node, caf::exit_reason::user_shutdown);
    return complain(error, 2);
  }
  if (options.insecure_loopback && !options.quiet)
    std::fprintf(stderr, "conclave node: warning: no TLS; every user of this machine may use this node and its keys\n");
  auto v6 = options.host.find(':') != std::string::npos;
  std::printf("listening on %s%s%s:%u\n", v6 ? "[" : "", options.host.c_str(), v6 ? "]" : "", static_cast<unsigned>(opened.port()));
  std::fflush(stdout);
  wait_for_signal();
  caf::anon_send_exit(door, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(node, caf::exit_reason::user_shutdown);
  door = nullptr;
  node = nullptr;
  return 0;
}

} // namespace conclave
