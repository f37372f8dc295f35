// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The file a child's stderr goes to: appended, capped at 1 MiB, and free of the secrets the child was told. Thread rule: one
/// thread at a time. A file that cannot be written costs log lines, nothing else.

#include <functional>
#include <string>
#include <string_view>

namespace conclave {

class child_log {
public:
  /// Takes the secrets out of a text.
  using cleaner = std::function<void(std::string&)>;

  child_log() = default;
  ~child_log();
  child_log(const child_log&) = delete;
  child_log& operator=(const child_log&) = delete;

  void open(const std::string& path, cleaner clean);

  /// Writes bytes as they come, or, if something is to be taken out, whole lines: a secret may come in two parts.
  void add(std::string_view bytes);

  /// So many bytes are missing here: the log says so, and what would be half a line is not written, nor half a secret.
  void skip(std::size_t bytes);

  /// Returns whether the file takes no more.
  bool is_full() const;

  /// Writes what waits and closes the file.
  void close();

private:
  void put(std::string text);

  int fd_ = -1;
  cleaner clean_;
  std::string line_;      ///< no LF in it
  bool skipping_ = false; ///< the rest of a line that was too long
};

} // namespace conclave
