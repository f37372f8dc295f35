// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_flow.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

bool child_flow::cut(std::string_view bytes, std::vector<std::string>& lines) {
  for (std::size_t lf; (lf = bytes.find('\n')) < bytes.size() && lf <= max_line_ - partial_.size(); bytes.remove_prefix(lf + 1)) {
    partial_.append(bytes.substr(0, lf)); // which holds no LF, so each byte is looked at once
    waiting_ += weight(partial_);
    lines.push_back(take_rest());
  }
  partial_.append(bytes);
  if (partial_.size() <= max_line_)
    return true;
  partial_.clear();
  return false;
}

std::string child_flow::take_rest() {
  return std::exchange(partial_, {});
}

bool child_flow::hold() {
  return held_ = max_waiting_ > 0 && waiting_ > max_waiting_;
}

bool child_flow::give_back(std::size_t weight) {
  waiting_ -= std::min(weight, waiting_);
  return waiting_ <= max_waiting_ / 2 && std::exchange(held_, false);
}

bool child_flow::let_run() {
  max_waiting_ = 0;
  return std::exchange(held_, false);
}

} // namespace conclave
