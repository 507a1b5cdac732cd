// The addon's exports; lib/engine/libmilter/addon.ts declares them. JavaScript thread only.
#include "../core/library.h"
#include "napi_setup.h"
#include "native_server.h"

namespace milter {
namespace {

// What the user's libmilter is, or why there is none.
Napi::Value DescribeLibrary(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const LoadResult loaded = FindLibrary();
  Napi::Object description = Napi::Object::New(env);
  if (!loaded.library) {
    description.Set("fault", Napi::String::New(env, loaded.message));
    return description;
  }
  const unsigned* version = loaded.library->version_number;
  description.Set("path", Napi::String::New(env, loaded.library->path));
  description.Set("version",
                  Napi::String::New(env, std::to_string(version[0]) + "." + std::to_string(version[1]) + "." +
                                             std::to_string(version[2])));
  description.Set("workerPool", Napi::Boolean::New(env, loaded.library->worker_pool));
  description.Set("usesSelect", Napi::Boolean::New(env, loaded.library->uses_select));
  description.Set("mendsMacros", Napi::Boolean::New(env, loaded.library->macro_lists.found()));
  return description;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Server", NativeServer::Define(env));
  exports.Set("describeLibrary", Napi::Function::New(env, DescribeLibrary, "describeLibrary"));
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace
}  // namespace milter
