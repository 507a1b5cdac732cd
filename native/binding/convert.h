// JavaScript's values into the core's structures. JavaScript thread only.
//
// Every value is checked and none is coerced: coercion would let what is misspelt through as 0, and it runs
// JavaScript, which fails in a worker thread that is being terminated.
#pragma once

#include <string>

#include "../core/answer.h"
#include "../core/plan.h"
#include "../core/server.h"
#include "napi_setup.h"

namespace milter {

// Takes values that JavaScript gave, each as exactly what it must be, and remembers what was wrong with the
// first that is not. From then on it gives out zeros.
class Taker {
 public:
  // `what` is being taken, as in "addPlan".
  explicit Taker(std::string what) : what_(std::move(what)) {}

  // An integer between the two; a number above 2^53 is none.
  template <typename T>
  T Number(const Napi::Value& value, const std::string& name, double least, double most) {
    return static_cast<T>(Integer(value, name, least, most));
  }
  uint32_t U32(const Napi::Value& value, const std::string& name) {
    return Number<uint32_t>(value, name, 0, UINT32_MAX);
  }
  bool Flag(const Napi::Value& value, const std::string& name);
  std::string Text(const Napi::Value& value, const std::string& name);
  Napi::Function Function(const Napi::Value& value, const std::string& name);
  // The property of an object.
  Napi::Value Get(const Napi::Value& object, const char* name);
  // Calls `each(index, element, name)` for an array of `least` to `most` elements.
  template <typename Each>
  void ForEach(const Napi::Value& value, const std::string& name, uint32_t least, uint32_t most, Each each) {
    const uint32_t length = Length(value, name, least, most);
    for (uint32_t i = 0; i < length && ok(); i++) {
      each(i, value.As<Napi::Array>().Get(i), name + "[" + std::to_string(i) + "]");
    }
  }

  // Whether all is well so far, `holds` included.
  bool Expect(bool holds, const std::string& name, const char* expected);
  bool ok() const { return fault_.empty(); }
  // Throws the fault in JavaScript, if there was one. Returns whether all is well.
  bool Checked(Napi::Env env) const;

 private:
  double Integer(const Napi::Value& value, const std::string& name, double least, double most);
  uint32_t Length(const Napi::Value& value, const std::string& name, uint32_t least, uint32_t most);
  void Refuse(const std::string& name, const std::string& expected);

  const std::string what_;
  std::string fault_;
};

ServerOptions ToServerOptions(Taker& taker, const Napi::Value& options);
Plan ToPlan(Taker& taker, const Napi::Value& plan);
// Whatever is no answer is a tempfail: the callback that waits for it must have one. `packed` may be
// undefined.
Answer ToAnswer(const Napi::Value& verdict, const Napi::Value& packed);

}  // namespace milter
