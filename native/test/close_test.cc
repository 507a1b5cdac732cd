// The end of a server, at the best and at the worst of moments.
#include <atomic>
#include <thread>

#include "check.h"
#include "mta.h"
#include "pack.h"
#include "script.h"

namespace milter::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

Reply Never(const Seen&) { return {Verdict::kContinue, {}, milliseconds(0), true}; }

TEST("close lets a running message finish, and ends idle connections at once") {
  Filter filter(PlanFor({Stage::kEnvfrom, Stage::kEom}), [](const Seen& seen) {
    return Reply{Verdict::kContinue, {}, milliseconds(seen.Is(Stage::kEom) ? 200 : 0)};
  });
  Mta idle(filter.address());
  idle.Negotiate();
  idle.Connect();
  Mta busy(filter.address());
  busy.Negotiate();
  busy.Connect();
  busy.Mail();
  filter.BeginToClose(minutes(1));
  CHECK_EQ(idle.Read().command, 0);
  busy.Rcpt();
  busy.Data();
  busy.EndOfHeaders();
  CHECK_EQ(busy.End(), "c");
  CHECK_EQ(busy.Read().command, 0);
  CHECK(filter.Ended());
  CHECK_EQ(filter.Left(), "");
}

TEST("a message that waits for its verdict when the grace is over gets a tempfail") {
  Filter filter(PlanFor({Stage::kEom}), Never);
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Mail();
  mta.Rcpt();
  mta.Data();
  mta.EndOfHeaders();
  mta.Send('E');
  CHECK(filter.script().Came(Stage::kEom));
  filter.BeginToClose(milliseconds(10));
  CHECK_EQ(mta.Read().command, 't');
  CHECK(filter.Ended());
  CHECK(filter.script().Came(Notice::kRefused));
  CHECK_EQ(filter.Left(), "");
}

TEST("a message between two commands is ended when the grace is over") {
  Filter filter(PlanFor({Stage::kEnvfrom, Stage::kEom}));
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Mail();
  filter.BeginToClose(milliseconds(10));
  CHECK(filter.Ended());
  CHECK_EQ(mta.Read().command, 0);
  CHECK_EQ(filter.Left(), "");
}

TEST("an MTA that does not read its answer cannot hold up the end") {
  const std::string huge = PackActions({{Act::kReplaceBody, 0, std::string(64u << 20, 'x'), ""}});
  Filter filter(PlanFor({Stage::kEom}), [&](const Seen&) { return Reply{Verdict::kContinue, huge}; });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Mail();
  mta.Rcpt();
  mta.Data();
  mta.EndOfHeaders();
  mta.Send('E');
  CHECK_EQ(mta.Read().command, 'b');
  filter.BeginToClose(milliseconds(0));
  CHECK(filter.Ended());
  CHECK_EQ(filter.Left(), "");
}

TEST("close under load loses no verdict") {
  Filter filter(PlanFor({Stage::kEnvfrom, Stage::kEom}), [](const Seen& seen) {
    return Reply{Verdict::kContinue, {}, milliseconds(seen.ticket % 3)};
  });
  std::atomic<size_t> verdicts{0};
  std::atomic<int> hanging{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 10; i++) {
    clients.emplace_back([&] {
      try {
        Mta mta(filter.address());
        mta.Negotiate();
        mta.Connect();
        while (mta.Mail() == "c") {
          mta.Rcpt();
          mta.Data();
          mta.EndOfHeaders();
          if (mta.End() != "c") return;
          verdicts++;
        }
      } catch (const Failure&) {
        hanging++;
      }
    });
  }
  CHECK(filter.script().Came(Stage::kEom, 50));
  filter.BeginToClose(minutes(1));
  for (std::thread& client : clients) client.join();
  CHECK(filter.Ended());
  CHECK_EQ(hanging.load(), 0);
  CHECK_EQ(verdicts.load(), filter.script().Only(Stage::kEom).size());
  CHECK_EQ(filter.Left(), "");
}

