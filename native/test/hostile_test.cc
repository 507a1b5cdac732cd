// What does not speak the protocol, or not to its end: nothing crashes, nothing stays behind, others are
// served.
#include <random>

#include "check.h"
#include "mta.h"
#include "script.h"

namespace milter::test {
namespace {

// After any of these a well-behaved MTA must still be served, and all be gone when it is.
void CheckServes(Filter& filter) {
  {
    Mta mta(filter.address());
    CHECK_EQ(mta.WholeMessage(), "c");
  }
  CHECK_EQ(filter.Left(), "");
}

Plan EveryStage() {
  Plan plan = PlanFor({Stage::kConnect, Stage::kHelo, Stage::kEnvfrom, Stage::kEnvrcpt, Stage::kData,
                       Stage::kHeader, Stage::kEoh, Stage::kBody, Stage::kEom, Stage::kUnknown});
  plan.modes[Index(Stage::kAbort)] = plan.modes[Index(Stage::kClose)] = Mode::kWait;
  return plan;
}

TEST("port probes are not sessions") {
  Filter filter(EveryStage());
  for (int i = 0; i < 30; i++) Mta probe(filter.address());
  CheckServes(filter);
  CHECK_EQ(filter.server().counters().sessions_created.load(), 1u);
}

TEST("an MTA may vanish after any packet") {
  Filter filter(EveryStage());
  for (int last = 0; last < 10; last++) {
    Mta mta(filter.address());
    const auto steps = {+[](Mta& m) { m.Negotiate(); },      +[](Mta& m) { m.Connect(); },
                        +[](Mta& m) { m.Helo(); },           +[](Mta& m) { m.Mail(); },
                        +[](Mta& m) { m.Rcpt(); },           +[](Mta& m) { m.Data(); },
                        +[](Mta& m) { m.Header("A", "b"); }, +[](Mta& m) { m.EndOfHeaders(); },
                        +[](Mta& m) { m.Body("x"); },        +[](Mta& m) { m.Send('E'); }};
    int step = 0;
    for (const auto take : steps) {
      if (step++ > last) break;
      take(mta);
    }
  }
  CheckServes(filter);
}

TEST("half a packet and then silence ends with the connection") {
  Filter filter(EveryStage());
  for (const std::string_view bytes : {std::string_view("\0", 1), std::string_view("\0\0\0\x0d", 4),
                                       std::string_view("\0\0\0\x0dO\0\0", 7)}) {
    Mta mta(filter.address());
    mta.SendBytes(bytes);
  }
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.SendBytes(std::string_view("\0\0\0\x20M<a@", 8));
  mta.HangUp();
  CheckServes(filter);
}

TEST("a packet larger than the protocol allows ends the connection") {
  Filter filter(EveryStage());
  for (const uint32_t size : {65537u, 0x7fffffffu, 0xffffffffu, 0u}) {
    Mta mta(filter.address());
    mta.Negotiate();
    mta.Connect();
    mta.Mail();
    mta.SendBytes(Big32(size) + "B" + std::string(70'000, 'x'));
  }
  CheckServes(filter);
}

TEST("negotiating twice is not two sessions") {
  Filter filter(EveryStage());
  {
    Mta mta(filter.address());
    mta.Negotiate();
    mta.Send('O', Big32(6) + Big32(0x1ff) + Big32(0x1fffff));
    mta.Send('C', std::string_view("h\0U", 3));
    mta.Quit();
    while (mta.Read().command != 0) {
    }
  }
  CHECK_EQ(filter.Left(), "");
  CheckServes(filter);
}

TEST("a connection used again after quit-and-new-connection is a new session") {
  Filter filter(EveryStage());
  {
    Mta mta(filter.address());
    CHECK_EQ(mta.WholeMessage(), "c");
    mta.Send('K');
    mta.Send('C', std::string_view("h\0U", 3));
    CHECK_EQ(mta.Read().command, 't');  // Its session is gone: the sender retries.
  }
  CHECK_EQ(filter.Left(), "");
}

TEST("whatever comes between two MAILs, each message ends") {
  Filter filter(EveryStage());
  const std::string mail("<a@example.org>\0", 16);
  const std::vector<std::pair<char, std::string>> others = {{'O', Big32(6) + Big32(0x1ff) + Big32(0x1fffff)},
                                                            {'C', std::string("h\0U", 3)},
                                                            {'H', std::string("h\0", 2)},
                                                            {'R', mail},
                                                            {'R', "cut"},
                                                            {'M', "cut"},
                                                            {'T', ""},
                                                            {'L', std::string("a\0b\0", 4)},
                                                            {'N', ""},
                                                            {'B', "x"},
                                                            {'E', ""},
                                                            {'E', "x"},
                                                            {'A', ""},
                                                            {'U', std::string("x\0", 2)},
                                                            {'?', ""},
                                                            {'D', std::string("Ma\0b\0", 5)}};
  for (const auto& first : others) {
    for (const auto& second : others) {
      Mta mta(filter.address());
      mta.Negotiate();
      mta.Connect();
      mta.Mail();
      mta.Send(first.first, first.second);
      mta.Send(second.first, second.second);
      mta.Send('M', mail);
      mta.Quit();
      while (mta.Read().command != 0) {
      }
    }
  }
  CheckServes(filter);
}

TEST("random packets never break anything") {
  Filter filter(EveryStage());
  std::mt19937 random(5321);
  constexpr std::string_view kCommands = "OCHMRTLNBEAQKU?\0";
  for (int connection = 0; connection < 60; connection++) {
    Mta mta(filter.address());
    if (connection % 4 != 0) mta.Negotiate();
    if (connection % 4 > 1) mta.Connect();
    for (int packet = 0; packet < 30; packet++) {
      std::string data;
      for (size_t length = random() % 24; length > 0; length--) {
        data += random() % 3 == 0 ? '\0' : static_cast<char>(random() % 256);
      }
      const char command = kCommands[random() % kCommands.size()];
      // libmilter hands on the argument of an unknown command without looking for its end.
      if (command == 'U') data += '\0';
      mta.Send(command, data);
    }
  }
  CheckServes(filter);
}

}  // namespace
}  // namespace milter::test
