// The way to one JavaScript thread: a queue of tickets, and one wake-up for as many of them as have gathered.
//
// Threads: libmilter's threads call Post() and Forget(); the JavaScript thread calls Take(), Settle() and the
// rest. `mutex_` guards what is marked so. While the lane is awake (a wake-up is under way or a batch is
// being handled) Post() only queues; the JavaScript side looks at the queue again before it goes to rest.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "ticket.h"

namespace milter {

class Lane {
 public:
  // `wake` makes the JavaScript thread call Take() soon. It runs with the lane locked, so that it can never
  // run after Close(): what it touches dies with the JavaScript environment.
  explicit Lane(std::function<void()> wake) : wake_(std::move(wake)) {}
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Queues a ticket. Returns false when nobody will answer it any more: the caller answers by itself.
  bool Post(std::shared_ptr<Ticket> ticket, bool waits);

  // Everything queued. An empty batch puts the lane to rest: the next Post() wakes it. Before, the sleepers
  // of the last batch's tickets are woken.
  std::vector<std::shared_ptr<Ticket>> Take();

  // Answers a ticket and forgets it. Returns false when it was already answered (its deadline passed, the
  // lane closed). While a batch is being handled the sleeper is woken with the others at the end of it: each
  // wake-up in between would take the processor from the JavaScript thread, which has more answers to give.
  bool Settle(uint32_t id, Answer answer);

  // The ticket while it is open, else null.
  std::shared_ptr<Ticket> Find(uint32_t id);

  // A ticket whose deadline passed: nobody waits for its answer any longer.
  void Forget(uint32_t id);

  // Answers all open tickets with tempfail; later ones are refused, while notices still pass.
  void Refuse();

  // Answers all open tickets with tempfail and never wakes anybody again.
  void Close();

  uint64_t tickets_created() const { return created_.load(std::memory_order_relaxed); }
  uint64_t tickets_freed() const { return freed_.load(std::memory_order_relaxed); }

 private:
  enum class State { kOpen, kRefusing, kClosed };
  void SettleAll(State state);

  void WakeSleepers();

  // Of the JavaScript thread alone: the batch under way, and the answered tickets whose sleepers still sleep.
  bool in_batch_ = false;
  Clock::time_point batch_begun_;
  std::vector<std::shared_ptr<Ticket>> answered_;

  std::mutex mutex_;
  std::function<void()> wake_;                                  // Called under mutex_.
  State state_ = State::kOpen;                                  // Guarded by mutex_.
  bool awake_ = false;                                          // Guarded by mutex_.
  uint32_t next_id_ = 1;                                        // Guarded by mutex_.
  std::vector<std::shared_ptr<Ticket>> queue_;                  // Guarded by mutex_.
  std::unordered_map<uint32_t, std::shared_ptr<Ticket>> open_;  // Guarded by mutex_.
  std::atomic<uint64_t> created_{0};
  std::atomic<uint64_t> freed_{0};
};

}  // namespace milter
