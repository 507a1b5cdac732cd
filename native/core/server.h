// One libmilter listening at one address: its start, its sessions, its end.
//
// Threads: Start() makes the thread that runs smfi_main(); Close() makes one that ends everything; both
// report through `events`, on those threads. Sessions use the rest from libmilter's threads. Each mutex says
// what it guards. The object lives until the last session, thread or JavaScript handle lets go of it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "lane.h"
#include "library.h"
#include "listener.h"
#include "plan.h"
#include "session.h"
#include "starter.h"

namespace milter {

struct Counters {
  std::atomic<uint64_t> sessions_created{0};
  std::atomic<uint64_t> sessions_freed{0};
  std::atomic<uint64_t> messages_created{0};
  std::atomic<uint64_t> messages_freed{0};
};

struct ServerOptions : ListenOptions {
  uint32_t max_connections = 1000;
};

class Server : public std::enable_shared_from_this<Server> {
 public:
  // What the world outside is told, once each: the start's outcome, and the end.
  struct Started {
    StartFault fault = StartFault::kNone;
    std::string message;
    std::string address;  // libmilter's spec with the real port.
  };
  struct Events {
    std::function<void(Started)> started;
    // `wanted` is false when smfi_main() came home though nobody closed: a signal that libmilter swallowed
    // (result 0), or a listener that gave up.
    std::function<void(bool wanted, int result)> stopped;
  };

  Server(std::shared_ptr<const Library> library, ServerOptions options, std::shared_ptr<Lane> lane,
         Events events);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void Start();
  // Running messages finish until `grace` is over. Only the first call counts.
  void Close(std::chrono::milliseconds grace);

  void AddPlan(std::shared_ptr<const Plan> plan);
  // New connections follow this plan. Returns false when there is none with that id.
  bool UsePlan(uint32_t id);
  // Forgets a plan; the sessions that follow it keep it. Returns false when there is none with that id, or
  // new connections follow it.
  bool RemovePlan(uint32_t id);

  // For sessions.
  const Library& library() const { return *library_; }
  Lane& lane() { return *lane_; }
  Counters& counters() { return counters_; }
  // Set before the closing thread looks at each session's in_message(), and read by a session after it has
  // changed that: one of the two always sees the other.
  bool draining() const { return draining_; }
  std::shared_ptr<const Plan> FindPlan(uint32_t id);
  // A callback's wait, as far as it concerns libmilter's pool of workers.
  class Waiting {
   public:
    explicit Waiting(Server& server) : starter_(server.starter_.get()) {
      if (starter_ != nullptr) starter_->Entered();
    }
    ~Waiting() {
      if (suspected_) starter_->Relieve();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    void TakesLong() {
      if (starter_ == nullptr || suspected_) return;
      suspected_ = true;
      starter_->Suspect();
    }

   private:
    Starter* const starter_;
    bool suspected_ = false;
  };

  // For the callbacks: opens a session, null when none is to be served; ends one.
  Session* Open(SMFICTX* context);
  void Remove(SMFICTX* context, uint32_t id);
  // A connection came and went without a word: our own dial, or a port probe.
  void SawDial() {
    if (starter_) starter_->Arrived();
  }

 private:
  enum class Phase {
    kNew,
    kStarting,
    kFailed,  // The start failed, and nothing is left of it.
    kServing,
    kReturned,  // smfi_main() came home.
  };

  void Run();
  void RunCloser();
  void Enter(Phase phase);
  bool Listen(Started& started);
  void Drain(std::chrono::milliseconds grace);
  bool WaitForSessions(Clock::time_point until);
  template <typename Act>
  void ForEachSession(Act act);
  void Stop();
  void StopMain();
  int SocketOf(SMFICTX* context) const;

  const std::shared_ptr<const Library> library_;
  const ServerOptions options_;
  const std::shared_ptr<Lane> lane_;
  const Events events_;
  Counters counters_;
  std::atomic<bool> draining_{false};
  std::unique_ptr<Starter> starter_;  // Set before smfi_main() runs, on worker-pool builds.
  size_t slot_ = 0;
  Listener listener_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint32_t, std::shared_ptr<Session>> sessions_;  // Guarded by mutex_.
  std::map<uint32_t, std::shared_ptr<const Plan>> plans_;  // Guarded by mutex_.
  std::shared_ptr<const Plan> current_plan_;               // Guarded by mutex_.
  uint32_t next_session_ = 1;                              // Guarded by mutex_.
  uint32_t served_ = 0;                                    // Sessions but the refused. Guarded by mutex_.
  bool closing_ = false;                                   // Guarded by mutex_.
  std::chrono::milliseconds grace_{0};                     // Set before closing_, constant then.
  Phase phase_ = Phase::kNew;                              // Guarded by mutex_.
};

}  // namespace milter
