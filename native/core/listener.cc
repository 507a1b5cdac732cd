// See listener.h.
#include "listener.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>

namespace milter {
namespace {

// libmilter's own defaults: bytes of a packet, and seconds for one read or write.
constexpr size_t kDefaultDataSize = 65535;
constexpr int kDefaultTimeout = 7210;
// The scheme of a descriptor that was passed to this process.
constexpr const char* kPassed = "fd:";

std::mutex changing;

// libmilter copies the string; its parameter is just not const.
char* Mutable(const std::string& text) { return const_cast<char*>(text.c_str()); }

bool IsListening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

// The number that the next descriptor will have.
int NextDescriptor() {
  const int next = socket(AF_UNIX, SOCK_STREAM, 0);
  if (next >= 0) close(next);
  return next;
}

// This process's descriptors.
std::set<int> Descriptors() {
  std::set<int> descriptors;
  DIR* folder = opendir("/dev/fd");  // On Linux a link to /proc/self/fd.
  if (folder == nullptr) return descriptors;
  while (const dirent* entry = readdir(folder)) {
    char* end = nullptr;
    const long fd = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == '\0' && fd != dirfd(folder)) descriptors.insert(static_cast<int>(fd));
  }
  closedir(folder);
  return descriptors;
}

// Those on which it listens the way libmilter does: Node's own servers never block.
std::set<int> Listeners() {
  std::set<int> listeners;
  for (const int fd : Descriptors()) {
    if (IsListening(fd) && (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0) listeners.insert(fd);
  }
  return listeners;
}

const sockaddr_in& Inet(const sockaddr_storage& address) {
  return reinterpret_cast<const sockaddr_in&>(address);
}
const sockaddr_in6& Inet6(const sockaddr_storage& address) {
  return reinterpret_cast<const sockaddr_in6&>(address);
}

const sockaddr_un& Unix(const sockaddr_storage& address) {
  return reinterpret_cast<const sockaddr_un&>(address);
}

bool IsAny(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return Inet(address).sin_addr.s_addr == htonl(INADDR_ANY);
  return address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&Inet6(address).sin6_addr);
}

}  // namespace

Listener::Address Listener::AddressOf(int fd) {
  Address found;
  found.length = sizeof found.storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&found.storage), &found.length) != 0) found.length = 0;
  return found;
}

// Every setting is made: the library may have come back from a server that failed.
bool Listener::LetLibraryOpen(const Library& library, const smfiDesc& callbacks, const std::string& spec) {
  library.setdbg(options_.debug);
  library.setbacklog(options_.backlog > 0 ? options_.backlog : SOMAXCONN);
  if (library.setmaxdatasize != nullptr)
    library.setmaxdatasize(options_.max_data_size > 0 ? options_.max_data_size : kDefaultDataSize);
  library.settimeout(options_.timeout_seconds > 0 ? options_.timeout_seconds : kDefaultTimeout);
  errno = 0;
  return library.register_filter(callbacks) == MI_SUCCESS && library.setconn(Mutable(spec)) == MI_SUCCESS &&
         library.opensocket(false) == MI_SUCCESS;
}

bool Listener::OpenSocket(const Library& library, const smfiDesc& callbacks) {
  const std::set<int> before = Listeners();
  // Nobody shall connect before the socket has its mode, so it is born closed.
  const bool restrict_mode = !options_.unix_path.empty() && options_.socket_mode >= 0;
  const mode_t previous = restrict_mode ? umask(0777) : 0;
  const bool opened = LetLibraryOpen(library, callbacks, options_.socket);
  const int reason = errno;
  if (restrict_mode) umask(previous);
  // libmilter does not tell its descriptor: it is the listener that was not there before.
  for (const int fd : Listeners()) {
    if (before.count(fd) == 0) address_ = AddressOf(fd);
  }
  errno = reason;
  return opened;
}

// An fd: spec. libmilter gets a duplicate, since it closes whatever number it is given: the one that was
// passed stays its owner's.
bool Listener::OpenPassed(const Library& library, const smfiDesc& callbacks, std::string& reason) {
  const int passed = std::atoi(options_.socket.c_str() + std::strlen(kPassed));
  if (!IsListening(passed)) {
    reason = "descriptor " + std::to_string(passed) +
             " is no listening socket; it must be passed to this process, as by a systemd socket unit";
    return false;
  }
  address_ = AddressOf(passed);
  const int duplicate = fcntl(passed, F_DUPFD_CLOEXEC, 3);
  if (duplicate < 0) return false;
  if (LetLibraryOpen(library, callbacks, kPassed + std::to_string(duplicate))) return true;
  // Not every fault makes libmilter close it.
  if (IsListening(duplicate)) close(duplicate);
  reason = "this libmilter does not take a descriptor; not every build knows fd:";
  return false;
}

// Gives the file of our unix socket its group and mode.
bool Listener::GiveFileAway(std::string& reason) {
  if (options_.unix_path.empty()) return true;
  const char* path = options_.unix_path.c_str();
  struct stat status{};
  if (lstat(path, &status) == 0) {
    file_device_ = status.st_dev;
    file_inode_ = status.st_ino;
  }
  const auto keep_owner = static_cast<uid_t>(-1);
  if (options_.socket_group >= 0 && chown(path, keep_owner, static_cast<gid_t>(options_.socket_group)) != 0) {
    reason = "cannot give the socket to group " + std::to_string(options_.socket_group) + ": " +
             std::strerror(errno);
    return false;
  }
  if (options_.socket_mode >= 0 && chmod(path, static_cast<mode_t>(options_.socket_mode)) != 0) {
    reason = std::string("cannot set the socket's mode: ") + std::strerror(errno);
    return false;
  }
  return true;
}

