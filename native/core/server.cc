// See server.h.
#include "server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
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

bool IsListening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

// The descriptors on which this process listens.
std::set<int> Listeners() {
  std::set<int> listeners;
  DIR* folder = opendir("/dev/fd");  // On Linux a link to /proc/self/fd.
  if (folder == nullptr) return listeners;
  while (const dirent* entry = readdir(folder)) {
    char* end = nullptr;
    const long fd = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == '\0' && IsListening(static_cast<int>(fd))) {
      listeners.insert(static_cast<int>(fd));
    }
  }
  closedir(folder);
  return listeners;
}

// What getsockname() says, as a libmilter spec.
std::string Spec(int listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "";
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
  std::thread([self = shared_from_this()] {
    BlockSignals();
    self->Run();
  }).detach();
}

void Server::Run() {
  Started started;
  if (!Listen(started)) {
    events_.started(std::move(started));
    return;
  }
  if (library_->worker_pool) starter_ = std::make_unique<Starter>(listener_);
  events_.started(std::move(started));
  const int result = library_->main();
  bool wanted;
  {
    std::lock_guard lock(mutex_);
    main_returned_ = true;
    wanted = closing_;
  }
  changed_.notify_all();
  // When wanted, the closing thread goes on from here.
  if (!wanted) events_.stopped(false, result);
}

bool Server::Listen(Started& started) {
  slot_ = TakePlace(shared_from_this());
  if (slot_ == kServerPlaces) {
    started.fault = Started::Fault::kTooMany;
    started.message = "this process already runs " + std::to_string(kServerPlaces) + " servers";
    return false;
  }
  const std::set<int> before = Listeners();
  const bool is_path = !options_.unix_path.empty();
  const bool restrict_mode = is_path && options_.socket_mode >= 0;
  if (options_.debug > 0) library_->setdbg(options_.debug);
  if (options_.backlog > 0) library_->setbacklog(options_.backlog);
  if (options_.max_data_size > 0) library_->setmaxdatasize(options_.max_data_size);
  if (options_.timeout_seconds > 0) library_->settimeout(options_.timeout_seconds);
  errno = 0;
  // Nobody shall connect before the socket has its mode, so it is born closed.
  const mode_t previous = restrict_mode ? umask(0777) : 0;
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
    started.address = listener_ >= 0 ? Spec(listener_) : options_.socket;
  }
  const char* path = options_.unix_path.c_str();
  struct stat status{};
  if (opened && is_path && lstat(path, &status) == 0) {
    socket_device_ = status.st_dev;
    socket_inode_ = status.st_ino;
  }
  const auto no_group = static_cast<gid_t>(-1);
  const gid_t group = options_.socket_group >= 0 ? static_cast<gid_t>(options_.socket_group) : no_group;
  if (opened && is_path && group != no_group && chown(path, static_cast<uid_t>(-1), group) != 0) {
    started.message = "cannot give the socket to group " + std::to_string(group) + ": " + std::strerror(errno);
  } else if (opened && restrict_mode && chmod(path, static_cast<mode_t>(options_.socket_mode)) != 0) {
    started.message = std::string("cannot set the socket's mode: ") + std::strerror(errno);
  } else if (opened) {
    return true;
  } else {
    started.message = reason != 0 ? std::strerror(reason) : "libmilter refused the address (see the mail log)";
  }
  started.fault = reason == EADDRINUSE ? Started::Fault::kAddressInUse : Started::Fault::kSocket;
  if (opened) {
    library_->stop();
    RemoveSocketFile();
  }
  LeavePlace(slot_);
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

std::shared_ptr<const Plan> Server::CurrentPlan() {
  std::lock_guard lock(mutex_);
  return current_plan_;
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
  sockaddr_storage ours{};
  sockaddr_storage theirs{};
  socklen_t ours_length = sizeof ours;
  socklen_t theirs_length = sizeof theirs;
  if (getsockname(listener_, reinterpret_cast<sockaddr*>(&ours), &ours_length) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&theirs), &theirs_length) != 0 ||
      ours.ss_family != theirs.ss_family) {
    return -1;
  }
  switch (ours.ss_family) {
    case AF_INET:
      return reinterpret_cast<const sockaddr_in&>(ours).sin_port ==
                     reinterpret_cast<const sockaddr_in&>(theirs).sin_port
                 ? fd
                 : -1;
    case AF_INET6:
      return reinterpret_cast<const sockaddr_in6&>(ours).sin6_port ==
                     reinterpret_cast<const sockaddr_in6&>(theirs).sin6_port
                 ? fd
                 : -1;
    default:
      return std::strcmp(reinterpret_cast<const sockaddr_un&>(ours).sun_path,
                         reinterpret_cast<const sockaddr_un&>(theirs).sun_path) == 0
                 ? fd
                 : -1;
  }
}

Session* Server::Open(SMFICTX* context) {
  if (draining()) return nullptr;
  const int socket = SocketOf(context);
  uint32_t id;
  bool refused;
  {
    std::lock_guard lock(mutex_);
    id = next_session_++;
    refused = sessions_.size() >= options_.max_connections;
  }
  auto session = std::make_shared<Session>(shared_from_this(), context, id, socket, refused);
  Session* opened = session.get();
  library_->setpriv(context, opened);
  std::lock_guard lock(mutex_);
  sessions_.emplace(id, std::move(session));
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
  }
  changed_.notify_all();
}

void Server::Close(milliseconds grace) {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
  }
  std::thread([self = shared_from_this(), grace] {
    BlockSignals();
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
  draining_ = true;
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
  ForEachSession([](Session& session) { session.Close(); });
}

void Server::Stop() {
  // smfi_stop() waits for the listener, which sleeps for seconds unless somebody dials.
  std::thread stopper([library = library_] { library->stop(); });
  {
    std::unique_lock lock(mutex_);
    while (!main_returned_) {
      lock.unlock();
      if (listener_ >= 0) DialListener(listener_);
      lock.lock();
      changed_.wait_for(lock, milliseconds(20), [this] { return main_returned_; });
    }
  }
  stopper.join();
  // The object stays: a callback that never came back may still look at it.
  if (starter_) starter_->End();
  RemoveSocketFile();
  LeavePlace(slot_);
  events_.stopped(true, 0);
}

}  // namespace milter