TEST("connections that come while the server closes are served or ended, never left hanging") {
  for (int round = 0; round < 15; round++) {
    Filter filter(PlanFor({Stage::kConnect, Stage::kEom}));
    std::atomic<int> hanging{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; i++) {
      clients.emplace_back([&] {
        try {
          for (;;) {
            Mta mta(filter.address());
            if (mta.Negotiate().command == 'O') mta.Connect();
            mta.Quit();
            while (mta.Read().command != 0) {
            }
          }
        } catch (const Failure& failure) {
          if (std::string(failure.what()) == "the filter did not answer") hanging++;
        }
      });
    }
    CHECK(filter.script().Came(Stage::kConnect, 5));
    filter.BeginToClose(minutes(1));
    const bool ended = filter.Ended();
    for (std::thread& client : clients) client.join();
    CHECK(ended);
    CHECK_EQ(hanging.load(), 0);
    CHECK_EQ(filter.Left(), "");
  }
}

TEST("a forced close in the middle of a starving burst") {
  for (int round = 0; round < 3; round++) {
    Filter filter(PlanFor({Stage::kEnvfrom}), Never);
    std::vector<std::unique_ptr<Mta>> mtas;
    for (int i = 0; i < 12; i++) {
      mtas.push_back(std::make_unique<Mta>(filter.address()));
      mtas.back()->Negotiate();
      mtas.back()->Connect();
    }
    for (const auto& mta : mtas) mta->Send('M', std::string_view("<a@example.org>\0", 16));
    CHECK(filter.script().Came(Stage::kEnvfrom, 6));
    filter.BeginToClose(milliseconds(0));
    CHECK(filter.Ended());
    CHECK_EQ(filter.Left(), "");
  }
}

// A server without the Filter around it, whose events are only counted.
struct Bare {
  explicit Bare(std::string socket) {
    ServerOptions options;
    options.socket = std::move(socket);
    Server::Events events;
    events.started = [this](const Server::Started& outcome) {
      fault = outcome.fault;
      started++;
    };
    events.stopped = [this](bool, int) { stopped++; };
    server = std::make_shared<Server>(ClaimLibrary().library, std::move(options), script.lane(),
                                      std::move(events));
    server->AddPlan(std::make_shared<const Plan>(PlanFor({Stage::kEom})));
  }
  // Whether the server's threads have let go of it.
  bool Alone() {
    return Eventually([this] { return server.use_count() == 1; });
  }

  Script script{GoOn};
  std::atomic<int> started{0};
  std::atomic<int> stopped{0};
  std::atomic<StartFault> fault{StartFault::kNone};
  std::shared_ptr<Server> server;
};

TEST("close in the same moment as the start ends what was started") {
  for (int round = 0; round < 20; round++) {
    Bare bare("inet:0@127.0.0.1");
    bare.server->Start();
    if (round % 4 > 0) std::this_thread::sleep_for(std::chrono::microseconds(round * 50));
    bare.server->Close(milliseconds(0));
    CHECK(Eventually([&] { return bare.stopped == 1; }));
    CHECK_EQ(bare.started.load(), 1);
    CHECK(bare.Alone());
  }
}

TEST("close before the start leaves nothing to wait for") {
  Bare bare("inet:0@127.0.0.1");
  bare.server->Close(milliseconds(0));
  bare.server->Start();
  CHECK(bare.Alone());
  CHECK_EQ(bare.started.load(), 0);
}

TEST("close while a start fails ends too") {
  Filter other(PlanFor({Stage::kEom}));
  for (int round = 0; round < 10; round++) {
    Bare bare(other.address());
    bare.server->Start();
    bare.server->Close(milliseconds(0));
    CHECK(bare.Alone());
    CHECK_EQ(bare.started.load(), 1);
    CHECK(bare.fault.load() == StartFault::kAddressInUse);
  }
}

TEST("closing twice closes once") {
  Bare bare("inet:0@127.0.0.1");
  bare.server->Start();
  CHECK(Eventually([&] { return bare.started == 1; }));
  bare.server->Close(milliseconds(0));
  bare.server->Close(milliseconds(0));
  CHECK(bare.Alone());
  CHECK_EQ(bare.stopped.load(), 1);
}

}  // namespace
}  // namespace milter::test
