// libmilter's globals: a copy for each server, several at once, and again and again.
#include "../core/library.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <set>
#include <thread>

#include "check.h"
#include "mta.h"
#include "script.h"

namespace milter::test {
namespace {

// A folder of its own for each test that needs files.
struct Folder {
  Folder() {
    if (mkdtemp(path.data()) == nullptr) throw Failure("no temporary folder");
  }
  ~Folder() { rmdir(path.c_str()); }
  std::string path = "/tmp/core-tests-XXXXXX";
};

TEST("the library is found, and says what it is") {
  const LoadResult found = FindLibrary();
  CHECK(found.library != nullptr);
  CHECK(found.library->path.find("milter") != std::string::npos);
  CHECK(found.library->version_number[0] >= 1);
  CHECK(found.library->macro_lists.found());
}

TEST("two servers live side by side, each with its own filter") {
  Filter one(PlanFor({Stage::kEnvfrom}), [](const Seen&) { return Reply{Verdict::kReject, {}}; });
  Filter two(PlanFor({Stage::kEnvfrom}), [](const Seen&) { return Reply{Verdict::kDiscard, {}}; });
  for (int again = 0; again < 2; again++) {
    Mta first(one.address());
    Mta second(two.address());
    for (Mta* mta : {&first, &second}) {
      mta->Negotiate();
      mta->Connect();
    }
    CHECK_EQ(first.Mail(), "r");
    CHECK_EQ(second.Mail(), "d");
  }
}

TEST("the end of one server leaves the other at work") {
  Filter one(PlanFor({Stage::kEom}));
  Mta mta(one.address());
  mta.Negotiate();
  mta.Connect();
  {
    Filter two(PlanFor({Stage::kEom}));
  }
  CHECK_EQ(mta.Message(), "c");
}

TEST("a server can be started again and again at the same address") {
  std::string address = "inet:0@127.0.0.1";
  for (int again = 0; again < 5; again++) {
    ServerOptions options;
    options.socket = address;
    Filter filter(PlanFor({Stage::kEom}), GoOn, options);
    address = filter.address();
    Mta mta(address);
    CHECK_EQ(mta.WholeMessage(), "c");
    filter.BeginToClose(std::chrono::milliseconds(0));
    CHECK(filter.Ended());
  }
}

TEST("servers started at the same time each know their own address") {
  constexpr size_t kServers = 8;
  std::vector<std::unique_ptr<Filter>> filters(kServers);
  std::vector<std::thread> threads;
  std::atomic<bool> done{false};
  // Meanwhile other parts of the process listen too, without blocking, as Node's own servers do.
  std::thread others([&] {
    while (!done) {
      const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      listen(listener, 1);
      std::this_thread::yield();
      close(listener);
    }
  });
  for (auto& filter : filters) {
    threads.emplace_back([&filter] { filter = std::make_unique<Filter>(PlanFor({Stage::kEom})); });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  others.join();
  std::set<std::string> addresses;
  for (const auto& filter : filters) {
    addresses.insert(filter->address());
    Mta mta(filter->address());
    CHECK_EQ(mta.WholeMessage(), "c");
    mta.Quit();
    CHECK(Eventually([&] { return filter->server().counters().sessions_freed == 1; }));
  }
  CHECK_EQ(addresses.size(), kServers);
}

TEST("the socket's mode concerns no other file that is made at that time") {
  const Folder folder;
  std::atomic<bool> done{false};
  std::atomic<int> closed_files{0};
  std::thread writer([&] {
    const std::string path = folder.path + "/file";
    while (!done) {
      const int file = open(path.c_str(), O_CREAT | O_WRONLY, 0644);
      struct stat status{};
      fstat(file, &status);
      if ((status.st_mode & 0777) == 0) closed_files++;
      close(file);
      unlink(path.c_str());
    }
  });
  ServerOptions options;
  options.unix_path = folder.path + "/milter.sock";
  options.socket = "unix:" + options.unix_path;
  options.socket_mode = 0660;
  for (int again = 0; again < 20; again++) {
    Filter filter(PlanFor({Stage::kEom}), GoOn, options);
    struct stat status{};
    CHECK(stat(options.unix_path.c_str(), &status) == 0);
    CHECK_EQ(status.st_mode & 0777, 0660u);
    Mta mta(filter.address());
    CHECK_EQ(mta.WholeMessage(), "c");
  }
  done = true;
  writer.join();
  CHECK_EQ(closed_files.load(), 0);
  CHECK(access(options.unix_path.c_str(), F_OK) != 0);
}

TEST("a library that came to nothing is used for the next start") {
  Filter other(PlanFor({Stage::kEom}));
  ServerOptions options;
  options.socket = other.address();
  std::set<const void*> libraries;
  for (int again = 0; again < 3; again++) {
    const LoadResult claimed = ClaimLibrary();
    libraries.insert(claimed.library.get());
    ReturnLibrary(claimed.library);
    try {
      const Filter filter(PlanFor({Stage::kEom}), GoOn, options);
      Fail(__FILE__, __LINE__, "two servers listen at one address");
    } catch (const Failure& failure) {
      CHECK_EQ(std::string(failure.what()), "Address already in use");
    }
  }
  CHECK_EQ(libraries.size(), 1u);
}

}  // namespace
}  // namespace milter::test
