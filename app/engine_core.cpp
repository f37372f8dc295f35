// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/engine_core.hpp"

#include "actors/leaving.hpp"
#include "actors/native_tool.hpp"
#include "actors/recorder.hpp"
#include "actors/workspace.hpp"
#include "app/attachments.hpp"
#include "app/carried_files.hpp"
#include "app/environment.hpp"
#include "app/left_workspaces.hpp"
#include "app/task_branch.hpp"
#include "app/version.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/text.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/event_store.hpp"
#include "transports/event_store_names.hpp"
#include "transports/home.hpp"
#include "transports/process_owner.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <chrono>
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
void wait_for(caf::event_based_actor* self, orchestrator_actor boss, question q, std::function<void(outcome)> end) {
  self->request(boss, task_limit, std::move(q))
      .then(
          [self, end](outcome& o) {
            end(std::move(o));
            leave(self, caf::exit_reason::normal);
          },
          [self, end](const caf::error& e) {
            outcome o;
            o.code = code_of(e);
            o.error = text_of(e);
            end(std::move(o));
            leave(self, caf::exit_reason::normal);
          });
}

/// A .env file that cannot be read was already reported by whoever loaded the configuration.
std::shared_ptr<environment> load_environment() {
  std::vector<problem> ignored;
  return std::make_shared<environment>(environment::load(ignored));
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

engine_core::engine_core(caf::actor_system& sys, std::shared_ptr<event_store> store, std::shared_ptr<event_hub> hub,
                         engine_options options, node_finder find, taped on)
    : sys_(sys), store_(std::move(store)), hub_(std::move(hub)), options_(std::move(options)), outside_(outside_of(options_)),
      find_(std::move(find)), env_(load_environment()), on_(std::move(on)) {
  register_->hub = hub_;
  register_->turns = on_.turns;
  node_resources r;
  r.outside = outside_;
  r.disk = disk_ = outside_->open_lanes("disk", disk_threads);
  r.http = outside_->open_http(hub_);
  r.env = [env = env_](const std::string& name) { return env->find(name); };
  r.sources = [env = env_](const std::string& name) { return env->source(name); };
  r.known = env_->known_secrets();
  std::string ignored;
  r.log_dir = options_.write_logs ? (options_.log_root.empty() ? log_dir("", ignored) : options_.log_root) : std::string{};
  r.home = home_dir(ignored);
  std::error_code code; // paths of workspaces are compared with what the kernel finds, so no link may be on the way
  if (auto real = std::filesystem::canonical(r.home, code); !code)
    r.home = real.string();
  home_ = r.home;
  remove_left_workspaces(r.home, [this] {
    std::string none;
    return store_->list(none);
  });
  sandbox_ = r.sandbox = std::make_shared<sandbox_finder>(outside_, r.home + "/work");
  if (on_.tape)
    attach_tape(r);
  r.tools_for_all = options_.tools_for_all;
  for (auto& tool : options_.tools)
    r.tools.emplace(tool.spec.name, [tool, from = outside_](caf::actor_system& s, const workspace_actor& files) {
      listed_tool listed{tool.spec, notes_of(tool)};
      return tool.run ? spawn_native_tool(s, from, std::move(listed), tool.run)
                      : spawn_native_tool(s, from, std::move(listed), tool.run_with_files, files_of(files));
    });
  node_ = spawn_node(sys_, std::move(r));
}

engine_core::~engine_core() {
  stop();
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
  auto whole = q;
  // Of the machine itself, and before a recording begins: what was read is part of the task.
  file_access by{[] { return outside::of_machine()->open_http({}); },
                 options_.loopback_files ? reachable::public_and_self : reachable::public_only};
  if (auto why = read_attachments(config, whole, by); !why.empty()) {
    done(refused(ec::bad_config, std::move(why)));
    return {};
  }
  auto settled = config;
  if (auto fault = settle(settled); !fault.empty()) {
    done(refused(ec::bad_config, std::move(fault)));
    return {};
  }
  if (!on_.turns)
    return launch(settled, whole, std::move(l), std::move(done), {});
  std::string task;
  on_.turns->inside([&] { task = launch(settled, whole, std::move(l), std::move(done), {}); });
  return task;
}

std::string engine_core::settle(run_config& config) {
  auto fault = settle_folders(config.agents);
  if (fault.empty())
    fault = find_sandbox(config.agents);
  if (!fault.empty())
    return fault;
  find_repositories(config.agents);
  workspace_paths::without_presenter(config);
  return measure_folders(config.agents);
}

std::string engine_core::find_sandbox(const std::vector<agent_config>& agents) {
  for (auto& a : agents) {
    auto& w = a.backend.workspace;
    if (w.cwd.empty() || !a.node.empty())
      continue;
    if (!needs_sandbox(a.backend))
      continue;
    for (auto& folder : w.readable) // no command would begin
      if (std::error_code e; !std::filesystem::exists(folder, e))
        return "sandbox.readable: " + shown_text(folder, 4'096) + " of agent '" + a.id + "' is not there";
    if (auto found = sandbox_->find(sandbox_mode_of(w.sandbox)); !found.usable)
      return "agent '" + a.id + "' is to run "
             + (w.commands ? "commands (`enable_mcp_command_line`)"
                           : "tool servers in the sandbox (`sandbox: off` in a server's entry runs it without)")
             + ": " + found.error;
  }
  return {};
}

std::function<void(outcome)> engine_core::warning_unconfined(const std::vector<agent_config>& agents,
                                                             std::function<void(outcome)> done) const {
  for (auto& a : agents)
    if (auto mode = sandbox_mode_of(a.backend.workspace.sandbox);
        a.node.empty() && mode == sandbox_mode::automatic && needs_sandbox(a.backend))
      if (auto found = sandbox_->known(mode); found && found->usable && found->tier == sandbox_tier::off)
        return [text = "sandbox: " + found->error, done = std::move(done)](outcome o) {
          o.warnings.insert(o.warnings.begin(), text);
          done(std::move(o));
        };
  return done;
}

/// Spawns the actors of a task and asks the question; of a task that goes on it is not read.
void engine_core::begin(orchestrator_parts parts, const question& q, readers to) {
  auto task = parts.task;
  running r;
  r.host = std::move(to.host);
  r.consent = std::move(to.consent);
  r.recorder = parts.recorder = spawn_recorder(sys_, store_, task, parts.fence, this_process());
  r.events = spawn_event_door(sys_, hub_, task);
  parts.sinks = {r.events};
  r.chunks = parts.chunks = spawn_chunk_door(sys_, hub_, task);
  auto boss = r.boss = spawn_orchestrator(sys_, std::move(parts));
  {
    std::lock_guard guard(register_->mutex);
    register_->tasks[task] = std::move(r);
  }
  if (on_.tape)
    to.end = [store = store_, tape = on_.tape, task, end = std::move(to.end)](outcome o) {
      if (auto note = end_tape(*store, *tape, task); !note.empty())
        o.warnings.push_back(std::move(note));
      end(std::move(o));
    };
  sys_.spawn(wait_for, boss, q, std::move(to.end));
}

std::string engine_core::launch(const run_config& config, const question& q, listener l, std::function<void(outcome)> done,
                                opening with, const std::function<void(std::string)>& tell) {
  if (on_.turns)
    start_tape();
  auto task = outside_->new_task_id();
  auto error = cannot_run(config);
  if (auto astray = options_.play ? std::vector<problem>{} : env_->target_faults(); error.empty() && !astray.empty())
    error = to_string(astray.front());
  if (!error.empty()) {
    done(refused(ec::bad_config, std::move(error)));
    return task;
  }
  done = warning_unconfined(config.agents, std::move(done));
  orchestrator_parts parts;
  parts.outside = outside_;
  parts.task = task;
  parts.rules = config.rules;
  parts.price = prices_of(config.models);
  parts.agents = place_agents(config, node_, find_, *outside_);
  parts.on_unknown = config.on_unknown;
  parts.seed = with.seed = outside_->seed("orchestrator " + task);
  const carrying_task into{home_, task, parts.seed, config.agents};
  auto carries = !with.answers.empty();
  std::vector<std::string> gone;
  if (auto fault = carries ? carry_files(with.answers, into, gone) : std::string{}; !fault.empty()) {
    drop_carried_files(into);
    done(refused(ec::unavailable, std::move(fault)));
    return task;
  }
  if (tell)
    std::for_each(gone.begin(), gone.end(), tell);
  else if (!gone.empty())
    done = [gone, done = std::move(done)](outcome o) {
      o.warnings.insert(o.warnings.begin(), gone.begin(), gone.end());
      done(std::move(o));
    };
  if (on_.tape)
    with.build = on_.tape->build(version);
  auto whole = opening_of(config, q, parts.agents, std::move(with));
  if (on_.tape)
    whole.folder = on_.tape->folder(whole.folder);
  if (auto fault = on_.tape ? begin_tape(task, whole, q) : std::string{}; !fault.empty()) {
    done(refused(ec::bad_request, std::move(fault)));
    return task;
  }
  secrets known;
  if (!on_.tape) // who plays it has no such environment, and gets the same log; the recording tells of each place
    known = env_->known_secrets();
  mask_secrets(whole, &known);
  parts.attachments = whole.attachments;
  for (auto& a : whole.attachments)
    a.data.clear(); // bodies of the log hold it
  parts.opening = to_json(whole);
  if (std::any_of(parts.agents.begin(), parts.agents.end(),
                  [](auto& x) { return workspace_paths::written_in_place(x.config.backend.workspace); }))
    done = telling_in_place(store_, std::move(done));
  if (auto to = open_lanes(task, q.text, std::move(l), std::move(done), {}); to.host)
    begin(std::move(parts), q, std::move(to));
  else if (carries)
    drop_carried_files(into);
  return task;
}

outcome engine_core::ask(const run_config& config, const question& q, const listener& l) {
  std::promise<outcome> result;
  auto future = result.get_future();
  start(config, q, l, [&result](outcome o) { result.set_value(std::move(o)); });
  return future.get();
}

void engine_core::cancel(const std::string& task, const std::string& reason) {
  auto act = [reg = register_, task, reason] {
    std::lock_guard guard(reg->mutex);
    reg->cancel(task, reason);
  };
  if (!on_.turns)
    return act();
  on_.turns->post([tape = on_.tape, reason, act] { tape->cancel(reason, act); });
}

void engine_core::register_of_tasks::send(std::function<void()> what) const {
  if (turns && !turns->here())
    turns->post(std::move(what));
  else
    what();
}

void engine_core::register_of_tasks::cancel(const std::string& task, const std::string& reason) {
  for (auto& [id, t] : tasks)
    if (id == task || task.empty()) {
      caf::anon_send(t.boss, cancel_task{reason});
      if (t.consent)
        t.consent->give_up(reason.empty() ? "the task was cancelled" : reason);
    }
  for (auto& [id, asked] : arriving)
    if (id == task || task.empty())
      asked = reason;
}

void engine_core::end_all(const running& r) {
  caf::anon_send_exit(r.boss, caf::exit_reason::user_shutdown);
  for (auto& door : {r.events, r.chunks})
    caf::anon_send_exit(door, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(r.recorder, caf::exit_reason::user_shutdown);
}

void engine_core::register_of_tasks::finished(const std::string& task) {
  running gone;
  {
    std::lock_guard guard(mutex);
    auto i = tasks.find(task);
    if (i == tasks.end())
      return;
    gone = std::move(i->second);
    tasks.erase(i);
    idle.notify_all();
  }
  send([gone] { end_all(gone); });
  hub->end_watch(gone.host, {});
}

std::string engine_core::stop() {
  std::unique_lock lock(register_->mutex);
  if (std::exchange(stopped_, true))
    return {};
  register_->idle.wait(lock, [this] { return starting_ == 0; });
  lock.unlock();
  cancel("", "the engine is being stopped");
  lock.lock();
  auto empty = [this] { return register_->tasks.empty(); };
  register_->idle.wait_for(lock, stop_limit, empty);
  for (auto& [id, t] : register_->tasks) // gave no answer in time: their waiters get an error from the dying orchestrator
    register_->send([boss = t.boss] { caf::anon_send_exit(boss, caf::exit_reason::user_shutdown); });
  register_->idle.wait_for(lock, stop_limit, empty);
  for (auto& [id, t] : std::exchange(register_->tasks, {})) // their host is in a callback and does not come back
    register_->send([last = t] { end_all(last); });
  register_->send([node = node_] { caf::anon_send_exit(node, caf::exit_reason::user_shutdown); });
  node_ = nullptr;
  lock.unlock();
  // Workspaces that end tell what they have under way to stop; a disk that does not answer is waited for no longer.
  std::string left;
  for (auto& owner : disk_->close(stop_limit))
    left += (left.empty() ? "" : ", ") + owner;
  return left.empty()
             ? left
             : "the disk gave no answer within " + std::to_string(stop_limit.count()) + " s and is waited for no longer: " + left;
}

} // namespace conclave
