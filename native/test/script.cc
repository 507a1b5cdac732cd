// See script.h.
#include "script.h"

#include "check.h"

namespace milter::test {

Script::Script(Handler handler) : handler_(std::move(handler)) {
  lane_ = std::make_shared<Lane>([this] {
    {
      std::lock_guard lock(mutex_);
      woken_ = true;
    }
    changed_.notify_all();
  });
  thread_ = std::thread([this] { Run(); });
}

Script::~Script() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::vector<Seen> Script::seen() {
  std::lock_guard lock(mutex_);
  return seen_;
}

template <typename Kind>
bool Script::Came(Kind kind, size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kSoon, [&] {
    size_t found = 0;
    for (const Seen& one : seen_) found += one.Is(kind) ? 1 : 0;
    return found >= count;
  });
}
template bool Script::Came(Stage, size_t);
template bool Script::Came(Notice, size_t);

void Script::Run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    const auto ready = [this] { return woken_ || ending_ || task_ != nullptr; };
    if (later_.empty()) {
      changed_.wait(lock, ready);
    } else {
      changed_.wait_until(lock, later_.begin()->first, ready);
    }
    const bool take = woken_;
    woken_ = false;
    const auto task = task_;
    lock.unlock();
    if (task) task();
    if (take) Take();
    while (!later_.empty() && later_.begin()->first <= Clock::now()) {
      auto& [ticket, answer] = later_.begin()->second;
      lane_->Settle(ticket, std::move(answer));
      later_.erase(later_.begin());
    }
    lock.lock();
    if (task) task_ = nullptr;
    changed_.notify_all();
  }
  lock.unlock();
  lane_->Close();  // As when the environment ends.
}

void Script::Do(std::function<void()> task) {
  std::unique_lock lock(mutex_);
  task_ = std::move(task);
  changed_.notify_all();
  changed_.wait(lock, [this] { return task_ == nullptr; });
}

void Script::Take() {
  for (;;) {
    const auto batch = lane_->Take();
    if (batch.empty()) return;
    for (const auto& ticket : batch) {
      const Seen seen{ticket->id, ticket->session_id, ticket->stage_code, ticket->records,
                      std::move(ticket->body)};
      {
        std::lock_guard lock(mutex_);
        seen_.push_back(seen);
      }
      changed_.notify_all();
      if (seen.ticket == 0 || seen.stage >= kStages) continue;
      Reply reply = handler_(seen);
      if (reply.never) continue;
      Answer answer{reply.verdict, std::move(reply.packed)};
      if (reply.after.count() == 0) {
        lane_->Settle(seen.ticket, std::move(answer));
      } else {
        later_.emplace(Clock::now() + reply.after, std::pair(seen.ticket, std::move(answer)));
      }
    }
  }
}

Plan PlanFor(std::initializer_list<Stage> waits, Mode others) {
  Plan plan;
  plan.id = 1;
  plan.max_body = 64u << 20;
  plan.deadlines.fill(std::chrono::minutes(1));
  for (const Stage stage : {Stage::kConnect, Stage::kHelo, Stage::kEnvfrom, Stage::kEnvrcpt, Stage::kData,
                            Stage::kHeader, Stage::kEoh, Stage::kBody, Stage::kEom}) {
    plan.modes[Index(stage)] = others;
  }
  for (const Stage stage : waits) plan.modes[Index(stage)] = Mode::kWait;
  return plan;
}

// What the server told, kept apart from the Filter because it may come after that is gone.
struct Filter::Outcome {
  std::mutex mutex;
  std::condition_variable changed;
  bool has_started = false;
  bool has_stopped = false;
  Server::Started started;
};

Filter::Filter(Plan plan, Script::Handler handler, ServerOptions options)
    : outcome_(std::make_shared<Outcome>()), script_(std::move(handler)) {
  if (options.socket.empty()) options.socket = "inet:0@127.0.0.1";
  LoadResult loaded = ClaimLibrary();
  if (!loaded.library) throw Failure(loaded.message);
  Server::Events events;
  events.started = [outcome = outcome_](Server::Started started) {
    std::lock_guard lock(outcome->mutex);
    outcome->started = std::move(started);
    outcome->has_started = true;
    outcome->changed.notify_all();
  };
  events.stopped = [outcome = outcome_](bool, int) {
    std::lock_guard lock(outcome->mutex);
    outcome->has_stopped = true;
    outcome->changed.notify_all();
  };
  server_ = std::make_shared<Server>(std::move(loaded.library), std::move(options), script_.lane(),
                                     std::move(events));
  server_->AddPlan(std::make_shared<const Plan>(std::move(plan)));
  server_->Start();
  std::unique_lock lock(outcome_->mutex);
  if (!outcome_->changed.wait_for(lock, kSoon, [this] { return outcome_->has_started; })) {
    throw Failure("the server did not start");
  }
  if (outcome_->started.fault != StartFault::kNone) throw Failure(outcome_->started.message);
  address_ = outcome_->started.address;
}

Filter::~Filter() {
  server_->Close(std::chrono::milliseconds(0));
  Ended();
}

bool Filter::Ended() {
  std::unique_lock lock(outcome_->mutex);
  return outcome_->changed.wait_for(lock, kSoon, [this] { return outcome_->has_stopped; });
}

std::string Filter::Left() {
  const auto left = [this] {
    std::string found;
    const auto compare = [&](const char* what, uint64_t created, uint64_t freed) {
      if (created != freed)
        found += std::string(what) + std::to_string(freed) + " of " + std::to_string(created) + " ";
    };
    const Counters& counters = server_->counters();
    compare("sessions ", counters.sessions_created, counters.sessions_freed);
    compare("messages ", counters.messages_created, counters.messages_freed);
    compare("tickets ", script_.lane()->tickets_created(), script_.lane()->tickets_freed());
    return found;
  };
  Eventually([&] { return left().empty(); });
  return left();
}

}  // namespace milter::test
