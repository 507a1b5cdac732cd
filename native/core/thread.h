// Threads that may not come to be: at a limit (RLIMIT_NPROC, the pids of a container) the system refuses.
//
// May be called from any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>

namespace milter {

// Runs `work` on a thread of its own, to which no signal comes, nor to those that it makes: they are for
// Node's main thread. Not joinable when the system has no thread left.
std::thread MakeThread(std::function<void()> work) noexcept;

// Whether `count` more threads could be made now.
bool RoomForThreads(size_t count);

}  // namespace milter
