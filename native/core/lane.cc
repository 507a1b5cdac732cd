// See lane.h.
#include "lane.h"

namespace milter {
namespace {

// A batch that takes longer keeps nobody waiting who has an answer.
constexpr std::chrono::microseconds kLongBatch{500};

}  // namespace

bool Lane::Post(std::shared_ptr<Ticket> ticket, bool waits) {
  std::lock_guard lock(mutex_);
  if (state_ == State::kClosed || (waits && state_ == State::kRefusing)) return false;
  if (waits) {
    // After four billion tickets the numbers begin again. 0 means: waits for no answer.
    while (next_id_ == 0 || open_.count(next_id_) != 0) next_id_++;
    ticket->id = next_id_++;
    open_.emplace(ticket->id, ticket);
    created_.fetch_add(1, std::memory_order_relaxed);
  }
  queue_.push_back(std::move(ticket));
  if (!awake_) {
    awake_ = true;
    wake_();
  }
  return true;
}

std::vector<std::shared_ptr<Ticket>> Lane::Take() {
  WakeSleepers();
  std::vector<std::shared_ptr<Ticket>> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(queue_);
    if (batch.empty()) {
      awake_ = false;
    } else {
      queue_.reserve(batch.size());
    }
  }
  in_batch_ = !batch.empty();
  if (in_batch_) batch_begun_ = Clock::now();
  return batch;
}

void Lane::WakeSleepers() {
  for (const auto& ticket : answered_) ticket->Wake();
  answered_.clear();
}

std::shared_ptr<Ticket> Lane::Find(uint32_t id) {
  std::lock_guard lock(mutex_);
  const auto found = open_.find(id);
  return found == open_.end() ? nullptr : found->second;
}

bool Lane::Settle(uint32_t id, Answer answer) {
  std::shared_ptr<Ticket> ticket;
  {
    std::lock_guard lock(mutex_);
    const auto found = open_.find(id);
    if (found == open_.end()) return false;
    ticket = std::move(found->second);
    open_.erase(found);
    freed_.fetch_add(1, std::memory_order_relaxed);
  }
  const bool first = ticket->Settle(std::move(answer));
  answered_.push_back(std::move(ticket));
  if (!in_batch_ || Clock::now() - batch_begun_ > kLongBatch) WakeSleepers();
  return first;
}

void Lane::Forget(uint32_t id) {
  std::lock_guard lock(mutex_);
  freed_.fetch_add(open_.erase(id), std::memory_order_relaxed);
}

void Lane::SettleAll(State state) {
  std::unordered_map<uint32_t, std::shared_ptr<Ticket>> open;
  {
    std::lock_guard lock(mutex_);
    if (state_ < state) state_ = state;
    open.swap(open_);
    freed_.fetch_add(open.size(), std::memory_order_relaxed);
    for (const auto& entry : open) {
      if (state == State::kClosed) break;
      auto notice = std::make_shared<Ticket>(entry.second->session_id, entry.second->plan_id,
                                             static_cast<uint8_t>(Notice::kRefused));
      notice->id = entry.first;
      queue_.push_back(std::move(notice));
    }
    if (state == State::kClosed) {
      queue_.clear();
      wake_ = nullptr;
    } else if (!queue_.empty() && !awake_) {
      awake_ = true;
      wake_();
    }
  }
  for (const auto& entry : open) {
    entry.second->Settle(Answer{});
    entry.second->Wake();
  }
}

void Lane::Refuse() { SettleAll(State::kRefusing); }

void Lane::Close() {
  WakeSleepers();
  SettleAll(State::kClosed);
}

}  // namespace milter
