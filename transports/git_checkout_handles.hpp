// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Handles of libgit2. Private to transports/git_checkout*.

#include "protocols/text.hpp"

#include <git2.h>
#include <string>

namespace conclave::git {

/// Owns what libgit2 gives.
template <class T, void (*Free)(T*)>
class handle {
public:
  handle() = default;
  ~handle() {
    if (x_ != nullptr)
      Free(x_);
  }
  handle(const handle&) = delete;
  handle& operator=(const handle&) = delete;
  T* get() const { return x_; }
  T** out() { return &x_; }

private:
  T* x_ = nullptr;
};

/// Once per process, before anything else.
inline void start_library() {
  static const int started = [] {
    auto n = git_libgit2_init();
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, static_cast<ssize_t>(16) << 20); // 256 MiB else
    return n;
  }();
  (void) started;
}

/// What the last call on this thread complained of. A repository may have written it: escaped.
inline std::string last_error() {
  const auto* e = git_error_last();
  return "git: " + (e == nullptr || e->message == nullptr ? std::string{"failed"} : shown_text(e->message, 300));
}

} // namespace conclave::git
