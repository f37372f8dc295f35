// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/local_model.hpp"

#include "transports/child_process.hpp"
#include "transports/child_reactor.hpp"
#include "transports/home.hpp"
#include "transports/http_transfers.hpp"
#include "transports/local_model_port.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace conclave {

namespace {

constexpr auto poll_every = std::chrono::milliseconds(200);
constexpr auto start_limit = std::chrono::seconds(120);
constexpr int most_ports = 3; ///< tried, if others take them

/// 32 random hexadecimal digits; empty if the system has no randomness to give.
std::string random_key() {
  static const char* digits = "0123456789abcdef";
  std::array<unsigned char, 16> bytes;
  if (::getentropy(bytes.data(), bytes.size()) != 0)
    return {};
  std::string out;
  for (auto b : bytes) {
    out += digits[b >> 4];
    out += digits[b & 15];
  }
  return out;
}

/// What a server started by a user's own means may need beyond the safe set: its libraries and its devices.
std::map<std::string, std::string> server_environment() {
  auto env = safe_environment();
  for (auto* name : {"LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TMPDIR"})
    if (auto* value = std::getenv(name))
      env.emplace(name, value);
  return env;
}

class server;

/// One use; the server ends with the last.
class user final : public local_model {
public:
  explicit user(callbacks cb) : call(std::move(cb)) {}
  ~user() override;

  callbacks call;
  std::shared_ptr<server> used; ///< set by the thread that finds the server, which keeps us meanwhile
};

/// A server that starts, runs, or failed. All members are guarded by `mutex`; callbacks are called without it.
class server : public std::enable_shared_from_this<server> {
public:
  server(local_model_options o, bool installed, std::weak_ptr<http_transfers> http)
      : options_(std::move(o)), installed_(installed), http_(std::move(http)) {}

  void start() {
    std::string error;
    auto plan = command(error);
    {
      std::lock_guard guard(mutex_);
      plan_ = std::move(plan);
    }
    if (!error.empty())
      return fail(ec::bad_config, error);
    auto* reactor = child_reactor::get();
    if (reactor == nullptr)
      return fail(ec::unavailable, "no thread or descriptor for the local model server");
    std::weak_ptr<server> weak = weak_from_this();
    // Also for a server that runs and never says where it listens.
    reactor->after(start_limit, [weak] {
      if (auto self = weak.lock(); self && !self->ready())
        self->fail(ec::timeout, "the local model server was not ready within 120 s" + self->see_log());
    });
    progress("starting a local model server for " + name());
    launch();
  }

  void join(user* u) {
    local_endpoint now;
    bool ready = false;
    ec code = ec::none;
    std::string text;
    {
      std::lock_guard guard(mutex_);
      users_.insert(u);
      ready = ready_ && !failed_;
      now = endpoint();
      code = failed_ ? code_ : ec::none;
      text = text_;
    }
    if (code != ec::none && u->call.on_failed) // it failed between our finding it and joining it
      u->call.on_failed(code, text);
    if (ready && u->call.on_ready)
      u->call.on_ready(now);
  }

  void leave(user* u) {
    std::lock_guard guard(mutex_);
    users_.erase(u);
  }

  bool failed() {
    std::lock_guard guard(mutex_);
    return failed_;
  }

  bool ready() {
    std::lock_guard guard(mutex_);
    return ready_;
  }

  ~server() {
    if (child_)
      child_->close();
  }

private:
  std::string name() const {
    auto slash = options_.model_path.rfind('/');
    return slash == std::string::npos ? options_.model_path : options_.model_path.substr(slash + 1);
  }

  /// Call with the lock held.
  local_endpoint endpoint() const { return {base() + "/v1", plan_.key, options_.slots}; }
  std::string base() const { return "http://127.0.0.1:" + std::to_string(port_); }

  std::string see_log() const { return options_.log_path.empty() ? "" : "; see " + options_.log_path; }

  struct start_plan {
    child_options child;
    std::size_t port_at = 0; ///< which argument says where it is to listen; 0 = it will say where it does
    std::string key;
  };

  /// Starts the process, at a port that is free now.
  void launch() {
    child_options how;
    int start = 0, port = 0;
    {
      std::lock_guard guard(mutex_);
      how = plan_.child;
      start = starts_;
      if (plan_.port_at > 0) {
        port_ = port = free_port();
        how.argv[plan_.port_at] = std::to_string(port);
      }
    }
    std::weak_ptr<server> weak = weak_from_this();
    child_process::callbacks cb;
    cb.on_lines = [weak, start](std::vector<std::string> lines) {
      if (auto self = weak.lock())
        self->said(lines, start);
    };
    cb.on_exit = [weak, start](child_exit e) {
      if (auto self = weak.lock())
        self->ended(e, start);
    };
    auto child = child_process::start(std::move(how), std::move(cb));
    {
      std::lock_guard guard(mutex_);
      if (start != starts_ || failed_) { // ended, or late, before it was ours to close
        if (child)
          child->close();
        return;
      }
      child_ = std::move(child);
    }
    if (port > 0)
      check(start);
  }

