// See thread.h.
#include "thread.h"

#include <signal.h>

#include <condition_variable>
#include <mutex>
#include <vector>

namespace milter {

std::thread MakeThread(std::function<void()> work) noexcept {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fatal);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // The new thread inherits it.
  std::thread made;
  try {
    made = std::thread(std::move(work));
  } catch (...) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return made;
}

bool RoomForThreads(size_t count) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::vector<std::thread> threads;
  while (threads.size() < count) {
    std::thread thread = MakeThread([&] {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return done; });
    });
    if (!thread.joinable()) break;
    threads.push_back(std::move(thread));
  }
  {
    std::lock_guard lock(mutex);
    done = true;
  }
  changed.notify_all();
  for (std::thread& thread : threads) thread.join();
  return threads.size() == count;
}

}  // namespace milter
