// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: a reader of the JSON that our own writer makes: compact, keys in order, whole numbers. It builds nothing
/// but what it is asked for, which costs a tenth of the general parser. A log of 10,000 events is read so.
///
/// What it takes, the general parser takes with the same result; whatever else a text holds, it does not judge: `ok()` is false
/// then, and the text is for the general parser.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

class flat_reader {
public:
  /// Views the text.
  explicit flat_reader(std::string_view text);

  bool ok() const { return ok_; }

  /// Goes to the next member of the object that is being read. Returns false at its end. The key is a view into the text.
  bool next(std::string_view& key);

  /// Goes to the next value of the list that stands here, of which `n` were read: the first opens it. Returns false at its end.
  bool element(std::size_t n);

  /// Returns whether nothing stands behind what was read.
  bool at_end() const { return ok_ && at_ == text_.size(); }

  // Each reads the value that stands here, of the type it names.
  std::string text();
  std::vector<std::string> texts();
  std::int64_t whole(); ///< at most 18 digits
  bool flag();
  std::string object(); ///< as it stands, which is as `dump` would write it
  void open();          ///< an object whose members are read next

  void refuse() { ok_ = false; } ///< what was read is nothing that the caller takes

private:
  bool take(char c);
  bool take(std::string_view word);
  bool string(std::string* to);
  bool plain_key(std::string_view& key);
  void skip(int depth);
  void skip_object(int depth);
  bool fail() { return ok_ = false; }

  std::string_view text_;
  std::size_t at_ = 0;
  bool first_ = true; ///< member of the object that is being read
  bool ok_ = true;
};

} // namespace conclave::wire
