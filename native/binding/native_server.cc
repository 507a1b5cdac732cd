// See native_server.h.
#include "native_server.h"

#include <cstring>

#include "convert.h"

namespace milter {
namespace {

// Batches handled before timers and sockets get their turn.
constexpr int kMaxRounds = 8;
constexpr size_t kTicketHeader = 20;

void Put(uint8_t* to, uint32_t value) { std::memcpy(to, &value, sizeof value); }

// Hands a body's memory to JavaScript without a copy, where the engine allows memory from outside.
Napi::Value ToBuffer(Napi::Env env, std::string body) {
  auto owned = std::make_unique<std::string>(std::move(body));
  auto* bytes = reinterpret_cast<uint8_t*>(owned->data());
  const size_t length = owned->size();
  return Napi::Buffer<uint8_t>::NewOrCopy(
      env, bytes, length,
      [](Napi::Env, uint8_t*, std::string* finished) { std::unique_ptr<std::string>{finished}; },
      owned.release());
}

}  // namespace

// Runs when the environment ends, on its thread, before its thread-safe functions go.
struct NativeServer::CleanupHook {
  CleanupHook(napi_env environment, NativeServer* ending) : env(environment), server(ending) {
    napi_add_env_cleanup_hook(env, Run, this);
  }
  ~CleanupHook() { napi_remove_env_cleanup_hook(env, Run, this); }
  CleanupHook(const CleanupHook&) = delete;
  CleanupHook& operator=(const CleanupHook&) = delete;

  static void Run(void* hook) {
    NativeServer* server = static_cast<CleanupHook*>(hook)->server;
    server->End();
    // The process may live on without this environment: libmilter is then stopped behind our back.
    server->server_->Close(std::chrono::milliseconds(0));
  }

