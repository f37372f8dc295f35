// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/answer_file.hpp"

#include "app/host_io.hpp"
#include "app/paced_output.hpp"
#include "app/user_folders.hpp"
#include "protocols/text.hpp"
#include "transports/home.hpp"

#include <climits>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <system_error>
#include <unistd.h>

namespace conclave {

namespace {

namespace fs = std::filesystem;

/// The mode a new file of the user's gets, as from a shell's redirection.
mode_t plain_mode() {
  auto mask = umask(022);
  umask(mask);
  return 0666 & ~mask;
}

/// Where an answer goes: `whole` = a file to be replaced, else something to be written to as it is.
struct target {
  std::string path;
  bool whole = true;
  bool exists = false;
  struct stat old {}; ///< what is there, if it exists
};

bool names_descriptor(const fs::path& path) {
  std::error_code problem;
  auto absolute = fs::absolute(path, problem).lexically_normal().string();
  return absolute.rfind("/dev/", 0) == 0 || absolute.rfind("/proc/", 0) == 0;
}

/// Resolves symbolic links, so that a replacement does not replace the link, not even one to a file that is not there yet. Names of
/// open descriptors (/dev/stderr, /proc/self/fd/N) are not resolved: the log file behind one must be added to, not replaced.
target target_of(const std::string& path) {
  constexpr int most_links = 40; // as many as the kernel follows
  fs::path at = path;
  std::error_code problem;
  for (int n = 0; n < most_links && !names_descriptor(at) && fs::is_symlink(at, problem); ++n) {
    auto to = fs::read_symlink(at, problem);
    if (problem)
      break;
    at = at.parent_path() / to; // `to` alone if it is absolute
  }
  target t{at.string(), false, false, {}};
  if (names_descriptor(at))
    return t;
  t.exists = ::stat(t.path.c_str(), &t.old) == 0;
  t.whole = !t.exists || S_ISREG(t.old.st_mode);
  return t;
}

std::string folder_of(const std::string& path) {
  auto folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

bool can_add_to(const std::string& folder) {
  return access(folder.c_str(), W_OK | X_OK) == 0;
}

/// Returns whether a file has what a new one could not be given: an access list, attributes of the user's. Those of security
/// modules come from the folder.
bool has_attributes(const std::string& path) {
  char names[4096];
  auto n = listxattr(path.c_str(), names, sizeof names);
  for (ssize_t i = 0; i < n; i += static_cast<ssize_t>(std::strlen(names + i)) + 1)
    if (std::strncmp(names + i, "security.", 9) != 0)
      return true;
  return n < 0 && errno == ERANGE;
}

/// Writes over what is there and cuts off the rest: the same file for all its names, with all it has.
std::string write_in_place(const std::string& path, const std::string& text) {
  int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return "cannot open " + path + ": " + std::strerror(errno);
  auto problem = write_all(fd, text);
  if (problem == 0 && ftruncate(fd, static_cast<off_t>(text.size())) != 0)
    problem = errno;
  if (close(fd) != 0 && problem == 0)
    problem = errno;
  return problem == 0 ? "" : "cannot write " + path + ": " + std::strerror(problem);
}

/// Gives a new file what the old one had. Returns false if its owner or group cannot be given.
bool inherit(int fd, const struct stat& old) {
  struct stat fresh {};
  if (fstat(fd, &fresh) != 0)
    return false;
  auto owner = fresh.st_uid == old.st_uid ? static_cast<uid_t>(-1) : old.st_uid;
  auto group = fresh.st_gid == old.st_gid ? static_cast<gid_t>(-1) : old.st_gid;
  if ((fresh.st_uid != old.st_uid || fresh.st_gid != old.st_gid) && fchown(fd, owner, group) != 0)
    return false;
  return fchmod(fd, old.st_mode & 0777) == 0; // behind fchown, which may clear bits
}

/// Replaces the file in one step. The new one is readable by nobody else until it is whole.
std::string replace(const target& t, const std::string& text) {
  auto temporary = t.path + ".XXXXXX"; // a name nobody can have put a link at before
  int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0)
    return "cannot write beside " + t.path + ": " + std::strerror(errno);
  if (!t.exists)
    fchmod(fd, plain_mode()); // refused by file systems without modes
  bool given = !t.exists || inherit(fd, t.old);
  auto problem = given ? write_all(fd, text) : 0;
  if (close(fd) != 0 && problem == 0)
    problem = errno;
  if (given && problem == 0 && rename(temporary.c_str(), t.path.c_str()) == 0)
    return {};
  auto reason = problem != 0 ? problem : errno;
  unlink(temporary.c_str());
  return given ? "cannot write " + t.path + ": " + std::strerror(reason) : write_in_place(t.path, text);
}

} // namespace

std::string output_problem(const std::string& path) {
  if (path.empty())
    return {};
  if (path == "-") // a habit of other programs; nobody wants a file of that name
    return "--output-file -: the answer is on standard output anyway; a file of that name is ./-";
  auto t = target_of(path);
  std::error_code ignored;
  if (fs::is_directory(t.path, ignored))
    return "--output-file " + path + " is a folder";
  if (!t.whole || t.exists) // what may not be written is not replaced either
    return access(t.path.c_str(), W_OK) == 0 ? "" : "--output-file " + path + ": " + std::strerror(errno);
  return can_add_to(folder_of(t.path)) ? "" : "--output-file " + path + ": cannot write to its folder: " + std::strerror(errno);
}

std::string write_answer(const std::string& path, const std::string& text) {
  auto t = target_of(path);
  if (t.whole)
    return t.exists && (t.old.st_nlink > 1 || has_attributes(t.path) || !can_add_to(folder_of(t.path)))
               ? write_in_place(t.path, text)
               : replace(t, text);
  // A descriptor of ours is used as it is: opened anew, a file behind it would have a position of its own.
  int fd = t.path == "/dev/stdout" ? dup(1) : t.path == "/dev/stderr" ? dup(2) : -1;
  if (fd < 0)
    fd = open(t.path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    return "cannot open " + path + ": " + (errno == ENXIO ? "nobody reads it" : std::strerror(errno));
  static const std::atomic<bool> impatient = true; // the answer goes to standard output, too, and must not wait for long
  auto problem = write_unless_leaving(fd, text, impatient);
  close(fd);
  if (problem == ECANCELED)
    return "cannot write " + path + ": its reader takes nothing";
  return problem == 0 ? "" : "cannot write " + path + ": " + std::strerror(problem);
}

namespace {

constexpr std::size_t made_beside = 7; ///< bytes of `.XXXXXX` behind the name of a folder that is being made

/// Why what is there in the place of the new folder cannot give way to it, or empty.
std::string in_the_way(const fs::path& folder, const fs::file_status& found) {
  if (!fs::is_directory(found))
    return "is there already and no folder; name a new one";
  std::error_code e;
  auto empty = fs::is_empty(folder, e);
  if (e)
    return "is there already and cannot be read: " + e.message() + "; name a new folder";
  if (!empty)
    return "is there already and not empty; name a new folder";
  struct statx own {};
  struct stat above {};
  if (::statx(AT_FDCWD, folder.c_str(), AT_SYMLINK_NOFOLLOW, STATX_UID, &own) != 0
      || ::stat(folder.parent_path().c_str(), &above) != 0)
    return "cannot be looked at: " + std::string{std::strerror(errno)};
  if ((own.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
    return "is a mount point, which nothing takes the place of; name a new folder in it";
  if (auto me = ::geteuid(); (above.st_mode & S_ISVTX) != 0 && me != 0 && own.stx_uid != me && above.st_uid != me)
    return "is another user's, in a folder where only its owner may replace it; name a new folder";
  return {};
}

} // namespace

std::string output_folder_problem(const std::string& path, const run_config& team) {
  if (path.empty())
    return {};
  if (std::none_of(team.agents.begin(), team.agents.end(), [](auto& a) { return !a.backend.workspace.cwd.empty(); }))
    return "no agent has a workspace, so the answer will have no files; give agents `cwd`, or one model a --path";
  std::error_code e;
  auto folder = std::filesystem::absolute(path, e).lexically_normal();
  if (!folder.has_filename())
    folder = folder.parent_path();
  std::string no_home;
  auto home = home_path(no_home);
  if (auto fault = folder_fault(std::filesystem::weakly_canonical(folder, e).string(), folder_use::target, home); !fault.empty())
    return fault;
  auto found = std::filesystem::symlink_status(folder, e);
  if (std::filesystem::exists(found))
    if (auto fault = in_the_way(folder, found); !fault.empty())
      return fault;
  auto parent = folder.parent_path();
  if (!std::filesystem::is_directory(parent, e))
    return shown_text(parent.string(), 4'096) + " is not there; make it first";
  if (folder.filename().string().size() + made_beside > NAME_MAX)
    return "has too long a name: at most " + std::to_string(NAME_MAX - made_beside)
           + " bytes, as the files are put together beside it";
  if (::faccessat(AT_FDCWD, parent.c_str(), W_OK | X_OK, AT_EACCESS) != 0) // an empty folder gives way to one made beside it, too
    return "nothing can be made in " + shown_text(parent.string(), 4'096) + ": " + std::strerror(errno);
  return {};
}

} // namespace conclave
