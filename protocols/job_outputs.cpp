// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/job_outputs.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

void job_outputs::add(const std::string& job, job_stream s, std::string text) {
  if (text.empty())
    return;
  auto& to = jobs_[job][static_cast<std::size_t>(s)];
  size_ += text.size();
  if (to.text.empty()) {
    to.text = std::move(text);
  } else {
    std::string all; // as large as is needed: appended to, a text doubles
    all.reserve(to.text.size() + text.size());
    all += to.text;
    all += text;
    to.text = std::move(all);
  }
  make_room();
}

void job_outputs::ended(const std::string& job) {
  if (std::find(ended_.begin(), ended_.end(), job) == ended_.end())
    ended_.push_back(job);
  make_room();
}

void job_outputs::forget(const std::string& job) {
  auto at = jobs_.find(job);
  if (at != jobs_.end()) {
    for (auto& s : at->second)
      size_ -= s.text.size();
    jobs_.erase(at);
  }
  std::erase(ended_, job);
}

void job_outputs::clear() {
  jobs_.clear();
  ended_.clear();
  size_ = 0;
}

job_outputs::piece job_outputs::from(const std::string& job, job_stream s, std::uint64_t offset, std::size_t most) const {
  auto found = jobs_.find(job);
  if (found == jobs_.end())
    return {};
  auto& [text, start] = found->second[static_cast<std::size_t>(s)];
  auto at = offset < start ? 0 : std::min<std::uint64_t>(offset - start, text.size());
  auto end = std::min<std::uint64_t>(text.size(), at + most);
  while (end < text.size() && end > at + 1 && continues_character(text[end]))
    --end; // the rest of a character is not read by itself
  return {text.substr(at, end - at), start + end, offset < start};
}

/// Drops from the front.
void job_outputs::shorten(stream& s, std::size_t to) {
  if (s.text.size() <= to)
    return;
  auto gone = s.text.size() - to;
  while (gone < s.text.size() && continues_character(s.text[gone]))
    ++gone;
  s.text = std::string(s.text, gone); // one of its own: the memory of what is gone is given back
  s.start += gone;
  size_ -= gone;
}

void job_outputs::shorten_ended(std::size_t tail) {
  for (auto& name : ended_) {
    auto job = jobs_.find(name);
    for (std::size_t i = 0; job != jobs_.end() && i < 2 && size_ > most_; ++i) {
      auto& s = job->second[i];
      auto over = size_ - most_;
      shorten(s, std::max(tail, s.text.size() - std::min(over, s.text.size())));
    }
  }
}

void job_outputs::make_room() {
  shorten_ended(recent_tail);
  shorten_ended(old_tail);
  while (size_ > most_) {
    stream* largest = nullptr;
    for (auto& [name, both] : jobs_)
      for (std::size_t i = 0; i < both.size(); ++i)
        if (!largest || both[i].text.size() > largest->text.size())
          largest = &both[i];
    if (!largest)
      return;
    auto over = size_ - most_;
    shorten(*largest, largest->text.size() - std::min(over, largest->text.size()));
  }
}

} // namespace conclave
