// See server.h.
#include "server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#ifdef __linux__
#include <sched.h>
#endif
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "callbacks.h"

namespace milter {
namespace {

using std::chrono::milliseconds;

// After the grace: what the MTAs get to read their tempfail, and then what libmilter gets to notice.
constexpr milliseconds kLastWords{1000};
// libmilter's own defaults: bytes of a packet, and seconds for one read or write.
constexpr size_t kDefaultDataSize = 65535;
constexpr int kDefaultTimeout = 7210;

bool IsListening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
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

ListenAddress AddressOf(int fd) {
  ListenAddress found;
  found.length = sizeof found.address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&found.address), &found.length) != 0) found.length = 0;
  return found;
}

// Whether a connection that was accepted at `one` has the address `other`. A listener on all addresses is
// known by its port.
bool SamePlace(const ListenAddress& one, const ListenAddress& other) {
  const sockaddr_storage& a = one.address;
  const sockaddr_storage& b = other.address;
  if (one.length == 0 || other.length == 0 || a.ss_family != b.ss_family) return false;
  switch (a.ss_family) {
    case AF_INET:
      return reinterpret_cast<const sockaddr_in&>(a).sin_port ==
             reinterpret_cast<const sockaddr_in&>(b).sin_port;
    case AF_INET6:
      return reinterpret_cast<const sockaddr_in6&>(a).sin6_port ==
             reinterpret_cast<const sockaddr_in6&>(b).sin6_port;
    case AF_UNIX:
      return std::strcmp(reinterpret_cast<const sockaddr_un&>(a).sun_path,
                         reinterpret_cast<const sockaddr_un&>(b).sun_path) == 0;
    default:
      return false;
  }
}

// An address as a libmilter spec.
std::string Spec(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    return "inet:" + std::to_string(ntohs(in.sin_port)) + "@" + text;
  }
  if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
    return "inet6:" + std::to_string(ntohs(in6.sin6_port)) + "@" + text;
  }
  if (address.ss_family == AF_UNIX) {
    return std::string("unix:") + reinterpret_cast<const sockaddr_un&>(address).sun_path;
  }
  return "";
}

// Makes this thread, and all that libmilter starts from it, deaf to signals: they are for Node's main thread.
void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fatal);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

// One server opens its socket at a time: whatever new listener there is then is its own.
std::mutex opening;

// libmilter copies the string; its parameter is just not const.
char* Mutable(const std::string& text) { return const_cast<char*>(text.c_str()); }

}  // namespace

Server::Server(std::shared_ptr<const Library> library, ServerOptions options, std::shared_ptr<Lane> lane,
               Events events)
    : library_(std::move(library)),
      options_(std::move(options)),
      lane_(std::move(lane)),
      events_(std::move(events)) {}

void Server::Start() {
  {
    std::lock_guard lock(mutex_);
    if (closing_ || phase_ != Phase::kNew) return;
    phase_ = Phase::kStarting;
  }
  std::thread([self = shared_from_this()] {
    BlockSignals();
#ifdef __linux__
    // A umask of its own, so that the socket's does not fall on files that the process makes meanwhile.
    unshare(CLONE_FS);
#endif
    self->Run();
  }).detach();
}

void Server::Run() {
  Started started;
  if (!Listen(started)) {
    events_.started(std::move(started));
    Enter(Phase::kFailed);
    return;
  }
  if (library_->worker_pool) starter_ = std::make_unique<Starter>(address_);
  events_.started(std::move(started));
  Enter(Phase::kServing);
  const int result = library_->main();
  bool wanted;
  {
    std::lock_guard lock(mutex_);
    phase_ = Phase::kReturned;
    wanted = closing_;
  }
  changed_.notify_all();
  // When wanted, the closing thread goes on from here.
  if (!wanted) events_.stopped(false, result);
}

void Server::Enter(Phase phase) {
  {
    std::lock_guard lock(mutex_);
    phase_ = phase;
  }
  changed_.notify_all();
}