  /// Somebody else has its port: another one.
  void again(int start) {
    std::shared_ptr<child_process> before;
    bool last = false;
    {
      std::lock_guard guard(mutex_);
      if (start != starts_ || ready_ || failed_)
        return;
      last = starts_ == most_ports;
      if (!last) {
        ++starts_;
        port_ = 0;
        before.swap(child_);
      }
    }
    if (last)
      return fail(ec::unavailable, "another program listens where the local model server was to, at " + std::to_string(most_ports)
                                       + " free ports one after the other" + see_log());
    if (before)
      before->close();
    progress("starting the local model server again: another program took its port");
    launch();
  }

  /// How the server is started; sets `error` with what to do if it cannot be. Reads files; touches nothing of ours.
  start_plan command(std::string& error) const {
    auto& model = options_.model_path;
    error = model_fault(model, installed_);
    auto program = error.empty() ? find_local_program(options_.server, nullptr) : local_program{};
    if (error.empty())
      error = program.error;
    if (!error.empty())
      return {};
    start_plan plan;
    auto& c = plan.child;
    c.env = server_environment();
    c.stderr_path = options_.log_path;
    plan.key = random_key();
    auto slots = std::to_string(options_.slots);
    if (plan.key.empty()) {
      error = "the system gives no random bytes for the server's key";
    } else if (!program.binary.empty()) {
      // llama.cpp reads LLAMA_API_KEY as it does --api-key; the command line would show the key to other users.
      c.env["LLAMA_API_KEY"] = plan.key;
      auto context = std::to_string(std::int64_t{options_.context_tokens} * options_.slots); // llama.cpp divides it among the slots
      c.argv = {program.binary, "-m", model, "-c", context, "-np", slots, "--host", "127.0.0.1", "--jinja", "--port", ""};
      plan.port_at = c.argv.size() - 1;
    } else {
      c.env["CONCLAVE_LOCAL_KEY"] = plan.key;
      c.argv = {program.python, program.script, model, std::to_string(options_.context_tokens), slots};
    }
    return plan;
  }

  /// Our script prints where it listens, on a line of its own.
  void said(const std::vector<std::string>& lines, int now) {
    constexpr std::string_view start = "http://127.0.0.1:";
    for (auto& line : lines) {
      auto port = std::string_view{line}.substr(0, line.find_last_not_of("/\r ") + 1);
      if (port.substr(0, start.size()) != start)
        continue;
      port.remove_prefix(start.size());
      if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string_view::npos)
        continue;
      {
        std::lock_guard guard(mutex_);
        if (port_ != 0 || now != starts_)
          return;
        port_ = std::atoi(std::string{port}.c_str());
      }
      progress("loading " + name());
      check(now);
      return;
    }
  }

  void ended(const child_exit& e, int start) {
    int port = 0;
    {
      std::lock_guard guard(mutex_);
      if (start != starts_) // it was given up
        return;
      port = plan_.port_at > 0 && !ready_ ? port_ : 0;
    }
    if (port > 0 && e.started && port_taken(port))
      return again(start);
    // What ends by itself before it was ever ready, was set up wrongly: a wrong file, a missing library. Signals (128 and more) may
    // come from outside, for one because memory ran out, and so may the end of a server that did run.
    bool setup = !ready() && (!e.started || (e.error.empty() && e.status < 128));
    auto how = e.started ? "ended with status " + std::to_string(e.status) : "did not start: " + e.error;
    fail(setup ? ec::bad_config : ec::unavailable, "the local model server " + how + see_log());
  }

  /// Asks it whether it is ready, once it listens: nobody else is asked, or told its key.
  void check(int start) {
    http_request r;
    int port = 0, group = 0;
    {
      std::lock_guard guard(mutex_);
      if (start != starts_ || failed_ || ready_)
        return;
      port = port_;
      group = child_ ? child_->pid() : 0;
      r.url = base() + "/health";
      r.headers = {{"Authorization", "Bearer " + plan_.key}};
    }
    auto holder = holder_of(port, group);
    if (holder == port_holder::others)
      return again(start);
    if (holder == port_holder::nobody)
      return check_later(start);
    r.method = "GET";
    r.max_bytes = 64 << 10;
    r.total_timeout_ms = 2'000;
    std::weak_ptr<server> weak = weak_from_this();
    http_transfers::callbacks cb;
    cb.on_done = [weak, start](http_end end) {
      if (auto self = weak.lock())
        self->checked(end, start);
    };
    if (auto http = http_.lock())
      http->start(std::move(r), std::move(cb));
    else
      fail(ec::cancelled, "the engine is being closed");
  }

