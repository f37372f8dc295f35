// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Collects problems and puts them where the user wrote what is wrong.

#include "app/load_config_parts.hpp"
#include "protocols/config_validate.hpp"

#include <algorithm>
#include <tuple>

namespace conclave::loader {

namespace {

int weight(const problem& p) {
  return p.severity == severity::error ? 2 : p.severity == severity::unavailable ? 1 : 0;
}

} // namespace

void report::add(severity s, mark at, const std::string& path, const std::string& text, bool stops) {
  if (excused_.contains(path))
    return;
  keep({s, file_, at.line, path, text, stops, at.column});
}

void report::keep(problem p) {
  failed_ = failed_ || p.severity == severity::error;
  ++count_;
  if (out_.size() >= max_problems) {
    // The list is full: the last of what matters least makes room.
    auto least = out_.end();
    for (auto i = out_.begin(); i != out_.end(); ++i)
      if (least == out_.end() || weight(*i) <= weight(*least))
        least = i;
    if (weight(*least) >= weight(p)) {
      left_out_ = std::max(left_out_, weight(p));
      return;
    }
    left_out_ = std::max(left_out_, weight(*least));
    out_.erase(least);
  }
  out_.push_back(std::move(p));
}

void report::finish() {
  const auto listed = out_.size();
  const auto all = count_ <= listed;
  // In the order of its lines, a script's after those of its configuration. Where not all are listed, the worst come first.
  std::stable_sort(out_.begin(), out_.end(), [&](const problem& a, const problem& b) {
    auto rank = [&](const problem& p) { return std::tuple{all ? 0 : -weight(p), p.file != file_, p.file == file_ ? p.line : 0}; };
    return rank(a) < rank(b);
  });
  if (!all)
    out_.push_back({left_out_ == 2 ? severity::error : severity::warning, file_, 0, "",
                    "more problems are not listed: " + std::to_string(count_ - listed)});
}

void report::place(const std::string& canonical, const std::string& path, mark at) {
  places_[canonical] = {file_, path, at.line, at.column};
}

void report::adopt(const std::vector<problem>& found) {
  auto known = out_;
  for (const auto& p : found) {
    // Said already: of this field, or of what it stands in.
    auto same = [&](const problem& k) {
      if (k.severity == severity::warning || k.path.empty() || weight(k) < weight(p))
        return false;
      auto next = p.path.size() > k.path.size() ? p.path[k.path.size()] : '.';
      return p.path.starts_with(k.path) && (next == '.' || next == '[');
    };
    if (std::none_of(known.begin(), known.end(), same) && !is_excused(p.path))
      keep(p);
  }
}

void report::take(const std::vector<problem>& found) {
  for (const auto& p : found)
    keep(p);
}

} // namespace conclave::loader
