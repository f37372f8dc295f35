// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_placing.hpp"

#include "protocols/path_policy.hpp"
#include "transports/snapshot_store.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::snapshots {

namespace {

constexpr const char* notes_name = "placing";
constexpr std::size_t longest_note = 8192;

descriptor open_notes(int root) {
  return descriptor{::openat(root, notes_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
}

/// Ends what one note is about. Returns what was done, or could not be, for people; nothing if there was nothing.
std::string end_noted(int notes, const std::string& name) {
  descriptor fd{open_file(notes, name.c_str())};
  std::string text;
  if (!fd || read_whole(fd.get(), text, longest_note) != 0)
    return {};
  auto path = text.substr(0, text.find('\0'));
  unsigned long long device = 0, inode = 0;
  auto made = path.size() < text.size() && std::sscanf(text.c_str() + path.size() + 1, "%llu %llu", &device, &inode) == 2;
  found f;
  int error = 0;
  std::string out;
  if (look(AT_FDCWD, path.c_str(), f) == 0 && f.is_folder()) {
    if (!made)
      ::rmdir(path.c_str()); // nothing had been written into it, so it is empty or not ours
    else if (f.device == device && f.inode == inode) {
      error = remove_below(AT_FDCWD, path.c_str(), nullptr);
      out = error == 0 ? "deleted " + path_policy::shown(path) + ", which a process that was killed had begun to write"
                       : failed("delete", path, error).text;
    }
  }
  if (error == 0)
    ::unlinkat(notes, name.c_str(), 0);
  return out;
}

} // namespace

placing::~placing() {
  fd_.reset();
  if (!path_.empty() && !remove_tree(path_).empty())
    return; // the note is for the next start
  if (!note_.empty())
    ::unlinkat(notes_.get(), note_.c_str(), 0);
}

std::optional<failure> placing::note(const objects& kept, const std::string& folder) {
  if (::mkdirat(kept.root(), notes_name, 0700) != 0 && errno != EEXIST)
    return failed("write in", kept.home(), errno);
  notes_ = open_notes(kept.root());
  auto name = kept.home() + "/" + notes_name + "/XXXXXX";
  descriptor fd{notes_ ? ::mkostemp(name.data(), O_CLOEXEC) : -1};
  if (!fd)
    return failed("write in", kept.home(), errno);
  note_ = name.substr(name.size() - 6);
  auto path = folder + "." + note_;
  int error = write_all(fd.get(), path.c_str(), path.size() + 1);
  if (error == 0 && (::fsync(fd.get()) != 0 || ::fsync(notes_.get()) != 0))
    error = errno;
  if (error != 0)
    return failed("write in", kept.home(), error);
  if (::mkdir(path.c_str(), 0700) != 0)
    return failed("make", path, errno);
  path_ = std::move(path);
  found f;
  error = look(AT_FDCWD, path_.c_str(), f);
  auto which = std::to_string(f.device) + " " + std::to_string(f.inode) + "\n";
  if (error == 0)
    error = write_all(fd.get(), which.data(), which.size());
  if (error == 0 && ::fsync(fd.get()) != 0)
    error = errno;
  return error == 0 ? std::nullopt : std::optional{failed("write in", kept.home(), error)};
}

std::optional<failure> placing::begin(const objects& kept, const std::string& folder, bool noted) {
  if (noted) {
    if (auto bad = note(kept, folder))
      return bad;
  } else {
    auto path = folder + ".XXXXXX";
    if (::mkdtemp(path.data()) == nullptr)
      return failed("make", path, errno);
    path_ = std::move(path);
  }
  fd_.reset(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return fd_ ? std::nullopt : std::optional{failed("open", path_, errno)};
}

int placing::finish(const std::string& folder) {
  found there;
  if (look(AT_FDCWD, folder.c_str(), there) == 0 && there.is_folder()) // an empty one gives way, not what it allows to whom
    ::fchmod(fd_.get(), there.mode & 07777);
  if (std::rename(path_.c_str(), folder.c_str()) != 0)
    return errno;
  path_.clear();
  return 0;
}

std::vector<std::string> store::clear_broken_places() const {
  std::vector<std::string> names, out;
  objects kept;
  if (kept.open(home_, false) != 0)
    return out;
  auto notes = open_notes(kept.root());
  if (!notes || names_in(notes.get(), names) != 0 || names.empty())
    return out;
  auto lock = kept.lock(true, false, nullptr);
  if (!lock || names_in(notes.get(), names) != 0)
    return out;
  for (auto& name : names) // nobody is at work, so these are rests
    if (auto said = end_noted(notes.get(), name); !said.empty())
      out.push_back(std::move(said));
  return out;
}

} // namespace conclave::snapshots
