// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/engine.hpp"

#include "actors/event_hub.hpp"
#include "app/engine_caf.hpp"
#include "app/engine_core.hpp"
#include "app/version.hpp"
#include "transports/cassette_player.hpp"
#include "transports/cassette_recorder.hpp"
#include "transports/event_store.hpp"
#include "transports/home.hpp"
#include "transports/node_link.hpp"
#include "transports/process_room.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <condition_variable>
#include <future>

namespace conclave {

namespace {

/// Scheduler: sharing instead of stealing (no polling when idle), and a bounded throughput per actor (no starvation).
struct system_config : caf::actor_system_config {
  explicit system_config(std::size_t threads) {
    add_messages(*this);
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", scheduler_threads(threads));
    set("scheduler.max-throughput", std::size_t{100});
  }
};

std::shared_ptr<event_store> open_store(const engine_options& o, std::string& error) {
  auto path = o.store_path;
  if (path.empty()) {
    auto home = home_dir(error);
    if (home.empty())
      return nullptr;
    path = home + "/tasks.db";
  }
  return outside_of(o)->open_store(path, error, store_use::everything);
}

constexpr auto reader_limit = std::chrono::seconds(5); ///< how long a reader's callback is waited for

subscription watch_at(const std::shared_ptr<event_hub>& hub, const watch_filter& filter, listener l, const watch_bounds& bounds) {
  auto lane = hub ? hub->watch(filter, {std::move(l), nullptr}, bounds) : nullptr;
  if (!lane)
    return {};
  return subscription([hub, lane] { hub->end_watch(lane, reader_limit); });
}

outcome cannot_work(const std::string& why) {
  outcome o;
  o.code = ec::unavailable;
  o.error = why;
  return o;
}

/// One actor_system with an engine in it. A run of one machine loads no networking, so a cluster gets a system of its own.
struct world {
  system_config config;
  std::unique_ptr<caf::actor_system> sys;
  std::unique_ptr<engine_core> core;
  std::shared_ptr<turns> thread; ///< with a tape: the system is in it, and the core is made and ended on it
  explicit world(std::size_t threads) : config(threads) {}
  ~world() {
    if (thread) {
      if (core)
        core->stop();
      thread->close(reader_limit, [this] { core.reset(); });
    }
    core.reset();
    sys.reset();
  }
};

} // namespace

struct engine::impl {
  engine_options options;
  std::string error;
  std::shared_ptr<event_store> store;
  std::shared_ptr<event_hub> hub; ///< set if there is a store, as the next
  std::shared_ptr<cancel_ear> ear;
  std::mutex mutex;
  std::condition_variable calm;
  std::unique_ptr<world> local, cluster;
  std::size_t starting = 0; ///< threads inside `start`: they use a world without the lock
  bool stopped = false;
  tls_config cluster_tls;
  std::shared_ptr<run_tape> tape;

  /// A world of one thread. Call with the lock held.
  std::unique_ptr<world> make_taped(std::string& why) {
    auto w = std::make_unique<world>(1);
    turn_options how;
    how.source = options.play;
    how.speed = options.play ? options.play->speed() : 0;
    auto thread = std::make_shared<turns>(outside::of_machine(), std::move(how));
    if (!thread->begin(w->config)) {
      why = "the system gives no thread";
      return nullptr;
    }
    w->thread = std::move(thread);
    w->thread->inside([&] {
      w->core = std::make_unique<engine_core>(w->thread->system(), store, hub, options, nullptr, taped{w->thread, tape});
    });
    return w;
  }

