// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/engine_core.hpp"

#include "actors/host_sink.hpp"
#include "actors/leaving.hpp"
#include "actors/native_tool.hpp"
#include "actors/recorder.hpp"
#include "actors/resumer.hpp"
#include "app/environment.hpp"
#include "app/task_files.hpp"
#include "app/version.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/replay.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"
#include "transports/event_store_names.hpp"
#include "transports/home.hpp"
#include "transports/http_client.hpp"
#include "transports/process_owner.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <future>
#include <optional>
#include <utility>

namespace conclave {

namespace {

constexpr auto stop_limit = std::chrono::seconds(5);
/// Above every deadline of a task; the ledger ends it long before. CAF must never be given an infinite one.
constexpr auto task_limit = std::chrono::minutes(60 * 24 * 7);

/// Waits for the outcome so that no thread has to.
void wait_for(caf::event_based_actor* self, orchestrator_actor boss, question q, host_sink_actor sink) {
  self->request(boss, task_limit, std::move(q))
      .then(
          [self, sink](outcome& o) {
            self->send(sink, std::move(o));
            leave(self, caf::exit_reason::normal);
          },
          [self, sink](const caf::error& e) {
            outcome o;
            o.code = code_of(e);
            o.error = text_of(e);
            self->send(sink, std::move(o));
            leave(self, caf::exit_reason::normal);
          });
}

/// The log files have a lane of their own: a host that is slow, or blocks, keeps them from nothing. It takes the outcome first, so
/// that what went wrong with them is in it, and hands it on to `host`.
host_sink_actor spawn_log_lane(caf::actor_system& sys, std::shared_ptr<task_files> files, host_sink_actor host) {
  host_callbacks calls;
  calls.on_event = [files](const event& e) { files->on(e); };
  calls.on_done = [files, host](outcome o) {
    files->finish();
    if (auto problem = files->error(); !problem.empty())
      o.warnings.push_back("logs: " + problem);
    caf::anon_send(host, std::move(o));
  };
  return spawn_host_sink(sys, std::move(calls));
}

outcome refused(ec code, std::string reason) {
  outcome o;
  o.code = code;
  o.error = std::move(reason);
  return o;
}

/// A .env file that cannot be read was already reported by whoever loaded the configuration.
std::shared_ptr<environment> load_environment() {
  std::vector<problem> ignored;
  return std::make_shared<environment>(environment::load(ignored));
}

/// What the task is played by, as its log keeps it: no literal key.
std::string opening_of(const run_config& config, const question& q, const std::vector<placed_agent>& agents, opening o) {
  o.rules = config.rules;
  o.history = q.history;
  for (auto& a : agents) {
    o.agents.push_back(a.config);
    o.nodes.push_back(a.node_name);
  }
  o.cluster = config.cluster;
  std::error_code ignored;
  if (!config.source.empty())
    o.config_path = std::filesystem::absolute(config.source, ignored).string();
  o.build = version;
  o.on_unknown = config.on_unknown;
  mask_secrets(o);
  return to_json(o);
}

/// A task that has ended, taken apart; nothing if it is to be gone on with.
std::optional<ledger::restored> ended_task(event_store& store, const std::string& task) {
  std::string error;
  auto rows = store.list(error);
  auto row = std::find_if(rows.begin(), rows.end(), [&](const task_row& r) { return r.task == task; });
  if (row == rows.end() || row->outcome.empty())
    return {};
  std::vector<event> log;
  for (auto& stored : store.read(task, 0, error)) {
    event e;
    if (wire::from_json(stored.json, e))
      log.push_back(std::move(e));
  }
  return ledger::restore(log);
}

/// Every answer a task has, as a later one starts with.
std::vector<earlier_answer> answers_of(const ledger::state& s) {
  std::vector<earlier_answer> out;
  for (auto& m : s.members)
    for (auto& a : m.answers)
      out.push_back({m.id, a.label, a.text, a.epoch});
  std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.epoch < b.epoch; });
  return out;
}

