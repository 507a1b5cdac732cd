// Makes libmilter start a worker when its pool starves.
//
// Debian's libmilter wakes an idle worker for each connection that has something to say, and counts it idle
// until it has run; a burst is thus queued behind the few that were idle, and stays there until one of them
// is free. A new connection that finds no idle worker makes libmilter start one, and that worker then takes
// the waiting sessions too. So this dials our own socket and hangs up at once, while callbacks wait.
//
// Threads: its own, which sleeps until Suspect(); the other functions are called by libmilter's threads.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace milter {

// Where a listener listens, as getsockname() told it. Its descriptor's number may be another's by the time it
// is dialled; its address is not.
struct ListenAddress {
  sockaddr_storage address{};
  socklen_t length = 0;  // 0: unknown.
};

// Connects to a listener and hangs up. Never blocks.
bool DialListener(const ListenAddress& listener);

class Starter {
 public:
  explicit Starter(const ListenAddress& listener);
  ~Starter();
  Starter(const Starter&) = delete;
  Starter& operator=(const Starter&) = delete;

  // Ends the thread. Called by one thread at a time; the other functions may still be called.
  void End();
  // A callback has been waiting for a while: others may be starving. Paired with Relieve() when it has its
  // answer.
  void Suspect();
  void Relieve() { slow_--; }
  // One of our dials, or something like it, has been served.
  void Arrived();
  // A real callback begins to wait. On the path of every message: takes the lock only while somebody looks.
  void Entered() {
    entered_++;
    if (watching_) Notice();
  }

 private:
  void Run();
  void Notice();

  const ListenAddress listener_;
  std::atomic<uint64_t> entered_{0};
  std::atomic<int> slow_{0};           // Callbacks that have been waiting for a while.
  std::atomic<bool> watching_{false};  // The thread waits for entered_ to grow.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool suspected_ = false;  // Guarded by mutex_.
  uint64_t arrived_ = 0;    // Guarded by mutex_.
  bool ending_ = false;     // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace milter
