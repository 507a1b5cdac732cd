// The core's way into one JavaScript environment: wakes its event loop from any thread, and stops doing so
// for good when the environment ends.
//
// Threads: Wake() and Post() from any; the rest from the JavaScript thread. `mutex_` guards what is marked
// so, and is held while the thread-safe function is touched, because that dies with the environment.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "napi_setup.h"

namespace milter {

class Bridge {
 public:
  // `run` is called on the JavaScript thread after each wake-up, until Detach().
  static std::shared_ptr<Bridge> Make(Napi::Env env, std::function<void(Napi::Env)> run);
  Bridge() = default;
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  void Wake();
  // Runs `task` on the JavaScript thread soon, or never when the environment ends first.
  void Post(std::function<void(Napi::Env)> task);
  void Ref(Napi::Env env);
  void Unref(Napi::Env env);
  // The environment or the server ends: nothing is woken and nothing runs any more.
  void Detach();

 private:
  struct Handle {
    std::shared_ptr<Bridge> bridge;
  };
  static void CallJs(Napi::Env env, Napi::Function callback, Handle* handle, void* data);
  using WakeFunction = Napi::TypedThreadSafeFunction<Handle, void, CallJs>;
  void Run(Napi::Env env);

  std::function<void(Napi::Env)> run_;  // JavaScript thread only.
  std::mutex mutex_;
  WakeFunction wake_;                                  // Guarded by mutex_.
  bool attached_ = false;                              // Guarded by mutex_.
  std::vector<std::function<void(Napi::Env)>> tasks_;  // Guarded by mutex_.
};

}  // namespace milter
