// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys and addresses as people and their tools write them.

#include "protocols/key_route.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace conclave {

std::string clean_key(std::string& key) {
  // Also what editors and web pages leave around a copied text: no-break space, zero-width space, byte order mark.
  static constexpr std::array<std::string_view, 8> blanks = {" ",  "\t",       "\r",           "\n",
                                                             "\v", "\xC2\xA0", "\xE2\x80\x8B", "\xEF\xBB\xBF"};
  std::string_view rest = key;
  for (auto before = rest.size() + 1; rest.size() < before;) {
    before = rest.size();
    for (auto blank : blanks) {
      if (rest.starts_with(blank))
        rest.remove_prefix(blank.size());
      if (rest.ends_with(blank))
        rest.remove_suffix(blank.size());
    }
    if (rest.size() > 1 && rest.front() == rest.back() && std::string_view{"\"'`"}.find(rest.front()) != std::string_view::npos)
      rest = rest.substr(1, rest.size() - 2);
  }
  key = std::string{rest};
  auto what = "";
  for (auto c : key) {
    auto u = static_cast<unsigned char>(c);
    what = c == ' ' || c == '\t'    ? "holds a blank inside"
           : c == '\n' || c == '\r' ? "holds a line feed inside"
           : u < 0x20 || u == 0x7F  ? "holds a control character"
           : u >= 0x80              ? "holds a character that is not ASCII, perhaps a typographic quote"
           : c == '"'               ? "holds a quote"
                                    : "";
    if (*what != '\0')
      break;
  }
  if (key.find("${") != std::string::npos)
    what = "holds ${...}, and what a variable names is not looked up a second time";
  if (key.starts_with("Bearer ") || key.starts_with("bearer "))
    return "begins with 'Bearer': leave that out, it is added";
  return *what == '\0' ? "" : std::string{what} + "; copy the key anew, on one line";
}

std::string url_place(const std::string& url) {
  auto start = url.find("://");
  return start == std::string::npos ? "" : shown_text(url.substr(0, url.find_first_of("/?#", start + 3)), 200);
}

std::string ollama_url(std::string text) {
  if (text == "ollama.com")
    text = "https://ollama.com";
  std::string scheme = "http", port = "11434";
  if (auto at = text.find("://"); at != std::string::npos) {
    scheme = text.substr(0, at);
    text.erase(0, at + 3);
    port = scheme == "https" ? "443" : scheme == "http" ? "80" : port;
  }
  auto slash = std::min(text.find('/'), text.size());
  auto path = text.substr(slash), host = text.substr(0, slash);
  while (path.ends_with('/'))
    path.pop_back();
  auto colon = host.rfind(':');
  if (colon != std::string::npos && (host.find(':') == colon || (colon > 0 && host[colon - 1] == ']'))) {
    port = host.substr(colon + 1);
    host.resize(colon);
  }
  if (host.find(':') != std::string::npos && !host.starts_with('['))
    host = "[" + host + "]";
  if (host.empty() || host == "0.0.0.0" || host == "[::]") // where a server listens; a client cannot go there
    host = "127.0.0.1";
  return scheme + "://" + host + ":" + port + path + "/v1";
}

} // namespace conclave
