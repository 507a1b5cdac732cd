// The one place that includes napi.h, so that its configuration macros (binding.gyp and CMakeLists.txt set
// them) hold everywhere.
#pragma once

#include <napi.h>
