// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/delivery_journal.hpp"

#include "protocols/path_policy.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <sched.h>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::failed;
using snapshots::look;
using snapshots::open_folder;
using snapshots::read_whole;
using snapshots::remove_below;
using snapshots::write_durably;

namespace {

constexpr std::size_t longest_plan = std::size_t{256} << 20;

// Paths hold any byte, lines do not.
std::string hex(const std::string& text) {
  static constexpr const char* digits = "0123456789abcdef";
  std::string out;
  for (auto c : text) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

bool unhex(const std::string& text, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    unsigned value = 0;
    auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (error != std::errc{} || end != text.data() + i + 2)
      return false;
    out += static_cast<char>(value);
  }
  return text.size() % 2 == 0;
}

void write(std::ostream& out, const state& s) {
  out << ' ' << static_cast<int>(s.kind) << ' ' << s.mode << ' ' << s.uid << ' ' << s.gid << ' ' << s.size << ' ' << s.inode << ' '
      << s.modified << ' ' << (s.sha256.empty() ? "-" : s.sha256);
}

bool read(std::istream& in, state& s) {
  int kind = 0;
  in >> kind >> s.mode >> s.uid >> s.gid >> s.size >> s.inode >> s.modified >> s.sha256;
  if (s.sha256 == "-")
    s.sha256.clear();
  s.kind = static_cast<entry_kind>(kind);
  return in && kind >= 0 && kind <= 4;
}

} // namespace

bool state::is(const found& f) const {
  return kind == f.kind() && inode == f.inode && (kind == entry_kind::folder || (size == f.size && modified == f.modified));
}

state state_of(const found& f) {
  return {f.kind(), f.mode & 07777, f.uid, f.gid, f.is_folder() ? 0 : f.size, f.inode, f.modified, {}};
}

failure changed_meanwhile(const std::string& path, const char* so) {
  return {fault::drifted, path_policy::shown(path) + " was changed meanwhile" + so, {{path, 0, 1}}};
}

descriptor open_in(int in, const std::string& name) {
  return descriptor{::openat(in, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
}

bool is_id(const std::string& id) {
  return id.size() == 6 && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
         });
}

