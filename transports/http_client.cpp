// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#include "transports/http_client.hpp"

#include "transports/http_client_slow_lane.hpp"
#include "transports/http_client_sockets.hpp"
#include "transports/http_client_transfer.hpp"
#include "transports/process_room.hpp"

#include <climits>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <variant>

namespace conclave {

namespace {

using namespace http_detail;
using std::chrono::milliseconds;

} // namespace

class http_client::impl {
public:
  explicit impl(options o)
      : options_(std::move(o)), lane_(std::make_unique<slow_lane>([this](std::uint64_t id) { push(go_on{id}); })) {
    curl_global_init(CURL_GLOBAL_DEFAULT); // counted and thread-safe in this libcurl
    multi_ = curl_multi_init();
    usable_ = multi_ != nullptr && sockets_.usable();
    if (usable_)
      set_multi();
    thread_ = start_without_signals([this] { run(); });
  }

  ~impl() {
    push(quit{});
    thread_.join();
    lane_.reset();
    curl_multi_cleanup(multi_);
    if (wake_ >= 0)
      close(wake_);
    curl_global_cleanup();
  }

  std::uint64_t start(http_request request, callbacks cb) {
    auto id = next_id_.fetch_add(1, std::memory_order_relaxed);
    push(submit{id, std::move(request), std::move(cb), clock_type::now()});
    return id;
  }

  void cancel(std::uint64_t id) { push(abandon{id}); }

private:
  struct submit {
    std::uint64_t id;
    http_request request;
    callbacks cb;
    clock_type::time_point at;
  };
  struct abandon {
    std::uint64_t id;
  };
  struct go_on { ///< the lane has served what it was given of this one
    std::uint64_t id;
  };
  struct quit {};
  using command = std::variant<submit, abandon, go_on, quit>;

  // -- any thread --

  void push(command c) {
    bool first = false;
    {
      std::lock_guard guard{mutex_};
      first = queue_.empty();
      queue_.push_back(std::move(c));
    }
    if (!first)
      return; // the thread was woken and has not come to fetch yet
    if (usable_) {
      std::uint64_t one = 1;
      (void) !::write(wake_, &one, sizeof one);
    } else {
      wake_up_.notify_one();
    }
  }

  // -- the client's thread --

