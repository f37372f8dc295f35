// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// An outside that a test plays: its time is that of an actor system, its chance comes from a number, jobs of lanes are run by
/// actors of the system (so its scheduler draws when), and nothing else is there unless the test plays it. Once it is cut, as by
/// the end of its process, nothing leaves it and nothing comes in.

#include "transports/outside.hpp"
#include "transports/outside_lane.hpp"
#include "transports/turn_thread.hpp"

#include <caf/all.hpp>

#include <deque>
#include <map>
#include <utility>

namespace conclave::test {

struct lane_entry {
  lane::job what;
  lane::done then;
};
struct lane_turn {};

} // namespace conclave::test

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::test::lane_entry)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::test::lane_turn)

namespace conclave::test {

/// What a test plays; empty = there is none, or no time passes.
struct simulated_world {
  std::int64_t unix_ms = 1'790'000'000'000; ///< when the actor system's clock began
  std::int32_t utc_offset_s = 0;
  std::uint64_t seed = 1;
  std::function<std::chrono::milliseconds()> job_takes;
  std::function<std::uint64_t(http_request, http_transfers::callbacks)> http;
  std::function<void(std::uint64_t)> http_cancel;
  std::function<std::shared_ptr<child_process>(child_options, child_process::callbacks)> child;
};

class simulated_outside final : public outside {
public:
  simulated_outside(caf::actor_system& sys, simulated_world w) : sys_(sys), world_(std::move(w)), began_(sys.clock().now()) {}

  void cut() { *cut_ = true; }

  std::int64_t now_unix_ms() override {
    return world_.unix_ms + std::chrono::duration_cast<std::chrono::milliseconds>(now_steady()).count();
  }

  std::chrono::nanoseconds now_steady() override { return sys_.clock().now() - began_; }

  std::int32_t utc_offset_s(std::int64_t) override { return world_.utc_offset_s; }

  std::uint32_t seed(const std::string& owner) override { return derived_seed(world_.seed, owner, ++asked_[owner]); }

  std::shared_ptr<http_transfers> open_http(std::shared_ptr<text_readers>) override {
    return std::make_shared<transfers>(world_.http, world_.http_cancel, cut_);
  }

  std::shared_ptr<child_process> start_child(child_options options, child_process::callbacks cb) override {
    if (*cut_)
      return nullptr;
    if (world_.child)
      return world_.child(std::move(options), std::move(cb));
    cb.on_exit({false, 0, "there are no programs here"});
    return nullptr;
  }

  std::shared_ptr<local_model> acquire_local_model(local_model_options, std::shared_ptr<http_transfers>,
                                                   local_model::callbacks cb) override {
    if (!*cut_)
      cb.on_failed(ec::unavailable, "there are no local models here");
    return nullptr;
  }

  std::unique_ptr<event_store> open_store(const std::string& path, std::string& error, store_use) override {
    error = path + ": there is no disk here";
    return nullptr;
  }

  std::unique_ptr<lane> open_lane(const std::string&) override {
    return std::make_unique<actor_lane>(sys_, world_.job_takes, cut_);
  }

  std::unique_ptr<host_thread> start_thread(const std::string&, std::function<void()>) override { return nullptr; }

private:
  using flag = std::shared_ptr<bool>;
  using pace = std::function<std::chrono::milliseconds()>;

  class transfers final : public http_transfers {
  public:
    using player = std::function<std::uint64_t(http_request, callbacks)>;
    using ender = std::function<void(std::uint64_t)>;
    transfers(player play, ender end, flag cut) : play_(std::move(play)), end_(std::move(end)), cut_(std::move(cut)) {}
    std::uint64_t start(http_request request, callbacks cb) override {
      if (*cut_)
        return 1;
      if (play_)
        return play_(std::move(request), std::move(cb));
      http_end end;
      end.code = ec::unavailable;
      end.error = "there is no network here";
      cb.on_done(std::move(end));
      return 1;
    }
    void cancel(std::uint64_t id) override {
      if (end_ && !*cut_)
        end_(id);
    }

  private:
    player play_;
    ender end_;
    flag cut_;
  };

  struct lane_state {
    lane_state() {} // no aggregate: CAF would hand the actor itself to the first member
    static inline const char* name = "lane";
    std::deque<lane_entry> waiting;
  };

  static caf::behavior at_work(caf::stateful_actor<lane_state>* self, const pace& takes, const flag& cut, const flag& closed) {
    auto next = [self, takes] { self->delayed_send(self, takes ? takes() : std::chrono::milliseconds{0}, lane_turn{}); };
    return {[self, next](lane_entry& e) {
              self->state.waiting.push_back(std::move(e));
              if (self->state.waiting.size() == 1)
                next();
            },
            [self, next, cut, closed](lane_turn) {
              auto now = std::move(self->state.waiting.front());
              self->state.waiting.pop_front();
              if (*cut || *closed)
                return;
              auto result = run_job(now.what);
              if (now.then && !*cut && !*closed)
                now.then(std::move(result));
              if (!self->state.waiting.empty())
                next();
            }};
  }

  class actor_lane final : public lane {
  public:
    actor_lane(caf::actor_system& sys, pace takes, flag cut)
        : actor_(sys.spawn(at_work, std::move(takes), std::move(cut), closed_)) {}
    actor_lane(const actor_lane&) = delete;
    actor_lane& operator=(const actor_lane&) = delete;
    ~actor_lane() override {
      *closed_ = true;
      caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
    }
    bool run(job what, done then) override {
      caf::anon_send(actor_, lane_entry{std::move(what), std::move(then)});
      return true;
    }

  private:
    flag closed_ = std::make_shared<bool>(false);
    caf::actor actor_;
  };

  caf::actor_system& sys_;
  simulated_world world_;
  caf::actor_clock::time_point began_;
  flag cut_ = std::make_shared<bool>(false);
  std::map<std::string, std::uint64_t> asked_;
};

} // namespace conclave::test
