// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/outside.hpp"

#include "transports/disk_worker.hpp"
#include "transports/http_client.hpp"
#include "transports/http_client_trust.hpp"
#include "transports/outside_lane.hpp"

#include <cstdio>
#include <ctime>
#include <pthread.h>
#include <system_error>
#include <thread>

namespace conclave {

namespace {

class machine_thread final : public host_thread {
public:
  explicit machine_thread(std::thread t) : thread_(std::move(t)) {}
  machine_thread(const machine_thread&) = delete;
  machine_thread& operator=(const machine_thread&) = delete;
  ~machine_thread() override {
    if (thread_.joinable())
      thread_.detach();
  }
  void join() override { thread_.join(); }

private:
  std::thread thread_;
};

/// Lanes of an outside, each as it gives them.
class plain_lanes final : public lane_group {
public:
  explicit plain_lanes(outside& from) : from_(from) {}
  std::unique_ptr<lane> open_lane(const std::string& owner) override { return from_.open_lane(owner); }
  std::vector<std::string> close(std::chrono::milliseconds) override { return {}; }

private:
  outside& from_;
};

class machine final : public outside {
public:
  std::int64_t now_unix_ms() override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }

  std::chrono::nanoseconds now_steady() override { return std::chrono::steady_clock::now().time_since_epoch(); }

  std::int32_t utc_offset_s(std::int64_t unix_ms) override {
    auto t = static_cast<std::time_t>(unix_ms / 1000);
    std::tm local{};
    return ::localtime_r(&t, &local) != nullptr ? static_cast<std::int32_t>(local.tm_gmtoff) : 0;
  }

  std::uint32_t seed(const std::string&) override { return static_cast<std::uint32_t>(std::random_device{}()); }

  std::shared_ptr<http_transfers> open_http(std::shared_ptr<text_readers> readers) override {
    http_client::options o;
    o.readers = std::move(readers);
    return std::make_shared<http_client>(std::move(o));
  }

  std::shared_ptr<child_process> start_child(child_options options, child_process::callbacks cb) override {
    return child_process::start(std::move(options), std::move(cb));
  }

  std::shared_ptr<local_model> acquire_local_model(local_model_options options, std::shared_ptr<http_transfers> http,
                                                   local_model::callbacks cb) override {
    return local_model::acquire(std::move(options), std::move(http), std::move(cb));
  }

  std::unique_ptr<event_store> open_store(const std::string& path, std::string& error, store_use use) override {
    return event_store::open(path, error, use);
  }

  std::unique_ptr<lane> open_lane(const std::string& owner) override {
    return make_thread_lane([this, owner](std::function<void()> body) { return start_thread(owner, std::move(body)); });
  }

  std::shared_ptr<lane_group> open_lanes(const std::string& owner, std::size_t threads) override {
    return make_disk_worker([this, owner](std::function<void()> body) { return start_thread(owner, std::move(body)); }, {threads});
  }

  std::unique_ptr<host_thread> start_thread(const std::string& name, std::function<void()> body) override {
    constexpr std::size_t longest = 15; // of the kernel
    try {
      return std::make_unique<machine_thread>(std::thread([short_name = name.substr(0, longest), body = std::move(body)] {
        ::pthread_setname_np(::pthread_self(), short_name.c_str());
        body();
      }));
    } catch (const std::system_error&) {
      return nullptr;
    }
  }
};

} // namespace

const std::shared_ptr<outside>& outside::of_machine() {
  static auto* it = new std::shared_ptr<outside>(std::make_shared<machine>()); // never destroyed: threads may outlive the statics
  return *it;
}

std::shared_ptr<const tls_trust> outside::load_trust(const ca_choice& choice, std::string& error) {
  return conclave::load_trust(choice, error);
}

std::shared_ptr<lane_group> outside::open_lanes(const std::string&, std::size_t) {
  return std::make_shared<plain_lanes>(*this);
}

std::string outside::new_task_id() {
  auto now = static_cast<std::time_t>(now_unix_ms() / 1000);
  std::tm tm{};
  gmtime_r(&now, &tm);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
  char random[16];
  std::snprintf(random, sizeof random, "%06x", seed("task id") & 0xFFFFFFu);
  return std::string(stamp) + "-" + random;
}

} // namespace conclave
