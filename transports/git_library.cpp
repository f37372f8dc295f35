// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/git_library.hpp"

#include "protocols/text.hpp"

#include <dlfcn.h>

namespace conclave::git {

namespace {

constexpr const char* file = "libgit2.so." LIBGIT2_SOVERSION;

std::string load() {
  auto* library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL); // it stays until the process ends
  if (library == nullptr) {
    const auto* why = ::dlerror();
    return std::string{"git repositories need "} + file + ", which cannot be loaded: " + (why == nullptr ? "unknown" : why);
  }
#define CONCLAVE_GIT_FIND(name)                                                                                                    \
  git::name = reinterpret_cast<decltype(git::name)>(::dlsym(library, #name));                                                      \
  if (git::name == nullptr)                                                                                                        \
    return std::string{file} + " has no " #name;
  CONCLAVE_GIT_CALLS(CONCLAVE_GIT_FIND)
#undef CONCLAVE_GIT_FIND
  if (git_libgit2_init() < 0)
    return last_error();
  git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, static_cast<ssize_t>(16) << 20); // 256 MiB else
  return {};
}

} // namespace

const std::string& load_library() {
  static const auto wrong = load();
  return wrong;
}

std::string last_error() {
  const auto* e = git_error_last();
  return "git: " + (e == nullptr || e->message == nullptr ? std::string{"failed"} : shown_text(e->message, 300));
}

} // namespace conclave::git
