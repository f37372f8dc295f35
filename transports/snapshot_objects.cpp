// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_objects.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

namespace conclave::snapshots {

namespace {

int folder_in(int in, const char* name, bool make, descriptor& out) {
  out.reset(::openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!out && errno == ENOENT && make) {
    if (::mkdirat(in, name, 0700) != 0 && errno != EEXIST)
      return errno;
    out.reset(::openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  return out ? 0 : errno;
}

// These write names to their journal in the order in which they were given, so that a later sync carries the earlier names.
bool ordered_journal(int fd) {
  struct statfs st {};
  return ::fstatfs(fd, &st) == 0 && (st.f_type == 0xEF53 || st.f_type == 0x58465342); // ext4, xfs
}

/// Gives a file of `from` its place; what is there already is as good.
int give_place(int from, const char* name, int area, const std::string& place) {
  for (bool made = false;; made = true) {
    if (::renameat2(from, name, area, place.c_str(), RENAME_NOREPLACE) == 0)
      return 0;
    if (errno == EEXIST)
      return ::unlinkat(from, name, 0) == 0 ? 0 : errno;
    if (errno == EINVAL) // no RENAME_NOREPLACE here
      return ::renameat(from, name, area, place.c_str()) == 0 ? 0 : errno;
    if (errno != ENOENT || made)
      return errno;
    if (::mkdirat(area, place.substr(0, 2).c_str(), 0700) != 0 && errno != EEXIST)
      return errno;
  }
}

std::optional<placed> note_in(int folder, const std::string& id) {
  descriptor fd{::openat(folder, id.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
  std::string text;
  placed out;
  unsigned long long files = 0, dirs = 0, bytes = 0;
  if (!fd || read_whole(fd.get(), text, 256) != 0 || std::sscanf(text.c_str(), "%llu %llu %llu", &files, &dirs, &bytes) != 3)
    return {};
  out.files = files;
  out.dirs = dirs;
  out.bytes = bytes;
  return out;
}

} // namespace

bool is_holder(const std::string& name) {
  return !name.empty() && name.size() <= 128 && name[0] != '.' && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

int objects::open(const std::string& home, bool make) {
  home_ = home;
  if (make && ::mkdir(home.c_str(), 0700) != 0 && errno != EEXIST)
    return errno;
  root_.reset(::open(home.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_)
    return errno;
  const std::pair<const char*, descriptor*> parts[] = {
      {"files", &files_}, {"trees", &trees_}, {"held", &held_}, {"incoming", &incoming_}};
  for (auto& [name, fd] : parts)
    if (auto error = folder_in(root_.get(), name, make, *fd); error != 0)
      return error;
  return 0;
}

descriptor objects::lock(bool exclusive, bool wait, cancel_flag cancel) const {
  descriptor fd{::openat(root_.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  while (fd && ::flock(fd.get(), (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
    auto error = errno;
    if (error == EINTR)
      continue;
    if (error == EWOULDBLOCK && wait && !is_set(cancel)) {
      ::poll(nullptr, 0, 5); // flock tells nobody when it is free, and waiting in it could not be ended
      continue;
    }
    fd.reset();
    errno = is_set(cancel) ? ECANCELED : error;
  }
  return fd;
}

std::string objects::place(const wire::digest& hash) {
  auto hex = wire::to_hex(hash);
  return hex.substr(0, 2) + "/" + hex;
}

bool objects::has(char area, const wire::digest& hash) const {
  return ::faccessat(area == 'f' ? files() : trees(), place(hash).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int objects::open_file(const wire::digest& hash) const {
  return ::openat(files(), place(hash).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

std::optional<failure> objects::read_tree(const wire::digest& hash, std::string& out) const {
  descriptor fd{::openat(trees(), place(hash).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
  auto error = fd ? read_whole(fd.get(), out, max_tree_bytes) : errno;
  if (error != 0 && error != ENOENT && error != EFBIG)
    return failed("read", home_ + "/trees/" + place(hash), error);
  if (error == 0 && wire::sha256_digest(out) == hash)
    return {};
  return failure{fault::damaged,
                 "the snapshot store is damaged: " + home_ + "/trees/" + place(hash) + " is " + (fd ? "altered" : "missing"),
                 {}};
}

int objects::make_executable(const wire::digest& hash, std::uint64_t size, cancel_flag cancel) const {
  auto name = place(hash) + ".x";
  if (::faccessat(files(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    return 0;
  descriptor from{open_file(hash)};
  if (!from)
    return errno;
  arrival box;
  int error = box.open(*this);
  if (error != 0)
    return error;
  auto to = box.begin(error);
  if (error == 0)
    error = copy_bytes(from.get(), to.get(), size, cancel);
  if (error == 0 && (::fchmod(to.get(), 0555) != 0 || ::fsync(to.get()) != 0))
    error = errno;
  return error != 0 ? error : give_place(box.folder(), "part", files(), name);
}

std::optional<placed> objects::held(const std::string& holder, const std::string& id) const {
  descriptor folder{is_holder(holder) ? ::openat(holders(), holder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1};
  return folder ? note_in(folder.get(), id) : std::nullopt;
}

std::optional<placed> objects::held_by_anyone(const std::string& id) const {
  std::vector<std::string> names;
  if (!wire::is_sha256(id) || names_in(holders(), names) != 0)
    return {};
  for (auto& n : names)
    if (auto note = held(n, id))
      return note;
  return {};
}

arrival::~arrival() {
  if (store_ != nullptr && !name_.empty())
    remove_below(store_->incoming(), name_.c_str(), nullptr);
}

int arrival::open(const objects& store) {
  store_ = &store;
  auto path = store.home() + "/incoming/XXXXXX";
  if (::mkdtemp(path.data()) == nullptr)
    return errno;
  name_ = path.substr(path.rfind('/') + 1);
  fd_.reset(::openat(store.incoming(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  found what;
  auto error = fd_ ? look(fd_.get(), "", what) : errno;
  begun_ = what.changed;
  return error;
}

int arrival::put(char area, const wire::digest& hash, std::string_view bytes, std::uint64_t& new_bytes) {
  if (store_->has(area, hash))
    return 0;
  auto name = area + wire::to_hex(hash);
  descriptor fd{::openat(folder(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444)};
  if (!fd)
    return errno == EEXIST ? 0 : errno;
  anything_ = true;
  new_bytes += bytes.size();
  return write_all(fd.get(), bytes.data(), bytes.size());
}

descriptor arrival::begin(int& error) {
  descriptor fd{::openat(folder(), "part", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
  error = fd ? 0 : errno;
  return fd;
}

int arrival::adopt(const wire::digest& hash, std::uint64_t size, std::uint64_t& new_bytes) {
  auto name = 'f' + wire::to_hex(hash);
  if (store_->has('f', hash) || ::faccessat(folder(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    return ::unlinkat(folder(), "part", 0) == 0 ? 0 : errno;
  if (::fchmodat(folder(), "part", 0444, 0) != 0 || ::renameat(folder(), "part", folder(), name.c_str()) != 0)
    return errno;
  anything_ = true;
  new_bytes += size;
  return 0;
}

int arrival::place_all() {
  std::array<bool, 256> files{}, trees{};
  std::vector<std::string> names;
  if (auto error = names_in(folder(), names); error != 0)
    return error;
  for (auto& n : names) {
    wire::digest hash;
    if (n.size() != 65 || !wire::from_hex(std::string_view{n}.substr(1), hash))
      continue;
    auto area = n[0] == 'f' ? store_->files() : store_->trees();
    if (auto error = give_place(folder(), n.c_str(), area, objects::place(hash)); error != 0)
      return error;
    (n[0] == 'f' ? files : trees)[hash[0]] = true;
  }
  if (ordered_journal(folder()))
    return 0;
  auto settle = [](int area, const std::array<bool, 256>& touched) {
    for (std::size_t i = 0; i < touched.size(); ++i) {
      if (!touched[i])
        continue;
      std::array<char, 4> name{};
      std::snprintf(name.data(), name.size(), "%02zx", i);
      descriptor fd{::openat(area, name.data(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
      if (!fd || ::fsync(fd.get()) != 0)
        return errno;
    }
    return ::fsync(area) == 0 ? 0 : errno;
  };
  auto error = settle(store_->files(), files);
  return error != 0 ? error : settle(store_->trees(), trees);
}

int arrival::publish(const std::string& holder, const std::string& id, const placed& what) {
  auto note = std::to_string(what.files) + " " + std::to_string(what.dirs) + " " + std::to_string(what.bytes) + "\n";
  descriptor fd{::openat(folder(), "note", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
  auto error = fd ? write_all(fd.get(), note.data(), note.size()) : errno;
  if (error != 0)
    return error;
  // The bytes first: a name that stands for bytes that are not there yet would be believed by every later snapshot.
  if ((anything_ ? ::syncfs(folder()) : ::fsync(fd.get())) != 0)
    return errno;
  if (anything_)
    error = place_all();
  if (error != 0)
    return error;
  auto made = ::mkdirat(store_->holders(), holder.c_str(), 0700) == 0;
  if (!made && errno != EEXIST)
    return errno;
  descriptor own{::openat(store_->holders(), holder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!own || ::renameat(folder(), "note", own.get(), id.c_str()) != 0 || ::fsync(own.get()) != 0)
    return errno;
  return !made || ::fsync(store_->holders()) == 0 ? 0 : errno;
}

} // namespace conclave::snapshots
