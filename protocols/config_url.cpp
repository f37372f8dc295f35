// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// URLs and addresses as a configuration names them. Strict: what curl might read differently from us is refused, because keys are
// bound to hosts.

#include "protocols/config.hpp"

#include <algorithm>

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

std::string lowered(std::string text) {
  for (auto& c : text)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return text;
}

} // namespace

std::string url_host(const std::string& url) {
  auto start = lowered(url.substr(0, 8));
  std::size_t skip = start.starts_with("https://") ? 8 : start.starts_with("http://") ? 7 : 0;
  auto odd = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F || c == '\\'; };
  if (skip == 0 || url.size() > 2048 || std::any_of(url.begin(), url.end(), odd))
    return "";
  auto authority = url.substr(skip, url.find_first_of("/?#", skip) - skip);
  std::string host, port;
  if (!split_authority(authority, host, port))
    return "";
  if (host.back() == '.')
    host.pop_back();
  return lowered(host);
}

bool is_loopback_host(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost") || host == "::1")
    return true;
  // Only the dotted form: 127.1 or 2130706433 are read differently by different programs.
  if (!host.starts_with("127.") || std::count(host.begin(), host.end(), '.') != 3)
    return false;
  return std::all_of(host.begin(), host.end(), [](char c) { return is_digit(c) || c == '.'; });
}

bool is_host_port(const std::string& address) {
  std::string host, port;
  return address.size() <= 300 && split_authority(address, host, port) && !port.empty();
}

} // namespace conclave
