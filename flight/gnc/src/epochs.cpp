#include "epochs.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <optional>
#include <vector>

namespace rubblemap {
namespace {

constexpr std::uint64_t largest_epoch = std::numeric_limits<std::uint32_t>::max();
constexpr int lock_tries = 50;
constexpr timespec lock_pause{0, 10'000'000};

// A descriptor that closes itself; -1 for none.
class File {
public:
  explicit File(int number) : number_(number) {}
  ~File() {
    if (number_ >= 0) close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int number() const noexcept { return number_; }

private:
  int number_;
};

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? value : "";
}

// As Python's urllib.parse.quote(source, safe="").
std::string quoted(const std::string& source) {
  std::string text;
  for (const char c : source) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 128 && (std::isalnum(byte) != 0 || c == '_' || c == '.' || c == '-' || c == '~')) {
      text += c;
    } else {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "%%%02X", byte);
      text += escaped;
    }
  }
  return text;
}

// Folders in which a folder `epochs` may be, best first.
std::vector<std::string> find_folders() {
  std::vector<std::string> folders;
  const std::string state = environment("STATE_DIRECTORY");
  if (!state.empty()) folders.push_back(state.substr(0, state.find(':')));
  const std::string xdg = environment("XDG_STATE_HOME");
  if (!xdg.empty()) folders.push_back(xdg + "/rubblemap");
  const std::string home = environment("HOME");
  if (!home.empty()) folders.push_back(home + "/.local/state/rubblemap");
  folders.push_back("/var/tmp/rubblemap-" + std::to_string(geteuid()));
  return folders;
}

void make_parents(const std::string& folder) {
  for (std::size_t slash = folder.find('/', 1); slash != std::string::npos; slash = folder.find('/', slash + 1)) {
    mkdir(folder.substr(0, slash).c_str(), 0777);
  }
}

// Makes a folder of this user alone. Whether it is one: another user may have been there first, or have left a link.
bool make_own_folder(const std::string& folder) {
  mkdir(folder.c_str(), 0700);
  struct stat status {};
  return lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
         (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Opens and locks a camera's file in a folder; -1 if that cannot be done.
int open_in(const std::string& folder, const std::string& name) {
  make_parents(folder);
  if (!make_own_folder(folder) || !make_own_folder(folder + "/epochs")) return -1;
  const int file = open((folder + name).c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  for (int tries = 0; file >= 0 && flock(file, LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (tries == lock_tries) {
      close(file);
      return -1;
    }
    nanosleep(&lock_pause, nullptr);
  }
  return file;
}

// The epoch in a file, if it holds one: up to ten digits and a line's end.
std::optional<std::uint64_t> read_epoch(const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  char text[64];
  const ssize_t size = file.number() < 0 ? -1 : read(file.number(), text, sizeof text);
  std::uint64_t epoch = 0;
  ssize_t digits = 0;
  while (digits < size && digits < 10 && text[digits] >= '0' && text[digits] <= '9') {
    epoch = 10 * epoch + static_cast<std::uint64_t>(text[digits++] - '0');
  }
  if (digits == 0 || !(size == digits || (size == digits + 1 && text[digits] == '\n'))) return std::nullopt;
  return std::min(epoch, largest_epoch);
}

}  // namespace

std::uint32_t take_epoch(const std::string& source) {
  const std::string name = "/epochs/" + quoted(source) + ".epoch";
  const std::vector<std::string> folders = find_folders();
  int opened = -1;
  for (std::size_t i = 0; opened < 0 && i < folders.size(); ++i) opened = open_in(folders[i], name);
  const File file(opened);
  std::uint64_t epoch = static_cast<std::uint64_t>(std::max<std::time_t>(std::time(nullptr), 0));
  // All are read: the first of today may not have been there at the last start.
  for (const std::string& folder : folders) {
    const std::optional<std::uint64_t> used = read_epoch(folder + name);
    if (used) epoch = std::max(epoch, *used + 1);
  }
  epoch = std::min(epoch, largest_epoch);
  if (file.number() >= 0) {
    // Always as many bytes, so that a power cut leaves the one or the other.
    char text[16];
    const int size = std::snprintf(text, sizeof text, "%010llu\n", static_cast<unsigned long long>(epoch));
    const bool written = pwrite(file.number(), text, static_cast<std::size_t>(size), 0) == size &&
                         ftruncate(file.number(), size) == 0 && fsync(file.number()) == 0;
    static_cast<void>(written);  // the clock alone decides then
  }
  return static_cast<std::uint32_t>(epoch);
}

}  // namespace rubblemap
