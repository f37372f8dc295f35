// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a node must not let a model see of the results of a task's tools: the secrets of its environment, and those of the agents
/// it hosts for the task, more with each that is hired. Of what providers say, those of all its tasks. Any thread.

#include "protocols/secrets.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

class known_secrets {
public:
  explicit known_secrets(secrets first) : all_(std::make_shared<const secrets>(std::move(first))) {}

  void add(const secrets& more) {
    std::lock_guard lock{mutex_};
    auto next = *all_;
    next.add_for_results(more);
    all_ = std::make_shared<const secrets>(std::move(next));
  }

  /// Returns what is known now.
  std::shared_ptr<const secrets> get() const {
    std::lock_guard lock{mutex_};
    return all_;
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const secrets> all_;
};

/// The secrets of all tasks that a process works on: connections to models are shared between them, and what a server says may tell
/// the key of another agent. Any thread.
class secrets_of_tasks {
public:
  /// Until `task` ends with its last owner.
  void add(const std::shared_ptr<const known_secrets>& task) {
    std::lock_guard lock{mutex_};
    tasks_.erase(std::remove_if(tasks_.begin(), tasks_.end(), [](auto& t) { return t.expired(); }), tasks_.end());
    tasks_.push_back(task);
  }

  void hide(std::string& text) const {
    std::vector<std::shared_ptr<const known_secrets>> all;
    {
      std::lock_guard lock{mutex_};
      for (auto& t : tasks_)
        if (auto task = t.lock())
          all.push_back(std::move(task));
    }
    for (auto& task : all)
      task->get()->hide(text);
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<const known_secrets>> tasks_;
};

/// Takes out of a text for people what nobody may read: what the server was told whose text it is, and what others of the task
/// were; `others` may be null.
inline void hide(std::string& text, const secrets& own, const std::shared_ptr<const known_secrets>& others) {
  own.hide(text);
  if (others)
    others->get()->hide(text);
}

} // namespace conclave
