// Makes libmilter start a worker when its pool starves.
//
// Debian's libmilter wakes an idle worker for each connection that has something to say, and counts it idle
// until it has run; a burst is thus queued behind the few that were idle, and stays there until one of them
// is free. A new connection that finds no idle worker makes libmilter start one, and that worker then takes
// the waiting sessions too. So this dials our own socket and hangs up at once, while callbacks wait.
//
// Threads: its own, which sleeps until Suspect(); the other functions are called by libmilter's threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "listener.h"

namespace milter {

class Starter {
 public:
  explicit Starter(const Listener& listener);
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

  const Listener& listener_;  // Outlives this: both are the server's.
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
