// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "sim/store.hpp"

#include "protocols/wire/json.hpp"

#include <algorithm>
#include <utility>

namespace conclave::sim {

void disk::begin_task(std::string task) {
  task_ = std::move(task);
  fence_ = 0;
  live_ = false;
  lines_.clear();
}

void disk::sync(std::size_t most) {
  for (std::size_t n = 0; n < most && !writes_.empty(); ++n) {
    auto next = std::move(writes_.front());
    writes_.pop_front();
    callbacks_.push_back(next());
  }
}

void disk::call_back() {
  auto next = std::move(callbacks_.front());
  callbacks_.pop_front();
  next();
}

void disk::read_one() {
  auto next = std::move(reads_.front());
  reads_.pop_front();
  next();
}

void disk::crash() {
  writes_.clear();
  callbacks_.clear();
  reads_.clear();
  live_ = false;
}

append_result disk::write(std::uint64_t fence, std::uint64_t expected, const append_batch& batch) {
  if (expected != lines_.size())
    return {ec::denied, "the store has " + std::to_string(lines_.size()) + " events, not " + std::to_string(expected), 0};
  if (expected == 0) {
    fence_ = fence;
    live_ = true;
  } else if (fence != fence_ || !live_) {
    return {ec::denied, "the store knows a newer owner", 0};
  }
  for (auto& b : batch.bodies)
    w_.bodies.emplace(b.sha, b.bytes);
  std::vector<event> decision;
  for (auto& line : batch.events) {
    event e;
    if (!wire::from_json(line, e))
      w_.find("an event cannot be read: " + line);
    lines_.push_back(line);
    if (!e.cause.empty() && !decision.empty())
      w_.take(std::exchange(decision, {}));
    decision.push_back(std::move(e));
  }
  w_.take(std::move(decision));
  if (!batch.note.outcome.empty())
    live_ = false;
  return {ec::none, "", lines_.size()};
}

void store::append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) {
  if (of_->cut)
    return;
  if (task != d_.task_)
    return d_.w_.find("an append to another task");
  d_.writes_.push_back([&d = d_, fence, expected_seq, batch = std::move(batch), done = std::move(done)]() -> std::function<void()> {
    return [done, r = d.write(fence, expected_seq, batch)] { done(r); };
  });
}

void store::claim(std::string task, task_owner, std::function<void(claim_result)> done) {
  if (of_->cut)
    return;
  d_.writes_.push_back([&d = d_, task, done = std::move(done)]() -> std::function<void()> {
    claim_result r;
    if (task != d.task_ || d.lines_.empty())
      r = {ec::bad_request, "no such task", 0, 0, {}};
    else if (d.live_)
      r = {ec::denied, "another process works on it", 0, 0, {}};
    else {
      d.live_ = true;
      r.fence = ++d.fence_;
      r.seq = d.lines_.size();
    }
    return [done, r] { done(r); };
  });
}

void store::release(const std::string& task) {
  if (of_->cut)
    return;
  d_.writes_.push_back([&d = d_, task]() -> std::function<void()> {
    if (task == d.task_)
      d.live_ = false;
    return [] {};
  });
}

void store::read(std::string task, std::uint64_t after, std::size_t limit, std::function<void(event_page)> done) {
  if (of_->cut)
    return;
  d_.reads_.push_back([&d = d_, task, after, limit = std::min<std::size_t>(limit, 40), done = std::move(done)] {
    event_page page;
    for (auto i = static_cast<std::size_t>(after); task == d.task_ && i < d.lines_.size() && page.events.size() < limit; ++i)
      page.events.push_back({i + 1, d.lines_[i]});
    page.more = after + page.events.size() < d.lines_.size();
    done(std::move(page));
  });
}

void store::read_bodies(std::string task, std::vector<std::string> shas, std::function<void(body_page)> done) {
  if (of_->cut)
    return;
  d_.reads_.push_back([&d = d_, task, shas = std::move(shas), done = std::move(done)] {
    body_page page;
    for (auto& sha : shas) {
      if (page.looked_for >= 3)
        break;
      ++page.looked_for;
      if (auto i = d.w_.bodies.find(sha); i != d.w_.bodies.end())
        page.bodies.push_back({sha, i->second});
    }
    done(std::move(page));
  });
}

} // namespace conclave::sim
