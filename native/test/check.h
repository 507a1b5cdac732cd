// The smallest thing that runs tests: TEST registers one, CHECK and CHECK_EQ end it when they do not hold.
//
// CHECK throws, so it belongs on the test's own thread.
#pragma once

#include <chrono>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace milter::test {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Made once per TEST, before main().
struct Registration {
  Registration(const char* name, void (*run)());
};

[[noreturn]] void Fail(const char* file, int line, const std::string& what);

template <typename A, typename B>
void CheckEqual(const char* file, int line, const char* expression, const A& actual, const B& expected) {
  if (actual == expected) return;
  std::ostringstream what;
  what << expression << " is " << actual << ", not " << expected;
  Fail(file, line, what.str());
}

// How long anything may take that must happen. Long, because a sanitizer on a busy machine is slow; a test
// that passes never waits for it.
inline constexpr std::chrono::seconds kSoon{20};

// Waits for something that other threads bring about. Returns whether it came.
bool Eventually(const std::function<bool()>& holds);

}  // namespace milter::test

#define MILTER_TEST_JOIN2(a, b) a##b
#define MILTER_TEST_JOIN(a, b) MILTER_TEST_JOIN2(a, b)
#define TEST(name)                                                                  \
  static void MILTER_TEST_JOIN(Test, __LINE__)();                                   \
  static const milter::test::Registration MILTER_TEST_JOIN(registration, __LINE__)( \
      name, MILTER_TEST_JOIN(Test, __LINE__));                                      \
  static void MILTER_TEST_JOIN(Test, __LINE__)()
#define CHECK(condition) \
  if (!(condition)) milter::test::Fail(__FILE__, __LINE__, #condition)
#define CHECK_EQ(actual, expected) milter::test::CheckEqual(__FILE__, __LINE__, #actual, (actual), (expected))