Listener::Outcome Listener::Open(const Library& library, const ListenOptions& options,
                                 const smfiDesc& callbacks) {
  options_ = options;
  Outcome outcome;
  if (options.max_data_size > 0 && library.setmaxdatasize == nullptr) {
    outcome.fault = StartFault::kUnsupported;
    outcome.reason = library.path + " has no smfi_setmaxdatasize: leave maxDataSize out";
    return outcome;
  }
  std::lock_guard lock(changing);
  if (library.uses_select && NextDescriptor() >= FD_SETSIZE) {
    outcome.fault = StartFault::kSocket;
    outcome.reason = "its descriptor would be above 1,023, and " + library.path + " cannot use such a one";
    return outcome;
  }
  errno = 0;
  outcome.opened = options_.socket.rfind(kPassed, 0) == 0 ? OpenPassed(library, callbacks, outcome.reason)
                                                          : OpenSocket(library, callbacks);
  if (!outcome.opened) {
    const int reason = errno;
    outcome.fault = reason == EADDRINUSE ? StartFault::kAddressInUse : StartFault::kSocket;
    if (!outcome.reason.empty()) return outcome;
    outcome.reason = reason != 0 ? std::strerror(reason) : "libmilter refused the address (see the mail log)";
    return outcome;
  }
#ifdef O_PATH
  if (Path() != nullptr) file_ = open(Path(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
#endif
  if (!GiveFileAway(outcome.reason)) outcome.fault = StartFault::kSocket;
  return outcome;
}

Listener::~Listener() {
  if (file_ >= 0) close(file_);
}

// The path of a unix socket that has one.
const char* Listener::Path() const {
  if (address_.length == 0 || address_.storage.ss_family != AF_UNIX) return nullptr;
  const char* path = Unix(address_.storage).sun_path;
  return *path == '\0' ? nullptr : path;
}

std::string Listener::Spec() const {
  char text[INET6_ADDRSTRLEN] = "";
  const sockaddr_storage& address = address_.storage;
  if (address_.length == 0) return options_.socket;
  switch (address.ss_family) {
    case AF_INET:
      inet_ntop(AF_INET, &Inet(address).sin_addr, text, sizeof text);
      return "inet:" + std::to_string(ntohs(Inet(address).sin_port)) + "@" + text;
    case AF_INET6:
      inet_ntop(AF_INET6, &Inet6(address).sin6_addr, text, sizeof text);
      return "inet6:" + std::to_string(ntohs(Inet6(address).sin6_port)) + "@" + text;
    case AF_UNIX:
      return Path() != nullptr ? std::string("unix:") + Path() : options_.socket;
    default:
      return options_.socket;
  }
}

bool Listener::Dial() const {
  if (address_.length == 0) return false;
  sockaddr_storage address = address_.storage;
  socklen_t length = address_.length;
  // A listener on all addresses is reached by loopback.
  if (IsAny(address) && address.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else if (IsAny(address)) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
  } else if (file_ >= 0) {
    sockaddr_un& by_file = reinterpret_cast<sockaddr_un&>(address);
    std::snprintf(by_file.sun_path, sizeof by_file.sun_path, "/proc/self/fd/%d", file_);
    length = sizeof by_file;
  }
  const int dial = socket(address.ss_family, SOCK_STREAM, 0);
  if (dial < 0) return false;
  fcntl(dial, F_SETFD, FD_CLOEXEC);
  fcntl(dial, F_SETFL, O_NONBLOCK);
  const bool dialled =
      connect(dial, reinterpret_cast<const sockaddr*>(&address), length) == 0 || errno == EINPROGRESS;
  close(dial);
  return dialled;
}

// The whole address counts, since others in this process may listen at the same port; a listener on all
// addresses shares its port with nobody. Node's own connections never block, libmilter's do.
bool Listener::Accepted(int fd) const {
  if (IsListening(fd) || (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0) return false;
  const Address address = AddressOf(fd);
  const sockaddr_storage& ours = address_.storage;
  const sockaddr_storage& its = address.storage;
  if (address_.length == 0 || address.length == 0 || ours.ss_family != its.ss_family) return false;
  switch (ours.ss_family) {
    case AF_INET:
      return Inet(ours).sin_port == Inet(its).sin_port &&
             (IsAny(ours) || Inet(ours).sin_addr.s_addr == Inet(its).sin_addr.s_addr);
    case AF_INET6:
      return Inet6(ours).sin6_port == Inet6(its).sin6_port &&
             (IsAny(ours) || (IN6_ARE_ADDR_EQUAL(&Inet6(ours).sin6_addr, &Inet6(its).sin6_addr) &&
                              Inet6(ours).sin6_scope_id == Inet6(its).sin6_scope_id));
    case AF_UNIX:
      // A name may hold NULs (Linux's abstract ones), and those that connect have none at all.
      return address_.length == address.length && std::memcmp(&ours, &its, address.length) == 0;
    default:
      return false;
  }
}

void Listener::GiveUp(const std::function<void()>& stop) const {
  std::lock_guard lock(changing);
  stop();
  HangUpOrphans();
  RemoveFile();
}

// The descriptors are libmilter's; a duplicate cannot become another's meanwhile.
void Listener::HangUpOrphans() const {
  for (const int fd : Descriptors()) {
    const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (duplicate < 0) continue;
    if (Accepted(duplicate)) shutdown(duplicate, SHUT_RDWR);
    close(duplicate);
  }
}

void Listener::RemoveFile() const {
  const char* path = options_.unix_path.c_str();
  struct stat status{};
  if (options_.unix_path.empty() || lstat(path, &status) != 0) return;
  if (status.st_dev == file_device_ && status.st_ino == file_inode_) unlink(path);
}

}  // namespace milter
