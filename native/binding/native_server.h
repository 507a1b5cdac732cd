// The JavaScript object over one core Server: hands batches of tickets to lib/ and takes its answers.
//
// Threads: the JavaScript thread only. What other threads report comes through the Bridge.
#pragma once

#include <memory>

#include "../core/lane.h"
#include "../core/server.h"
#include "bridge.h"
#include "napi_setup.h"

namespace milter {

class NativeServer : public Napi::ObjectWrap<NativeServer> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit NativeServer(const Napi::CallbackInfo& info);
  ~NativeServer() override;

 private:
  // Each is declared, with its arguments, in lib/engine/libmilter/addon.ts.
  void Start(const Napi::CallbackInfo& info);
  void AddPlan(const Napi::CallbackInfo& info);
  void UsePlan(const Napi::CallbackInfo& info);
  void RemovePlan(const Napi::CallbackInfo& info);
  Napi::Value Settle(const Napi::CallbackInfo& info);
  Napi::Value Lookup(const Napi::CallbackInfo& info);
  void Resume(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  void HoldLoop(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);

  void TellStarted(Napi::Env env, const Server::Started& started);
  void TellStopped(Napi::Env env, bool wanted, int result);
  void Drain(Napi::Env env);
  void Deliver(Napi::Env env, const std::vector<std::shared_ptr<Ticket>>& batch);
  void End();

  std::shared_ptr<Bridge> bridge_;
  std::shared_ptr<Lane> lane_;
  std::shared_ptr<Server> server_;
  // All taken at the start: nothing can be looked up any more when a worker thread is being terminated.
  Napi::FunctionReference on_started_;
  Napi::FunctionReference on_stopped_;
  Napi::FunctionReference on_batch_;
  Napi::FunctionReference on_later_;
  int rounds_ = 0;
  bool ended_ = false;
  struct CleanupHook;
  std::unique_ptr<CleanupHook> cleanup_;
};

}  // namespace milter
