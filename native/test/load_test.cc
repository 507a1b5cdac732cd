// Many connections at once: a pool of workers that must not starve, and verdicts that must reach the right
// one.
#include <atomic>
#include <thread>

#include "check.h"
#include "mta.h"
#include "pack.h"
#include "script.h"

namespace milter::test {
namespace {

using std::chrono::milliseconds;

// Runs `work(i)` on `count` threads at once. Returns how long all took together.
template <typename Work>
milliseconds Together(int count, Work work) {
  const auto begun = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < count; i++) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
  return std::chrono::duration_cast<milliseconds>(Clock::now() - begun);
}

TEST("a burst of slow handlers is served at once, not by the few workers that were idle") {
  constexpr int kBurst = 40;
  Filter filter(PlanFor({Stage::kEnvfrom}),
                [](const Seen&) { return Reply{Verdict::kReject, {}, milliseconds(100)}; });
  std::vector<std::unique_ptr<Mta>> mtas;
  for (int i = 0; i < kBurst; i++) {
    mtas.push_back(std::make_unique<Mta>(filter.address()));
    mtas.back()->Negotiate();
    mtas.back()->Connect();
  }
  std::atomic<int> rejected{0};
  const auto mail = [&](int i) { rejected += mtas[static_cast<size_t>(i)]->Mail() == "r" ? 1 : 0; };
  // By this machine's own measure: one at a time, as a starving pool would serve them, two by two at best.
  const milliseconds one = Together(1, mail);
  const milliseconds burst = Together(kBurst, mail);
  CHECK_EQ(rejected.load(), kBurst + 1);
  if (burst * 4 > one * kBurst) {
    Fail(__FILE__, __LINE__,
         std::to_string(burst.count()) + " ms for a burst, " + std::to_string(one.count()) + " ms for one");
  }
}

TEST("64 connections with many messages each get their own answers") {
  // Each recipient is told its own name.
  Filter filter(PlanFor({Stage::kEnvrcpt, Stage::kEom}), [](const Seen& seen) {
    if (seen.Is(Stage::kEom)) return Reply{};
    const size_t begin = seen.records.rfind('<') + 1;
    const std::string name = seen.records.substr(begin, seen.records.find('@', begin) - begin);
    return Reply{Verdict::kReject, PackReply("550", "5.1.1", {name})};
  });
  constexpr int kConnections = 64;
  constexpr int kMessages = 25;
  std::atomic<int> wrong{0};
  Together(kConnections, [&](int i) {
    try {
      Mta mta(filter.address());
      mta.Negotiate();
      mta.Connect();
      for (int message = 0; message < kMessages; message++) {
        const std::string name = "r" + std::to_string(i) + "x" + std::to_string(message);
        mta.Mail();
        if (mta.Rcpt("<" + name + "@example.org>") != "y550 5.1.1 " + name) wrong++;
        mta.Data();
        mta.EndOfHeaders();
        if (mta.End() != "c") wrong++;
      }
    } catch (const Failure&) {
      wrong++;
    }
  });
  CHECK_EQ(wrong.load(), 0);
  CHECK_EQ(filter.Left(), "");
  CHECK_EQ(filter.server().counters().messages_created.load(),
           static_cast<uint64_t>(kConnections * kMessages));
}

}  // namespace
}  // namespace milter::test
