// See convert.h.
#include "convert.h"

namespace milter {
namespace {

uint32_t Number(const Napi::Object& from, const char* name) {
  return from.Get(name).ToNumber().Uint32Value();
}
int Signed(const Napi::Object& from, const char* name) { return from.Get(name).ToNumber().Int32Value(); }
bool Flag(const Napi::Object& from, const char* name) { return from.Get(name).ToBoolean().Value(); }
std::string Text(const Napi::Object& from, const char* name) { return from.Get(name).ToString().Utf8Value(); }

// Calls `each(index, value)` for the elements of an array of at most `limit`.
template <typename Each>
void ForEach(const Napi::Value& value, uint32_t limit, Each each) {
  const Napi::Array array = value.As<Napi::Array>();
  const uint32_t length = array.Length() < limit ? array.Length() : limit;
  for (uint32_t i = 0; i < length; i++) each(i, array.Get(i));
}

constexpr uint32_t kMaxMacros = 255;

}  // namespace

ServerOptions ToServerOptions(const Napi::Object& from) {
  ServerOptions options;
  options.socket = Text(from, "socket");
  options.unix_path = Text(from, "unixPath");
  options.socket_mode = Signed(from, "socketMode");
  options.socket_group = Signed(from, "socketGroup");
  options.backlog = Signed(from, "backlog");
  options.timeout_seconds = Signed(from, "timeoutSeconds");
  options.debug = Signed(from, "debug");
  options.max_data_size = Number(from, "maxDataSize");
  options.max_connections = Number(from, "maxConnections");
  return options;
}

Plan ToPlan(const Napi::Object& from) {
  Plan plan;
  plan.id = Number(from, "id");
  plan.asks_at_negotiate = Flag(from, "asksAtNegotiate");
  plan.rejected_recipients = Flag(from, "rejectedRecipients");
  plan.body_chunks = Flag(from, "bodyChunks");
  plan.max_body = static_cast<uint64_t>(from.Get("maxBody").ToNumber().Int64Value());
  const Napi::Object on_error = from.Get("onError").As<Napi::Object>();
  plan.on_error = ToAnswer(on_error.Get("verdict"), on_error.Get("packed"));
  ForEach(from.Get("modes"), kStages, [&](uint32_t i, const Napi::Value& mode) {
    plan.modes[i] = static_cast<Mode>(mode.ToNumber().Uint32Value());
  });
  ForEach(from.Get("deadlines"), kStages, [&](uint32_t i, const Napi::Value& deadline) {
    plan.deadlines[i] = std::chrono::milliseconds(deadline.ToNumber().Uint32Value());
  });
  ForEach(from.Get("macros"), kMaxMacros,
          [&](uint32_t, const Napi::Value& macro) { plan.macros.push_back(macro.ToString().Utf8Value()); });
  ForEach(from.Get("stageMacros"), kStages, [&](uint32_t stage, const Napi::Value& indexes) {
    ForEach(indexes, kMaxMacros, [&](uint32_t, const Napi::Value& index) {
      plan.stage_macros[stage].push_back(static_cast<uint8_t>(index.ToNumber().Uint32Value()));
    });
  });
  ForEach(from.Get("requestedMacros"), kStages, [&](uint32_t stage, const Napi::Value& names) {
    plan.requested_macros[stage] = names.ToString().Utf8Value();
  });
  return plan;
}

Answer ToAnswer(const Napi::Value& verdict, const Napi::Value& packed) {
  Answer answer;
  answer.verdict = ToVerdict(verdict.ToNumber().Uint32Value());
  if (packed.IsBuffer()) {
    const auto bytes = packed.As<Napi::Buffer<char>>();
    answer.packed.assign(bytes.Data(), bytes.Length());
  }
  return answer;
}

}  // namespace milter
