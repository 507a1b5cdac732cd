// See convert.h.
#include "convert.h"

#include <climits>
#include <cmath>

namespace milter {
namespace {

constexpr uint32_t kMaxMacros = 255;
constexpr double kMaxInteger = 9007199254740991;  // Number.MAX_SAFE_INTEGER.

}  // namespace

void Taker::Refuse(const std::string& name, const std::string& expected) {
  if (ok()) fault_ = what_ + ": " + name + " must be " + expected;
}

bool Taker::Expect(bool holds, const std::string& name, const char* expected) {
  if (!holds) Refuse(name, expected);
  return ok();
}

bool Taker::Checked(Napi::Env env) const {
  if (!ok()) Napi::TypeError::New(env, fault_).ThrowAsJavaScriptException();
  return ok();
}

double Taker::Integer(const Napi::Value& value, const std::string& name, double least, double most) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (std::trunc(number) == number && number >= least && number <= most) return ok() ? number : 0;
  const auto shown = [](double limit) { return std::to_string(static_cast<int64_t>(limit)); };
  Refuse(name, "an integer from " + shown(least) + " to " + shown(most));
  return 0;
}

bool Taker::Flag(const Napi::Value& value, const std::string& name) {
  return Expect(value.IsBoolean(), name, "a boolean") && value.As<Napi::Boolean>().Value();
}

std::string Taker::Text(const Napi::Value& value, const std::string& name) {
  if (!Expect(value.IsString(), name, "a string")) return "";
  std::string text = value.As<Napi::String>().Utf8Value();
  // All of it goes to functions that take a C string.
  return Expect(text.find('\0') == std::string::npos, name, "free of NUL") ? text : "";
}

Napi::Function Taker::Function(const Napi::Value& value, const std::string& name) {
  return Expect(value.IsFunction(), name, "a function") ? value.As<Napi::Function>() : Napi::Function();
}

Napi::Value Taker::Get(const Napi::Value& object, const char* name) {
  if (ok() && !object.IsObject()) Refuse(std::string("what holds ") + name, "an object");
  if (!ok()) return Napi::Value();
  return object.As<Napi::Object>().Get(name);
}

uint32_t Taker::Length(const Napi::Value& value, const std::string& name, uint32_t least, uint32_t most) {
  const uint32_t length = value.IsArray() ? value.As<Napi::Array>().Length() : UINT32_MAX;
  if (length >= least && length <= most) return ok() ? length : 0;
  Refuse(name,
         "an array of " + std::string(least == most ? "" : "up to ") + std::to_string(most) + " elements");
  return 0;
}

ServerOptions ToServerOptions(Taker& taker, const Napi::Value& from) {
  const auto text = [&](const char* name) { return taker.Text(taker.Get(from, name), name); };
  const auto number = [&](const char* name, int least) {
    return taker.Number<int>(taker.Get(from, name), name, least, INT_MAX);
  };
  ServerOptions options;
  options.socket = text("socket");
  options.unix_path = text("unixPath");
  options.socket_mode = number("socketMode", -1);
  options.socket_group = number("socketGroup", -1);
  options.backlog = number("backlog", 0);
  options.timeout_seconds = number("timeoutSeconds", 0);
  options.debug = number("debug", 0);
  options.max_data_size = taker.U32(taker.Get(from, "maxDataSize"), "maxDataSize");
  options.max_connections = taker.U32(taker.Get(from, "maxConnections"), "maxConnections");
  return options;
}

Plan ToPlan(Taker& taker, const Napi::Value& from) {
  const auto get = [&](const char* name) { return taker.Get(from, name); };
  const auto flag = [&](const char* name) { return taker.Flag(get(name), name); };
  const auto for_each = [&](const char* name, uint32_t least, uint32_t most, auto each) {
    taker.ForEach(get(name), name, least, most, each);
  };
  Plan plan;
  plan.id = taker.U32(get("id"), "id");
  plan.asks_at_negotiate = flag("asksAtNegotiate");
  plan.rejected_recipients = flag("rejectedRecipients");
  plan.body_chunks = flag("bodyChunks");
  plan.max_body = taker.Number<uint64_t>(get("maxBody"), "maxBody", 0, kMaxInteger);
  plan.on_error = ToAnswer(taker.Get(get("onError"), "verdict"), taker.Get(get("onError"), "packed"));
  for_each("modes", kStages, kStages, [&](uint32_t stage, const Napi::Value& mode, const std::string& name) {
    plan.modes[stage] = taker.Number<Mode>(mode, name, 0, static_cast<double>(Mode::kWait));
  });
  for_each("deadlines", kStages, kStages,
           [&](uint32_t stage, const Napi::Value& time, const std::string& name) {
             plan.deadlines[stage] = std::chrono::milliseconds(taker.U32(time, name));
           });
  for_each("macros", 0, kMaxMacros, [&](uint32_t, const Napi::Value& macro, const std::string& name) {
    plan.macros.push_back(taker.Text(macro, name));
  });
  const auto macros = static_cast<double>(plan.macros.size());
  for_each("stageMacros", kStages, kStages,
           [&](uint32_t stage, const Napi::Value& indexes, const std::string& name) {
             taker.ForEach(
                 indexes, name, 0, kMaxMacros,
                 [&](uint32_t, const Napi::Value& index, const std::string& its_name) {
                   plan.stage_macros[stage].push_back(taker.Number<uint8_t>(index, its_name, 0, macros - 1));
                 });
           });
  for_each("requestedMacros", kStages, kStages,
           [&](uint32_t stage, const Napi::Value& names, const std::string& name) {
             plan.requested_macros[stage] = taker.Text(names, name);
           });
  return plan;
}

Answer ToAnswer(const Napi::Value& verdict, const Napi::Value& packed) {
  if (!verdict.IsNumber() || !(packed.IsUndefined() || packed.IsBuffer())) return Answer{};
  const double number = verdict.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= UINT8_MAX) || std::trunc(number) != number) return Answer{};
  Answer answer;
  answer.verdict = ToVerdict(static_cast<uint32_t>(number));
  if (packed.IsBuffer()) {
    const auto bytes = packed.As<Napi::Buffer<char>>();
    answer.packed.assign(bytes.Data(), bytes.Length());
  }
  return answer;
}

}  // namespace milter
