// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/line_diff.hpp"
#include "protocols/text.hpp"
#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace wt = workspace_tools;

using path_policy::access;
using path_policy::denial;
using path_policy::shown;

namespace {

bool is_text(std::string_view bytes) {
  if (bytes.find('\0') != std::string_view::npos)
    return false;
  std::uint32_t c = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    auto n = decode_utf8(bytes, i, c);
    if (n == 0)
      return false;
    i += n;
  }
  return true;
}

/// Keeps the first `count` lines.
std::size_t first_lines(std::string_view text, std::int64_t count) {
  std::size_t at = 0;
  for (; count > 0 && at < text.size(); --count) {
    auto end = text.find('\n', at);
    at = end == std::string_view::npos ? text.size() : end + 1;
  }
  return at;
}

/// Where the last `count` lines begin.
std::size_t last_lines(std::string_view text, std::int64_t count) {
  auto at = text.size();
  if (at > 0 && text.back() == '\n')
    --at;
  for (;; --count) {
    auto end = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
    if (end == std::string_view::npos)
      return 0;
    if (count <= 1)
      return end + 1;
    at = end;
  }
}

/// Where a part of at most `limit` bytes ends: behind a line, else behind a character.
std::size_t whole_lines(std::string_view text, std::size_t limit) {
  auto end = limit == 0 ? std::string_view::npos : text.rfind('\n', limit - 1);
  return end == std::string_view::npos ? whole_characters(text, limit) : end + 1;
}

std::string binary_text(const std::string& given, std::uint64_t size) {
  return shown(given) + " is a binary file of " + std::to_string(size) + " bytes; only text (UTF-8) can be read.";
}

} // namespace

std::string file_tools::read_part(const wt::read_text_file& c, std::size_t limit) {
  auto a = at(c.path, access::read);
  auto file = open_to_read(a);
  auto size = file.facts.size;
  auto from = static_cast<std::uint64_t>(std::max<std::int64_t>(c.offset, 0));
  auto tail = c.tail.has_value();
  if (tail)
    from = size > limit ? size - limit : 0;
  if (from > size)
    refuse(denial::args, shown(c.path) + " has " + std::to_string(size) + " bytes: the offset lies behind its end.");
  auto read = read_bytes(file.fd.get(), from, limit + 1, stop()); // one more byte tells whether that is all
  check(a, {read.error.what, a.relative, read.error.number});
  auto& text = read.value;
  auto note = [&] { tracker_.read(a.below(file.path), identity_of(file.facts)); };
  std::size_t begin = from == 0 ? 0 : next_character(text, 0);
  auto end = text.size() > limit ? whole_characters(text, limit) : text.size();
  if (!is_text(std::string_view(text).substr(begin, end - begin))) {
    note(); // that it is binary is all there is to know of it
    refuse(denial::none, binary_text(c.path, size));
  }
  if (text.size() > limit && !tail)
    end = whole_lines(text, limit);
  auto wants_more = !c.head; // than is given here
  if (c.head) {
    auto given = std::string_view(text).substr(begin, end - begin);
    wants_more = std::count(given.begin(), given.end(), '\n') < *c.head;
    end = std::min(end, begin + first_lines(given, *c.head));
  }
  std::string hint;
  if (tail) {
    auto start = begin + last_lines(std::string_view(text).substr(begin, end - begin), *c.tail);
    if (start == begin && from > 0) { // its first line is cut
      auto line = text.find('\n', begin);
      start = line == std::string::npos || line + 1 >= end ? begin : line + 1;
      hint = "\n[the last " + std::to_string(end - start) + " of " + std::to_string(size) + " bytes; a call gives no more]";
    }
    begin = start;
  } else if (from + end < size && wants_more) {
    auto next = std::to_string(from + end);
    hint = "\n[cut at byte " + next + " of " + std::to_string(size) + "; call read_text_file with \"offset\": " + next
           + " for what follows]";
  }
  note();
  return text.substr(begin, end - begin) + hint;
}

std::string file_tools::carry_out(const wt::read_text_file& c) {
  return read_part(c, settings_.bounds.read_bytes);
}

std::string file_tools::carry_out(const wt::read_multiple_files& c) {
  std::string out;
  std::size_t used = 0, failed = 0;
  wt::tool_fault last;
  for (auto& path : c.paths) {
    pause();
    out += (out.empty() ? "" : "\n---\n") + line_of(path) + ":\n";
    try {
      if (used >= settings_.bounds.read_bytes)
        refuse(denial::size, "This call gives no more text. Read the file in another call.");
      auto text = read_part({path, std::nullopt, std::nullopt, 0}, settings_.bounds.read_bytes - used);
      used += text.size();
      out += text;
    } catch (const refusal& r) {
      ++failed;
      last = r.fault;
      out += "Error: " + reason_of(r.fault);
    }
  }
  if (failed == c.paths.size() && failed > 0) // then the call is one
    refuse(last.code, failed == 1 ? last.text : "None of the " + std::to_string(failed) + " files was read:\n" + out);
  return out;
}

std::string file_tools::whole_text(const aim& a, const opened_entry& file) {
  if (file.facts.size > settings_.bounds.edit_bytes)
    refuse(denial::size, shown(a.given) + " has " + std::to_string(file.facts.size) + " bytes; the limit here is "
                             + std::to_string(settings_.bounds.edit_bytes) + ".");
  auto read = read_bytes(file.fd.get(), 0, settings_.bounds.edit_bytes + 1, stop());
  check(a, {read.error.what, a.relative, read.error.number});
  if (!is_text(read.value) || read.value.size() > settings_.bounds.edit_bytes)
    refuse(denial::none, binary_text(a.given, file.facts.size));
  return std::move(read.value);
}

std::string file_tools::carry_out(const wt::get_file_info& c) {
  auto a = at(c.path, access::read);
  auto found = a.dir->find(a.relative);
  check(a, found.error);
  check_found(a, found.value.path, access::read);
  auto& f = found.value.facts;
  auto time = [](std::int64_t ns) { return std::to_string(ns / 1'000'000'000); };
  std::string mode;
  for (int shift = 6; shift >= 0; shift -= 3)
    mode += static_cast<char>('0' + ((f.mode >> shift) & 7U));
  auto yes = [](bool b) { return b ? "true" : "false"; };
  return "size: " + std::to_string(f.size) + "\nmodified: " + time(f.mtime_ns) + "\nchanged: " + time(f.ctime_ns) + "\naccessed: "
         + time(f.atime_ns) + "\ntype: " + type_name(f.kind) + "\nisDirectory: " + yes(f.kind == entry_kind::folder)
         + "\nisFile: " + yes(f.kind == entry_kind::file) + "\npermissions: " + mode + "\n";
}

std::string file_tools::carry_out(const wt::list_allowed_directories&) {
  std::string out = "Allowed directories:";
  for (auto& r : settings_.rules.roots)
    out += "\n" + line_of(r.path) + (r.writable ? " (read and write)" : " (read)");
  return out;
}

} // namespace conclave