std::optional<failure> open_journal(const std::string& path, bool make, descriptor& folder, descriptor& lock) {
  auto error = make ? snapshots::make_folders(path) : 0;
  folder.reset(error == 0 ? ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1);
  if (!folder) {
    error = error != 0 ? error : errno;
    if (error == ENOENT)
      return failure{fault::missing, "nothing was ever applied: " + path_policy::shown(path) + " is not there", {}};
    return failed("open", path, error);
  }
  lock.reset(::openat(folder.get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock)
    return failed("open", path + "/lock", errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return failure{fault::busy, "another apply or undo is under way; try again when it has ended", {}};
  return {};
}

std::optional<failure> target::open(const std::string& path) {
  path_ = path;
  root_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  auto error = root_ ? look(root_.get(), "", what_) : errno;
  if (error == ELOOP || error == ENOTDIR || error == ENOENT)
    return failure{
        fault::denied, path_policy::shown(path) + (error == ENOENT ? " is not there any more" : " is no folder any more"), {}};
  if (error != 0)
    return failed("open", path, error);
  return {};
}

namespace {

/// Deletes the files of folders that nobody writes into: whoever was killed left them, and its folder may never be written again.
void sweep_locks(int folder, const std::string& mine) {
  std::vector<std::string> names;
  if (snapshots::names_in(folder, names) != 0)
    return;
  for (auto& name : names) {
    descriptor fd{name == mine ? -1 : ::openat(folder, name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC)};
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0)
      ::unlinkat(folder, name.c_str(), 0); // while it is locked
  }
}

} // namespace

std::optional<failure> target::lock(const std::string& journal) {
  auto folder = journal.substr(0, journal.rfind('/') + 1) + ".targets";
  if (auto error = snapshots::make_folders(folder); error != 0)
    return failed("make", folder, error);
  locks_.reset(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  auto name = std::to_string(what_.device) + "-" + std::to_string(what_.inode);
  for (int tries = 0;;) {
    descriptor fd{locks_ ? ::openat(locks_.get(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1};
    found f;
    if (!fd)
      return failed("open", folder + "/" + name, errno);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && ++tries < 8) { // somebody may just be deleting it
      ::sched_yield();
      continue;
    }
    if (tries >= 8)
      return failure{fault::busy, "something else writes into " + path_policy::shown(path_) + "; try again when it has ended", {}};
    if (auto error = look(fd.get(), "", f); error != 0)
      return failed("open", folder + "/" + name, error);
    if (f.links == 0)
      continue; // whoever had it deleted it meanwhile: it locks nobody out any more
    lock_ = std::move(fd);
    lock_name_ = std::move(name);
    sweep_locks(locks_.get(), lock_name_);
    return {};
  }
}

target::~target() {
  if (lock_)
    ::unlinkat(locks_.get(), lock_name_.c_str(), 0); // while it is locked
}

descriptor target::parent(const std::string& path, std::string& name) const {
  descriptor at{::fcntl(root_.get(), F_DUPFD_CLOEXEC, 0)};
  std::size_t i = 0;
  for (auto end = path.find('/'); at && end != std::string::npos; i = end + 1, end = path.find('/', i))
    at = open_folder(at.get(), path.substr(i, end - i).c_str(), what_.device);
  name = path.substr(i);
  return at;
}

bool run::has(const char* name) const {
  return ::faccessat(folder(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int run::begin(const target& at) {
  auto text = hex(at.path()) + " " + std::to_string(at.what().inode) + "\n";
  if (auto error = write_durably(folder(), "target", text); error != 0)
    return error;
  if (::mkdirat(at.root(), stage_name().c_str(), 0700) != 0)
    return errno;
  return open_stage(at);
}

int run::open_stage(const target& at) {
  stage_ = open_folder(at.root(), stage_name().c_str(), at.what().device);
  return stage_ ? 0 : errno;
}

bool run::read_target(std::string& path, std::uint64_t& inode) const {
  descriptor fd{snapshots::open_file(folder(), "target")};
  std::string text, name;
  if (!fd || read_whole(fd.get(), text, 16'384) != 0)
    return false;
  std::istringstream in{text};
  return in >> name >> inode && unhex(name, path);
}

int run::write_plan(const std::vector<step>& steps, const target& at) const {
  std::ostringstream out;
  out << "plan 1 " << steps.size() << '\n';
  for (auto& s : steps) {
    out << static_cast<char>(s.what) << ' ' << hex(s.path);
    write(out, s.before);
    write(out, s.after);
    out << '\n';
  }
  // Whatever the plan counts on is durable before the plan is.
  if (::syncfs(at.root()) != 0 || ::syncfs(folder()) != 0)
    return errno;
  return write_durably(folder(), "plan", out.str());
}

int run::read_plan(std::vector<step>& out) const {
  descriptor fd{snapshots::open_file(folder(), "plan")};
  std::string text, word, path;
  auto error = fd ? read_whole(fd.get(), text, longest_plan) : errno;
  if (error != 0)
    return error;
  std::istringstream in{text};
  std::size_t count = 0;
  int version = 0;
  if (!(in >> word >> version >> count) || word != "plan" || version != 1)
    return EBADMSG;
  for (; count > 0; --count) {
    step s;
    char what = 0;
    if (!(in >> what >> path) || std::string_view{"rRMac"}.find(what) == std::string_view::npos || !unhex(path, s.path)
        || !read(in, s.before) || !read(in, s.after))
      return EBADMSG;
    s.what = static_cast<act>(what);
    out.push_back(std::move(s));
  }
  return 0;
}

int run::finish(const target& at, std::size_t paths) {
  if (::syncfs(at.root()) != 0)
    return errno;
  if (auto error = write_durably(folder(), "done", "done " + std::to_string(paths) + "\n"); error != 0) {
    ::unlinkat(folder(), "done", 0);
    return error;
  }
  clear(at); // what cannot be deleted now is at the next start
  return 0;
}

void run::end_plan() const {
  ::unlinkat(folder(), "plan", 0);
  ::fsync(folder());
}

int run::clear(const target& at) const {
  return remove_below(at.root(), stage_name().c_str(), nullptr);
}

} // namespace conclave::delivery
