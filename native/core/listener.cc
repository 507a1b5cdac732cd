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
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>

namespace milter {
namespace {

// libmilter's own defaults: bytes of a packet, and seconds for one read or write.
constexpr size_t kDefaultDataSize = 65535;
constexpr int kDefaultTimeout = 7210;

// One server opens its socket at a time: whatever new listener there is then is its own.
std::mutex opening;

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

}  // namespace

Listener::Address Listener::AddressOf(int fd) {
  Address found;
  found.length = sizeof found.storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&found.storage), &found.length) != 0) found.length = 0;
  return found;
}

// Every setting is made: the library may have come back from a server that failed.
bool Listener::OpenSocket(const Library& library, const smfiDesc& callbacks) {
  std::lock_guard lock(opening);
  const std::set<int> before = Listeners();
  library.setdbg(options_.debug);
  library.setbacklog(options_.backlog > 0 ? options_.backlog : SOMAXCONN);
  if (library.setmaxdatasize != nullptr)
    library.setmaxdatasize(options_.max_data_size > 0 ? options_.max_data_size : kDefaultDataSize);
  library.settimeout(options_.timeout_seconds > 0 ? options_.timeout_seconds : kDefaultTimeout);
  // Nobody shall connect before the socket has its mode, so it is born closed.
  const bool restrict_mode = !options_.unix_path.empty() && options_.socket_mode >= 0;
  const mode_t previous = restrict_mode ? umask(0777) : 0;
  errno = 0;
  const bool opened = library.register_filter(callbacks) == MI_SUCCESS &&
                      library.setconn(Mutable(options_.socket)) == MI_SUCCESS &&
                      library.opensocket(false) == MI_SUCCESS;
  const int reason = errno;
  if (restrict_mode) umask(previous);
  if (opened) {
    // libmilter does not tell its descriptor: it is the listener that was not there before.
    for (const int fd : Listeners()) {
      if (before.count(fd) == 0) address_ = AddressOf(fd);
    }
    if (options_.socket.rfind("fd:", 0) == 0) address_ = AddressOf(std::atoi(options_.socket.c_str() + 3));
  }
  errno = reason;
  return opened;
}

// Remembers the file of a unix socket, and gives it its group and mode.
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
  if (library.uses_select && NextDescriptor() >= FD_SETSIZE) {
    outcome.fault = StartFault::kSocket;
    outcome.reason = "its descriptor would be above 1,023, and " + library.path + " cannot use such a one";
    return outcome;
  }
  outcome.opened = OpenSocket(library, callbacks);
  if (!outcome.opened) {
    const int reason = errno;
    outcome.fault = reason == EADDRINUSE ? StartFault::kAddressInUse : StartFault::kSocket;
    outcome.reason = reason != 0 ? std::strerror(reason) : "libmilter refused the address (see the mail log)";
  } else if (!GiveFileAway(outcome.reason)) {
    outcome.fault = StartFault::kSocket;
  }
  return outcome;
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
      return std::string("unix:") + reinterpret_cast<const sockaddr_un&>(address).sun_path;
    default:
      return options_.socket;
  }
}

bool Listener::Dial() const {
  if (address_.length == 0) return false;
  // A listener on all addresses is reached by loopback.
  sockaddr_storage address = address_.storage;
  if (address.ss_family == AF_INET && Inet(address).sin_addr.s_addr == htonl(INADDR_ANY)) {
    reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else if (address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&Inet6(address).sin6_addr)) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
  }
  const int dial = socket(address.ss_family, SOCK_STREAM, 0);
  if (dial < 0) return false;
  fcntl(dial, F_SETFD, FD_CLOEXEC);
  fcntl(dial, F_SETFL, O_NONBLOCK);
  const bool dialled = connect(dial, reinterpret_cast<const sockaddr*>(&address), address_.length) == 0 ||
                       errno == EINPROGRESS;
  close(dial);
  return dialled;
}

// A listener on all addresses is known by its port.
bool Listener::Accepted(int fd) const {
  if (IsListening(fd)) return false;
  const Address address = AddressOf(fd);
  const sockaddr_storage& ours = address_.storage;
  const sockaddr_storage& its = address.storage;
  if (address_.length == 0 || address.length == 0 || ours.ss_family != its.ss_family) return false;
  switch (ours.ss_family) {
    case AF_INET:
      return Inet(ours).sin_port == Inet(its).sin_port;
    case AF_INET6:
      return Inet6(ours).sin6_port == Inet6(its).sin6_port;
    case AF_UNIX:
      return std::strcmp(reinterpret_cast<const sockaddr_un&>(ours).sun_path,
                         reinterpret_cast<const sockaddr_un&>(its).sun_path) == 0;
    default:
      return false;
  }
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
