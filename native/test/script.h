// What stands where JavaScript stands in these tests: a thread that takes batches from the lane and answers;
// and a server that is driven by it.
#pragma once

#include <condition_variable>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../core/server.h"

namespace milter::test {

// What a handler says, and how long it takes to say it, as after a setTimeout().
struct Reply {
  Verdict verdict = Verdict::kContinue;
  std::string packed;
  std::chrono::milliseconds after{0};
  bool never = false;
};

// A ticket as it came.
struct Seen {
  uint32_t ticket;
  uint32_t session;
  uint8_t stage;  // A Stage or a Notice.
  std::string records;
  std::string body;

  bool Is(Stage of) const { return stage == static_cast<uint8_t>(of); }
  bool Is(Notice of) const { return stage == static_cast<uint8_t>(of); }
};

class Script {
 public:
  // Runs on the script's thread for each ticket that waits for an answer.
  using Handler = std::function<Reply(const Seen&)>;
  explicit Script(Handler handler);
  ~Script();
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  const std::shared_ptr<Lane>& lane() const { return lane_; }
  // All that came so far.
  std::vector<Seen> seen();
  // What came of one kind.
  template <typename Kind>
  std::vector<Seen> Only(Kind kind) {
    std::vector<Seen> chosen;
    for (Seen& one : seen()) {
      if (one.Is(kind)) chosen.push_back(std::move(one));
    }
    return chosen;
  }
  // Waits until at least `count` of one kind came.
  template <typename Kind>
  bool Came(Kind kind, size_t count = 1);
  // Runs `task` on the script's thread, where the lane's JavaScript side belongs, and waits for it.
  void Do(std::function<void()> task);

 private:
  void Run();
  void Take();

  const Handler handler_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;                                                   // Guarded by mutex_.
  bool ending_ = false;                                                  // Guarded by mutex_.
  std::function<void()> task_;                                           // Guarded by mutex_.
  std::vector<Seen> seen_;                                               // Guarded by mutex_.
  std::multimap<Clock::time_point, std::pair<uint32_t, Answer>> later_;  // The script's thread only.
  std::shared_ptr<Lane> lane_;
  std::thread thread_;
};

// A plan in which these stages wait, with a minute for each, and the others are as `others` says.
Plan PlanFor(std::initializer_list<Stage> waits, Mode others = Mode::kRecord);

inline Reply GoOn(const Seen&) { return {}; }

class Filter {
 public:
  // Listens on a free port of 127.0.0.1 unless `options` say otherwise. Throws when it cannot.
  explicit Filter(Plan plan, Script::Handler handler = GoOn, ServerOptions options = {});
  // Closes at once, and waits for it.
  ~Filter();
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  const std::string& address() const { return address_; }
  Server& server() { return *server_; }
  Script& script() { return script_; }

  void BeginToClose(std::chrono::milliseconds grace) { server_->Close(grace); }
  // Whether the end came.
  bool Ended();
  // What was made and is not gone again although it was waited for: "" when all is.
  std::string Left();

 private:
  struct Outcome;
  const std::shared_ptr<Outcome> outcome_;
  Script script_;
  std::shared_ptr<Server> server_;
  std::string address_;
};

}  // namespace milter::test
