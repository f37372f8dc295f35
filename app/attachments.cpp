// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/attachments.hpp"

#include "app/host_io.hpp"
#include "protocols/address_kind.hpp"
#include "protocols/config_url.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/run_state.hpp"
#include "protocols/text.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/sha256.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <map>
#include <mutex>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

constexpr std::int64_t fetch_limit_ms = 30'000;
constexpr std::size_t max_data_url = std::size_t{64} << 20;

bool is_web(const std::string& source) {
  auto start = lower(source.substr(0, 8));
  return start.starts_with("http://") || start.starts_with("https://");
}

bool is_data(const std::string& source) {
  return lower(source.substr(0, 5)) == "data:";
}

/// The scheme of an address that is neither fetched nor decoded; empty for paths, and for what is.
std::string other_scheme(const std::string& source) {
  auto colon = source.find("://");
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'; };
  auto scheme = lower(source.substr(0, colon == std::string::npos ? 0 : colon));
  return scheme.size() <= 20 && std::all_of(scheme.begin(), scheme.end(), letter) && !is_url(source) && !is_file_url(source)
             ? scheme
             : "";
}

std::string read_path(const std::string& path, std::size_t most, std::string& bytes) {
  std::string error;
  if (auto why = no_path(path); !why.empty())
    return why;
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat st {};
  if (fd < 0)
    return std::string("cannot be opened: ") + std::strerror(errno);
  if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
    error = S_ISDIR(st.st_mode) ? "is a folder; name its files one by one" : "is no regular file";
  else if (static_cast<std::uint64_t>(st.st_size) > most)
    bytes.resize(most + 1); // what it holds does not matter any more
  else
    read_all(fd, most, bytes, error, "it");
  close(fd);
  return error;
}

std::string read_file_url(const std::string& source, std::size_t most, std::string& bytes) {
  std::string fault;
  auto path = path_of_url(source, fault);
  return fault.empty() ? read_path(path, most, bytes) : fault;
}

/// RFC 2397, base64 alone: text that is escaped is no image.
std::string read_data(const std::string& source, std::string& bytes) {
  auto comma = source.find(',');
  if (comma == std::string::npos || !lower(source.substr(0, comma)).ends_with(";base64"))
    return "must read data:TYPE;base64,DATA";
  if (source.size() > max_data_url)
    return "is longer than 64 MiB";
  auto data = source.substr(comma + 1);
  if (!is_base64(data))
    return "holds no base64 (RFC 4648, with padding)";
  bytes = decode_base64(data);
  return {};
}

int port_of(const std::string& url) {
  auto start = url.find("://") + 3;
  auto host = url.substr(start, url.find_first_of("/?#", start) - start);
  auto colon = host.rfind(':');
  if (colon == std::string::npos || host.find(']', colon) != std::string::npos)
    return 0;
  return std::atoi(host.c_str() + colon + 1);
}

/// Why an address must not be fetched from, as far as its text tells; each IP address is judged when it is connected to.
std::string forbidden(const std::string& url, reachable reach) {
  auto host = url_host(url);
  if (url.size() > 2048)
    return "its URL is longer than 2048 bytes";
  if (host.empty())
    return "is no URL to fetch from: https://, a host in ASCII, no user name, no spaces";
  auto self = is_loopback_host(host);
  if (self && reach != reachable::public_and_self)
    return "is on this machine, which is not fetched from: give its path";
  if (lower(url.substr(0, 5)) == "http:" && !self)
    return "is fetched by https:// alone";
  if (is_foreign_port(port_of(url)))
    return "names a port of another protocol than HTTP";
  return {};
}

struct fetched {
  std::mutex mutex;
  http_head head;
  std::string bytes;
  std::promise<http_end> end;
};

std::string fetch(const std::string& url, std::size_t most, const file_access& by, std::shared_ptr<http_transfers>& http,
                  std::string& bytes) {
  if (auto why = forbidden(url, by.reach); !why.empty())
    return why;
  if (!http)
    http = by.http();
  http_request r;
  r.method = "GET";
  r.url = url;
  r.headers = {{"Accept", "image/*, application/pdf;q=0.9, */*;q=0.1"}};
  r.total_timeout_ms = fetch_limit_ms;
  r.idle_timeout_ms = fetch_limit_ms;
  r.max_bytes = static_cast<std::int64_t>(most);
  r.max_redirects = 0;
  r.reach = by.reach;
  auto got = std::make_shared<fetched>();
  auto end = got->end.get_future();
  http->start(std::move(r), {[got](http_head h) {
                               std::lock_guard guard(got->mutex);
                               got->head = std::move(h);
                             },
                             [got](const std::string& piece) {
                               std::lock_guard guard(got->mutex);
                               got->bytes += piece;
                             },
                             [got](http_end e) { got->end.set_value(std::move(e)); }});
  auto how = end.get();
  std::lock_guard guard(got->mutex);
  if (how.code != ec::none)
    return "cannot be fetched: " + how.error;
  auto status = got->head.status;
  if (auto* to = find_header(got->head, "location"); to != nullptr && status >= 300 && status < 400)
    return "leads on to another address: give that one (" + shown_source(*to) + "), or download the file and give its path";
  if (status != 200)
    return "cannot be fetched: the server says " + std::to_string(status);
  bytes = std::move(got->bytes);
  return {};
}

