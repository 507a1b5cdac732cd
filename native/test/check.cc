// Runs the tests. See check.h.
#include "check.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace milter::test {
namespace {

struct Test {
  const char* name;
  void (*run)();
};

std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}

}  // namespace

Registration::Registration(const char* name, void (*run)()) { Tests().push_back({name, run}); }

void Fail(const char* file, int line, const std::string& what) {
  const char* slash = std::strrchr(file, '/');
  throw Failure(std::string(slash != nullptr ? slash + 1 : file) + ":" + std::to_string(line) + ": " + what);
}

bool Eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + kSoon;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace milter::test

// libmilter's own sins, which ThreadSanitizer sees where libmilter itself calls into libc: its listener
// destroys a mutex that smfi_stop() on another thread is just letting go of. The callbacks into our code do
// not match: TSan keeps no frames of code that was not built with it. The names are those of the file and of
// its private copies.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "mutex:/proc/self/fd/\n"
         "mutex:libmilter.so\n"
         "race:/proc/self/fd/\n"
         "race:libmilter.so\n";
}
// Called again after a failed start, these two forget what they hold.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:smfi_register\n"
         "leak:smfi_setconn\n";
}

// Runs the tests whose names contain the argument, all without one.
int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  int passed = 0;
  int failed = 0;
  for (const auto& test : milter::test::Tests()) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    try {
      test.run();
      passed++;
      std::printf("ok    %s\n", test.name);
    } catch (const std::exception& error) {
      failed++;
      std::printf("FAIL  %s\n      %s\n", test.name, error.what());
    }
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
