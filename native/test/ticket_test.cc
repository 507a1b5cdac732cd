// Tickets and the lane by themselves: settled exactly once, whoever comes first.
#include <atomic>
#include <random>
#include <thread>

#include "../core/lane.h"
#include "check.h"
#include "script.h"

namespace milter::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

std::shared_ptr<Ticket> MakeTicket() {
  return std::make_shared<Ticket>(1, 1, static_cast<uint8_t>(Stage::kEom));
}

TEST("an answer in the very moment of the deadline counts once: as the answer or as expired") {
  Script script([&](const Seen& seen) { return Reply{Verdict::kReject, {}, milliseconds(seen.ticket % 2)}; });
  constexpr int kThreads = 8;
  constexpr int kRounds = 300;
  std::atomic<int> answered{0};
  std::atomic<int> expired{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < kThreads; i++) {
    waiters.emplace_back([&, i] {
      std::mt19937 random(static_cast<uint32_t>(i));
      for (int round = 0; round < kRounds; round++) {
        const auto ticket = MakeTicket();
        if (!script.lane()->Post(ticket, true)) return;
        Answer answer;
        if (auto early = ticket->Wait(Clock::now() + microseconds(random() % 2000))) {
          answer = *early;
        } else if (ticket->Expire(Answer{Verdict::kAccept, {}}, answer)) {
          expired += answer.verdict == Verdict::kAccept ? 1 : 0;
          const auto notice = std::make_shared<Ticket>(1, 1, static_cast<uint8_t>(Notice::kExpired));
          notice->id = ticket->id;
          script.lane()->Post(notice, false);
          continue;
        }
        answered += answer.verdict == Verdict::kReject ? 1 : 0;
      }
    });
  }
  for (std::thread& waiter : waiters) waiter.join();
  CHECK_EQ(answered + expired, kThreads * kRounds);
  CHECK(answered > 0);
  CHECK(Eventually([&] { return script.lane()->tickets_created() == script.lane()->tickets_freed(); }));
}

TEST("a lane that refuses answers all who wait with tempfail, and those who come later") {
  Script script([](const Seen&) { return Reply{Verdict::kAccept, {}, milliseconds(0), true}; });
  std::atomic<int> tempfailed{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 16; i++) {
    waiters.emplace_back([&] {
      for (;;) {
        const auto ticket = MakeTicket();
        if (!script.lane()->Post(ticket, true)) return;
        const auto answer = ticket->Wait(Clock::now() + kSoon);
        if (answer && answer->verdict == Verdict::kTempfail) tempfailed++;
      }
    });
  }
  CHECK(script.Came(Stage::kEom, 16));
  script.lane()->Refuse();  // As the closing thread does.
  for (std::thread& waiter : waiters) waiter.join();
  CHECK_EQ(tempfailed.load(), 16);
  CHECK(script.Came(Notice::kRefused, 16));
  CHECK(!script.lane()->Post(MakeTicket(), true));
  CHECK(script.lane()->Post(MakeTicket(), false));  // News still pass.
  CHECK_EQ(script.lane()->tickets_created(), script.lane()->tickets_freed());
}

TEST("a lane that closes while many post and wait settles every ticket and wakes nobody again") {
  std::atomic<bool> closed{false};
  std::atomic<int> late_wakes{0};
  std::mutex mutex;
  std::condition_variable woken;
  bool awake = false;
  Lane lane([&] {
    if (closed) late_wakes++;
    std::lock_guard lock(mutex);
    awake = true;
    woken.notify_all();
  });
  std::atomic<int> unsettled{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 8; i++) {
    waiters.emplace_back([&] {
      for (;;) {
        const auto ticket = MakeTicket();
        if (!lane.Post(ticket, true)) return;
        if (!ticket->Wait(Clock::now() + kSoon)) unsettled++;
      }
    });
  }
  // The JavaScript side: answers some, then ends in the middle of a batch.
  for (int batches = 0; batches < 200; batches++) {
    {
      std::unique_lock lock(mutex);
      woken.wait(lock, [&] { return awake; });
      awake = false;
    }
    for (auto batch = lane.Take(); !batch.empty(); batch = lane.Take()) {
      for (const auto& ticket : batch) lane.Settle(ticket->id, Answer{Verdict::kContinue, {}});
      if (batches == 199) break;
    }
  }
  lane.Close();
  closed = true;
  for (std::thread& waiter : waiters) waiter.join();
  CHECK_EQ(unsettled.load(), 0);
  CHECK_EQ(late_wakes.load(), 0);
  CHECK_EQ(lane.tickets_created(), lane.tickets_freed());
}

TEST("a macro is looked up only while the callback sleeps on its ticket") {
  const auto ticket = MakeTicket();
  bool looked = false;
  ticket->WithSession([&](Session&) { looked = true; });
  CHECK(!looked);
}

}  // namespace
}  // namespace milter::test