/// Fills in type, name and data. `key`: under which it stands in a team file; empty = it does not.
std::string fill(attachment& a, const std::string& source, const std::string& key, const std::string& bytes) {
  auto type = wire::file_type(bytes);
  if (bytes.empty())
    return "is empty";
  if (type.empty()) {
    auto what = wire::other_type(bytes);
    auto text = key.empty() && !is_url(source) && is_named_as_shown(source)
                    ? ", whatever its name says; a text needs another name for --file, or goes in a pipe"
                    : "; documents of other types are not available yet: a text goes with --file PATH, or in a pipe";
    return what.empty() ? std::string{"is neither an image (PNG, JPEG, GIF, WebP) nor a PDF, by its first bytes"} + text
                        : "is " + what + (what.find(':') == std::string::npos ? ", which is not available yet" : "");
  }
  if (key == "image_path" && type == "application/pdf")
    return "is a PDF by its first bytes and no image: write `file_path`";
  a.name = shown_source(source);
  a.media_type = type;
  a.bytes = bytes.size();
  a.data = wire::encode_base64(bytes);
  a.sha = run::keep_file(a.data, wire::sha256);
  return {};
}

struct reading {
  const file_access& by;
  std::shared_ptr<http_transfers> http;
  std::map<std::string, attachment> known; ///< by source: several agents may name one file

  std::string read(attachment& a, const std::string& source, const std::string& key, std::size_t most) {
    if (auto same = known.find(source); same != known.end() && same->second.bytes <= most && key != "image_path") {
      auto agent = std::exchange(a, same->second).agent;
      a.agent = agent;
      return {};
    }
    std::string bytes;
    auto why = is_web(source)        ? fetch(source, most, by, http, bytes)
               : is_data(source)     ? read_data(source, bytes)
               : is_file_url(source) ? read_file_url(source, most, bytes)
                                     : read_path(source, most, bytes);
    if (why.empty() && bytes.size() > most)
      why = "has more than " + std::to_string(most >> 20) + " MiB" + (key.empty() ? "" : " (media_max_file_size_mb)");
    if (why.empty())
      why = fill(a, source, key, bytes);
    if (why.empty())
      known[source] = a;
    return why;
  }
};

std::string judge(const agent_config& agent, const std::vector<const attachment*>& shown, const std::vector<model_row>& models) {
  std::string fault;
  each_backend(agent, [&](const backend_config& b, const std::string& which) {
    if (auto why = wire::unfit(b, shown, models); fault.empty() && !why.empty())
      fault = "agent '" + shown_text(agent.id) + "'" + (which == "backend" ? "" : ", " + which) + ": " + why;
  });
  return fault;
}

std::size_t most_of(const backend_config& b) {
  return std::min<std::size_t>(static_cast<std::size_t>(b.media_max_file_size_mb) << 20, wire::max_attached);
}

} // namespace

std::string shown_source(const std::string& source) {
  if (is_data(source))
    return "data URL";
  if (auto scheme = other_scheme(source); !scheme.empty())
    return scheme + "://...";
  auto name = is_web(source) ? source.substr(0, source.find_first_of("?#")) : source;
  return shown_text(name, 300);
}

bool is_named_as_shown(const std::string& path) {
  auto name = lower(path);
  constexpr const char* endings[] = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf"};
  return std::any_of(std::begin(endings), std::end(endings), [&](const char* ending) { return name.ends_with(ending); });
}

bool is_file_url(const std::string& source) {
  return lower(source.substr(0, 5)) == "file:";
}

bool is_url(const std::string& source) {
  return is_web(source) || is_data(source);
}

std::string no_path(const std::string& source) {
  if (auto scheme = other_scheme(source); !scheme.empty())
    return "nothing is fetched by " + scheme + ":, only by https:; fetch it yourself and give its path, or a data: URL";
  auto start = lower(source.substr(0, 6));
  if (!is_url(source) && (start.starts_with("https:") || start.starts_with("http:")))
    return "is no URL: two slashes follow 'https:'";
  return {};
}

