// Packed answers: what lib/ writes is replayed in order, and no bytes whatever can break the process.
#include "../core/answer.h"

#include <random>

#include "check.h"
#include "mta.h"
#include "pack.h"
#include "script.h"

namespace milter::test {
namespace {

std::string Commands(const std::vector<Packet>& packets) {
  std::string commands;
  for (const Packet& packet : packets) commands += packet.command;
  return commands;
}

// A session up to the end of the message, whose packets this gives.
std::vector<Packet> MessagePackets(Mta& mta) {
  mta.Negotiate();
  mta.Connect();
  mta.Mail();
  mta.Rcpt();
  mta.Data();
  mta.EndOfHeaders();
  return mta.EndOfMessage();
}

TEST("actions are replayed at the end of the message, in order, before the verdict") {
  const std::string packed = PackActions({{Act::kChangeHeader, 2, "Subject", "new"},
                                          {Act::kInsertHeader, 0, "X-First", "1"},
                                          {Act::kAddHeader, 0, "X-Last", "2"},
                                          {Act::kChangeFrom, 0, "<c@example.org>", ""},
                                          {Act::kDeleteRcpt, 0, "<b@example.org>", ""},
                                          {Act::kAddRcpt, 0, "<d@example.org>", ""},
                                          {Act::kAddRcpt, 0, "<e@example.org>", "NOTIFY=NEVER"},
                                          {Act::kQuarantine, 0, "looks odd", ""},
                                          {Act::kReplaceBody, 0, "new body\r\n", ""}});
  Filter filter(PlanFor({Stage::kEom}), [&](const Seen&) { return Reply{Verdict::kContinue, packed}; });
  Mta mta(filter.address());
  const std::vector<Packet> packets = MessagePackets(mta);
  CHECK_EQ(Commands(packets), "mihe-+2qbc");
  CHECK_EQ(packets[0].data, Big32(2) + std::string("Subject\0new\0", 12));
  CHECK_EQ(packets[6].data, std::string("<e@example.org>\0NOTIFY=NEVER\0", 29));
  CHECK_EQ(packets[8].data, "new body\r\n");
}

TEST("actions recorded with an early accept are replayed at the end of the message") {
  const std::string packed = PackActions({{Act::kAddHeader, 0, "X-Seen", "yes"}});
  Filter filter(PlanFor({Stage::kEnvfrom, Stage::kEom}), [&](const Seen& seen) {
    return seen.Is(Stage::kEnvfrom) ? Reply{Verdict::kAccept, packed} : Reply{Verdict::kReject, {}};
  });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  CHECK_EQ(mta.Mail(), "c");
  mta.Rcpt();
  mta.Data();
  mta.EndOfHeaders();
  CHECK_EQ(Commands(mta.EndOfMessage()), "ha");
  for (const Seen& seen : filter.script().Only(Stage::kEom)) CHECK_EQ(seen.ticket, 0u);  // Told, not asked.
}

TEST("an early accept without actions is passed on at once") {
  Filter filter(PlanFor({Stage::kEnvfrom, Stage::kEom}),
                [](const Seen&) { return Reply{Verdict::kAccept, {}}; });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  CHECK_EQ(mta.Mail(), "a");
}

TEST("a reply goes with the verdict it belongs to, and never with a later one") {
  int mails = 0;
  Filter filter(PlanFor({Stage::kEnvfrom}), [&](const Seen&) {
    const bool first = mails++ == 0;
    return Reply{first ? Verdict::kContinue : Verdict::kReject,
                 first ? PackReply("550", "5.7.1", {"stale"}) : std::string()};
  });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  CHECK_EQ(mta.Mail(), "c");
  mta.Abort();
  CHECK_EQ(mta.Mail(), "r");
}

TEST("a reply of several lines arrives as one") {
  const std::string packed = PackReply("550", "5.7.1", {"100%% sure", "second"});
  Filter filter(PlanFor({Stage::kEnvfrom}), [&](const Seen&) { return Reply{Verdict::kReject, packed}; });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  CHECK_EQ(mta.Mail(), "y550-5.7.1 100%% sure\r\n550 5.7.1 second");
}

TEST("a packet that is cut short is a tempfail and changes nothing else") {
  const std::string whole = PackActions({{Act::kAddHeader, 0, "X-Seen", "yes"}});
  int recipients = 0;
  Filter filter(PlanFor({Stage::kEnvrcpt, Stage::kEom}), [&](const Seen& seen) {
    if (seen.Is(Stage::kEom)) return Reply{};
    return Reply{Verdict::kContinue, recipients++ == 0 ? whole : whole.substr(0, whole.size() - 4)};
  });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Mail();
  CHECK_EQ(mta.Rcpt("<one@example.org>"), "c");
  CHECK_EQ(mta.Rcpt("<two@example.org>"), "t");
  mta.Data();
  mta.EndOfHeaders();
  CHECK_EQ(Commands(mta.EndOfMessage()), "hc");
}

TEST("a text without its final NUL is refused, since libmilter would read on behind it") {
  ByteWriter writer;
  writer.Text("abc");
  writer.Raw("x");
  ByteReader reader(writer.view());
  reader.Text();
  CHECK(!reader.ok());
}

TEST("any length in a packet is measured against what is there") {
  for (const uint32_t length : {0xffffffffu, 0xfffffffeu, 0x7fffffffu, 4u}) {
    ByteWriter writer;
    writer.U32(length);
    writer.Raw(std::string_view("abc\0", 4));
    ByteReader reader(writer.view());
    CHECK(reader.Text().empty());
    CHECK(!reader.ok());
  }
}

TEST("random bytes for an answer never break anything") {
  std::mt19937 random(20240229);
  const std::string good_actions =
      PackActions({{Act::kAddHeader, 0, "X-A", "b"}, {Act::kReplaceBody, 0, "xyz", ""}});
  const std::string good_reply = PackReply("451", "4.3.0", {"later"});
  Filter filter(PlanFor({Stage::kEnvrcpt, Stage::kEom}), [&](const Seen&) {
    std::string packed = random() % 2 == 0 ? good_actions : good_reply;
    for (size_t changes = random() % 6; changes > 0; changes--) {
      packed[random() % packed.size()] = static_cast<char>(random() % 4 == 0 ? random() % 256 : random() % 8);
    }
    if (random() % 3 == 0) packed.resize(random() % (packed.size() + 1));
    return Reply{ToVerdict(static_cast<uint32_t>(random() % 12)), packed};
  });
  for (int connection = 0; connection < 20; connection++) {
    Mta mta(filter.address());
    mta.Negotiate();
    mta.Connect();
    for (int message = 0; message < 20; message++) {
      mta.Mail();
      const std::string answer = mta.Rcpt();
      if (answer == "a" || answer == "d") continue;  // The message is over.
      mta.Data();
      mta.EndOfHeaders();
      CHECK(!mta.End().empty());
    }
  }
  CHECK_EQ(filter.Left(), "");
}

TEST("no number but libmilter's own verdicts gets through") {
  for (uint32_t number = 0; number < 300; number++) {
    const bool known = number <= SMFIS_TEMPFAIL || number == SMFIS_SKIP;
    CHECK_EQ(static_cast<uint32_t>(ToVerdict(number)), known ? number : SMFIS_TEMPFAIL);
  }
}

}  // namespace
}  // namespace milter::test
