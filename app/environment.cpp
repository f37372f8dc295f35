// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/environment.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/key_route.hpp"
#include "protocols/secrets.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"
#include "transports/home.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

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
  auto rest = std::string(trimmed(text.substr(i + 1), line_space));
  return rest.empty() || rest[0] == '#';
}

std::string unquoted(const std::string& text) {
  // A comment needs a blank before it: keys may hold '#'.
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '#' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t'))
      return std::string(trimmed(text.substr(0, i), line_space));
  return text;
}

void warn(std::vector<problem>& problems, const std::string& file, int line, const std::string& text) {
  problems.push_back({severity::warning, file, line, "", text});
}

/// Reads one line into a name and a value. Returns what is wrong with it, or empty.
const char* read_line(std::string line, std::string& key, std::string& value) {
  if (line.starts_with("export ") || line.starts_with("export\t"))
    line = std::string(trimmed(line.substr(7), line_space));
  auto equals = line.find('=');
  auto colon = line.find(':');
  if (colon < equals && is_name(std::string(trimmed(line.substr(0, colon), line_space)))
      && (colon + 1 == line.size() || line[colon + 1] == ' '))
    return "is NAME: VALUE, as in YAML; write NAME=VALUE. The line is left out";
  key = std::string(trimmed(line.substr(0, equals), line_space));
  if (equals == std::string::npos || !is_name(key))
    return "is not NAME=VALUE; the line is left out";
  auto rest = std::string(trimmed(line.substr(equals + 1), line_space));
  if (rest.find('\0') != std::string::npos)
    return "holds a zero byte; the line is left out";
  value.clear();
  if (rest.empty() || (rest[0] != '"' && rest[0] != '\''))
    value = unquoted(rest);
  else if (!read_quoted(rest, value))
    return "has a quote that is not closed, or text behind it; the line is left out";
  return nullptr;
}

/// Proxies are taken from the process alone, so that no file can put one in front of a key.
bool is_proxy(std::string name) {
  for (auto& c : name)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return name == "http_proxy" || name == "https_proxy" || name == "all_proxy" || name == "no_proxy";
}

/// Returns whether this is UTF-16, by its byte order mark or by every other of its first bytes.
bool is_utf16(const std::string& text) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
    return true;
  return text.size() >= 4 && ((text[1] == '\0' && text[3] == '\0') || (text[0] == '\0' && text[2] == '\0'));
}

} // namespace

std::map<std::string, std::string> parse_environment(const std::string& text, const std::string& name,
                                                     std::vector<problem>& problems) {
  std::map<std::string, std::string> out;
  if (is_utf16(text)) {
    warn(problems, name, 0, "is UTF-16; save it as UTF-8. The whole file is left out");
    return out;
  }
  std::map<std::string, int> lines;
  int number = 0;
  int said = 0;
  auto say = [&](const std::string& what) {
    if (++said <= 20)
      warn(problems, name, number, what);
  };
  auto ending = text.find('\n') == std::string::npos ? '\r' : '\n'; // some editors end lines with CR alone
  for (std::size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; at < text.size();) {
    auto end = std::min(text.find(ending, at), text.size());
    auto line = std::string(trimmed(text.substr(at, end - at), line_space));
    at = end + 1;
    ++number;
    if (line.empty() || line[0] == '#')
      continue;
    std::string key, value;
    // The line itself is never shown: it may be a key.
    if (const auto* fault = read_line(line, key, value)) {
      say(fault);
      continue;
    }
    if (auto [before, fresh] = lines.try_emplace(key, number); !fresh)
      say(key + " is set in line " + std::to_string(std::exchange(before->second, number))
          + " already; this one, the last, counts");
    if (is_proxy(key))
      say(key + " has no effect here: proxies are taken from the environment of the process alone");
    out.insert_or_assign(key, std::move(value));
  }
  return out;
}

environment::environment() {
  for (auto** p = environ; p && *p; ++p) {
    std::string pair = *p;
    if (auto equals = pair.find('='); equals != std::string::npos && equals > 0)
      values_.emplace(pair.substr(0, equals), variable{pair.substr(equals + 1), process_source});
  }
}

environment environment::load(std::vector<problem>& problems) {
  environment out;
  out.add_file(".env", problems);
  std::string ignored; // said where the folder is needed
  if (const auto* own = out.find("CONCLAVE_HOME"); own != nullptr && !own->empty() && out.source("CONCLAVE_HOME") == process_source)
    if (auto path = home_path(ignored); !path.empty())
      out.add_file(path + "/.env", problems);
  for (const auto& folder : config_dirs())
    out.add_file(folder + "/.env", problems);
  // Where users of MassGen keep theirs.
  if (auto home = user_home(); !home.empty()) {
    out.add_file(home + "/.massgen/.env", problems);
    out.add_file(home + "/.config/massgen/.env", problems);
  }
  return out;
}

secrets environment::known_secrets() const {
  secrets all, out;
  for (auto& [name, v] : values_)
    all.add_named(name, v.value);
  out.add_for_results(all);
  return out;
}

std::vector<problem> environment::target_faults() const {
  std::vector<problem> out;
  const auto prefix = target_variable("");
  for (auto i = values_.lower_bound(prefix); i != values_.end() && i->first.starts_with(prefix); ++i) {
    auto word = i->first.substr(prefix.size()), type = lower(word);
    const auto known = find_backend_kind(type) != nullptr;
    if (is_blank(i->second.value) || (known && i->first == target_variable(type)))
      continue;
    auto hint = known ? "write " + target_variable(type) : type_hint(type);
    std::vector<std::string> types;
    for (const auto& kind : backend_kinds())
      types.emplace_back(kind.type);
    if (auto near = nearest(type, types); hint.empty() && !near.empty())
      hint = "did you mean '" + near + "'?";
    out.push_back({severity::error, "", 0, shown_text(i->first, 200) + " (" + i->second.source + ")",
                   (known ? "the name of a backend type stands in capitals here: "
                          : "'" + shown_text(word, 100) + "' is no backend type, so nothing would go there; ")
                       + (hint.empty() ? "all of them: conclave backends" : hint)});
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
  if (regular && !seen_.emplace(info.st_dev, info.st_ino).second) { // one place by two names: its faults are said
    ::close(fd);
    return true;
  }
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
    warn(problems, path, 0,
         S_ISDIR(info.st_mode) ? "is a folder; a .env is a file"
         : !regular            ? "is no regular file"
         : failed              ? "cannot be read"
                               : "is larger than 1 MiB and left out");
    return false;
  }
  auto found = parse_environment(text, path, problems);
  bool secrets = false;
  for (const auto& [name, value] : found)
    secrets = secrets || (!value.empty() && may_be_secret(name, value));
  if (secrets && (info.st_mode & S_IROTH) != 0)
    warn(problems, path, 0, "holds keys and can be read by every user of this machine: chmod 600 it");
  for (auto& [name, value] : found)
    if (auto& v = values_[name]; is_blank(v.value) && (v.source.empty() || !is_blank(value)))
      v = {std::move(value), path == ".env" ? project_source : path};
  files_.push_back(path);
  return true;
}

const std::string* environment::find(const std::string& name) const {
  auto it = values_.find(name);
  return it == values_.end() ? nullptr : &it->second.value;
}

std::string environment::source(const std::string& name) const {
  auto it = values_.find(name);
  return it == values_.end() ? "" : it->second.source;
}

source_lookup environment::sources() const {
  return [this](const std::string& name) { return source(name); };
}

conclave::lookup environment::lookup() const {
  return [this](const std::string& name) { return find(name); };
}

} // namespace conclave
