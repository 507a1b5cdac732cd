// See server.h.
#include "server.h"

#ifdef __linux__
#include <sched.h>
#endif
#include <sys/select.h>

#include <cstring>
#include <system_error>
#include <vector>

#include "callbacks.h"
#include "thread.h"

namespace milter {
namespace {

using std::chrono::milliseconds;

// After the grace: what the MTAs get to read their tempfail, and then what libmilter gets to notice.
constexpr milliseconds kLastWords{1000};
// What libmilter makes before it accepts a connection, and one for that: its signal thread, and with a pool
// the controller and up to four workers.
constexpr size_t kThreadsWithPool = 7;
constexpr size_t kThreadsWithoutPool = 2;
constexpr const char* kNoThreads =
    "the system refuses another thread (ulimit -u, TasksMax= of systemd, the pids limit of a container)";
// On select builds: descriptors that are left for what accepts and closes them again.
constexpr int kSpareDescriptors = 24;

}  // namespace

Server::Server(std::shared_ptr<const Library> library, ServerOptions options, std::shared_ptr<Lane> lane,
               Events events)
    : library_(std::move(library)),
      options_(std::move(options)),
      lane_(std::move(lane)),
      events_(std::move(events)) {}

void Server::Start() {
  {
    std::lock_guard lock(mutex_);
    if (closing_ || phase_ != Phase::kNew) return;
    phase_ = Phase::kStarting;
  }
  // The closing thread sleeps from the start, so that the end needs none that the system might refuse.
  std::thread closer = MakeThread([self = shared_from_this()] { self->RunCloser(); });
  std::thread runner;
  if (closer.joinable()) {
    closer.detach();
    runner = MakeThread([self = shared_from_this()] { self->Run(); });
  }
  if (runner.joinable()) {
    runner.detach();
    return;
  }
  ReturnLibrary(library_);
  events_.started({StartFault::kResource, kNoThreads, {}});
  Enter(Phase::kFailed);
}

void Server::Run() {
#ifdef __linux__
  // A umask of its own, so that the socket's does not fall on files that the process makes meanwhile.
  unshare(CLONE_FS);
#endif
  Started started;
  if (!Listen(started)) {
    events_.started(std::move(started));
    Enter(Phase::kFailed);
    return;
  }
  try {
    if (library_->worker_pool) starter_ = std::make_unique<Starter>(listener_);
  } catch (const std::system_error&) {
    // No thread is left: the pool may starve at times.
  }
  events_.started(std::move(started));
  Enter(Phase::kServing);
  const int result = library_->main();
  bool wanted;
  {
    std::lock_guard lock(mutex_);
    phase_ = Phase::kReturned;
    wanted = closing_;
  }
  changed_.notify_all();
  // When wanted, the closing thread goes on from here.
  if (!wanted) events_.stopped(false, result);
}

void Server::Enter(Phase phase) {
  {
    std::lock_guard lock(mutex_);
    phase_ = phase;
  }
  changed_.notify_all();
}

bool Server::Listen(Started& started) {
  if (!RoomForThreads(library_->worker_pool ? kThreadsWithPool : kThreadsWithoutPool)) {
    ReturnLibrary(library_);
    started.fault = StartFault::kResource;
    started.message = kNoThreads;
    return false;
  }
  slot_ = TakePlace(shared_from_this());
  if (slot_ == kServerPlaces) {
    ReturnLibrary(library_);
    started.fault = StartFault::kUnsupported;
    started.message = "this process already runs " + std::to_string(kServerPlaces) + " servers";
    return false;
  }
  Listener::Outcome outcome = listener_.Open(*library_, options_, Callbacks(slot_));
  started.address = listener_.Spec();
  if (outcome.fault == StartFault::kNone) return true;
  started.fault = outcome.fault;
  started.message = std::move(outcome.reason);
  LeavePlace(slot_);
  if (outcome.opened) {
    listener_.GiveUp([this] { library_->stop(); });
  } else {
    ReturnLibrary(library_);
  }
  return false;
}

void Server::AddPlan(std::shared_ptr<const Plan> plan) {
  std::lock_guard lock(mutex_);
  if (!current_plan_) current_plan_ = plan;
  plans_[plan->id] = std::move(plan);
}

bool Server::UsePlan(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = plans_.find(id);
  if (found == plans_.end()) return false;
  current_plan_ = found->second;
  return true;
}

bool Server::RemovePlan(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = plans_.find(id);
  if (found == plans_.end() || found->second == current_plan_) return false;
  plans_.erase(found);
  return true;
}

std::shared_ptr<const Plan> Server::FindPlan(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = plans_.find(id);
  return found == plans_.end() ? nullptr : found->second;
}

// The descriptor lies behind the context's first pointer in every release. It is believed only if it is a
// socket bound to the address on which we listen.
int Server::SocketOf(SMFICTX* context) const {
  int fd = -1;
  std::memcpy(&fd, reinterpret_cast<const char*>(context) + sizeof(void*), sizeof fd);
  return listener_.Accepted(fd) ? fd : -1;
}

Session* Server::Open(SMFICTX* context) {
  const int socket = SocketOf(context);
  // libmilter gives up its listener when it is handed too high a descriptor a few times.
  if (library_->uses_select && socket >= FD_SETSIZE - kSpareDescriptors) return nullptr;
  Session* opened = nullptr;
  {
    // All in one: when draining has begun there is no session that the closing thread does not know.
    std::lock_guard lock(mutex_);
    if (draining_) return nullptr;
    while (next_session_ == 0 || sessions_.count(next_session_) != 0) next_session_++;
    const uint32_t id = next_session_++;
    const bool refused = served_ >= options_.max_connections;
    auto session = std::make_shared<Session>(shared_from_this(), current_plan_, context, id, socket, refused);
    opened = session.get();
    sessions_.emplace(id, std::move(session));
    served_ += refused ? 0 : 1;
    counters_.sessions_created++;
  }
  library_->setpriv(context, opened);
  return opened;
}

void Server::Remove(SMFICTX* context, uint32_t id) {
  library_->setpriv(context, nullptr);
  std::shared_ptr<Session> leaving;  // Let go of outside the lock.
  {
    std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    leaving = std::move(found->second);
    sessions_.erase(found);
    served_ -= leaving->refused() ? 0 : 1;
    counters_.sessions_freed++;
  }
  changed_.notify_all();
}

void Server::Close(milliseconds grace) {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    grace_ = grace;
  }
  changed_.notify_all();
}