tool_annotations notes_of(const native_tool& t) {
  tool_annotations out;
  out.read_only = t.read_only;
  out.idempotent = t.idempotent;
  out.destructive = !t.read_only;
  out.timeout_ms = t.timeout_ms;
  return out;
}

/// The first thing that keeps this configuration from running, or empty.
std::string cannot_run(const run_config& config) {
  for (auto& p : config.notes)
    if (p.severity != severity::warning)
      return to_string(p);
  for (auto& p : validate(config))
    if (p.severity != severity::warning)
      return to_string(p);
  return {};
}

} // namespace

std::shared_ptr<cancel_ear> cancel_ear::at(event_store& store, hearer tell) {
  auto ear = std::make_shared<cancel_ear>();
  ear->tell_ = std::move(tell);
  store.on_cancel([ear](const std::string& task, const std::string& reason) {
    std::lock_guard guard(ear->mutex_);
    if (ear->tell_)
      ear->tell_(task, reason);
  });
  return ear;
}

void cancel_ear::close() {
  std::lock_guard guard(mutex_);
  tell_ = nullptr;
}

outcome read_opening(event_store& store, const resume_request& request, opening& out) {
  std::promise<event_page> result;
  auto future = result.get_future();
  store.read(request.task, 0, 1, [&result](event_page p) { result.set_value(std::move(p)); });
  auto page = future.get();
  if (page.code != ec::none)
    return refused(page.code, page.error);
  event first;
  if (page.events.empty())
    return refused(ec::bad_request, "there is no task " + request.task);
  std::string error;
  if (!wire::from_json(page.events.front().json, first) || first.type != event_type::task_opened)
    return refused(ec::bad_request, "task " + request.task
                                        + " was written by an older conclave, which did not store what is needed to go on with it; "
                                          "see it: conclave show "
                                        + request.task);
  if (!from_json(first.detail, out, error) || !restore_secrets(out, request.team != nullptr ? *request.team : run_config{}, error))
    return refused(ec::bad_config, error);
  return {};
}

std::string new_task_id(const outside& from) {
  auto now = static_cast<std::time_t>(from.now_unix_ms() / 1000);
  std::tm tm{};
  gmtime_r(&now, &tm);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
  char random[16];
  std::snprintf(random, sizeof random, "%06x", from.random("task id") & 0xFFFFFFu);
  return std::string(stamp) + "-" + random;
}

void add_messages(caf::actor_system_config& config) {
  config.add_message_types<caf::id_block::conclave>();
}

engine_core::engine_core(caf::actor_system& sys, std::shared_ptr<event_store> store, engine_options options, node_finder find)
    : sys_(sys), store_(std::move(store)), options_(std::move(options)), find_(std::move(find)), env_(load_environment()) {
  node_resources r;
  r.http = std::make_shared<http_client>();
  r.env = [env = env_](const std::string& name) { return env->find(name); };
  r.sources = [env = env_](const std::string& name) { return env->source(name); };
  r.known.add_for_results(env_->known_secrets());
  std::string ignored;
  r.log_dir = options_.write_logs ? (options_.log_root.empty() ? log_dir("", ignored) : options_.log_root) : std::string{};
  r.tools_for_all = options_.tools_for_all;
  for (auto& tool : options_.tools)
    r.tools.emplace(tool.spec.name, [tool](caf::actor_system& s) {
      return spawn_native_tool(s, {tool.spec, notes_of(tool)}, tool.run);
    });
  node_ = spawn_node(sys_, std::move(r));
}

engine_core::~engine_core() {
  stop();
}

