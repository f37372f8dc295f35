// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/environment.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

extern char** environ; // NOLINT: POSIX

namespace conclave {

namespace {

constexpr std::size_t max_bytes = 1'048'576;

bool is_name(const std::string& text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || !letter(text[0]))
    return false;
  for (auto c : text)
    if (!letter(c) && !(c >= '0' && c <= '9'))
      return false;
  return true;
}

std::string trimmed(const std::string& text) {
  auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos)
    return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Reads a quoted value; false if the quote is not closed or something but a comment follows.
bool read_quoted(const std::string& text, std::string& out) {
  auto quote = text[0];
  std::size_t i = 1;
  for (; i < text.size() && text[i] != quote; ++i) {
    if (quote == '"' && text[i] == '\\' && i + 1 < text.size()) {
      auto c = text[++i];
      out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    } else {
      out += text[i];
    }
  }
  if (i >= text.size())
    return false;
  auto rest = trimmed(text.substr(i + 1));
  return rest.empty() || rest[0] == '#';
}

std::string unquoted(const std::string& text) {
  // A comment needs a blank before it: keys may hold '#'.
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '#' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t'))
      return trimmed(text.substr(0, i));
  return text;
}

bool names_secret(const std::string& name) {
  for (const auto* part : {"KEY", "TOKEN", "SECRET", "PASSWORD"})
    if (name.find(part) != std::string::npos)
      return true;
  return false;
}

void warn(std::vector<problem>& problems, const std::string& file, int line, const std::string& text) {
  problems.push_back({severity::warning, file, line, "", text});
}

} // namespace

std::map<std::string, std::string> parse_environment(const std::string& text, const std::string& name,
                                                     std::vector<problem>& problems) {
  std::map<std::string, std::string> out;
  int number = 0;
  int bad = 0;
  for (std::size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    auto line = trimmed(text.substr(at, end - at));
    at = end + 1;
    ++number;
    if (line.empty() || line[0] == '#')
      continue;
    if (line.starts_with("export ") || line.starts_with("export\t"))
      line = trimmed(line.substr(7));
    auto equals = line.find('=');
    auto key = trimmed(line.substr(0, equals));
    auto rest = equals == std::string::npos ? "" : trimmed(line.substr(equals + 1));
    std::string value;
    bool quoted = !rest.empty() && (rest[0] == '"' || rest[0] == '\'');
    bool good = equals != std::string::npos && is_name(key) && rest.find('\0') == std::string::npos;
    if (good && quoted)
      good = read_quoted(rest, value);
    else if (good)
      value = unquoted(rest);
    // The line itself is never shown: it may be a key.
    if (!good && ++bad <= 20)
      warn(problems, name, number, "is not NAME=VALUE; the line is left out");
    if (good)
      out.emplace(key, value);
  }
  return out;
}

environment::environment() {
  for (auto** p = environ; p && *p; ++p) {
    std::string pair = *p;
    if (auto equals = pair.find('='); equals != std::string::npos && equals > 0)
      values_.emplace(pair.substr(0, equals), pair.substr(equals + 1));
  }
}

environment environment::load(std::vector<problem>& problems) {
  environment out;
  auto value = [&](const char* name) {
    const auto* found = out.find(name);
    return found ? *found : std::string{};
  };
  auto home = value("HOME");
  auto own = value("CONCLAVE_HOME");
  auto config = value("XDG_CONFIG_HOME");
  if (config.empty() && !home.empty())
    config = home + "/.config";
  out.add_file(".env", problems);
  if (!own.empty())
    out.add_file(own + "/.env", problems);
  if (!config.empty())
    out.add_file(config + "/conclave/.env", problems);
  // Where users of MassGen keep theirs.
  if (!home.empty()) {
    out.add_file(home + "/.massgen/.env", problems);
    out.add_file(home + "/.config/massgen/.env", problems);
  }
  return out;
}

bool environment::add_file(const std::string& path, std::vector<problem>& problems) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno != ENOENT && errno != ENOTDIR)
      warn(problems, path, 0, std::string{"cannot be opened: "} + std::strerror(errno));
    return false;
  }
  struct ::stat info {};
  std::string text;
  bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  bool failed = !regular;
  while (regular && text.size() <= max_bytes) {
    char buffer[16384];
    auto n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR)
      continue;
    failed = n < 0;
    if (n <= 0)
      break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(fd);
  if (failed || text.size() > max_bytes) {
    warn(problems, path, 0, !regular ? "is no regular file" : failed ? "cannot be read" : "is larger than 1 MiB and left out");
    return false;
  }
  auto found = parse_environment(text, path, problems);
  bool secrets = false;
  for (const auto& [name, value] : found)
    secrets = secrets || (!value.empty() && names_secret(name));
  if (secrets && (info.st_mode & S_IROTH) != 0)
    warn(problems, path, 0, "holds keys and can be read by every user of this machine: chmod 600 it");
  values_.merge(found);
  files_.push_back(path);
  return true;
}

const std::string* environment::find(const std::string& name) const {
  auto it = values_.find(name);
  return it == values_.end() ? nullptr : &it->second;
}

conclave::lookup environment::lookup() const {
  return [this](const std::string& name) { return find(name); };
}

} // namespace conclave