  napi_env env;
  NativeServer* server;
};

Napi::Function NativeServer::Define(Napi::Env env) {
  return DefineClass(env, "Server",
                     {
                         InstanceMethod<&NativeServer::Start>("start"),
                         InstanceMethod<&NativeServer::AddPlan>("addPlan"),
                         InstanceMethod<&NativeServer::UsePlan>("usePlan"),
                         InstanceMethod<&NativeServer::RemovePlan>("removePlan"),
                         InstanceMethod<&NativeServer::Settle>("settle"),
                         InstanceMethod<&NativeServer::Lookup>("lookup"),
                         InstanceMethod<&NativeServer::Resume>("resume"),
                         InstanceMethod<&NativeServer::Close>("close"),
                         InstanceMethod<&NativeServer::HoldLoop>("holdLoop"),
                         InstanceMethod<&NativeServer::Stats>("stats"),
                     });
}

NativeServer::NativeServer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeServer>(info) {
  const Napi::Env env = info.Env();
  ended_ = true;  // Until all is made.
  Taker taker("Server");
  ServerOptions options = ToServerOptions(taker, info[0]);
  const auto callback = [&](const char* name) {
    return Napi::Persistent(taker.Function(taker.Get(info[1], name), name));
  };
  on_started_ = callback("started");
  on_stopped_ = callback("stopped");
  on_batch_ = callback("batch");
  on_later_ = callback("later");
  if (!taker.Checked(env)) return;
  LoadResult loaded = ClaimLibrary();
  if (!loaded.library) {
    Napi::Error error = Napi::Error::New(env, loaded.message);
    const bool copy = loaded.fault == LoadResult::Fault::kNoSecondCopy;
    error.Set("code", Napi::String::New(env, copy ? "ERR_MILTER_UNSUPPORTED" : "ERR_MILTER_LIBRARY"));
    error.ThrowAsJavaScriptException();
    return;
  }
  bridge_ = Bridge::Make(env, [this](Napi::Env now) { Drain(now); });
  lane_ = std::make_shared<Lane>([bridge = bridge_] { bridge->Wake(); });
  // `this` outlives the tasks: the object is held until End(), which detaches the bridge.
  Server::Events events;
  events.started = [this, bridge = bridge_](Server::Started started) {
    bridge->Post([this, started = std::move(started)](Napi::Env now) { TellStarted(now, started); });
  };
  events.stopped = [this, bridge = bridge_](bool wanted, int result) {
    bridge->Post([this, wanted, result](Napi::Env now) { TellStopped(now, wanted, result); });
  };
  server_ = std::make_shared<Server>(std::move(loaded.library), std::move(options), lane_, std::move(events));
  cleanup_ = std::make_unique<CleanupHook>(env, this);
  Ref();
  ended_ = false;
}

NativeServer::~NativeServer() { End(); }

// Lets go of the environment. Whatever still waits is answered with tempfail.
void NativeServer::End() {
  if (ended_) return;
  ended_ = true;
  lane_->Close();
  bridge_->Detach();
}

void NativeServer::Start(const Napi::CallbackInfo&) { server_->Start(); }

void NativeServer::AddPlan(const Napi::CallbackInfo& info) {
  Taker taker("addPlan");
  Plan plan = ToPlan(taker, info[0]);
  if (taker.Checked(info.Env())) server_->AddPlan(std::make_shared<const Plan>(std::move(plan)));
}

void NativeServer::UsePlan(const Napi::CallbackInfo& info) {
  Taker taker("usePlan");
  const uint32_t id = taker.U32(info[0], "id");
  taker.Expect(!taker.ok() || server_->UsePlan(id), "id", "a plan's");
  taker.Checked(info.Env());
}

void NativeServer::RemovePlan(const Napi::CallbackInfo& info) {
  Taker taker("removePlan");
  const uint32_t id = taker.U32(info[0], "id");
  taker.Expect(!taker.ok() || server_->RemovePlan(id), "id", "a plan's that new connections do not follow");
  taker.Checked(info.Env());
}

Napi::Value NativeServer::Settle(const Napi::CallbackInfo& info) {
  Taker taker("settle");
  const uint32_t id = taker.U32(info[0], "ticket");
  if (!taker.Checked(info.Env())) return Napi::Value();
  return Napi::Boolean::New(info.Env(), lane_->Settle(id, ToAnswer(info[1], info[2])));
}

Napi::Value NativeServer::Lookup(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Taker taker("lookup");
  const uint32_t id = taker.U32(info[0], "ticket");
  const std::string name = taker.Text(info[1], "name");
  if (!taker.Checked(env)) return Napi::Value();
  const auto ticket = lane_->Find(id);
  std::optional<std::string> value;
  if (ticket) ticket->WithSession([&](Session& session) { value = session.LookupMacro(name); });
  if (!value) return env.Undefined();
  return Napi::Buffer<char>::Copy(env, value->data(), value->size());
}

void NativeServer::Resume(const Napi::CallbackInfo& info) {
  if (!ended_) Drain(info.Env());
}

void NativeServer::Close(const Napi::CallbackInfo& info) {
  Taker taker("close");
  const uint32_t grace = taker.U32(info[0], "grace");
  if (taker.Checked(info.Env())) server_->Close(std::chrono::milliseconds(grace));
}

void NativeServer::HoldLoop(const Napi::CallbackInfo& info) {
  Taker taker("holdLoop");
  const bool hold = taker.Flag(info[0], "hold");
  if (!taker.Checked(info.Env())) return;
  if (hold) {
    bridge_->Ref(info.Env());
  } else {
    bridge_->Unref(info.Env());
  }
}

Napi::Value NativeServer::Stats(const Napi::CallbackInfo& info) {
  const Counters& counters = server_->counters();
  const auto pair = [env = info.Env()](uint64_t created, uint64_t freed) {
    Napi::Object both = Napi::Object::New(env);
    both.Set("created", Napi::Number::New(env, static_cast<double>(created)));
    both.Set("freed", Napi::Number::New(env, static_cast<double>(freed)));
    return both;
  };
  Napi::Object stats = Napi::Object::New(info.Env());
  // Freed is read before created, so that it is never the larger of the two.
  const uint64_t sessions_freed = counters.sessions_freed;
  const uint64_t messages_freed = counters.messages_freed;
  const uint64_t tickets_freed = lane_->tickets_freed();
  stats.Set("sessions", pair(counters.sessions_created, sessions_freed));
  stats.Set("messages", pair(counters.messages_created, messages_freed));
  stats.Set("tickets", pair(lane_->tickets_created(), tickets_freed));
  return stats;
}

void NativeServer::TellStarted(Napi::Env env, const Server::Started& started) {
  constexpr const char* kFaults[] = {"", "ERR_MILTER_ADDRESS_IN_USE", "ERR_MILTER_SOCKET",
                                     "ERR_MILTER_UNSUPPORTED", "ERR_MILTER_RESOURCE"};
  const Napi::HandleScope scope(env);
  const bool failed = started.fault != StartFault::kNone;
  on_started_.Call({Napi::String::New(env, failed ? started.message : started.address),
                    Napi::String::New(env, kFaults[static_cast<int>(started.fault)])});
  if (failed) {
    End();
    cleanup_.reset();
    Unref();
  }
}

void NativeServer::TellStopped(Napi::Env env, bool wanted, int result) {
  const Napi::HandleScope scope(env);
  rounds_ = 0;
  Drain(env);  // The last sessions' ends came before this.
  if (wanted) {
    End();
    cleanup_.reset();
    Unref();
  }
  on_stopped_.Call({Napi::Boolean::New(env, wanted), Napi::Number::New(env, result)});
}

// Hands over the next batch. lib/ then calls resume(), which comes back here, until nothing is left.
void NativeServer::Drain(Napi::Env env) {
  const Napi::HandleScope scope(env);
  if (rounds_ == kMaxRounds) {
    rounds_ = 0;
    on_later_.Call({});
    return;
  }
  const auto batch = lane_->Take();
  rounds_ = batch.empty() ? 0 : rounds_ + 1;
  if (batch.empty()) return;
  Deliver(env, batch);
  if (!env.IsExceptionPending()) return;
  // A fault in lib/ itself. The tickets must not hang, and the fault must not pass silently.
  const Napi::Error error = env.GetAndClearPendingException();
  for (const auto& ticket : batch) lane_->Settle(ticket->id, Answer{});
  bridge_->Wake();
  napi_fatal_exception(env, error.Value());
}

// Packs a batch into one buffer; lib/run/native.ts documents the layout.
void NativeServer::Deliver(Napi::Env env, const std::vector<std::shared_ptr<Ticket>>& batch) {
  size_t total = 0;
  for (const auto& ticket : batch) total += kTicketHeader + ticket->records.size();
  auto packed = Napi::Buffer<uint8_t>::New(env, total);
  if (packed.IsEmpty()) return;  // The environment is ending, and takes the tickets with it.
  uint8_t* to = packed.Data();
  Napi::Value bodies = env.Undefined();
  uint32_t body_count = 0;
  for (const auto& ticket : batch) {
    Put(to, static_cast<uint32_t>(ticket->records.size()));
    Put(to + 4, ticket->id);
    Put(to + 8, ticket->session_id);
    Put(to + 12, ticket->plan_id);
    to[16] = ticket->stage_code;
    to[17] = ticket->body.empty() ? 0 : 1;
    to[18] = 0;
    to[19] = 0;
    if (!ticket->body.empty()) {
      if (body_count == 0) bodies = Napi::Array::New(env);
      bodies.As<Napi::Array>().Set(body_count++, ToBuffer(env, std::move(ticket->body)));
    }
    std::memcpy(to + kTicketHeader, ticket->records.data(), ticket->records.size());
    to += kTicketHeader + ticket->records.size();
  }
  on_batch_.Call({packed, bodies});
}

}  // namespace milter
