// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The end of what a child said. Internal to transports/; any thread.

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>

namespace conclave {

class child_last_words {
public:
  explicit child_last_words(std::size_t max) : max_(max) {}

  void add(std::string_view bytes) {
    std::lock_guard lock{mutex_};
    text_.append(bytes.substr(bytes.size() - std::min(bytes.size(), max_)));
    text_.erase(0, text_.size() - std::min(text_.size(), max_));
  }

  std::string text() const {
    std::lock_guard lock{mutex_};
    return text_;
  }

private:
  std::size_t max_;
  mutable std::mutex mutex_;
  std::string text_;
};

} // namespace conclave
