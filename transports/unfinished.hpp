// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Files and folders that only mean something once they are finished: a process that ends at once, without destructors, removes
/// them first.

#include <functional>
#include <memory>
#include <string>

namespace conclave {

/// Names one for as long as it lives; removes nothing by itself. Any thread.
class unfinished {
  struct named {};

public:
  unfinished(std::string path, named); ///< of `make`
  explicit unfinished(std::string path);

  /// Names what `begin` makes, by the path that it returns; null if that is empty. A process that ends meanwhile waits for it.
  static std::unique_ptr<unfinished> make(const std::function<std::string()>& begin);

  ~unfinished();
  unfinished(const unfinished&) = delete;
  unfinished& operator=(const unfinished&) = delete;

  /// Removes all that are named, with what is in them. For a process that is about to end; any thread but a signal handler.
  static void remove_all();

private:
  const std::string path_;
};

} // namespace conclave
