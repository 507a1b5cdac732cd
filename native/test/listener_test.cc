// The socket on which a server listens: whose connections are its own, descriptors that were passed, and
// files that go away.
#include "../core/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "../core/callbacks.h"
#include "check.h"
#include "mta.h"
#include "script.h"

namespace milter::test {
namespace {

struct Descriptor {
  explicit Descriptor(int opened) : fd(opened) {
    if (fd < 0) throw Failure("a descriptor cannot be opened");
  }
  ~Descriptor() { close(fd); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  bool open() const { return fcntl(fd, F_GETFD) >= 0; }
  std::string spec() const { return "fd:" + std::to_string(fd); }
  const int fd;
};

// A socket of ours that listens on a free port of 127.0.0.1.
int ListenOnLoopback() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 5) != 0) return -1;
  return fd;
}

ServerOptions At(std::string socket) {
  ServerOptions options;
  options.socket = std::move(socket);
  return options;
}

// Why a server does not start, "" when it does.
std::string StartFault(const ServerOptions& options) {
  try {
    Filter filter(PlanFor({Stage::kEnvfrom}), GoOn, options);
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

// Alpine's libmilter and FreeBSD's, for instance, do not.
bool LibraryKnowsDescriptors() {
  const Descriptor listener(ListenOnLoopback());
  return StartFault(At(listener.spec())).empty();
}

TEST("the end of one server leaves connections alone that others have at its port") {
  Filter one(PlanFor({Stage::kEnvfrom}));
  const std::string port = one.address().substr(0, one.address().find('@'));
  Filter other(PlanFor({Stage::kEnvfrom}), GoOn, At(port + "@127.0.0.2"));
  Mta mta(other.address());
  mta.Negotiate();
  mta.Connect();
  one.BeginToClose(std::chrono::milliseconds(0));
  CHECK(one.Ended());
  CHECK_EQ(mta.Mail(), "c");
}

TEST("the end of a server on all addresses ends its connections, by whichever address they came") {
  Filter filter(PlanFor({Stage::kEnvfrom, Stage::kEom}), GoOn, At("inet:0"));
  const std::string port = filter.address().substr(0, filter.address().find('@'));
  Mta mta(port + "@127.0.0.3");
  mta.Negotiate();
  mta.Connect();
  mta.Mail();
  filter.BeginToClose(std::chrono::milliseconds(0));
  CHECK(filter.Ended());
  CHECK_EQ(mta.Read().command, 0);
}

#ifdef __linux__
TEST("the end of a server at an abstract socket leaves sockets without a name alone") {
  if (!LibraryKnowsDescriptors()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "milter-test-" + std::to_string(getpid());
  name.copy(address.sun_path + 1, name.size());
  const Descriptor listener(socket(AF_UNIX, SOCK_STREAM, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  CHECK_EQ(bind(listener.fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  CHECK_EQ(listen(listener.fd, 5), 0);
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const Descriptor ours(pair[0]);
  const Descriptor its(pair[1]);
  Filter filter(PlanFor({Stage::kEnvfrom}), GoOn, At(listener.spec()));
  filter.BeginToClose(std::chrono::milliseconds(0));
  CHECK(filter.Ended());
  CHECK_EQ(write(ours.fd, "x", 1), 1);
}
#endif

TEST("a descriptor that does not listen is refused and left open") {
  int pipe_ends[2];
  CHECK_EQ(pipe(pipe_ends), 0);
  const Descriptor reader(pipe_ends[0]);
  const Descriptor writer(pipe_ends[1]);
  const Descriptor silent(socket(AF_INET, SOCK_STREAM, 0));
  const Descriptor file(open("/dev/null", O_RDONLY));
  for (const Descriptor* given : {&reader, &writer, &silent, &file}) {
    CHECK_EQ(StartFault(At(given->spec())),
             "descriptor " + std::to_string(given->fd) +
                 " is no listening socket; it must be passed to this process, as by a systemd socket unit");
    CHECK(given->open());
  }
  CHECK(!StartFault(At("fd:99999")).empty());
}

TEST("a descriptor that was passed stays open, and serves again") {
  if (!LibraryKnowsDescriptors()) return;
  const Descriptor listener(ListenOnLoopback());
  for (int round = 0; round < 2; round++) {
    Filter filter(PlanFor({Stage::kEnvfrom}), GoOn, At(listener.spec()));
    {
      Mta mta(filter.address());
      mta.Negotiate();
      mta.Connect();
      CHECK_EQ(mta.Mail(), "c");
    }
    filter.BeginToClose(std::chrono::milliseconds(0));
    CHECK(filter.Ended());
    CHECK(listener.open());
  }
}

#ifdef __linux__
// A folder with the file of a unix socket in it.
struct Folder {
  Folder() {
    if (mkdtemp(name) == nullptr) throw Failure("no temporary folder");
  }
  ~Folder() {
    unlink(path().c_str());
    rmdir(name);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path() const { return std::string(name) + "/socket"; }
  char name[24] = "/tmp/milter-test-XXXXXX";
};

TEST("a unix socket is dialled also when its file is gone, or another's") {
  const Folder folder;
  ListenOptions options;
  options.unix_path = folder.path();
  options.socket = "unix:" + folder.path();
  const std::shared_ptr<const Library> library = ClaimLibrary().library;
  {
    Listener listener;
    CHECK(listener.Open(*library, options, Callbacks(0)).opened);
    CHECK(listener.Dial());
    CHECK_EQ(unlink(folder.path().c_str()), 0);
    CHECK(listener.Dial());
    const Descriptor other(open(folder.path().c_str(), O_CREAT | O_WRONLY, 0600));
    CHECK(listener.Dial());
    listener.GiveUp([&] { library->stop(); });
    CHECK(!listener.Dial());
  }
  struct stat status{};
  CHECK_EQ(lstat(folder.path().c_str(), &status), 0);
}
#endif

}  // namespace
}  // namespace milter::test