  void set_multi() {
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    // Counts busy connections as well: a bound below the number of streams would close each one as its stream ends.
    rlimit files{};
    auto limit = getrlimit(RLIMIT_NOFILE, &files) == 0 ? std::min<rlim_t>(files.rlim_cur / 2, 4096) : rlim_t{512};
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(limit));
    if (options_.max_connections > 0)
      curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, options_.max_connections);
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* user, void*) {
    auto& self = *static_cast<impl*>(user);
    if (what == CURL_POLL_REMOVE) {
      self.sockets_.remove(fd);
      return 0;
    }
    std::uint32_t events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
    self.sockets_.watch(fd, events);
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* user) {
    auto& self = *static_cast<impl*>(user);
    self.curl_due_ = timeout_ms < 0 ? clock_type::time_point::max() : clock_type::now() + milliseconds{timeout_ms};
    return 0;
  }

  void run() {
    while (take_commands()) {
      if (!usable_)
        continue;
      for (auto& event : sockets_.wait(due()))
        serve(event);
      sockets_.served();
      serve_deadlines();
      reap();
      resume_held();
    }
    while (!running_.empty())
      abandon_transfer(running_.begin()->first);
  }

  void serve(const epoll_event& event) {
    if (event.data.fd == wake_) {
      std::uint64_t count = 0;
      (void) !::read(wake_, &count, sizeof count);
      return;
    }
    int what = ((event.events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) | ((event.events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0)
               | ((event.events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
    sockets_.brought(event.data.fd, act(event.data.fd, what));
  }

  /// Returns how many bytes of bodies came.
  std::size_t act(curl_socket_t fd, int what) {
    ++turn_;
    int still_running = 0;
    curl_multi_socket_action(multi_, fd, what, &still_running);
    return flush_dirty();
  }

  std::size_t flush_dirty() {
    std::size_t bytes = 0;
    for (auto* t : dirty_) {
      bytes += t->pending.size();
      flush(*t);
    }
    dirty_.clear();
    return bytes;
  }

  /// Those that had more for us than one turn takes go on, now that the others were served.
  void resume_held() {
    for (auto* t : std::exchange(held_, {})) {
      ++turn_;
      if (auto rc = curl_easy_pause(t->easy.get(), CURLPAUSE_CONT); rc != CURLE_OK)
        finish(*t, verdict(rc, *t));
    }
    flush_dirty();
  }

  clock_type::time_point due() const {
    if (!held_.empty())
      return {}; // long past
    return deadlines_.empty() ? curl_due_ : std::min(curl_due_, deadlines_.begin()->first);
  }

  void serve_deadlines() {
    if (curl_due_ <= clock_type::now()) {
      curl_due_ = clock_type::time_point::max();
      act(CURL_SOCKET_TIMEOUT, 0);
    }
    reap(); // what has ended is no timeout
    auto now = clock_type::now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      auto id = deadlines_.begin()->second;
      deadlines_.erase(deadlines_.begin());
      if (auto i = running_.find(id); i != running_.end())
        check_deadlines(*i->second, now);
    }
  }

  /// The idle clock is looked at lazily: a byte costs one time stamp, not a walk through the ordered set.
  void check_deadlines(transfer& t, clock_type::time_point now) {
    auto& r = t.request;
    auto next = clock_type::time_point::max();
    if (r.total_timeout_ms > 0) {
      next = t.started + span(r.total_timeout_ms);
      if (next <= now)
        return finish(
            t, ended(ec::timeout, "not finished within the total timeout of " + std::to_string(r.total_timeout_ms) + " ms", t));
    }
    if (r.idle_timeout_ms > 0) {
      if (!t.sent)
        t.last_byte = now; // the connect timeout's affair as yet
      auto idle = t.last_byte + span(r.idle_timeout_ms);
      if (idle <= now)
        return finish(t, ended(ec::timeout, "no byte within the idle timeout of " + std::to_string(r.idle_timeout_ms) + " ms", t));
      next = std::min(next, idle);
    }
    t.due = next;
    if (next != clock_type::time_point::max())
      deadlines_.emplace(next, t.id);
  }

  static milliseconds span(std::int64_t count) { return milliseconds{std::min<std::int64_t>(count, INT_MAX)}; }

  /// Returns false once the client is to end.
  bool take_commands() {
    std::vector<command> commands;
    {
      std::unique_lock guard{mutex_};
      if (!usable_)
        wake_up_.wait(guard, [this] { return !queue_.empty(); });
      commands.swap(queue_);
    }
    bool more = true;
    for (auto& c : commands) {
      if (auto* s = std::get_if<submit>(&c))
        begin(std::move(*s));
      else if (auto* a = std::get_if<abandon>(&c))
        abandon_transfer(a->id);
      else if (auto* g = std::get_if<go_on>(&c))
        continue_transfer(g->id);
      else
        more = false;
    }
    return more;
  }

  void continue_transfer(std::uint64_t id) {
    auto i = running_.find(id);
    if (i == running_.end())
      return;
    auto& t = *i->second;
    t.served = true;
    flush(t);
    if (std::exchange(t.paused, false))
      held_.push_back(&t);
  }

  void begin(submit s) {
    auto owner = std::make_unique<transfer>();
    auto& t = *owner;
    t.id = s.id;
    t.request = std::move(s.request);
    t.cb = std::move(s.cb);
    t.started = t.last_byte = s.at;
    t.dirty = &dirty_;
    t.held = &held_;
    t.lane = lane_.get();
    t.turn_now = &turn_;
    if (!usable_)
      return call(t.cb.on_done, ended(ec::unavailable, "no resources for HTTP", t));
    if (auto end = prepare(t, options_))
      return call(t.cb.on_done, std::move(*end));
    if (auto rc = curl_multi_add_handle(multi_, t.easy.get()); rc != CURLM_OK)
      return call(t.cb.on_done, ended(ec::unavailable, curl_multi_strerror(rc), t));
    running_.emplace(t.id, std::move(owner));
    check_deadlines(t, clock_type::now());
  }

  void abandon_transfer(std::uint64_t id) {
    if (auto i = running_.find(id); i != running_.end())
      finish(*i->second, ended(ec::cancelled, "cancelled", *i->second));
  }

  void reap() {
    int left = 0;
    while (auto* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE)
        continue;
      auto code = message->data.result; // the message dies with its handle
      transfer* t = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
      if (code == CURLE_OK && !t->next_url.empty())
        again(*t);
      else
        finish(*t, verdict(code, *t));
    }
  }

  void again(transfer& t) {
    curl_multi_remove_handle(multi_, t.easy.get());
    follow(t);
    if (auto rc = curl_multi_add_handle(multi_, t.easy.get()); rc != CURLM_OK)
      finish(t, ended(ec::unavailable, curl_multi_strerror(rc), t));
  }

  void finish(transfer& t, http_end end) {
    auto owner = std::move(running_.extract(t.id).mapped());
    deadlines_.erase({t.due, t.id});
    std::erase(held_, &t);
    curl_multi_remove_handle(multi_, t.easy.get()); // closes the connection unless the reply is complete
    flush_dirty();
    if (!t.request.stream && end.code != ec::none)
      t.pending.clear(); // a body asked for as a whole is handed on whole or not at all
    deliver_end(t, std::move(end));
  }

  const options options_;
  std::atomic<std::uint64_t> next_id_{1};
  std::mutex mutex_;
  std::condition_variable wake_up_; ///< instead of `wake_` where there is none
  std::vector<command> queue_;      ///< guarded by `mutex_`
  const int wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  socket_set sockets_{wake_, options_.readers};
  bool usable_ = false;
  CURLM* multi_ = nullptr;
  clock_type::time_point curl_due_ = clock_type::time_point::max();
  std::unordered_map<std::uint64_t, std::unique_ptr<transfer>> running_;
  std::set<std::pair<clock_type::time_point, std::uint64_t>> deadlines_; ///< at most one per transfer
  std::vector<transfer*> dirty_;                                         ///< with bytes to hand on
  std::vector<transfer*> held_;                                          ///< paused until the others were served
  std::uint64_t turn_ = 0;                                               ///< calls of libcurl so far
  std::unique_ptr<slow_lane> lane_;
  std::thread thread_;
};

http_client::http_client() : http_client(options{}) {}

http_client::http_client(options o) : impl_(std::make_unique<impl>(std::move(o))) {}

http_client::~http_client() = default;

std::uint64_t http_client::start(http_request request, callbacks cb) {
  return impl_->start(std::move(request), std::move(cb));
}

void http_client::cancel(std::uint64_t id) {
  impl_->cancel(id);
}

} // namespace conclave