std::vector<placed_agent> engine_core::place(const run_config& config) {
  // Side by side: a host that does not answer takes its 3 s, and must not delay the others. Nodes without an agent are left alone.
  using found = std::pair<node_actor, std::string>;
  std::map<std::string, std::future<found>> joining;
  for (auto& [name, address] : config.cluster.nodes) {
    auto used = std::any_of(config.agents.begin(), config.agents.end(), [&, n = name](const auto& a) { return a.node == n; });
    if (used)
      joining.emplace(name, std::async(std::launch::async, [this, at = address] {
                        found f;
                        if (find_)
                          f.first = find_(at, f.second);
                        if (!f.first && f.second.empty())
                          f.second = "this engine has no cluster link";
                        return f;
                      }));
  }
  std::map<std::string, found> nodes;
  for (auto& [name, result] : joining)
    nodes[name] = result.get();
  std::vector<placed_agent> out;
  for (auto& a : config.agents) {
    placed_agent p{a, node_, "local", ""};
    if (!a.node.empty()) {
      auto& [node, error] = nodes[a.node];
      p.node = node;
      p.node_name = a.node;
      p.reason = error;
    }
    out.push_back(std::move(p));
  }
  return out;
}

bool engine_core::enter(const std::function<void(outcome)>& done) {
  std::unique_lock lock(register_->mutex);
  if (stopped_) {
    lock.unlock();
    done(refused(ec::cancelled, "the engine was stopped"));
    return false;
  }
  ++starting_;
  return true;
}

void engine_core::leave() {
  std::lock_guard lock(register_->mutex);
  --starting_;
  register_->idle.notify_all();
}

std::string engine_core::start(const run_config& config, const question& q, listener l, std::function<void(outcome)> done) {
  if (!enter(done))
    return {};
  struct mark {
    engine_core& of;
    ~mark() { of.leave(); }
  } until_started{*this};
  return launch(config, q, std::move(l), std::move(done), {});
}

engine_core::task_sinks engine_core::spawn_sinks(const std::string& task, listener l, std::function<void(outcome)> done,
                                                 const std::vector<event>& before) {
  std::shared_ptr<task_files> files;
  if (options_.write_logs) {
    std::string ignored;
    auto dir = options_.log_root.empty() ? log_dir(task, ignored) : options_.log_root + "/" + task;
    files = std::make_shared<task_files>(dir, task);
    for (auto& e : before)
      files->on(e);
  }
  host_callbacks calls;
  calls.on_event = std::move(l.on_event);
  calls.on_chunk = std::move(l.on_chunk);
  calls.on_done = [reg = register_, task, done = std::move(done)](outcome o) {
    // The host's callback first: once a task has left the register, an engine that is being stopped waits for it no more.
    struct leaving {
      register_of_tasks& of;
      const std::string& task;
      ~leaving() { of.finished(task); }
    } guard{*reg, task};
    o.task = task;
    done(std::move(o));
  };
  auto sink = spawn_host_sink(sys_, std::move(calls));
  task_sinks out;
  out.first = files ? spawn_log_lane(sys_, files, sink) : sink;
  out.host = caf::actor_cast<event_sink_actor>(sink);
  out.all.push_back(out.host);
  if (files)
    out.all.push_back(caf::actor_cast<event_sink_actor>(out.first));
  return out;
}

/// Spawns the actors of a task and asks the question; of a task that goes on it is not read.
void engine_core::begin(orchestrator_parts parts, const question& q, task_sinks sinks) {
  auto task = parts.task;
  parts.recorder = spawn_recorder(sys_, store_, task, parts.fence, this_process());
  parts.sinks = std::move(sinks.all);
  parts.chunks = find_ ? spawn_chunk_gate(sys_, sinks.host) : sinks.host;
  auto recorder = parts.recorder;
  auto boss = spawn_orchestrator(sys_, std::move(parts));
  {
    std::lock_guard guard(register_->mutex);
    register_->tasks[task] = {boss, recorder};
  }
  sys_.spawn(wait_for, boss, q, sinks.first);
}

std::string engine_core::launch(const run_config& config, const question& q, listener l, std::function<void(outcome)> done,
                                opening with) {
  auto task = new_task_id(outside_);
  auto error = cannot_run(config);
  if (!error.empty()) {
    done(refused(ec::bad_config, std::move(error)));
    return task;
  }
  orchestrator_parts parts;
  parts.outside = outside_;
  parts.task = task;
  parts.rules = config.rules;
  parts.agents = place(config);
  parts.on_unknown = config.on_unknown;
  parts.opening = opening_of(config, q, parts.agents, std::move(with));
  begin(std::move(parts), q, spawn_sinks(task, std::move(l), std::move(done), {}));
  return task;
}

