// One question put to JavaScript by one libmilter thread, and the place where that thread sleeps until the
// answer comes; or, as a notice, news that nobody waits for.
//
// Thread safety: Wait() is called by the libmilter thread that made the ticket; Settle() from any thread, any
// number of times, and the first wins. Both sides hold the ticket by shared_ptr, because either may leave
// first: the waiter at its deadline, the settler at the environment's end. `mutex_` guards what is marked so;
// the rest is written before the ticket is posted and constant from then on.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "answer.h"
#include "plan.h"
#include "stage.h"

namespace milter {

// News about a session or a ticket rather than a stage of the protocol. Shared with
// lib/engine/libmilter/addon.ts.
enum class Notice : uint8_t {
  kExpired = 32,       // That ticket's deadline passed; it was answered.
  kHangup = 33,        // The MTA closed the connection while that ticket waits.
  kRefused = 34,       // The lane is closing; that ticket was answered with tempfail.
  kReplayFailed = 35,  // An action could not be sent; the message was answered with tempfail.
};

class Session;

class Ticket {
 public:
  Ticket(uint32_t session, uint32_t plan, uint8_t stage)
      : session_id(session), plan_id(plan), stage_code(stage) {}
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  // Sleeps until settled or until `until`. Returns the answer, or nothing when the time came first.
  std::optional<Answer> Wait(Clock::time_point until) {
    std::unique_lock lock(mutex_);
    settled_.wait_until(lock, until, [this] { return done_; });
    if (!done_) return std::nullopt;
    return std::move(answer_);
  }

  // The deadline's own settling: takes the answer that came in the last moment, or closes the ticket with
  // what `policy` says. Returns whether the ticket expired.
  bool Expire(const Answer& policy, Answer& answer) {
    std::lock_guard lock(mutex_);
    const bool expired = !done_;
    if (expired) {
      answer = policy;
      done_ = true;
    } else {
      answer = std::move(answer_);
    }
    session_ = nullptr;
    return expired;
  }

  // Returns false if somebody answered before. The sleeper goes on at Wake().
  bool Settle(Answer answer) {
    std::lock_guard lock(mutex_);
    if (done_) return false;
    answer_ = std::move(answer);
    done_ = true;
    session_ = nullptr;
    return true;
  }

  void Wake() { settled_.notify_one(); }

  // Lets `look` use the session, if its callback still sleeps here: libmilter allows look-ups only while one
  // runs, and holding the lock keeps it from returning.
  template <typename Look>
  void WithSession(Look look) {
    std::lock_guard lock(mutex_);
    if (session_ != nullptr) look(*session_);
  }

  const uint32_t session_id;
  const uint32_t plan_id;
  const uint8_t stage_code;  // A Stage or a Notice.
  uint32_t id = 0;           // Given by the lane; for a Notice the ticket it is about; 0 when nobody waits.
  std::string records;       // Packed, see lib/engine/libmilter/addon.ts.
  std::string body;          // A large body, kept out of the records so that it need not be copied.

  // Before the ticket is posted: the session whose callback will sleep here.
  void set_session(Session* session) { session_ = session; }

 private:
  std::mutex mutex_;
  std::condition_variable settled_;
  bool done_ = false;           // Guarded by mutex_.
  Answer answer_;               // Guarded by mutex_.
  Session* session_ = nullptr;  // Guarded by mutex_ once posted; set while the callback sleeps here.
};

}  // namespace milter
