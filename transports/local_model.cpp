// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/local_model.hpp"

#include "transports/child_process.hpp"
#include "transports/child_reactor.hpp"
#include "transports/home.hpp"
#include "transports/http_client.hpp"

#include <arpa/inet.h>
#include <cstdlib>
#include <map>
#include <mutex>
#include <netinet/in.h>
#include <random>
#include <set>
#include <sys/socket.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr auto poll_every = std::chrono::milliseconds(200);
constexpr auto start_limit = std::chrono::seconds(120);
using clock = std::chrono::steady_clock;

std::string random_key() {
  std::random_device random;
  static const char* digits = "0123456789abcdef";
  std::string out;
  for (int i = 0; i < 32; ++i)
    out += digits[random() & 15];
  return out;
}

bool readable(const std::string& path) {
  return ::access(path.c_str(), R_OK) == 0;
}

std::string on_path(const std::string& program) {
  auto* path = std::getenv("PATH");
  std::string list = path == nullptr ? "" : path;
  for (std::size_t at = 0; at < list.size();) {
    auto end = std::min(list.find(':', at), list.size());
    auto full = list.substr(at, end - at) + "/" + program;
    if (::access(full.c_str(), X_OK) == 0)
      return full;
    at = end + 1;
  }
  return {};
}

/// A free loopback port. llama-server cannot be asked for "any"; the gap until it binds is closed by its health check.
int free_port() {
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  int port = 0;
  if (fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0
      && ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) == 0)
    port = ntohs(a.sin_port);
  if (fd >= 0)
    ::close(fd);
  return port;
}

class server;

/// One use; the server ends with the last.
class user final : public local_model {
public:
  user(std::shared_ptr<server> s, callbacks cb) : server_(std::move(s)), call(std::move(cb)) {}
  ~user() override;

private:
  std::shared_ptr<server> server_;

public:
  callbacks call;
};

/// A server that starts, runs, or failed. All members are guarded by `mutex`; callbacks are called without it.
class server : public std::enable_shared_from_this<server> {
public:
  server(local_model_options o, std::shared_ptr<http_client> http) : options_(std::move(o)), http_(std::move(http)) {}

  void start() {
    std::string error;
    child_options c = command(error);
    if (!error.empty())
      return fail(ec::bad_config, error);
    child_process::callbacks cb;
    std::weak_ptr<server> weak = weak_from_this();
    cb.on_lines = [weak](std::vector<std::string> lines) {
      if (auto self = weak.lock())
        self->said(lines);
    };
    cb.on_exit = [weak](child_exit e) {
      if (auto self = weak.lock())
        self->fail(ec::unavailable,
                   "the local model server "
                       + (e.started ? "ended with status " + std::to_string(e.status) : "did not start: " + e.error)
                       + (self->options_.log_path.empty() ? "" : "; see " + self->options_.log_path));
    };
    began_ = clock::now();
    progress("starting a local model server for " + name());
    auto child = child_process::start(std::move(c), std::move(cb));
    bool poll = false;
    {
      std::lock_guard guard(mutex_);
      child_ = std::move(child);
      poll = !base_.empty();
    }
    if (poll)
      check();
  }

