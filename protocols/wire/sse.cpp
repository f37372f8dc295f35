// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/sse.hpp"

#include <algorithm>

namespace conclave::wire {

namespace {

constexpr std::size_t max_stray = 1000;
constexpr std::size_t max_kept_bytes = std::size_t{64} << 10; ///< between two events

/// An object, or a list of them: no word in brackets.
bool begins_json(std::string_view text) {
  if (text.front() != '[')
    return text.front() == '{';
  auto next = text.find_first_not_of(" \t", 1);
  return next == std::string_view::npos || text[next] == '{';
}

} // namespace

sse_decoder::sse_decoder(std::size_t max_line) : max_line_(max_line) {}

bool sse_decoder::feed(std::string_view bytes, const std::function<void(sse_event&)>& on_event) {
  std::size_t at = 0, cr = 0, lf = 0; // the next of each is looked for once: many of one kind must not cost a walk for the other
  auto next = [&](char c, std::size_t known) { return known < at || known == 0 ? bytes.find(c, at) : known; };
  while (!broken_ && at < bytes.size()) {
    if (skip_lf_) {
      skip_lf_ = false;
      if (bytes[at] == '\n') {
        ++at;
        continue;
      }
    }
    cr = next('\r', cr);
    lf = next('\n', lf);
    auto end = std::min(cr, lf);
    // Judged per line, not per read: any split of the bytes meets the bound at the same place.
    if (std::min(end, bytes.size()) - at > max_line_ - buffer_.size()) {
      give_up();
      break;
    }
    if (end == std::string_view::npos) {
      buffer_.append(bytes.substr(at));
      break;
    }
    if (buffer_.empty()) {
      line(bytes.substr(at, end - at), on_event);
    } else {
      buffer_.append(bytes.substr(at, end - at));
      auto whole = std::move(buffer_);
      buffer_.clear();
      line(whole, on_event, &whole);
    }
    skip_lf_ = bytes[end] == '\r';
    at = end + 1;
  }
  return !broken_;
}

void sse_decoder::give_up() {
  broken_ = true;
  std::string{}.swap(buffer_);
  std::string{}.swap(bare_);
  event_.forget_data();
  has_data_ = false;
}

/// Keeps the memory of events of ordinary length: one after the other needs it.
void sse_decoder::forget_event() {
  if (event_.data.capacity() > max_kept_bytes)
    event_.forget_data();
  event_.data.clear();
  event_.name.clear();
  event_.id.clear();
  has_data_ = false;
}

void sse_decoder::finish(const std::function<void(sse_event&)>& on_event) {
  if (broken_)
    return;
  if (!buffer_.empty()) {
    auto last = std::move(buffer_);
    buffer_.clear();
    line(last, on_event, &last);
  }
  if (!broken_)
    line({}, on_event);
}

void sse_decoder::line(std::string_view text, const std::function<void(sse_event&)>& on_event, std::string* owner) {
  if (!started_) {
    started_ = true;
    if (text.substr(0, 3) == "\xEF\xBB\xBF")
      text.remove_prefix(3);
  }
  if (text.empty()) {
    if (!event_.data.empty()) // the standard drops an event without data, also one whose data is empty: servers prime streams so
      on_event(event_);
    forget_event();
    return;
  }
  if (text.front() == ':')
    return;
  auto colon = text.find(':');
  auto field = text.substr(0, colon);
  auto value = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  if (!value.empty() && value.front() == ' ')
    value.remove_prefix(1);
  if (field == "data") {
    add_data(value, owner);
  } else if (field == "event") {
    event_.name = value;
  } else if (field == "id") {
    if (value.find('\0') == std::string_view::npos)
      event_.id = value;
  } else if (field == "error" && !value.empty()) {
    event_.name = field;
    add_data(value);
  } else if (field != "retry") {
    bare(text, on_event);
  }
}

void sse_decoder::add_data(std::string_view value, std::string* owner) {
  if (event_.data.size() + value.size() + 1 > max_line_)
    return give_up();
  if (owner != nullptr && !has_data_ && value.size() > max_kept_bytes) { // too large to be held twice
    owner->erase(0, static_cast<std::size_t>(value.data() - owner->data()));
    event_.data = std::move(*owner);
    has_data_ = true;
    return;
  }
  if (has_data_)
    event_.data += '\n';
  event_.data.append(value);
  has_data_ = true;
}

/// A line outside all fields: perhaps one of a JSON object or of a list of objects, which is an event once its last brace has come.
void sse_decoder::bare(std::string_view text, const std::function<void(sse_event&)>& on_event) {
  if (bare_.empty()) {
    auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos || !begins_json(text.substr(first))) {
      if (stray_.size() < max_stray)
        (stray_ += stray_.empty() ? "" : " ").append(text.substr(0, max_stray));
      return;
    }
  }
  if (bare_.size() + text.size() + 1 > max_line_)
    return give_up();
  bare_.append(text) += '\n';
  for (char c : text) {
    if (in_string_ && (escape_ || c == '\\'))
      escape_ = !escape_;
    else if (c == '"')
      in_string_ = !in_string_;
    else if (!in_string_ && (c == '{' || c == '['))
      ++depth_;
    else if (!in_string_ && (c == '}' || c == ']'))
      --depth_;
  }
  if (depth_ > 0)
    return;
  sse_event whole;
  whole.data = std::move(bare_);
  bare_.clear();
  depth_ = 0;
  in_string_ = escape_ = false;
  on_event(whole);
}

} // namespace conclave::wire