  void checked(const http_end& end, int start) {
    if (end.code != ec::none || end.status != 200)
      return check_later(start);
    std::vector<std::function<void(local_endpoint)>> tell;
    local_endpoint now;
    {
      std::lock_guard guard(mutex_);
      if (start != starts_ || failed_ || ready_)
        return;
      ready_ = true;
      now = endpoint();
      for (auto* u : users_)
        if (u->call.on_ready)
          tell.push_back(u->call.on_ready);
    }
    for (auto& f : tell)
      f(now);
  }

  void check_later(int start) {
    auto* reactor = child_reactor::get();
    if (reactor == nullptr)
      return fail(ec::unavailable, "no thread to wait for the local model server with");
    std::weak_ptr<server> weak = weak_from_this();
    reactor->after(poll_every, [weak, start] {
      if (auto self = weak.lock())
        self->check(start);
    });
  }

  void progress(const std::string& text) {
    std::vector<std::function<void(std::string)>> tell;
    {
      std::lock_guard guard(mutex_);
      for (auto* u : users_)
        if (u->call.on_progress)
          tell.push_back(u->call.on_progress);
    }
    for (auto& f : tell)
      f(text);
  }

  void fail(ec code, const std::string& text) {
    std::vector<std::function<void(ec, std::string)>> tell;
    {
      std::lock_guard guard(mutex_);
      if (failed_)
        return;
      failed_ = true;
      code_ = code;
      text_ = text;
      if (child_)
        child_->close();
      for (auto* u : users_)
        if (u->call.on_failed)
          tell.push_back(u->call.on_failed);
    }
    for (auto& f : tell)
      f(code, text);
  }

  const local_model_options options_;
  const bool installed_;               ///< the model is the one quickstart installs: the user named none
  std::weak_ptr<http_transfers> http_; ///< weak: our last reference may go on its thread, where it cannot be destroyed
  std::mutex mutex_;
  std::shared_ptr<child_process> child_;
  std::set<user*> users_;
  start_plan plan_;
  int starts_ = 1; ///< of the process: which one is the one that counts
  int port_ = 0;   ///< where it listens; 0 = it did not say yet
  bool ready_ = false, failed_ = false;
  ec code_ = ec::none; ///< why it failed, for who joins late
  std::string text_;
};

user::~user() {
  if (used)
    used->leave(this);
}

/// Servers of this process by (model, server, context, client); weak, so that the last user ends one.
struct registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<server>> servers;
};

registry& servers() {
  static auto* all = new registry; // never destroyed: users may outlive the statics
  return *all;
}

/// Finds or starts the server of a user. Reads files, which may take as long as their disk likes: never on an actor's thread.
void serve(user& u, local_model_options options, std::shared_ptr<http_transfers> http) {
  bool installed = options.model_path.empty();
  if (installed)
    options.model_path = local_model_dir() + "/model.gguf";
  std::error_code ignored; // quickstart leaves a link: show, and share by, what it points to
  if (auto real = std::filesystem::canonical(options.model_path, ignored); !ignored)
    options.model_path = real.string();
  // Two engines of one process, told apart by their clients, start two: neither depends on how long the other lives.
  auto key = options.model_path + "\n" + options.server + "\n" + std::to_string(options.context_tokens) + "\n"
             + std::to_string(reinterpret_cast<std::uintptr_t>(http.get()));
  bool fresh = false;
  {
    auto& all = servers();
    std::lock_guard guard(all.mutex);
    std::erase_if(all.servers, [](auto& entry) { return entry.second.expired(); });
    auto& known = all.servers[key];
    u.used = known.lock();
    if (!u.used || u.used->failed()) {
      known = u.used = std::make_shared<server>(std::move(options), installed, http);
      fresh = true;
    }
  }
  u.used->join(&u);
  if (fresh)
    u.used->start();
}

} // namespace

std::shared_ptr<local_model> local_model::acquire(local_model_options options, std::shared_ptr<http_transfers> http, callbacks cb) {
  if (options.context_tokens <= 0)
    options.context_tokens = 8192;
  options.slots = std::max(options.slots, 1);
  if (options.server.empty())
    options.server = "auto";
  auto u = std::make_shared<user>(std::move(cb));
  try {
    // Weak: a user who leaves and an engine that ends meanwhile need no server any more.
    std::thread([weak = std::weak_ptr(u), options = std::move(options), http = std::weak_ptr(http)]() mutable {
      auto self = weak.lock();
      if (!self)
        return;
      if (auto client = http.lock())
        serve(*self, std::move(options), std::move(client));
      else if (self->call.on_failed)
        self->call.on_failed(ec::cancelled, "the engine is being closed");
    }).detach();
  } catch (const std::system_error&) {
    if (u->call.on_failed)
      u->call.on_failed(ec::unavailable, "the system gives no thread to start the local model server with");
  }
  return u;
}

} // namespace conclave
