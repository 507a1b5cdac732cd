// What does not speak the protocol, or not to its end: nothing crashes, nothing stays behind, others are
// served.
#include <algorithm>
#include <random>

#include "check.h"
#include "mta.h"
#include "records.h"
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

// Looks macros up at each stage, those of the plan and others, which all end in a miss.
Plan Looking() {
  Plan plan = EveryStage();
  plan.macros = {"i", "{none}"};
  for (const Stage stage : {Stage::kConnect, Stage::kHelo, Stage::kEnvfrom, Stage::kEnvrcpt, Stage::kData,
                            Stage::kEoh, Stage::kEom}) {
    plan.stage_macros[Index(stage)] = {0, 1};
  }
  return plan;
}

// A script that also looks one up by name whenever it is asked.
struct LookingFilter {
  Script* script = nullptr;
  Filter filter{Looking(), [this](const Seen& seen) {
                  if (const auto ticket = script->lane()->Find(seen.ticket)) {
                    ticket->WithSession([](Session& session) { session.LookupMacro("{other}"); });
                  }
                  return Reply{};
                }};
  LookingFilter() { script = &filter.script(); }
};

TEST("a macro without a value is dropped, and nothing is read behind its list") {
  Plan plan = PlanFor({Stage::kEom});
  plan.macros = {"i", "{odd}", "{none}"};
  plan.stage_macros[Index(Stage::kEnvfrom)] = {0, 1, 2};
  Filter filter(plan);
  {
    Mta mta(filter.address());
    mta.Negotiate();
    mta.Connect();
    mta.Send('D', std::string_view("Mi\0Q1\0{odd}\0", 12));
    CHECK_EQ(mta.Message(), "c");
  }
  const auto records = ReadRecords(filter.script().Only(Stage::kEom).at(0).records);
  const auto envfrom = std::find_if(records.begin(), records.end(),
                                    [](const Record& one) { return one.stage == Stage::kEnvfrom; });
  CHECK(envfrom != records.end());
  CHECK_EQ(envfrom->macros.size(), 1u);
  CHECK_EQ(envfrom->macros.at(0), "Q1");
  CheckServes(filter);
}

TEST("odd lists of macros at every stage break nothing") {
  LookingFilter looking;
  std::mt19937 random(822);
  for (int connection = 0; connection < 40; connection++) {
    Mta mta(looking.filter.address());
    mta.Negotiate();
    const auto send_lists = [&] {
      for (int list = 0; list < 20; list++) {
        std::string data(1, "CHMRTNE"[random() % 7]);
        // As many texts as fill their array to the last word of its allocation.
        for (size_t texts = random() % 16; texts > 0; texts--) {
          data += std::string(random() % 3, 'n') + '\0';
        }
        mta.Send('D', data);
      }
    };
    send_lists();
    mta.Connect();
    send_lists();
    mta.Helo();
    for (int message = 0; message < 2; message++) {
      send_lists();
      CHECK_EQ(mta.Mail(), "c");
      send_lists();
      CHECK_EQ(mta.Rcpt(), "c");
      send_lists();
      mta.Data();
      mta.Header("A", "b");
      send_lists();
      mta.EndOfHeaders();
      mta.Body("x");
      send_lists();
      CHECK_EQ(mta.End(), "c");
    }
  }
  CheckServes(looking.filter);
}

TEST("an unknown command need not end with a NUL") {
  Filter filter(EveryStage());
  {
    Mta mta(filter.address());
    mta.Negotiate();
    mta.Connect();
    for (size_t length = 1; length < 200; length++) {
      mta.Send('U', std::string(length, 'x'));
      CHECK_EQ(mta.Read().command, 'c');
    }
  }
  for (const Seen& seen : filter.script().Only(Stage::kUnknown)) {
    const auto records = ReadRecords(seen.records);
    // What follows in the allocation is not the MTA's.
    CHECK(records.back().texts.at(0).size() < 200 + 64);
  }
  CheckServes(filter);
}

TEST("random packets never break anything") {
  LookingFilter looking;
  std::mt19937 random(5321);
  constexpr std::string_view kCommands = "DOCHMRTLNBEAQKU?\0";
  for (int connection = 0; connection < 60; connection++) {
    Mta mta(looking.filter.address());
    if (connection % 4 != 0) mta.Negotiate();
    if (connection % 4 > 1) mta.Connect();
    for (int packet = 0; packet < 30; packet++) {
      std::string data;
      for (size_t length = random() % 24; length > 0; length--) {
        data += random() % 3 == 0 ? '\0' : static_cast<char>(random() % 256);
      }
      mta.Send(kCommands[random() % kCommands.size()], data);
    }
  }
  CheckServes(looking.filter);
}

}  // namespace
}  // namespace milter::test
