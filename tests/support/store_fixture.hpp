// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A store in a folder of its own, calls of it that wait for their callback, and other processes that use it.

#include "caf/test/unit_test.hpp"
#include "support/read_whole.hpp"
#include "transports/child_process.hpp"
#include "transports/event_store.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace conclave::test {

using strings = std::vector<std::string>;

struct temp_dir {
  std::filesystem::path path;
  temp_dir() {
    std::string name = (std::filesystem::temp_directory_path() / "conclave-store-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~temp_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string file() const { return (path / "state" / "events.db").string(); }
};

inline std::string contents(const std::filesystem::path& p) {
  return read_whole(p);
}

inline std::unique_ptr<event_store> open_store(const std::string& path, store_use use = store_use::everything) {
  std::string error;
  auto s = event_store::open(path, error, use);
  CAF_CHECK_EQUAL(error, "");
  return s;
}

/// Starts a call with a callback and returns what it is called with.
template <class Result, class Call>
Result await(Call&& call) {
  auto p = std::make_shared<std::promise<Result>>();
  auto f = p->get_future();
  call([p](Result r) { p->set_value(std::move(r)); });
  if (f.wait_for(std::chrono::seconds(30)) == std::future_status::ready)
    return f.get();
  Result late{};
  late.code = ec::timeout;
  late.error = "no callback";
  return late;
}

inline append_result append(event_store& s, const std::string& task, std::uint64_t fence, std::uint64_t expected, strings events,
                            append_note note = {1000, "", ""}, std::vector<stored_body> bodies = {}) {
  return await<append_result>([&](auto done) {
    s.append(task, fence, expected, {std::move(events), std::move(bodies), std::move(note)}, done);
  });
}

inline claim_result claim(event_store& s, const std::string& task, task_owner owner = {"here", 1, 1}) {
  return await<claim_result>([&](auto done) { s.claim(task, std::move(owner), done); });
}

inline strings texts(event_store& s, const std::string& task, std::uint64_t after = 0) {
  std::string error;
  strings out;
  std::uint64_t seq = after;
  for (auto& e : s.read(task, after, error)) {
    CAF_CHECK_EQUAL(e.seq, ++seq);
    out.push_back(e.json);
  }
  CAF_CHECK_EQUAL(error, "");
  return out;
}

/// A text that hardly becomes shorter by being compressed.
inline std::string noise(std::size_t size, std::uint64_t seed = 1) {
  std::string out(size, ' ');
  for (auto& c : out) { // a generator of pseudo-random numbers: each step is a bijection of 64 bits
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    c = static_cast<char>('!' + seed % 94);
    c = c == '"' || c == '\\' ? '-' : c;
  }
  return out;
}

/// A name a body may have.
inline std::string name_of(std::uint64_t n) {
  auto digits = std::to_string(n);
  return std::string(64 - digits.size(), '0') + digits;
}

inline task_row row_of(event_store& s, const std::string& task) {
  std::string error;
  for (auto& row : s.list(error))
    if (row.task == task)
      return row;
  CAF_CHECK_EQUAL(error, "");
  return {};
}

/// Lines that arrive on other threads.
class line_box {
public:
  void put(strings lines) {
    std::lock_guard lock{m_};
    for (auto& l : lines)
      lines_.push_back(std::move(l));
    cv_.notify_all();
  }
  void end() {
    std::lock_guard lock{m_};
    ended_ = true;
    cv_.notify_all();
  }
  /// Returns the rest of the next line that begins so; empty if none comes.
  std::string wait_for(const std::string& beginning, std::chrono::milliseconds most = std::chrono::seconds(60)) {
    std::unique_lock lock{m_};
    std::string found;
    cv_.wait_for(lock, most, [&] {
      for (; at_ < lines_.size() && found.empty(); ++at_)
        if (lines_[at_].rfind(beginning, 0) == 0)
          found = lines_[at_].substr(beginning.size()) + " ";
      return !found.empty() || ended_;
    });
    return found.substr(0, found.empty() ? 0 : found.size() - 1);
  }
  bool wait_end() {
    std::unique_lock lock{m_};
    return cv_.wait_for(lock, std::chrono::seconds(30), [&] { return ended_; });
  }
  std::size_t count() {
    std::lock_guard lock{m_};
    return lines_.size();
  }

private:
  std::mutex m_;
  std::condition_variable cv_;
  strings lines_;
  std::size_t at_ = 0;
  bool ended_ = false;
};

/// Another process: one test of this executable, which reads `role()` and does what it says.
class other_process {
public:
  other_process(const std::string& suite, const std::string& test, const std::string& store, const std::string& role) {
    child_options o;
    o.argv = {
        std::filesystem::read_symlink("/proc/self/exe").string(), "-n", "-v", "0", "-s", "^" + suite + "$", "-t", "^" + test + "$"};
    o.env = safe_environment();
    o.env["CONCLAVE_TEST_STORE"] = store;
    o.env["CONCLAVE_TEST_ROLE"] = role;
    child_ = child_process::start(
        o, {[box = box_](strings lines) { box->put(std::move(lines)); }, [box = box_](child_exit) { box->end(); }});
  }
  ~other_process() { kill(); }

  std::string wait_for(const std::string& beginning, std::chrono::milliseconds most = std::chrono::seconds(60)) {
    return box_->wait_for(beginning, most);
  }
  bool write(const std::string& bytes) { return child_->write(bytes); }
  std::size_t lines() { return box_->count(); }
  /// SIGKILL; returns whether it is gone.
  bool kill() {
    child_->kill();
    return box_->wait_end();
  }

  // In the other process:
  static std::string store() { return variable("CONCLAVE_TEST_STORE"); }
  static std::string role() { return variable("CONCLAVE_TEST_ROLE"); }
  static void say(const std::string& line) {
    auto all = "\n" + line + "\n";
    [[maybe_unused]] auto n = ::write(1, all.data(), all.size());
  }

private:
  static std::string variable(const char* name) {
    auto* value = std::getenv(name);
    return value == nullptr ? "" : value;
  }
  std::shared_ptr<line_box> box_ = std::make_shared<line_box>();
  std::shared_ptr<child_process> child_;
};

} // namespace conclave::test
