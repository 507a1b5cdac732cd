{
  "targets": [
    {
      "target_name": "milter",
      "sources": [
        "native/core/answer.cc",
        "native/core/callbacks.cc",
        "native/core/lane.cc",
        "native/core/library.cc",
        "native/core/listener.cc",
        "native/core/macro_lists.cc",
        "native/core/macros.cc",
        "native/core/recorder.cc",
        "native/core/server.cc",
        "native/core/session.cc",
        "native/core/starter.cc",
        "native/core/thread.cc",
        "native/binding/addon.cc",
        "native/binding/bridge.cc",
        "native/binding/convert.cc",
        "native/binding/native_server.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc": ["-std=c++17", "-O2", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"],
      "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
      "conditions": [
        ["OS=='linux'", {
          "libraries": ["-ldl"],
          "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL", "-Wl,-Bsymbolic", "-Wl,-z,nodelete"]
        }],
        ["OS=='freebsd'", { "ldflags": ["-Wl,-z,nodelete"], "include_dirs": ["/usr/local/include"] }],
        ["OS=='mac'", {
          "include_dirs": ["/opt/local/include"],
          "xcode_settings": {
            "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
            "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
            "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
            "MACOSX_DEPLOYMENT_TARGET": "13.0"
          }
        }]
      ]
    }
  ]
}
