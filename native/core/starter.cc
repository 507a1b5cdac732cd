// See starter.h.
#include "starter.h"

#include <chrono>

namespace milter {
namespace {

// How long a served dial may take to bring a starved session's callback to light.
constexpr std::chrono::milliseconds kPatience{5};
// How long a dial may take to be served while the machine is busy.
constexpr std::chrono::milliseconds kDialPatience{100};

}  // namespace

Starter::Starter(const Listener& listener) : listener_(listener), thread_([this] { Run(); }) {}

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
      const bool dialled = listener_.Dial();
      lock.lock();
      if (!dialled) break;
      changed_.wait_for(lock, kDialPatience, [&] { return arrived_ != arrived_before || ending_; });
      found = changed_.wait_for(lock, kPatience, [&] { return entered() || ending_; });
    }
    watching_ = false;
  }
}

}  // namespace milter