std::string engine_core::resume(const resume_request& request, const opening& o, listener l, std::function<void(outcome)> done) {
  if (!enter(done))
    return {};
  run_config config;
  config.agents = o.agents;
  config.rules = o.rules;
  config.cluster = o.cluster;
  config.source = o.config_path;
  config.on_unknown = request.on_unknown.empty() ? o.on_unknown : request.on_unknown;
  auto ended = ended_task(*store_, request.task);
  if (ended) {
    struct mark {
      engine_core& of;
      ~mark() { of.leave(); }
    } until_started{*this};
    if (ended->error.empty() && ended->state.outcome != outcome_kind::answered) {
      opening next;
      next.continues = request.task;
      next.answers = answers_of(ended->state);
      return launch(config, {ended->state.question, o.history}, std::move(l), std::move(done), std::move(next));
    }
    done(ended->error.empty() ? ledger::to_outcome(ended->state, request.task) : refused(ec::bad_request, ended->error));
    return request.task;
  }
  orchestrator_parts parts;
  parts.outside = outside_;
  parts.task = request.task;
  parts.rules = o.rules;
  parts.on_unknown = config.on_unknown;
  parts.owner = owner_text(this_process());
  parts.agents = place(config); // before the claim: joining nodes takes its time
  resumer_parts r;
  r.task = request.task;
  r.store = store_;
  r.owner = this_process();
  r.done = [this, parts = std::move(parts), l = std::move(l), done = std::move(done)](resumed_task t) mutable {
    if (t.code != ec::none) {
      done(refused(t.code, std::move(t.error)));
    } else {
      parts.fence = t.fence;
      question q{t.from.log.question, std::move(t.opening.history)};
      parts.revived = std::make_shared<revived_task>(std::move(t.from));
      auto sinks = spawn_sinks(parts.task, std::move(l), std::move(done), t.log);
      begin(std::move(parts), q, std::move(sinks));
    }
    leave();
  };
  spawn_resumer(sys_, std::move(r));
  return request.task;
}

outcome engine_core::ask(const run_config& config, const question& q, const listener& l) {
  std::promise<outcome> result;
  auto future = result.get_future();
  start(config, q, l, [&result](outcome o) { result.set_value(std::move(o)); });
  return future.get();
}

void engine_core::cancel(const std::string& task, const std::string& reason) {
  std::lock_guard guard(register_->mutex);
  for (auto& [id, t] : register_->tasks)
    if (id == task || task.empty())
      caf::anon_send(t.boss, cancel_task{reason});
}

void engine_core::register_of_tasks::finished(const std::string& task) {
  std::lock_guard guard(mutex);
  auto i = tasks.find(task);
  if (i == tasks.end())
    return;
  caf::anon_send_exit(i->second.boss, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(i->second.recorder, caf::exit_reason::user_shutdown);
  tasks.erase(i);
  idle.notify_all();
}

void engine_core::stop() {
  std::unique_lock lock(register_->mutex);
  if (std::exchange(stopped_, true))
    return;
  register_->idle.wait(lock, [this] { return starting_ == 0; });
  lock.unlock();
  cancel("", "the engine is being stopped");
  lock.lock();
  auto empty = [this] { return register_->tasks.empty(); };
  register_->idle.wait_for(lock, stop_limit, empty);
  for (auto& [id, t] : register_->tasks) // gave no answer in time: their waiters get an error from the dying orchestrator
    caf::anon_send_exit(t.boss, caf::exit_reason::user_shutdown);
  register_->idle.wait_for(lock, stop_limit, empty);
  caf::anon_send_exit(node_, caf::exit_reason::user_shutdown);
  node_ = nullptr;
}

} // namespace conclave