std::string path_of_url(const std::string& source, std::string& fault) {
  auto rest = source.substr(std::string_view{"file:"}.size());
  if (rest.starts_with("//")) {
    auto slash = rest.find('/', 2);
    auto host = lower(rest.substr(2, (slash == std::string::npos ? rest.size() : slash) - 2));
    if (!host.empty() && host != "localhost") {
      fault = "names a file of another machine: copy it here and give its path";
      return {};
    }
    rest = slash == std::string::npos ? std::string{} : rest.substr(slash);
  }
  std::string out;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    auto digit = [&](std::size_t k) {
      auto at = k < rest.size() ? std::string_view{"0123456789abcdefABCDEF"}.find(rest[k]) : std::string_view::npos;
      return at == std::string_view::npos ? -1 : static_cast<int>(at < 16 ? at : at - 6);
    };
    if (rest[i] != '%') {
      out += rest[i];
    } else if (digit(i + 1) >= 0 && digit(i + 2) >= 0 && digit(i + 1) + digit(i + 2) > 0) {
      out += static_cast<char>(digit(i + 1) * 16 + digit(i + 2));
      i += 2;
    } else {
      fault = "holds a '%' that begins no byte: give the path as it is, without file://";
      return {};
    }
  }
  if (!out.starts_with('/'))
    fault = "is no path from the root: write file:///PATH, or the path alone";
  return out;
}

std::vector<problem> unfit_files(const run_config& config) {
  std::vector<problem> out;
  file_access none;
  reading r{none, nullptr, {}};
  for (std::size_t i = 0; i < config.agents.size(); ++i) {
    auto& agent = config.agents[i];
    auto& files = agent.backend.upload_files;
    auto path = "agents[" + std::to_string(i) + "].backend.upload_files";
    auto add = [&](const std::string& where, std::string text) {
      auto at = place_of(config.places, where);
      out.push_back({severity::warning, at.file, at.line, at.path, std::move(text), true, at.column});
    };
    std::vector<attachment> read;
    for (std::size_t k = 0; k < files.size(); ++k) {
      auto& [key, source] = files[k];
      attachment a;
      auto why = is_web(source) ? forbidden(source, none.reach) : r.read(a, source, key, most_of(agent.backend));
      if (!why.empty())
        add(path + "[" + std::to_string(k) + "]." + key, shown_source(source) + ": " + why);
      else if (!is_web(source)) // what a run would fetch is not known
        read.push_back(std::move(a));
    }
    std::vector<const attachment*> shown;
    shown.reserve(read.size());
    for (auto& a : read)
      shown.push_back(&a);
    if (auto why = judge(agent, shown, config.models); !why.empty())
      add(path, why);
  }
  return out;
}

std::string read_attachments(const run_config& config, question& q, const file_access& by) {
  auto out = q;
  reading r{by, nullptr, {}};
  for (auto& a : out.attachments)
    if (auto source = a.name; a.data.empty()) {
      if (auto why = r.read(a, source, "", wire::max_attached); !why.empty())
        return shown_source(source) + ": " + why;
    } else if (a.sha.empty()) {
      if (auto why = is_base64(a.data) ? fill(a, source, "", decode_base64(a.data)) : "holds no base64 (RFC 4648, with padding)";
          !why.empty())
        return shown_source(source) + ": " + why;
    }
  for (std::size_t i = 0; i < config.agents.size(); ++i) {
    auto& agent = config.agents[i];
    for (auto& [key, source] : agent.backend.upload_files) {
      attachment a;
      a.name = shown_source(source);
      a.agent = agent.id;
      auto there = [&](const attachment& x) { return x.agent == a.agent && x.name == a.name && !x.data.empty(); };
      if (std::any_of(q.attachments.begin(), q.attachments.end(), there))
        continue; // of a task that is played again
      if (auto why = r.read(a, source, key, most_of(agent.backend)); !why.empty())
        return "agents[" + std::to_string(i) + "].backend.upload_files: " + a.name + ": " + why;
      out.attachments.push_back(std::move(a));
    }
  }
  for (auto& agent : config.agents) {
    std::vector<const attachment*> shown;
    for (auto& a : out.attachments)
      if (a.agent.empty() || a.agent == agent.id)
        shown.push_back(&a);
    if (auto why = judge(agent, shown, config.models); !why.empty())
      return why;
  }
  q = std::move(out);
  return {};
}

} // namespace conclave
