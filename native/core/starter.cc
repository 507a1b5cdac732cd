// See starter.h.
#include "starter.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace milter {
namespace {

// How long a served dial may take to bring a starved session's callback to light.
constexpr std::chrono::milliseconds kPatience{5};
// How long a dial may take to be served while the machine is busy.
constexpr std::chrono::milliseconds kDialPatience{100};

// A listener on all addresses is reached by loopback.
void PointToLoopback(sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    auto& in = reinterpret_cast<sockaddr_in&>(address);
    if (in.sin_addr.s_addr == htonl(INADDR_ANY)) in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else if (address.ss_family == AF_INET6) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(address);
    if (IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr)) in6.sin6_addr = in6addr_loopback;
  }
}

}  // namespace

bool DialListener(const ListenAddress& listener) {
  if (listener.length == 0) return false;
  sockaddr_storage address = listener.address;
  PointToLoopback(address);
  const int dial = socket(address.ss_family, SOCK_STREAM, 0);
  if (dial < 0) return false;
  fcntl(dial, F_SETFD, FD_CLOEXEC);
  fcntl(dial, F_SETFL, O_NONBLOCK);
  const bool dialled = connect(dial, reinterpret_cast<const sockaddr*>(&address), listener.length) == 0 ||
                       errno == EINPROGRESS;
  close(dial);
  return dialled;
}

Starter::Starter(const ListenAddress& listener) : listener_(listener), thread_([this] { Run(); }) {}

Starter::~Starter() { End(); }

void Starter::End() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Starter::Suspect() {
  slow_++;
  {
    std::lock_guard lock(mutex_);
    if (suspected_) return;
    suspected_ = true;
  }
  changed_.notify_all();
}

void Starter::Notice() {
  // The lock orders this with the watcher's look at entered_.
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Starter::Arrived() {
  {
    std::lock_guard lock(mutex_);
    arrived_++;
  }
  changed_.notify_all();
}

void Starter::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return suspected_ || ending_; });
    if (ending_) return;
    suspected_ = false;
    // As long as each dial brings another session's callback to light there may be more behind it.
    bool found = true;
    while (found && !ending_ && slow_ > 0) {
      const uint64_t arrived_before = arrived_;
      const uint64_t entered_before = entered_;
      const auto entered = [&] { return entered_ != entered_before; };
      watching_ = true;
      lock.unlock();
      const bool dialled = DialListener(listener_);
      lock.lock();
      if (!dialled) break;
      changed_.wait_for(lock, kDialPatience, [&] { return arrived_ != arrived_before || ending_; });
      found = changed_.wait_for(lock, kPatience, [&] { return entered() || ending_; });
    }
    watching_ = false;
  }
}

}  // namespace milter
