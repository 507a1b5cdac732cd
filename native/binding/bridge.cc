// See bridge.h.
#include "bridge.h"

namespace milter {

std::shared_ptr<Bridge> Bridge::Make(Napi::Env env, std::function<void(Napi::Env)> run) {
  auto bridge = std::make_shared<Bridge>();
  bridge->run_ = std::move(run);
  // Node keeps the handle for as long as the thread-safe function may still call.
  auto handle = std::make_unique<Handle>(Handle{bridge});
  bridge->wake_ = WakeFunction::New(
      env, "libmilter", 0, 1, handle.release(),
      [](Napi::Env, void*, Handle* finished) { std::unique_ptr<Handle>{finished}; },
      static_cast<void*>(nullptr));
  bridge->attached_ = true;
  return bridge;
}

void Bridge::Wake() {
  std::lock_guard lock(mutex_);
  if (attached_) wake_.NonBlockingCall();
}

void Bridge::Post(std::function<void(Napi::Env)> task) {
  std::lock_guard lock(mutex_);
  if (!attached_) return;
  tasks_.push_back(std::move(task));
  wake_.NonBlockingCall();
}

void Bridge::Ref(Napi::Env env) {
  std::lock_guard lock(mutex_);
  if (attached_) wake_.Ref(env);
}

void Bridge::Unref(Napi::Env env) {
  std::lock_guard lock(mutex_);
  if (attached_) wake_.Unref(env);
}

void Bridge::Detach() {
  std::vector<std::function<void(Napi::Env)>> never_run;  // Let go of outside the lock.
  {
    std::lock_guard lock(mutex_);
    if (!attached_) return;
    attached_ = false;
    wake_.Release();
    never_run.swap(tasks_);
  }
  run_ = nullptr;
}

// `env` is null when the environment ended with wake-ups still queued.
void Bridge::CallJs(Napi::Env env, Napi::Function, Handle* handle, void*) {
  if (env != nullptr) handle->bridge->Run(env);
}

void Bridge::Run(Napi::Env env) {
  std::vector<std::function<void(Napi::Env)>> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) task(env);
  if (run_) run_(env);
}

}  // namespace milter
