// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/question.hpp"

#include "app/attachments.hpp"
#include "app/commands.hpp"
#include "app/host_io.hpp"
#include "app/plain_text.hpp"
#include "app/text_input.hpp"
#include "protocols/config.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/attachments.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr int usage_code = static_cast<int>(exit_code::usage);
constexpr std::size_t max_question = std::size_t{1024} * 1024;
constexpr int first_byte_ms = 2'000;  ///< how long a pipe beside a question may be silent
constexpr int named_pipe_ms = 60'000; ///< how long a pipe that was asked for may be silent

std::string bytes_of(std::size_t n) {
  return with_commas(static_cast<std::int64_t>(n)) + (n == 1 ? " byte" : " bytes");
}

/// Makes text of what `name` held. Returns false after a complaint.
bool judge_text(std::string& text, const std::string& name) {
  auto fault = find_text_fault(text);
  if (fault.line > 0) {
    complain(name + (fault.line > 1 ? ", line " + std::to_string(fault.line) : "") + ": " + fault.why);
    return false;
  }
  drop_bom(text);
  return true;
}

/// What is at descriptor 0, beside a question.
enum class input { none, file, stream };

input kind_of_input() {
  struct stat st {};
  auto flags = fcntl(0, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY || fstat(0, &st) != 0)
    return input::none;
  if (S_ISDIR(st.st_mode))
    return input::file;    // reading it says what is wrong
  if (S_ISREG(st.st_mode)) // elsewhere than at its beginning it belongs to a loop or a script around us
    return lseek(0, 0, SEEK_CUR) == 0 ? input::file : input::none;
  if (S_ISFIFO(st.st_mode))
    return input::stream;
  int type = 0, listens = 0;
  socklen_t size = sizeof type, other = sizeof listens;
  bool connected = S_ISSOCK(st.st_mode) && getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM
                   && getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listens, &other) == 0 && listens == 0;
  return connected ? input::stream : input::none; // terminals and /dev/null: nothing was given
}

/// Returns whether `path` is what descriptor 0 reads: then it is read under that name, once.
bool is_input(const std::string& path) {
  struct stat a {
  }, b{};
  return path == "-" || (fstat(0, &a) == 0 && ::stat(path.c_str(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/// Whether a file is an image or a PDF, by its bytes, or is called like one: then its bytes are judged where it is read, for as
/// text it would go along in place of the picture that is not in it.
bool shows(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    return false;
  char bytes[2'048]; // beginning and end
  struct stat st {};
  auto regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  auto n = regular ? read(fd, bytes, sizeof bytes) : 0;
  if (n == static_cast<ssize_t>(sizeof bytes))
    n = sizeof bytes / 2
        + std::max<ssize_t>(pread(fd, bytes + sizeof bytes / 2, sizeof bytes / 2, st.st_size - sizeof bytes / 2), 0);
  close(fd);
  if (regular && is_named_as_shown(path))
    return true;
  return n > 0 && !wire::file_type({bytes, static_cast<std::size_t>(n)}).empty();
}

/// Reads one `--file`. Returns false after a complaint.
bool read_file(const std::string& path, std::string& text) {
  auto name = "--file " + shown_source(path);
  std::string error;
  // O_NONBLOCK: opening a named pipe nobody writes to waits for ever; reading one waits below, where a signal ends it.
  int fd = path == "-" ? dup(0) : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat st {};
  if (auto why = fd < 0 && errno == ENOENT ? no_path(path) : std::string{}; !why.empty())
    error = why;
  else if (fd < 0)
    error = std::string("cannot be opened: ") + std::strerror(errno);
  else if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
    error = "is a folder; name its files one by one";
  else if (path != "-" && S_ISFIFO(st.st_mode) && wait_readable(fd, named_pipe_ms) == 0)
    error = "is a pipe, and nothing came through it for a minute";
  else
    read_all(fd, max_question, text, error, "it");
  if (fd >= 0)
    close(fd);
  if (!error.empty()) {
    complain(name + ": " + error);
    return false;
  }
  return judge_text(text, name);
}

/// Reads standard input to its end. Returns false after a complaint.
bool read_input(const run_options& o, std::string& text) {
  std::string error;
  std::function<void()> on_wait;
  if (!o.quiet && !o.automation && !is_terminal(0))
    on_wait = [] { complain("waiting for the end of standard input"); };
  if (!read_all(0, max_question, text, error, "standard input", on_wait)) {
    complain(error);
    return false;
  }
  return judge_text(text, "standard input");
}

/// Adds what standard input holds beside a question. Returns false after a complaint.
bool add_input(const run_options& o, std::string& question) {
  auto kind = kind_of_input();
  if (kind == input::none)
    return true;
  if (kind == input::stream && wait_readable(0, first_byte_ms) == 0) {
    // Said in quiet runs, too: a slow program's output may be meant.
    complain("standard input is a pipe that is open and silent: after 2 s the question goes without it ('--file -' waits for it, "
             "--no-stdin does not look at it)");
    return true;
  }
  std::string text;
  if (!read_input(o, text))
    return false;
  if (is_blank(text))
    return true;
  if (!o.quiet && !o.automation)
    complain("added " + bytes_of(text.size()) + " of standard input to the question (--no-stdin leaves it alone)");
  question = with_attachment(std::move(question), "Standard input, " + bytes_of(text.size()) + ":", text);
  return true;
}

} // namespace

std::string with_attachment(std::string question, const std::string& heading, std::string_view text) {
  std::size_t longest = 2, run = 0;
  for (auto c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  std::string fence(longest + 1, '`');
  question += "\n\n" + heading + "\n" + fence + "\n";
  question += text;
  return question + (text.empty() || text.back() == '\n' ? "" : "\n") + fence;
}

int read_question(const run_options& o, question& out) {
  auto& text = out.text;
  text = o.question;
  bool asked = o.has_question && o.question != "-";
  if (!asked && is_input(o.config)) {
    complain("standard input is the configuration: give the question as an argument");
    return usage_code;
  }
  if (asked ? !judge_text(text, "the question") : !read_input(o, text))
    return usage_code;
  auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.back()))
    text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), blank));
  if (text.empty()) {
    complain("the question is empty");
    return usage_code;
  }
  bool taken = !asked || o.no_stdin || is_input(o.config) || std::any_of(o.files.begin(), o.files.end(), is_input);
  if (!taken && !add_input(o, text))
    return usage_code;
  for (const auto& given : o.files) {
    std::string fault;
    auto path = is_file_url(given) ? path_of_url(given, fault) : given;
    if (!fault.empty()) {
      complain(shown_text(given, 300) + ": " + fault);
      return usage_code;
    }
    if (path != "-" && (is_url(path) || shows(path))) {
      out.attachments.emplace_back();
      out.attachments.back().name = path;
      continue;
    }
    std::string added;
    if (!read_file(path, added))
      return usage_code;
    auto name = path == "-" ? "Standard input" : "File " + shown_text(path, 200);
    text = with_attachment(std::move(text), name + ", " + bytes_of(added.size()) + ":", added);
  }
  if (text.size() > max_question) {
    complain("the question" + std::string(asked && o.files.empty() ? "" : ", with what is added to it,") + " is longer than "
             + bytes_of(max_question));
    return usage_code;
  }
  return 0;
}

} // namespace conclave
