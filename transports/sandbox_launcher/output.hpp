// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a command wrote to one stream, bounded: its beginning and its end are kept, of the middle only how much it was. Pure.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace conclave::launcher {

class bounded_output {
public:
  /// Keeps `limit` bytes: three quarters from the start, the rest from the end.
  explicit bounded_output(std::size_t limit) : head_size_(limit / 4 * 3), tail_size_(limit - head_size_) {}

  void add(std::string_view bytes) {
    auto room = std::min(bytes.size(), head_size_ - head_.size());
    head_.append(bytes.substr(0, room));
    bytes.remove_prefix(room);
    if (bytes.size() > tail_size_) {
      cut_ += static_cast<std::int64_t>(tail_.size() + bytes.size() - tail_size_);
      tail_.assign(bytes.substr(bytes.size() - tail_size_));
      return;
    }
    tail_.append(bytes);
    if (tail_.size() > 2 * tail_size_) // not at every read: what is in front has to be moved
      shrink();
  }

  struct taken {
    std::string text;     ///< beginning and end
    std::int64_t cut = 0; ///< bytes left out between them
    std::int64_t at = 0;  ///< where in the text
  };

  /// Takes what there is and begins anew.
  taken take() {
    shrink();
    taken t{std::move(head_), cut_, 0};
    t.at = static_cast<std::int64_t>(t.text.size());
    t.text += tail_;
    head_.clear();
    tail_.clear();
    cut_ = 0;
    return t;
  }

private:
  void shrink() {
    if (tail_.size() <= tail_size_)
      return;
    auto over = tail_.size() - tail_size_;
    cut_ += static_cast<std::int64_t>(over);
    tail_.erase(0, over);
  }

  std::size_t head_size_, tail_size_;
  std::string head_, tail_;
  std::int64_t cut_ = 0;
};

} // namespace conclave::launcher
