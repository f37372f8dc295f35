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

constexpr std::size_t max_path = 0xFFFF;

struct head {
  char magic[8] = {'s', 'c', 'a', 'n', ' ', '2', '\n', '\0'};
  std::uint64_t device = 0, inode = 0;
  char id[64] = {};
};

static_assert(std::is_trivially_copyable_v<head>);

// A file is a row of numbers, its hash and the end of its path. Each number is how far it is from the one before, in groups of
// seven bits: neighbours were mostly made together, and all of this is written anew with each snapshot.
void put(std::FILE* to, std::uint64_t n) {
  char bytes[10];
  std::size_t size = 0;
  for (; n >= 0x80; n >>= 7)
    bytes[size++] = static_cast<char>(n | 0x80);
  bytes[size++] = static_cast<char>(n);
  std::fwrite(bytes, 1, size, to);
}

void put_from(std::FILE* to, std::uint64_t before, std::uint64_t now) {
  auto away = now - before;
  put(to, (away << 1) ^ (0 - (away >> 63))); // small for either direction
}

bool get(std::FILE* from, std::uint64_t& n) {
  n = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    auto c = std::getc(from);
    if (c == EOF)
      return false;
    n |= static_cast<std::uint64_t>(c & 0x7F) << shift;
    if (c < 0x80)
      return true;
  }
  return false;
}

template <class T>
bool get_from(std::FILE* from, std::uint64_t before, T& now) {
  std::uint64_t away = 0;
  auto good = get(from, away);
  now = static_cast<T>(before + ((away >> 1) ^ (0 - (away & 1))));
  return good;
}

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
  std::uint64_t shared = 0, more = 0;
  auto* from = old_.get();
  if (from == nullptr || !get(from, shared) || !get(from, more) || shared > at_.size() || more == 0 || more > max_path)
    return false;
  at_.resize(shared + more);
  return get_from(from, now_.inode, now_.inode) && get(from, now_.size) && get_from(from, now_.modified, now_.modified)
         && get_from(from, now_.modified, now_.changed) && std::fread(now_.hash.data(), now_.hash.size(), 1, from) == 1
         && std::fread(at_.data() + shared, more, 1, from) == 1;
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
      || path.size() > max_path)
    return;
  auto shared =
      static_cast<std::size_t>(std::mismatch(path.begin(), path.end(), written_.begin(), written_.end()).first - path.begin());
  auto* to = new_.get();
  put(to, shared);
  put(to, path.size() - shared);
  put_from(to, noted_.inode, now.inode);
  put(to, now.size);
  put_from(to, noted_.modified, now.modified);
  put_from(to, now.modified, now.changed);
  std::fwrite(hash.data(), hash.size(), 1, to);
  std::fwrite(path.data() + shared, 1, path.size() - shared, to);
  noted_ = {now.inode, now.size, now.modified, now.changed, hash};
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
