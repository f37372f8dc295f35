// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Collects problems and puts them where the user wrote what is wrong.

#include "app/load_config_parts.hpp"

#include <algorithm>
#include <tuple>

namespace conclave::loader {

namespace {

int weight(const problem& p) {
  return p.severity == severity::error ? 2 : p.severity == severity::unavailable ? 1 : 0;
}

} // namespace

void report::add(severity s, int line, const std::string& path, const std::string& text) {
  if (excused_.contains(path))
    return;
  keep({s, file_, line, path, text});
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

void report::place(const std::string& canonical, const std::string& path, int line) {
  places_[canonical] = {path, line};
}

report::where report::place_of(const std::string& canonical) const {
  // The nearest place known: of the field itself, else of what it stands in.
  auto at = canonical;
  auto it = places_.find(at);
  while (it == places_.end() && !at.empty()) {
    auto cut = at.find_last_of(".[");
    at = cut == std::string::npos ? "" : at.substr(0, cut);
    it = places_.find(at);
  }
  if (it == places_.end())
    return {canonical, 0};
  return {it->second.path + canonical.substr(at.size()), it->second.line};
}

void report::adopt(const std::vector<problem>& found) {
  auto known = out_;
  for (const auto& p : found) {
    const auto [path, line] = place_of(p.path);
    // Said already: of this field, or of what it stands in.
    auto same = [&, &path = path](const problem& k) {
      if (k.severity == severity::warning || k.path.empty() || weight(k) < weight(p))
        return false;
      auto next = path.size() > k.path.size() ? path[k.path.size()] : '.';
      return path.starts_with(k.path) && (next == '.' || next == '[');
    };
    if (std::none_of(known.begin(), known.end(), same))
      add(p.severity, line, path, p.text);
  }
}

void report::take(const std::vector<problem>& found) {
  for (const auto& p : found)
    keep(p);
}

void report::error_at(const std::string& canonical, const std::string& text) {
  adopt({{severity::error, "", 0, canonical, text}});
}

} // namespace conclave::loader
