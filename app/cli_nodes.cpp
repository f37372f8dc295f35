// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The command line where it speaks of nodes: their addresses, and `conclave node`.

#include "app/cli_parser.hpp"
#include "protocols/config_url.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

namespace conclave {

using cli::parse;
using cli::prepare;
using cli::usage_error;

namespace {

/// Makes a node's name of its address: 127.0.0.1:4711 -> 127.0.0.1-4711, [::1]:4711 -> --1-4711.
std::string name_of(const std::string& address) {
  std::string name;
  for (auto c : address)
    if (c != '[' && c != ']')
      name += c == ':' ? '-' : c;
  return name.size() <= 64 ? name : name.substr(name.size() - 64); // the end tells more
}

} // namespace

bool cli::read_nodes(const std::vector<std::string>& texts, command_line& c) {
  for (const auto& text : texts) {
    auto eq = text.find('=');
    bool named = eq != std::string::npos;
    auto address = named ? text.substr(eq + 1) : text;
    auto name = named ? text.substr(0, eq) : name_of(address);
    std::string host, error;
    std::uint16_t port = 0;
    if (name.empty()) {
      usage_error(c, "--node takes NAME=HOST:PORT or HOST:PORT, not '" + text + "'");
      return false;
    }
    if (!parse_host_port(address, host, port, error) || port == 0) {
      usage_error(c, "--node " + (named ? name + ": " : "") + (error.empty() ? "the port must not be 0" : error)
                         + (named ? "" : "; --node takes NAME=HOST:PORT or HOST:PORT"));
      return false;
    }
    for (const auto& [known, where] : c.run.nodes)
      if (known == name) {
        usage_error(c, "--node " + name + " is given twice");
        return false;
      }
    c.run.nodes.emplace_back(name, address);
  }
  return true;
}

void cli::parse_node(command_line& c, int argc, const char* const* argv) {
  CLI::App app("Serves agents to engines on other machines, with mutual TLS (a per-user CA made on first use, unless given).",
               "conclave node");
  prepare(app);
  auto& o = c.node;
  std::string listen, check, grace;
  auto* listens = app.add_option("--listen", listen, "HOST:PORT to listen on; port 0 = any");
  auto* checks = app.add_option("--check", check, "HOST:PORT: say whether agents can run on the node there, and exit");
  auto* graces = app.add_option("--grace", grace, "TIME its tasks may go on after a signal (30 = 30s); 0 = none");
  app.add_flag("--insecure-loopback", o.insecure_loopback,
               "no TLS, loopback only: every user of this machine can spawn agents here");
  app.add_option("--tls-cert", o.tls.cert, "PEM certificate of this node");
  app.add_option("--tls-key", o.tls.key, "PEM private key of this node");
  app.add_option("--tls-ca", o.tls.ca, "PEM certificate of the CA both sides trust");
  app.add_flag("--json", o.json, "the log as JSON lines on standard output");
  app.add_flag("-q,--quiet", o.quiet, "log failures only");
  app.add_flag("-v,--verbose", o.verbose, "log each run and caller, too");
  const char* help = "conclave node --help";
  if (!parse(app, c, argc, argv, help))
    return;
  o.tls.insecure_loopback = o.insecure_loopback;
  std::string error;
  o.check = checks->count() > 0;
  if (o.check == (listens->count() > 0))
    return usage_error(c, "give either --listen HOST:PORT or --check HOST:PORT", help);
  const std::string name = o.check ? "--check" : "--listen";
  if (!parse_host_port(o.check ? check : listen, o.host, o.port, error))
    return usage_error(c, name + ": " + error, help);
  if (o.check && o.port == 0)
    return usage_error(c, "--check: the port must not be 0", help);
  if (o.check && (graces->count() > 0 || o.quiet || o.verbose))
    return usage_error(c, "--check takes the TLS options and --json; --grace, --quiet and --verbose are for --listen", help);
  if (graces->count() > 0 && (o.grace_ms = grace == "0" ? 0 : parse_seconds(grace)) < 0)
    return usage_error(c, "--grace takes a time (30 or 30s, 2m) or 0, not '" + grace + "'", help);
  auto given = !o.tls.cert.empty() + !o.tls.key.empty() + !o.tls.ca.empty();
  if (given != 0 && given != 3)
    return usage_error(c, "--tls-cert, --tls-key and --tls-ca belong together", help);
  if (given != 0 && o.insecure_loopback)
    return usage_error(c, "--insecure-loopback means no TLS: leave out --tls-cert, --tls-key and --tls-ca", help);
  if (o.insecure_loopback && !is_loopback_host(o.host))
    return usage_error(c, name + " with --insecure-loopback needs a loopback address such as 127.0.0.1, not '" + o.host + "'",
                       help);
  if (o.verbose && o.quiet)
    return usage_error(c, "--verbose and --quiet exclude each other", help);
}

bool parse_host_port(const std::string& text, std::string& host, std::uint16_t& port, std::string& error) {
  auto colon = text.rfind(':');
  error = "'" + text + "' is not HOST:PORT";
  if (colon == std::string::npos || colon == 0)
    return false;
  host = text.substr(0, colon);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']')
      return false;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    error += "; write an IPv6 address as [address]:port";
    return false;
  }
  auto [end, code] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  if (code != std::errc{} || end != text.data() + text.size() || colon + 1 == text.size())
    return false;
  auto odd = [](unsigned char ch) { return ch <= ' ' || ch >= 0x7f || ch == '/' || ch == '@' || ch == '[' || ch == ']'; };
  if (std::any_of(host.begin(), host.end(), odd))
    return false;
  error.clear();
  return true;
}

} // namespace conclave
