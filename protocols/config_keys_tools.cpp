// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys of tool servers (docs/protocol.md 11), of uploads, and of the steps of a scripted model.

#include "protocols/config_keys.hpp"

namespace conclave::unbound_keys {

namespace {

using scope = key_scope;
using type = key_type;
using status = key_status;

key_info row(scope s, const char* name, type t, const char* fallback, const char* help, status st = status::live) {
  return {s, name, t, st, 0, 0, "", fallback, "", help};
}

key_info range(scope s, const char* name, type t, double low, double high, const char* fallback, const char* help,
               status st = status::live) {
  return {s, name, t, st, low, high, "", fallback, "", help};
}

void servers(std::vector<key_info>& out) {
  const auto m = scope::mcp_server;
  out.insert(out.end(),
             {
                 row(m, "args", type::texts, "", "more arguments; `${NAME}` is expanded"),
                 range(m, "http_read_timeout", type::seconds, 0.001, 300, "300", "between two pieces of a reply", status::cosmetic),
                 row(m, "authorization", type::text, "", "token for the server", status::later),
                 row(m, "require_approval", type::any, "never", "question before a call", status::later),
                 row(m, "security", type::map, "", "what may be started"),
             });
  const auto s = scope::security;
  out.insert(out.end(), {
                            row(s, "env", type::map, "", "which variables may be set"),
                            row(s, "resolve_dns", type::flag, "false", "addresses are always checked", status::cosmetic),
                            row(s, "allow_localhost", type::flag, "false", "loopback addresses may be used"),
                            row(s, "allow_private_ips", type::flag, "false", "private addresses may be used"),
                            row(s, "allowed_hostnames", type::texts, "", "hosts whose addresses are not checked"),
                        });
  const auto e = scope::security_env;
  out.insert(
      out.end(),
      {
          {e, "level", type::choice, status::cosmetic, 0, 0, "strict moderate permissive high", "", "", "use `security.level`"},
          {e, "mode", type::choice, status::live, 0, 0, "denylist allowlist", "denylist", "", "how the two lists are read"},
          row(e, "allowed_vars", type::texts, "", "with `allowlist`: the only variables that may be set"),
          row(e, "denied_vars", type::texts, "", "with `denylist`: more variables that may not be set"),
      });
  const auto u = scope::upload;
  out.insert(out.end(), {
                            row(u, "image_path", type::text, "", "image: path, `https://` URL or `data:` URL"),
                            row(u, "audio_path", type::text, "", "sound", status::later),
                            row(u, "video_path", type::text, "", "film", status::later),
                            row(u, "file_path", type::text, "", "PDF or image, given as above"),
                        });
}

void steps(std::vector<key_info>& out) {
  const auto s = scope::step;
  out.insert(out.end(), {
                            row(s, "answer", type::text, "", "hands in this answer (a call of `new_answer`)"),
                            row(s, "vote", type::text, "", "votes for this agent (a call of `vote`)"),
                            row(s, "reason", type::text, "", "reason of the vote"),
                        });
}

} // namespace

std::vector<key_info> tools() {
  std::vector<key_info> out;
  servers(out);
  steps(out);
  return out;
}

} // namespace conclave::unbound_keys
