// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/home.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave {

namespace {

/// Creates every missing directory of `path` with 0700. Returns an empty string or what went wrong.
std::string make_dirs(const std::string& path) {
  for (std::size_t i = 1; i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/')
      continue;
    auto part = path.substr(0, i);
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST)
      return "cannot create directory " + part + ": " + std::strerror(errno);
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0 || !S_ISDIR(st.st_mode))
    return path + " is not a directory";
  return {};
}

} // namespace

std::string home_dir(std::string& error) {
  std::string path;
  auto set = [](const char* name) -> const char* {
    auto* v = std::getenv(name);
    return v != nullptr && *v != '\0' ? v : nullptr;
  };
  if (auto* own = set("CONCLAVE_HOME")) {
    path = own;
  } else if (auto* state = set("XDG_STATE_HOME")) {
    path = std::string(state) + "/conclave";
  } else if (auto* home = set("HOME")) {
    path = std::string(home) + "/.local/state/conclave";
  } else if (auto* pw = ::getpwuid(::getuid())) {
    path = std::string(pw->pw_dir) + "/.local/state/conclave";
  } else {
    error = "no home directory: set CONCLAVE_HOME";
    return {};
  }
  error = make_dirs(path);
  return error.empty() ? path : std::string{};
}

std::string log_dir(const std::string& task, std::string& error) {
  auto home = home_dir(error);
  if (home.empty())
    return {};
  auto path = home + "/logs" + (task.empty() ? "" : "/" + task);
  error = make_dirs(path);
  return error.empty() ? path : std::string{};
}

std::string write_atomically(const std::string& path, const std::string& bytes, unsigned mode) {
  auto temporary = path + ".tmp" + std::to_string(::getpid());
  auto fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0)
    return "cannot write " + temporary + ": " + std::strerror(errno);
  std::string problem;
  for (std::size_t at = 0; at < bytes.size() && problem.empty();) {
    auto n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      problem = "cannot write " + temporary + ": " + std::strerror(errno);
    else
      at += static_cast<std::size_t>(n);
  }
  if (::close(fd) != 0 && problem.empty())
    problem = "cannot write " + temporary + ": " + std::strerror(errno);
  if (problem.empty() && ::rename(temporary.c_str(), path.c_str()) != 0)
    problem = "cannot replace " + path + ": " + std::strerror(errno);
  if (!problem.empty())
    ::unlink(temporary.c_str());
  return problem;
}

} // namespace conclave
