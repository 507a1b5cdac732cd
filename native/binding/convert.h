// JavaScript's objects into the core's structures. JavaScript thread only. lib/ has already checked every
// value.
#pragma once

#include "../core/answer.h"
#include "../core/plan.h"
#include "../core/server.h"
#include "napi_setup.h"

namespace milter {

ServerOptions ToServerOptions(const Napi::Object& options);
Plan ToPlan(const Napi::Object& plan);
// `packed` may be undefined.
Answer ToAnswer(const Napi::Value& verdict, const Napi::Value& packed);

}  // namespace milter
