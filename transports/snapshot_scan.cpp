// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_scan.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace conclave::snapshots {

namespace {

// The clock of times on a disk may stand still for some milliseconds (two seconds on FAT): what is younger might change again
// within the same moment.
constexpr moment young = 2'000'000'000;

struct head {
  char magic[8] = {'s', 'c', 'a', 'n', ' ', '1', '\n', '\0'};
  std::uint64_t device = 0, inode = 0;
  char id[64] = {};
};

struct record {
  std::uint16_t shared = 0, more = 0; // bytes of the path that are those of the path before; bytes that follow
  std::uint32_t none = 0;
  seen what;
};
static_assert(std::is_trivially_copyable_v<head> && std::is_trivially_copyable_v<record>);

// The order of a scan: a folder before its next sibling, so '/' comes before everything.
bool before(const std::string& a, const std::string& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    auto rank = [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c); };
    return rank(x) < rank(y);
  });
}

} // namespace

void scan::begin(const std::string& path, const found& root, moment begun) {
  path_ = path;
  root_ = root;
  begun_ = begun;
  old_.reset(std::fopen(path.c_str(), "rbe"));
  auto temporary = path + ".new";
  auto fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  new_.reset(fd < 0 ? nullptr : ::fdopen(fd, "wb"));
  if (new_ == nullptr) {
    if (fd >= 0)
      ::close(fd);
    return;
  }
  head empty;
  std::fwrite(&empty, sizeof(empty), 1, new_.get());
}

std::string scan::last_id() {
  head h;
  if (old_ == nullptr || std::fread(&h, sizeof(h), 1, old_.get()) != 1 || std::memcmp(h.magic, head{}.magic, sizeof(h.magic)) != 0
      || h.device != root_.device || h.inode != root_.inode) {
    old_.reset();
    return {};
  }
  any_ = advance();
  return {h.id, sizeof(h.id)};
}

void scan::forget() {
  old_.reset();
  any_ = false;
}

bool scan::advance() {
  record r;
  if (old_ == nullptr || std::fread(&r, sizeof(r), 1, old_.get()) != 1 || r.shared > at_.size() || r.more == 0)
    return false;
  at_.resize(r.shared);
  at_.resize(std::size_t{r.shared} + r.more);
  now_ = r.what;
  return std::fread(at_.data() + r.shared, r.more, 1, old_.get()) == 1;
}

const wire::digest* scan::unchanged(const std::string& path, const found& now) {
  while (any_ && before(at_, path))
    any_ = advance();
  if (!any_ || at_ != path || now_.inode != now.inode || now_.size != now.size || now_.modified != now.modified
      || now_.changed != now.changed || now.device != root_.device)
    return nullptr;
  return &now_.hash;
}

void scan::note(const std::string& path, const found& now, const wire::digest& hash) {
  if (new_ == nullptr || now.changed >= begun_ - young || (now.modified >= begun_ - young && now.modified <= begun_ + young)
      || path.size() > 0xFFFF)
    return;
  record r;
  auto same = std::mismatch(path.begin(), path.end(), written_.begin(), written_.end()).first;
  r.shared = static_cast<std::uint16_t>(same - path.begin());
  r.more = static_cast<std::uint16_t>(path.size() - r.shared);
  r.what = {now.inode, now.size, now.modified, now.changed, hash};
  std::fwrite(&r, sizeof(r), 1, new_.get());
  std::fwrite(path.data() + r.shared, 1, r.more, new_.get());
  written_ = path;
}

void scan::keep(const std::string& id) {
  if (new_ == nullptr)
    return;
  head h;
  h.device = root_.device;
  h.inode = root_.inode;
  std::copy_n(id.begin(), std::min(id.size(), sizeof(h.id)), h.id);
  auto good = std::fseek(new_.get(), 0, SEEK_SET) == 0 && std::fwrite(&h, sizeof(h), 1, new_.get()) == 1
              && std::fflush(new_.get()) == 0 && std::ferror(new_.get()) == 0;
  new_.reset();
  if (good && std::rename((path_ + ".new").c_str(), path_.c_str()) == 0)
    path_.clear();
}

scan::~scan() {
  if (!path_.empty())
    ::unlink((path_ + ".new").c_str());
}

} // namespace conclave::snapshots
