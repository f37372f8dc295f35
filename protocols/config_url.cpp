// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// URLs and addresses as a configuration names them. Strict: what curl might read differently from us is refused, because keys are
// bound to hosts.

#include "protocols/config_url.hpp"

#include "protocols/config.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>

namespace conclave {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_alnum(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_port(const std::string& text) {
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), is_digit))
    return false;
  auto port = std::stoul(text); // at most five digits: cannot throw
  return port >= 1 && port <= 65535;
}

bool is_ipv6(const std::string& text) {
  auto good = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.'; };
  return text.size() >= 2 && text.size() <= 45 && std::count(text.begin(), text.end(), ':') >= 2
         && std::all_of(text.begin(), text.end(), good);
}

bool is_name(const std::string& text) {
  auto good = [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; };
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), good) && text.front() != '.'
         && text.front() != '-' && text.find("..") == std::string::npos;
}

/// Splits host[:port]; false if neither is well formed.
bool split_authority(const std::string& text, std::string& host, std::string& port) {
  port.clear();
  if (!text.empty() && text.front() == '[') {
    auto end = text.find(']');
    if (end == std::string::npos)
      return false;
    host = text.substr(1, end - 1);
    auto rest = text.substr(end + 1);
    if (!rest.empty()) {
      if (rest.front() != ':' || !is_port(rest.substr(1)))
        return false;
      port = rest.substr(1);
    }
    return is_ipv6(host);
  }
  auto colon = text.find(':');
  host = text.substr(0, colon);
  if (colon != std::string::npos) {
    port = text.substr(colon + 1);
    if (!is_port(port))
      return false;
  }
  return is_name(host);
}

} // namespace

std::string url_host(const std::string& url) {
  auto start = lower(url.substr(0, 8));
  std::size_t skip = start.starts_with("https://") ? 8 : start.starts_with("http://") ? 7 : 0;
  auto odd = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F || c == '\\'; };
  if (skip == 0 || url.size() > 2048 || std::any_of(url.begin(), url.end(), odd))
    return "";
  auto authority = url.substr(skip, url.find_first_of("/?#", skip) - skip);
  std::string host, port;
  if (!split_authority(authority, host, port))
    return "";
  auto written = host;
  if (host.back() == '.')
    host.pop_back();
  // 127.1, 0x7f.1, 2130706433, 0177.0.0.1: what ends in a number is an address, and only its dotted form is read alike everywhere.
  std::array<unsigned char, 4> address{};
  auto last = host.substr(host.find_last_of('.') + 1);
  auto number = std::all_of(last.begin(), last.end(), is_digit) || last.starts_with("0x") || last.starts_with("0X");
  if (host.find(':') == std::string::npos && number && ::inet_pton(AF_INET, written.c_str(), address.data()) != 1)
    return "";
  return lower(host);
}

bool is_loopback_host(const std::string& text) {
  auto host = lower(text);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  std::array<unsigned char, 16> a{};
  // Of IPv4 only the dotted form: 127.1 or 2130706433 are read differently by different programs.
  if (::inet_pton(AF_INET, host.c_str(), a.data()) == 1)
    return a[0] == 127;
  if (::inet_pton(AF_INET6, host.c_str(), a.data()) == 1) {
    auto zeros = std::find_if(a.begin(), a.end(), [](unsigned char c) { return c != 0; }) - a.begin();
    return (zeros == 15 && a[15] == 1) || (zeros == 10 && a[10] == 0xFF && a[11] == 0xFF && a[12] == 127);
  }
  if (host.ends_with('.'))
    host.pop_back();
  return host == "localhost" || host.ends_with(".localhost");
}

bool is_host_port(const std::string& address) {
  std::string host, port;
  return address.size() <= 300 && split_authority(address, host, port) && !port.empty();
}

std::string version_fault(const std::string& type, const std::string& version) {
  if (version.empty() || (type != "gemini" && type != "claude" && type != "azure_openai"))
    return {};
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  auto dated = version.size() >= 10 && version[4] == '-' && version[7] == '-';
  for (std::size_t i = 0; dated && i < 10; ++i)
    dated = i == 4 || i == 7 || digit(version[i]);
  auto known = [&](const char* tail) {
    return version.size() <= 40 && std::all_of(version.begin(), version.end(), [&](char c) {
             return digit(c) || letter(c) || std::string_view{tail}.find(c) != std::string_view::npos;
           });
  };
  std::string fault = "'" + shown_text(version) + "' is no version of this API: ";
  if (type == "gemini")
    return version == "v1beta" || version == "v1" || version == "v1alpha" ? "" : fault + "v1beta or v1";
  if (type == "claude")
    return dated && version.size() == 10 ? "" : fault + "a date, such as 2026-10-21";
  auto word = version == "v1" || version == "preview" || version == "latest";
  return word || (dated && known("-")) ? "" : fault + "a date, such as 2024-12-01-preview, or v1";
}

} // namespace conclave