  /// Call with the lock held.
  engine_core* core_for(const run_config& config, std::string& why) {
    if (stopped) {
      why = "the engine was stopped";
      return nullptr;
    }
    if (tape && std::any_of(config.agents.begin(), config.agents.end(), [](auto& a) { return !a.node.empty(); })) {
      why = "a run with agents on nodes cannot be recorded: what happens on another machine is not seen here";
      return nullptr;
    }
    if (tape || config.cluster.nodes.empty()) {
      if (!local && tape) {
        local = make_taped(why);
        return local ? local->core.get() : nullptr;
      }
      if (!local) {
        local = std::make_unique<world>(options.threads);
        local->sys = std::make_unique<caf::actor_system>(local->config);
        local->core = std::make_unique<engine_core>(*local->sys, store, hub, options, nullptr);
      }
      return local->core.get();
    }
    if (cluster && !(cluster_tls == config.cluster.tls)) {
      why = "one engine joins one cluster: its TLS settings are already in use with other values";
      return nullptr;
    }
    if (!cluster) {
      auto w = std::make_unique<world>(options.threads);
      auto me = load_link_identity(config.cluster.tls, why);
      me.build = version;
      if (!why.empty())
        return nullptr;
      configure_link(w->config);
      w->sys = std::make_unique<caf::actor_system>(w->config);
      auto find = [sys = w->sys.get(), me](const std::string& address, std::string& e) { return join_node(*sys, address, me, e); };
      w->core = std::make_unique<engine_core>(*w->sys, store, hub, options, find);
      cluster_tls = config.cluster.tls;
      cluster = std::move(w);
    }
    return cluster->core.get();
  }

