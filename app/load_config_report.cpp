// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Collects problems and puts them where the user wrote what is wrong.

#include "app/load_config_parts.hpp"

#include <algorithm>

namespace conclave::loader {

namespace {

int weight(const problem& p) {
  return p.severity == severity::error ? 2 : p.severity == severity::unavailable ? 1 : 0;
}

} // namespace

void report::add(severity s, int line, const std::string& path, const std::string& text) {
  if (excused_.contains(path))
    return;
  if (s == severity::error)
    failed_ = true;
  if (++count_ == max_problems + 1)
    out_.push_back({failed_ ? severity::error : severity::warning, file_, line, "", "more problems are not listed"});
  // An error must be among the listed ones, whatever came before.
  if (count_ <= max_problems)
    out_.push_back({s, file_, line, path, text});
  else if (s == severity::error)
    out_[out_.size() - 1].severity = severity::error;
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
  for (const auto& p : found) {
    failed_ = failed_ || p.severity == severity::error;
    if (++count_ <= max_problems || (p.severity == severity::error && count_ < 2 * max_problems))
      out_.push_back(p);
  }
}

void report::error_at(const std::string& canonical, const std::string& text) {
  adopt({{severity::error, "", 0, canonical, text}});
}

} // namespace conclave::loader