// Has libmilter open its socket, and finds out which that is. Every setting is made: the library may have
// come back from a server that failed.
bool Server::OpenSocket() {
  std::lock_guard lock(opening);
  const std::set<int> before = Listeners();
  library_->setdbg(options_.debug);
  library_->setbacklog(options_.backlog > 0 ? options_.backlog : SOMAXCONN);
  library_->setmaxdatasize(options_.max_data_size > 0 ? options_.max_data_size : kDefaultDataSize);
  library_->settimeout(options_.timeout_seconds > 0 ? options_.timeout_seconds : kDefaultTimeout);
  // Nobody shall connect before the socket has its mode, so it is born closed.
  const bool restrict_mode = !options_.unix_path.empty() && options_.socket_mode >= 0;
  const mode_t previous = restrict_mode ? umask(0777) : 0;
  errno = 0;
  const bool opened = library_->register_filter(Callbacks(slot_)) == MI_SUCCESS &&
                      library_->setconn(Mutable(options_.socket)) == MI_SUCCESS &&
                      library_->opensocket(false) == MI_SUCCESS;
  const int reason = errno;
  if (restrict_mode) umask(previous);
  if (opened) {
    for (const int fd : Listeners()) {
      if (before.count(fd) == 0) listener_ = fd;
    }
    if (options_.socket.rfind("fd:", 0) == 0) listener_ = std::atoi(options_.socket.c_str() + 3);
    if (listener_ >= 0) address_ = AddressOf(listener_);
  }
  errno = reason;
  return opened;
}

bool Server::Listen(Started& started) {
  slot_ = TakePlace(shared_from_this());
  if (slot_ == kServerPlaces) {
    ReturnLibrary(library_);
    started.fault = Started::Fault::kTooMany;
    started.message = "this process already runs " + std::to_string(kServerPlaces) + " servers";
    return false;
  }
  const bool opened = OpenSocket();
  const int reason = errno;
  started.address = address_.length > 0 ? Spec(address_.address) : options_.socket;
  const bool is_path = !options_.unix_path.empty();
  const char* path = options_.unix_path.c_str();
  struct stat status{};
  if (opened && is_path && lstat(path, &status) == 0) {
    socket_device_ = status.st_dev;
    socket_inode_ = status.st_ino;
  }
  const auto no_group = static_cast<gid_t>(-1);
  const gid_t group = options_.socket_group >= 0 ? static_cast<gid_t>(options_.socket_group) : no_group;
  if (opened && is_path && group != no_group && chown(path, static_cast<uid_t>(-1), group) != 0) {
    started.message =
        "cannot give the socket to group " + std::to_string(group) + ": " + std::strerror(errno);
  } else if (opened && is_path && options_.socket_mode >= 0 &&
             chmod(path, static_cast<mode_t>(options_.socket_mode)) != 0) {
    started.message = std::string("cannot set the socket's mode: ") + std::strerror(errno);
  } else if (opened) {
    return true;
  } else {
    started.message =
        reason != 0 ? std::strerror(reason) : "libmilter refused the address (see the mail log)";
  }
  started.fault = reason == EADDRINUSE ? Started::Fault::kAddressInUse : Started::Fault::kSocket;
  LeavePlace(slot_);
  if (opened) {
    library_->stop();
    RemoveSocketFile();
  } else {
    ReturnLibrary(library_);
  }
  return false;
}

// libmilter leaves the file behind when root runs it.
void Server::RemoveSocketFile() const {
  const char* path = options_.unix_path.c_str();
  struct stat status{};
  if (options_.unix_path.empty() || lstat(path, &status) != 0) return;
  if (status.st_dev == socket_device_ && status.st_ino == socket_inode_) unlink(path);
}

void Server::AddPlan(std::shared_ptr<const Plan> plan) {
  std::lock_guard lock(mutex_);
  if (!current_plan_) current_plan_ = plan;
  plans_[plan->id] = std::move(plan);
}

void Server::UsePlan(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = plans_.find(id);
  if (found != plans_.end()) current_plan_ = found->second;
}

std::shared_ptr<const Plan> Server::FindPlan(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = plans_.find(id);
  return found == plans_.end() ? nullptr : found->second;
}

// The descriptor lies behind the context's first pointer in every release. It is believed only if it is a
// socket bound to the address on which we listen.
int Server::SocketOf(SMFICTX* context) const {
  int fd = -1;
  std::memcpy(&fd, reinterpret_cast<const char*>(context) + sizeof(void*), sizeof fd);
  struct stat status{};
  if (fd < 3 || fd == listener_ || fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) return -1;
  return SamePlace(address_, AddressOf(fd)) ? fd : -1;
}

