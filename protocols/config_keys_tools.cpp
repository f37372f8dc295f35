// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys of tool servers (docs/protocol.md 11), of uploads, and of the steps of a scripted model.

#include "protocols/config_keys.hpp"

namespace conclave::key_table {

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
                 row(m, "name", type::text, "", "letters, digits, `_`, `-`; at most 50; default: the key, else `server_<i>`"),
                 row(m, "type", type::text, "",
                     "`stdio`; `streamable-http` and `http` are not available yet; default: by `command` or `url`"),
                 row(m, "command", type::any, "", "program and arguments, as text or list; run without a shell"),
                 row(m, "args", type::texts, "", "more arguments; `${NAME}` is expanded"),
                 row(m, "env", type::text_map, "", "variables of the program; `${NAME}` is expanded"),
                 row(m, "cwd", type::text, "", "folder the program starts in"),
                 row(m, "url", type::text, "", "address of the server"),
                 row(m, "headers", type::text_map, "", "HTTP headers"),
                 range(m, "timeout", type::seconds, 0.001, 3600, "400", "one call"),
                 range(m, "startup_timeout_seconds", type::seconds, 0.001, 3600, "60",
                       "the start, until the server answers; as long again until its tools are listed"),
                 range(m, "http_read_timeout", type::seconds, 0.001, 300, "300", "between two pieces of a reply", status::cosmetic),
                 row(m, "authorization", type::text, "", "token for the server", status::later),
                 row(m, "require_approval", type::any, "never", "question before a call", status::later),
                 row(m, "allowed_tools", type::texts, "", "replaces `allowed_tools` of the backend"),
                 row(m, "exclude_tools", type::texts, "", "adds to `exclude_tools` of the backend"),
                 row(m, "security", type::map, "", "what may be started"),
             });
  const auto s = scope::security;
  out.insert(out.end(), {
                            {s, "level", type::choice, status::live, 0, 0, "strict moderate permissive high", "strict", "",
                             "which programs may be started; `high` is read as `strict`"},
                            row(s, "allowed_executables", type::texts, "", "replaces the list of the level; names, or whole paths"),
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
                            row(u, "image_path", type::text, "", "image"),
                            row(u, "audio_path", type::text, "", "sound"),
                            row(u, "video_path", type::text, "", "film"),
                            row(u, "file_path", type::text, "", "document"),
                        });
}

void steps(std::vector<key_info>& out) {
  const auto s = scope::step;
  constexpr double hour = 3'600'000;
  out.insert(out.end(), {
                            row(s, "text", type::text, "", "text to stream"),
                            row(s, "reasoning", type::text, "", "reasoning streamed before the text"),
                            row(s, "answer", type::text, "", "hands in this answer (a call of `new_answer`)"),
                            row(s, "vote", type::text, "", "votes for this agent (a call of `vote`)"),
                            row(s, "reason", type::text, "", "reason of the vote"),
                            row(s, "calls", type::list, "", "tool calls: `name` and `arguments`"),
                            range(s, "first_delay_ms", type::integer, 0, hour, "0", "before the first chunk"),
                            range(s, "delay_ms", type::integer, 0, hour, "0", "another spelling of `first_delay_ms`"),
                            range(s, "chunk_delay_ms", type::integer, 0, hour, "0", "between chunks"),
                            range(s, "chunk_bytes", type::integer, 0, 1'048'576, "0", "text per chunk; 0 = all in one"),
                            row(s, "error", type::text, "", "the call fails with this code after the text"),
                            range(s, "retry_after_ms", type::integer, 0, hour, "", "what the server asks to wait"),
                            row(s, "truncated", type::flag, "false", "the reply is cut by the token limit"),
                            row(s, "hang", type::flag, "false", "never ends by itself"),
                            row(s, "optional", type::flag, "false", "may stay unused"),
                            range(s, "repeat", type::integer, 1, 1'000'000, "1", "how often the step is used"),
                        });
  out.insert(out.end(), {
                            row(scope::step_call, "name", type::text, "", "tool: `mcp__server__tool`, `new_answer`, `vote`"),
                            row(scope::step_call, "arguments", type::any, "", "map, or text that is sent as it stands"),
                            row(scope::step_call, "id", type::text, "", "default `call_<i>`"),
                        });
}

} // namespace

std::vector<key_info> tools() {
  std::vector<key_info> out;
  servers(out);
  steps(out);
  return out;
}

} // namespace conclave::key_table
