// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/home.hpp"

#include "transports/unfinished.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
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

/// Returns an absolute path of an XDG variable, empty if it is unset or says nothing valid.
std::string xdg(const char* name) {
  auto* value = std::getenv(name);
  std::string path = value == nullptr ? "" : value;
  return expand_home(path).empty() && path.starts_with('/') ? path : std::string{};
}

} // namespace

std::string user_home() {
  if (auto* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return home;
  auto* pw = ::getpwuid(::getuid());
  return pw == nullptr ? "" : pw->pw_dir;
}

std::string expand_home(std::string& path) {
  if (!path.starts_with('~'))
    return "";
  if (path.size() > 1 && path[1] != '/')
    return "'" + path.substr(0, std::min<std::size_t>(path.find('/'), 64))
           + "': only your own home can be written as ~; write the folder out";
  auto home = user_home();
  if (home.empty())
    return "'~' cannot be expanded: HOME is not set";
  path.replace(0, 1, home);
  return "";
}

std::string home_path(std::string& error) {
  if (auto* own = std::getenv("CONCLAVE_HOME"); own != nullptr && own[std::strspn(own, " \t\r\n")] != '\0') {
    std::string path = own;
    if (auto fault = expand_home(path); !fault.empty()) {
      error = "CONCLAVE_HOME: " + fault;
      return {};
    }
    if (path.starts_with('/'))
      return path;
    std::error_code code;
    auto absolute = std::filesystem::absolute(path, code).lexically_normal().string();
    if (code)
      error = "CONCLAVE_HOME is relative, and the current folder is not known: " + code.message();
    return code ? std::string{} : absolute;
  }
  if (auto state = xdg("XDG_STATE_HOME"); !state.empty())
    return state + "/conclave";
  auto home = user_home();
  if (home.empty())
    error = "no home directory: set CONCLAVE_HOME";
  return home.empty() ? home : home + "/.local/state/conclave";
}

std::vector<std::string> config_dirs() {
  std::vector<std::string> out;
  if (auto config = xdg("XDG_CONFIG_HOME"); !config.empty())
    out.push_back(config + "/conclave");
  if (auto home = user_home(); !home.empty() && (out.empty() || out[0] != home + "/.config/conclave"))
    out.push_back(home + "/.config/conclave");
  return out;
}

std::string home_dir(std::string& error) {
  auto path = home_path(error);
  if (path.empty())
    return {};
  error = make_dirs(path);
  return error.empty() ? path : std::string{};
}

std::string home_fault() {
  std::string error;
  auto path = home_path(error);
  struct stat st {};
  while (!path.empty() && ::stat(path.c_str(), &st) != 0) {
    if (errno != ENOENT)
      return "cannot use " + path + ": " + std::strerror(errno);
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  if (path.empty())
    return error;
  if (!S_ISDIR(st.st_mode))
    return path + " is not a directory";
  return ::access(path.c_str(), W_OK | X_OK) == 0 ? "" : "cannot write in " + path + ": " + std::strerror(errno);
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
  unfinished until_renamed{temporary};
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