  void join(user* u) {
    local_endpoint now;
    bool ready = false;
    {
      std::lock_guard guard(mutex_);
      users_.insert(u);
      ready = ready_;
      now = endpoint();
    }
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

  ~server() {
    if (child_)
      child_->close();
  }

private:
  std::string name() const {
    auto slash = options_.model_path.rfind('/');
    return slash == std::string::npos ? options_.model_path : options_.model_path.substr(slash + 1);
  }

  local_endpoint endpoint() const { return {base_ + "/v1", key_, options_.slots}; }

  /// How the server is started; sets `error` with what to do if it cannot be.
  child_options command(std::string& error) {
    auto dir = local_model_dir();
    auto& model = options_.model_path;
    if (model.empty())
      model = dir + "/model.gguf";
    if (!readable(model)) {
      error = "there is no model file " + model + ": run ./scripts/quickstart once, or set backend.model_path";
      return {};
    }
    key_ = random_key();
    child_options c;
    c.env = safe_environment();
    c.stderr_path = options_.log_path;
    auto wanted = options_.server;
    auto python = dir + "/venv/bin/python";
    auto script = dir + "/local_server.py";
    auto binary = wanted.find('/') != std::string::npos ? wanted : wanted == "xllamacpp" ? std::string{} : on_path("llama-server");
    auto context = std::to_string(options_.context_tokens);
    if (!binary.empty()) {
      auto port = free_port();
      base_ = "http://127.0.0.1:" + std::to_string(port);
      c.env["LLAMA_API_KEY"] = key_;
      c.argv = {binary,
                "-m",
                model,
                "-c",
                std::to_string(options_.context_tokens * options_.slots),
                "-np",
                std::to_string(options_.slots),
                "--host",
                "127.0.0.1",
                "--port",
                std::to_string(port),
                "--jinja"};
    } else if (wanted != "llama-server" && readable(python) && readable(script)) {
      c.env["CONCLAVE_LOCAL_KEY"] = key_;
      c.argv = {python, script, model, context, std::to_string(options_.slots)};
    } else {
      error = "there is no local model server: run ./scripts/quickstart once, put llama-server on the PATH, or set backend.server "
              "to one";
    }
    return c;
  }

  /// The script prints where it listens.
  void said(const std::vector<std::string>& lines) {
    for (auto& line : lines) {
      auto at = line.find("http://127.0.0.1:");
      if (at == std::string::npos)
        continue;
      {
        std::lock_guard guard(mutex_);
        if (!base_.empty())
          return;
        base_ = line.substr(at, line.find_first_of(" /\r\n", at + 7) - at);
      }
      progress("loading " + name());
      check();
      return;
    }
  }

  void check() {
    http_request r;
    r.method = "GET";
    {
      std::lock_guard guard(mutex_);
      r.url = base_ + "/health";
      r.headers = {{"Authorization", "Bearer " + key_}};
    }
    r.total_timeout_ms = 2'000;
    std::weak_ptr<server> weak = weak_from_this();
    http_client::callbacks cb;
    cb.on_done = [weak](http_end end) {
      if (auto self = weak.lock())
        self->checked(end);
    };
    http_->start(std::move(r), std::move(cb));
  }

  void checked(const http_end& end) {
    std::vector<std::function<void(local_endpoint)>> tell;
    local_endpoint now;
    {
      std::lock_guard guard(mutex_);
      if (failed_ || ready_)
        return;
      if (end.code == ec::none && end.status == 200) {
        ready_ = true;
        now = endpoint();
        for (auto* u : users_)
          if (u->call.on_ready)
            tell.push_back(u->call.on_ready);
      }
    }
    if (!tell.empty()) {
      for (auto& f : tell)
        f(now);
      return;
    }
    if (clock::now() - began_ > start_limit)
      return fail(ec::timeout, "the local model server did not become ready within 120 s");
    std::weak_ptr<server> weak = weak_from_this();
    auto* reactor = child_reactor::get();
    if (reactor == nullptr)
      return fail(ec::unavailable, "no thread to wait for the local model server with");
    reactor->after(poll_every, [weak] {
      if (auto self = weak.lock())
        self->check();
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
      for (auto* u : users_)
        if (u->call.on_failed)
          tell.push_back(u->call.on_failed);
    }
    for (auto& f : tell)
      f(code, text);
  }

  local_model_options options_;
  std::shared_ptr<http_client> http_;
  std::shared_ptr<child_process> child_;
  clock::time_point began_;
  std::mutex mutex_;
  std::set<user*> users_;
  std::string base_, key_;
  bool ready_ = false, failed_ = false;
};

user::~user() {
  server_->leave(this);
}

/// Servers of this process by (model, server, context); weak, so that the last user ends one.
struct registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<server>> servers;
};

registry& servers() {
  static registry all;
  return all;
}

} // namespace

std::shared_ptr<local_model> local_model::acquire(local_model_options options, std::shared_ptr<http_client> http, callbacks cb) {
  if (options.context_tokens <= 0)
    options.context_tokens = 8192;
  options.slots = std::max(options.slots, 1);
  auto key = options.model_path + "\n" + options.server + "\n" + std::to_string(options.context_tokens);
  std::shared_ptr<server> s;
  bool fresh = false;
  {
    auto& all = servers();
    std::lock_guard guard(all.mutex);
    s = all.servers[key].lock();
    if (!s || s->failed()) {
      s = std::make_shared<server>(std::move(options), std::move(http));
      all.servers[key] = s;
      fresh = true;
    }
  }
  auto u = std::make_shared<user>(s, std::move(cb));
  s->join(u.get());
  if (fresh)
    s->start();
  return u;
}

std::string local_model_dir() {
  std::string error;
  auto home = home_dir(error);
  return home.empty() ? std::string{} : home + "/local";
}

} // namespace conclave