Session* Server::Open(SMFICTX* context) {
  const int socket = SocketOf(context);
  Session* opened = nullptr;
  {
    // All in one: when draining has begun there is no session that the closing thread does not know.
    std::lock_guard lock(mutex_);
    if (draining_) return nullptr;
    while (next_session_ == 0 || sessions_.count(next_session_) != 0) next_session_++;
    const uint32_t id = next_session_++;
    const bool refused = served_ >= options_.max_connections;
    auto session = std::make_shared<Session>(shared_from_this(), current_plan_, context, id, socket, refused);
    opened = session.get();
    sessions_.emplace(id, std::move(session));
    served_ += refused ? 0 : 1;
    counters_.sessions_created++;
  }
  library_->setpriv(context, opened);
  return opened;
}

void Server::Remove(SMFICTX* context, uint32_t id) {
  library_->setpriv(context, nullptr);
  std::shared_ptr<Session> leaving;  // Let go of outside the lock.
  {
    std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    leaving = std::move(found->second);
    sessions_.erase(found);
    served_ -= leaving->refused() ? 0 : 1;
    counters_.sessions_freed++;
  }
  changed_.notify_all();
}

void Server::Close(milliseconds grace) {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    if (phase_ == Phase::kNew) return;
  }
  std::thread([self = shared_from_this(), grace] {
    BlockSignals();
    {
      std::unique_lock lock(self->mutex_);
      self->changed_.wait(lock, [&] { return self->phase_ != Phase::kStarting; });
      if (self->phase_ == Phase::kFailed) return;
    }
    self->Drain(grace);
    self->Stop();
  }).detach();
}

template <typename Act>
void Server::ForEachSession(Act act) {
  std::vector<std::shared_ptr<Session>> sessions;
  {
    std::lock_guard lock(mutex_);
    for (const auto& entry : sessions_) sessions.push_back(entry.second);
  }
  for (const auto& session : sessions) act(*session);
}

bool Server::WaitForSessions(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, until, [this] { return sessions_.empty(); });
}

void Server::Drain(milliseconds grace) {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }
  // A session in a message does this itself when the message has ended.
  ForEachSession([](Session& session) {
    if (!session.in_message()) session.ShutdownRead();
  });
  if (WaitForSessions(Clock::now() + grace)) return;
  lane_->Refuse();
  ForEachSession([](Session& session) { session.ShutdownRead(); });
  if (WaitForSessions(Clock::now() + kLastWords)) return;
  ForEachSession([](Session& session) { session.ShutdownBoth(); });
  if (WaitForSessions(Clock::now() + kLastWords)) return;
  // Where descriptors are unknown, nobody reads those connections any more: their end is told all the same.
  ForEachSession([](Session& session) { session.Abandon(); });
}

void Server::Stop() {
  std::unique_lock lock(mutex_);
  if (phase_ == Phase::kServing) {
    // smfi_stop() waits for the listener, which sleeps for seconds unless somebody dials.
    std::thread stopper([library = library_] { library->stop(); });
    while (phase_ != Phase::kReturned) {
      lock.unlock();
      DialListener(address_);
      lock.lock();
      changed_.wait_for(lock, milliseconds(20), [this] { return phase_ == Phase::kReturned; });
    }
    lock.unlock();
    stopper.join();
  } else {
    lock.unlock();
  }
  HangUpOrphans();
  // The object stays: a callback that never came back may still look at it.
  if (starter_) starter_->End();
  RemoveSocketFile();
  LeavePlace(slot_);
  events_.stopped(true, 0);
}

// With a worker pool nobody reads the connections any more that were accepted in the last moment: their MTAs
// are told now instead of after their time-outs. The descriptors are libmilter's; a duplicate cannot become
// another's meanwhile.
void Server::HangUpOrphans() const {
  for (const int fd : Descriptors()) {
    const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (duplicate < 0) continue;
    if (!IsListening(duplicate) && SamePlace(address_, AddressOf(duplicate))) shutdown(duplicate, SHUT_RDWR);
    close(duplicate);
  }
}

}  // namespace milter
