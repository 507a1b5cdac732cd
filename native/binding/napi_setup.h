// The one place that includes napi.h, so that its configuration macros (binding.gyp and CMakeLists.txt set
// them) hold everywhere. Of these, NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS lets a worker thread be terminated
// while we call it: nothing can be thrown there any more, and without it that would abort the process.
#pragma once

#include <napi.h>