void Server::RunCloser() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock,
                  [this] { return phase_ == Phase::kFailed || (closing_ && phase_ != Phase::kStarting); });
    if (phase_ == Phase::kFailed) return;
  }
  Drain(grace_);
  Stop();
}

template <typename Act>
void Server::ForEachSession(Act act) {
  std::vector<std::shared_ptr<Session>> sessions;
  {
    std::lock_guard lock(mutex_);
    for (const auto& entry : sessions_) sessions.push_back(entry.second);
  }
  for (const auto& session : sessions) act(*session);
}

bool Server::WaitForSessions(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, until, [this] { return sessions_.empty(); });
}

void Server::Drain(milliseconds grace) {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }
  // A session in a message does this itself when the message has ended.
  ForEachSession([](Session& session) {
    if (!session.in_message()) session.ShutdownRead();
  });
  if (WaitForSessions(Clock::now() + grace)) return;
  lane_->Refuse();
  ForEachSession([](Session& session) { session.ShutdownRead(); });
  if (WaitForSessions(Clock::now() + kLastWords)) return;
  ForEachSession([](Session& session) { session.ShutdownBoth(); });
  if (WaitForSessions(Clock::now() + kLastWords)) return;
  // Where descriptors are unknown, nobody reads those connections any more: their end is told all the same.
  ForEachSession([](Session& session) { session.Abandon(); });
}

void Server::Stop() {
  // With a worker pool nobody reads the connections any more that were accepted in the last moment: their
  // MTAs are told now instead of after their time-outs.
  listener_.GiveUp([this] { StopMain(); });
  // The object stays: a callback that never came back may still look at it.
  if (starter_) starter_->End();
  LeavePlace(slot_);
  events_.stopped(true, 0);
}

void Server::StopMain() {
  const auto returned = [this] { return phase_ == Phase::kReturned; };
  std::unique_lock lock(mutex_);
  if (returned()) return;
  lock.unlock();
  // smfi_stop() waits for the listener, which sleeps for seconds unless somebody dials.
  std::thread stopper = MakeThread([library = library_] { library->stop(); });
  if (!stopper.joinable()) library_->stop();
  lock.lock();
  while (!returned()) {
    lock.unlock();
    listener_.Dial();
    lock.lock();
    changed_.wait_for(lock, milliseconds(20), returned);
  }
  lock.unlock();
  if (stopper.joinable()) stopper.join();
}

}  // namespace milter