  /// Calls `use` with the core this configuration runs on, or tells `done` why there is none.
  void with_core(const run_config& config, std::function<void(outcome)>& done, const std::function<void(engine_core&)>& use) {
    auto o = cannot_work(error);
    engine_core* core = nullptr;
    if (store) {
      std::lock_guard guard(mutex);
      core = core_for(config, o.error);
      o.code = stopped ? ec::cancelled : ec::bad_config;
      starting += core != nullptr;
    }
    if (core == nullptr)
      return done(std::move(o));
    struct leaving {
      impl& of;
      ~leaving() {
        std::lock_guard guard(of.mutex);
        --of.starting;
        of.calm.notify_all();
      }
    } guard{*this};
    use(*core);
  }
};

engine::engine(engine_options options) : impl_(std::make_unique<impl>()) {
  impl_->options = std::move(options);
  impl_->error = fault_of(impl_->options.tools);
  if (impl_->error.empty())
    impl_->error = lack_of_room(impl_->options.threads);
  auto& o = impl_->options;
  if (impl_->error.empty() && !o.record_path.empty()) {
    auto recorder = cassette_recorder::create(o.record_path, outside_of(o), impl_->error);
    impl_->tape = recorder;
    o.outside = recorder;
  } else if (o.play) {
    impl_->tape = o.play;
    o.outside = o.play;
  }
  if (impl_->error.empty())
    impl_->store = open_store(o, impl_->error);
  if (!impl_->store)
    return;
  impl_->hub = std::make_shared<event_hub>(impl_->store, outside_of(impl_->options));
  impl_->ear = cancel_ear::at(*impl_->store, [this](const std::string& task, const std::string& reason) { cancel(task, reason); });
}

engine::~engine() {
  stop();
}

const std::string& engine::error() const {
  return impl_->error;
}

std::string engine::start(const run_config& config, const question& q, listener l, std::function<void(outcome)> done) {
  std::string id;
  impl_->with_core(config, done, [&](engine_core& core) { id = core.start(config, q, std::move(l), std::move(done)); });
  return id;
}

std::string engine::resume(resume_request request, listener l, std::function<void(outcome)> done) {
  opening o;
  auto refusal = impl_->store ? read_opening(*impl_->store, request, o) : cannot_work(impl_->error);
  if (!refusal.error.empty()) {
    done(std::move(refusal));
    return {};
  }
  run_config config;
  config.cluster = o.cluster;
  std::string id;
  impl_->with_core(config, done,
                   [&](engine_core& core) { id = core.resume(std::move(request), o, std::move(l), std::move(done)); });
  return id;
}

outcome engine::ask(const run_config& config, const question& q, const listener& l) {
  std::promise<outcome> result;
  auto future = result.get_future();
  start(config, q, l, [&result](outcome o) { result.set_value(std::move(o)); });
  return future.get();
}

subscription engine::watch(const watch_filter& filter, listener l, const watch_bounds& bounds) {
  return watch_at(impl_->hub, filter, std::move(l), bounds);
}

std::vector<running_task> engine::running() const {
  return impl_->hub ? impl_->hub->running() : std::vector<running_task>{};
}

void engine::cancel(const std::string& task, const std::string& reason) {
  if (task.empty()) // a task that could not start; inside, no name means all of them
    return;
  std::lock_guard guard(impl_->mutex);
  for (auto* w : {impl_->local.get(), impl_->cluster.get()})
    if (w != nullptr)
      w->core->cancel(task, reason);
}

std::string engine::stop() {
  std::unique_ptr<world> cluster, local;
  {
    std::unique_lock lock(impl_->mutex);
    impl_->stopped = true;
    impl_->calm.wait(lock, [this] { return impl_->starting == 0; });
    cluster = std::move(impl_->cluster);
    local = std::move(impl_->local);
  }
  // Without the lock: callbacks that call `cancel` meanwhile must not wait for the end they hold up.
  std::string left;
  for (auto* w : {cluster.get(), local.get()})
    if (w != nullptr && w->core)
      if (auto its = w->core->stop(); !its.empty())
        left = std::move(its);
  cluster.reset();
  local.reset();
  if (impl_->hub)
    impl_->hub->close(reader_limit);
  if (impl_->ear)
    impl_->ear->close();
  return left;
}

std::shared_ptr<outside> engine::outside_in_use() const {
  return outside_of(impl_->options);
}

event_store& engine::store() {
  return *impl_->store;
}

void init(caf::actor_system_config& config) {
  add_messages(config);
}

hosted_engine::hosted_engine(caf::actor_system& sys, engine_options options) : error_(fault_of(options.tools)) {
  if (error_.empty() && (!options.record_path.empty() || options.play))
    error_ = "an engine in the host's actor system neither records nor plays: that needs one thread of its own";
  if (error_.empty())
    error_ = lack_of_descriptors(descriptors_needed);
  if (error_.empty())
    store_ = open_store(options, error_);
  if (!store_)
    return;
  outside_ = outside_of(options);
  hub_ = std::make_shared<event_hub>(store_, outside_);
  core_ = std::make_unique<engine_core>(sys, store_, hub_, std::move(options), nullptr);
  ear_ = cancel_ear::at(*store_, [this](const std::string& task, const std::string& reason) { cancel(task, reason); });
}

hosted_engine::~hosted_engine() {
  stop();
}

const std::string& hosted_engine::error() const {
  return error_;
}

outcome hosted_engine::ask(const run_config& config, const question& q, const listener& l) {
  if (core_)
    return core_->ask(config, q, l);
  return cannot_work(error_);
}

std::string hosted_engine::start(const run_config& config, const question& q, listener l, std::function<void(outcome)> done) {
  if (core_)
    return core_->start(config, q, std::move(l), std::move(done));
  done(cannot_work(error_));
  return {};
}

std::string hosted_engine::resume(resume_request request, listener l, std::function<void(outcome)> done) {
  opening o;
  auto refusal = core_ ? read_opening(*store_, request, o) : cannot_work(error_);
  if (!refusal.error.empty()) {
    done(std::move(refusal));
    return {};
  }
  return core_->resume(std::move(request), o, std::move(l), std::move(done));
}

subscription hosted_engine::watch(const watch_filter& filter, listener l, const watch_bounds& bounds) {
  return watch_at(hub_, filter, std::move(l), bounds);
}

std::vector<running_task> hosted_engine::running() const {
  return hub_ ? hub_->running() : std::vector<running_task>{};
}

void hosted_engine::cancel(const std::string& task, const std::string& reason) {
  if (core_ && !task.empty())
    core_->cancel(task, reason);
}

std::string hosted_engine::stop() {
  std::string left;
  if (core_)
    left = core_->stop();
  if (hub_)
    hub_->close(reader_limit);
  if (ear_)
    ear_->close();
  return left;
}

proposed_changes hosted_engine::changes(const std::string& task, std::string& error) {
  return changes_of_task(*store_, task, error);
}

std::string hosted_engine::apply(const std::string& task, const apply_request& how) {
  return apply_task(*store_, *outside_, task, how);
}

std::string hosted_engine::undo(const std::string& task) {
  return undo_task(*store_, task);
}

std::string hosted_engine::read_file(const std::string& task, const std::string& label, const std::string& path,
                                     std::string& error) {
  return file_of_task(*store_, task, label, path, error);
}

event_store& hosted_engine::store() {
  return *store_;
}

} // namespace conclave
