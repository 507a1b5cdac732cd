// One connection: which stages wait, cross with a later one or stay away, and what goes with them.
#include "check.h"
#include "mta.h"
#include "pack.h"
#include "records.h"
#include "script.h"

namespace milter::test {
namespace {

using std::chrono::milliseconds;

TEST("every stage that waits crosses by itself") {
  Plan plan = PlanFor({Stage::kConnect, Stage::kHelo, Stage::kEnvfrom, Stage::kEnvrcpt, Stage::kData,
                       Stage::kHeader, Stage::kEoh, Stage::kBody, Stage::kEom, Stage::kUnknown});
  plan.modes[Index(Stage::kAbort)] = plan.modes[Index(Stage::kClose)] = Mode::kWait;
  Filter filter(plan);
  {
    Mta mta(filter.address());
    mta.Negotiate();
    CHECK_EQ(mta.Connect("host.example", "192.0.2.7"), "c");
    CHECK_EQ(mta.Helo("helo.example"), "c");
    CHECK_EQ(mta.Unknown("FOO bar"), "c");
    CHECK_EQ(mta.Mail("<a@example.org>", "SIZE=10"), "c");
    CHECK_EQ(mta.Rcpt(), "c");
    CHECK_EQ(mta.Data(), "c");
    CHECK_EQ(mta.Header("Subject", " x"), "c");
    CHECK_EQ(mta.EndOfHeaders(), "c");
    CHECK_EQ(mta.Body("text"), "c");
    CHECK_EQ(mta.End(), "c");
  }
  CHECK(filter.script().Came(Stage::kClose));
  std::string order;
  for (const Seen& seen : filter.script().seen()) {
    for (const Record& record : ReadRecords(seen.records)) {
      order += std::string(order.empty() ? "" : " ") + NameOf(record.stage);
      if (record.stage == Stage::kConnect) {
        CHECK_EQ(record.texts[0], "host.example");
        CHECK_EQ(record.texts[1], "192.0.2.7");
        CHECK_EQ(record.numbers[0], uint32_t{'4'});
        CHECK_EQ(record.numbers[1], 12345u);
      }
      if (record.stage == Stage::kEnvfrom) CHECK_EQ(record.texts[1], "SIZE=10");
      if (record.stage == Stage::kHeader) CHECK_EQ(record.texts[1], " x");
    }
  }
  CHECK_EQ(order, "negotiate connect helo unknown envfrom envrcpt data header eoh body eom close");
  CHECK_EQ(filter.Left(), "");
}

TEST("what is only recorded gets no reply and crosses with the next stage that waits") {
  Filter filter(PlanFor({Stage::kEnvrcpt, Stage::kEom}));
  Mta mta(filter.address());
  CHECK_EQ(mta.WholeMessage(), "c");
  CHECK_EQ(mta.steps() & SMFIP_NR_MAIL, uint32_t{SMFIP_NR_MAIL});
  CHECK_EQ(mta.steps() & SMFIP_NR_RCPT, 0u);
  CHECK_EQ(StagesIn(filter.script().Only(Stage::kEnvrcpt).at(0).records),
           "negotiate connect helo envfrom envrcpt");
  CHECK_EQ(StagesIn(filter.script().Only(Stage::kEom).at(0).records), "data header eoh body eom");
}

TEST("recorded stages are answered where the MTA knows no way to do without replies") {
  Filter filter(PlanFor({Stage::kEom}));
  Mta mta(filter.address());
  mta.Negotiate(0x1ff, 0x7f, 2);  // An MTA of 2004.
  CHECK_EQ(mta.steps() & SMFIP_NR_MAIL, 0u);
  CHECK_EQ(mta.Connect(), "c");
  CHECK_EQ(mta.Helo(), "c");
  CHECK_EQ(mta.Mail(), "c");
  CHECK_EQ(mta.Rcpt(), "c");
  CHECK_EQ(mta.Header("Subject", "x"), "c");
  CHECK_EQ(mta.EndOfHeaders(), "c");
  CHECK_EQ(mta.Body("text"), "c");
  CHECK_EQ(mta.End(), "c");
  CHECK_EQ(StagesIn(filter.script().Only(Stage::kEom).at(0).records),
           "negotiate connect helo envfrom envrcpt header eoh body eom");
}

TEST("what nobody needs is switched off, and nothing crosses") {
  Filter filter(PlanFor({}, Mode::kOff));
  {
    Mta mta(filter.address());
    CHECK_EQ(mta.WholeMessage(), "c");
    const uint32_t off = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NORCPT | SMFIP_NOBODY |
                         SMFIP_NOHDRS | SMFIP_NOEOH | SMFIP_NOUNKNOWN | SMFIP_NODATA;
    CHECK_EQ(mta.steps() & off, off);
  }
  CHECK_EQ(filter.Left(), "");
  CHECK(filter.script().seen().empty());
}

TEST("a message that ends unheard of leaves nothing for the next one") {
  Filter filter(PlanFor({Stage::kEom}));
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Mail("<first@example.org>");
  mta.Rcpt("<first@example.org>");
  mta.Data();
  mta.Header("X-First", "1");
  mta.Abort();
  CHECK_EQ(mta.Message(), "c");
  const std::string records = filter.script().Only(Stage::kEom).at(0).records;
  CHECK_EQ(StagesIn(records), "negotiate connect envfrom envrcpt data header eoh body eom");
  CHECK(records.find("irst") == std::string::npos);
}

TEST("a second MAIL ends the message before it") {
  Filter filter(PlanFor({Stage::kEnvfrom, Stage::kEom}));
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  CHECK_EQ(mta.Mail("<one@example.org>"), "c");
  CHECK_EQ(mta.Mail("<two@example.org>"), "c");
  CHECK(filter.script().Came(Stage::kAbort));
  mta.HangUp();
  CHECK_EQ(filter.Left(), "");
}

TEST("macros of one message are not seen in the next, even by name") {
  Plan plan = PlanFor({Stage::kEnvfrom, Stage::kEom});
  plan.macros = {"i", "{daemon_name}"};
  plan.stage_macros[Index(Stage::kConnect)] = {0, 1};
  plan.stage_macros[Index(Stage::kEnvfrom)] = {0};
  plan.stage_macros[Index(Stage::kEom)] = {0};
  std::vector<std::optional<std::string>> found;
  Script* script = nullptr;
  Filter filter(plan, [&](const Seen& seen) {
    script->lane()->Find(seen.ticket)->WithSession([&](Session& session) {
      found.push_back(session.LookupMacro("i"));
      CHECK(session.LookupMacro("{daemon_name}") == std::optional<std::string>("smtpd"));
    });
    return Reply{};
  });
  script = &filter.script();
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Macro('C', {{"{daemon_name}", "smtpd"}});
  mta.Connect();
  mta.Macro('M', {{"i", "QUEUE1"}});
  CHECK_EQ(mta.Message(), "c");
  CHECK_EQ(mta.Message(), "c");  // This MTA knows the queue id only later, and sends nothing at MAIL.
  CHECK_EQ(found.size(), 4u);
  CHECK_EQ(found[0].value_or(""), "QUEUE1");
  CHECK_EQ(found[1].value_or(""), "QUEUE1");
  CHECK(!found[2]);
  CHECK(!found[3]);
  const auto first = ReadRecords(filter.script().Only(Stage::kEnvfrom).at(0).records);
  const auto second = ReadRecords(filter.script().Only(Stage::kEnvfrom).at(1).records);
  CHECK_EQ(first.back().macros.at(0), "QUEUE1");
  CHECK(second.back().macros.empty());
}

// What of the macros crosses with each occurrence of one stage: "0=a 1- " and so on.
std::vector<std::string> MacrosAt(Filter& filter, Stage stage) {
  std::vector<std::string> found;
  for (const Seen& seen : filter.script().Only(stage)) {
    const Record record = ReadRecords(seen.records).back();
    std::string news;
    for (const auto& [index, value] : record.macros) news += std::to_string(index) + "=" + value + " ";
    for (const uint8_t index : record.gone) news += std::to_string(index) + "- ";
    found.push_back(news);
  }
  return found;
}

TEST("a macro of one recipient is not the next one's, whether or not others come for that") {
  Plan plan = PlanFor({Stage::kEnvrcpt});
  plan.macros = {"i", "{dsn_notify}"};
  plan.stage_macros[Index(Stage::kEnvfrom)] = {0};
  plan.stage_macros[Index(Stage::kEnvrcpt)] = {0, 1};
  std::vector<std::string> looked_up;
  Script* script = nullptr;
  Filter filter(plan, [&](const Seen& seen) {
    script->lane()->Find(seen.ticket)->WithSession([&](Session& session) {
      looked_up.push_back(session.LookupMacro("{wild}").value_or("-") +
                          session.LookupMacro("i").value_or("-"));
    });
    return Reply{};
  });
  script = &filter.script();
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Macro('M', {{"i", "Q"}});
  mta.Mail();
  mta.Macro('R', {{"{dsn_notify}", "never"}, {"{wild}", "w"}});
  mta.Rcpt();
  mta.Macro('R', {{"{rcpt_addr}", "b"}});
  mta.Rcpt();
  mta.Macro('R', {{"{dsn_notify}", "never"}, {"{wild}", "w"}});
  mta.Rcpt();
  mta.Rcpt();
  mta.Macro('R', {{"{dsn_notify}", "never"}});
  mta.Rcpt();
  const std::vector<std::string> expected = {"1=never ", "1- ", "1=never ", "1- ", "1=never "};
  CHECK(MacrosAt(filter, Stage::kEnvrcpt) == expected);
  const std::vector<std::string> by_name = {"wQ", "-Q", "wQ", "-Q", "-Q"};
  CHECK(looked_up == by_name);
}

TEST("a macro of one HELO is not the next one's, and those of connect stay") {
  Plan plan = PlanFor({Stage::kHelo});
  plan.macros = {"j", "{tls_version}"};
  plan.stage_macros[Index(Stage::kConnect)] = plan.stage_macros[Index(Stage::kHelo)] = {0, 1};
  Filter filter(plan);
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Macro('C', {{"j", "mx"}});
  mta.Connect();
  mta.Helo();
  mta.Macro('H', {{"{tls_version}", "TLSv1.3"}});
  mta.Helo();
  mta.Macro('H', {{"{cipher}", "x"}});
  mta.Helo();
  mta.Macro('H', {{"{tls_version}", "TLSv1.3"}});
  mta.Helo();
  mta.Helo();
  const std::vector<std::string> expected = {"", "1=TLSv1.3 ", "1- ", "1=TLSv1.3 ", "1- "};
  CHECK(MacrosAt(filter, Stage::kHelo) == expected);
}

TEST("macros that came for the next message survive the end of the one before") {
  Plan plan = PlanFor({Stage::kEnvfrom, Stage::kAbort});
  plan.macros = {"i"};
  plan.stage_macros[Index(Stage::kEnvfrom)] = {0};
  Filter filter(plan);
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  for (const char* id : {"Q1", "Q2", "Q2"}) {
    mta.Macro('M', {{"i", id}});
    mta.Mail();  // Ends the message before.
  }
  mta.Mail();
  const std::vector<std::string> expected = {"0=Q1 ", "0=Q2 ", "0=Q2 ", ""};
  CHECK(MacrosAt(filter, Stage::kEnvfrom) == expected);
}

TEST("a large body crosses whole and apart from the records") {
  Filter filter(PlanFor({Stage::kEom}));
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Mail();
  mta.Rcpt();
  mta.Data();
  mta.EndOfHeaders();
  std::string body;
  for (int chunk = 0; chunk < 200; chunk++) {
    const std::string part(65535, static_cast<char>(chunk));
    mta.Body(part);
    body += part;
  }
  CHECK_EQ(mta.End(), "c");
  const Seen eom = filter.script().Only(Stage::kEom).at(0);
  CHECK(eom.body == body);
  CHECK(eom.records.size() < 1000);
  CHECK_EQ(ReadRecords(eom.records, eom.body).back().numbers.size(), 0u);
}

TEST("a body beyond the limit is dropped and said to be incomplete") {
  Plan plan = PlanFor({Stage::kEom});
  plan.max_body = 100'000;
  Filter filter(plan);
  Mta mta(filter.address());
  for (const size_t chunks : {2u, 1u}) {
    if (chunks == 2) mta.Negotiate(), mta.Connect();
    mta.Mail();
    mta.Rcpt();
    mta.Data();
    mta.EndOfHeaders();
    for (size_t i = 0; i < chunks; i++) mta.Body(std::string(60'000, 'x'));
    CHECK_EQ(mta.End(), "c");
  }
  const auto eoms = filter.script().Only(Stage::kEom);
  const auto too_large = ReadRecords(eoms.at(0).records, eoms.at(0).body);
  const auto whole = ReadRecords(eoms.at(1).records, eoms.at(1).body);
  CHECK_EQ(too_large.at(too_large.size() - 2).numbers.at(0), 0u);
  CHECK_EQ(too_large.at(too_large.size() - 2).texts.at(0), "");
  CHECK_EQ(whole.at(whole.size() - 2).numbers.at(0), 1u);
  CHECK_EQ(whole.at(whole.size() - 2).texts.at(0).size(), 60'000u);
}

TEST("a handler that does not answer in time is answered for") {
  Plan plan = PlanFor({Stage::kEnvfrom});
  plan.deadlines[Index(Stage::kEnvfrom)] = milliseconds(30);
  plan.on_error = {Verdict::kReject, PackReply("554", "5.3.0", {"failed"})};
  Filter filter(plan, [](const Seen&) { return Reply{Verdict::kContinue, {}, milliseconds(0), true}; });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  CHECK_EQ(mta.Mail(), "y554 5.3.0 failed");
  CHECK(filter.script().Came(Notice::kExpired));
  CHECK_EQ(filter.script().Only(Notice::kExpired).at(0).ticket,
           filter.script().Only(Stage::kEnvfrom).at(0).ticket);
  mta.HangUp();
  CHECK_EQ(filter.Left(), "");
}

TEST("an answer that comes after the deadline changes nothing") {
  Plan plan = PlanFor({Stage::kEnvfrom, Stage::kEom});
  plan.deadlines[Index(Stage::kEnvfrom)] = milliseconds(20);
  Filter filter(plan, [](const Seen&) { return Reply{Verdict::kContinue, {}, milliseconds(0), true}; });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  for (size_t message = 0; message < 2; message++) {
    CHECK_EQ(mta.Mail(), "t");
    const uint32_t ticket = filter.script().Only(Stage::kEnvfrom).at(message).ticket;
    bool counts = true;
    filter.script().Do([&] {
      counts = filter.script().lane()->Settle(ticket,
                                              Answer{Verdict::kReject, PackReply("550", "5.7.1", {"late"})});
    });
    CHECK(!counts);
  }
}

TEST("an MTA that leaves while a handler runs is noticed") {
  Filter filter(PlanFor({Stage::kEnvfrom}),
                [](const Seen&) { return Reply{Verdict::kContinue, {}, milliseconds(0), true}; });
  Mta mta(filter.address());
  mta.Negotiate();
  mta.Connect();
  mta.Send('M', std::string_view("<a@example.org>\0", 16));
  CHECK(filter.script().Came(Stage::kEnvfrom));
  mta.HangUp();
  CHECK(filter.script().Came(Notice::kHangup));
  const uint32_t ticket = filter.script().Only(Stage::kEnvfrom).at(0).ticket;
  CHECK_EQ(filter.script().Only(Notice::kHangup).at(0).ticket, ticket);
  filter.script().Do([&] { filter.script().lane()->Settle(ticket, Answer{}); });
  CHECK_EQ(filter.Left(), "");
}

TEST("connections beyond the limit get a tempfail at connect and never cross") {
  ServerOptions options;
  options.max_connections = 2;
  Filter filter(PlanFor({Stage::kConnect, Stage::kEnvfrom}), GoOn, options);
  Mta one(filter.address());
  Mta two(filter.address());
  for (Mta* mta : {&one, &two}) {
    mta->Negotiate();
    CHECK_EQ(mta->Connect(), "c");
  }
  Mta three(filter.address());
  three.Negotiate();
  CHECK_EQ(three.Connect(), "t");
  CHECK_EQ(filter.script().Only(Stage::kConnect).size(), 2u);
  two.HangUp();
  CHECK(Eventually([&] { return filter.server().counters().sessions_freed == 1; }));
  // The refused one is still there, but takes nobody's place.
  Mta four(filter.address());
  four.Negotiate();
  CHECK_EQ(four.Connect(), "c");
}

TEST("a refused connection that goes on all the same is refused at every stage") {
  ServerOptions options;
  options.max_connections = 0;
  Filter filter(PlanFor({Stage::kConnect, Stage::kEnvfrom}), GoOn, options);
  {
    Mta mta(filter.address());
    mta.Negotiate(0x1ff, 0, 2);
    CHECK_EQ(mta.Connect(), "t");
    for (int again = 0; again < 3; again++) {
      mta.Send('M', std::string_view("<a@example.org>\0", 16));
      CHECK_EQ(mta.Read().command, 't');
    }
  }
  CHECK_EQ(filter.Left(), "");
  CHECK(filter.script().seen().empty());
}

// The answer to a negotiation: to follow that plan, with these actions.
std::string PackPlan(uint32_t id) {
  ByteWriter change;
  change.U8(4);
  change.U32(id);
  change.U32(SMFIF_ADDHDRS);
  change.U32(0xffffffff);
  return change.Take();
}

Plan Asking() {
  Plan plan = PlanFor({}, Mode::kOff);
  plan.asks_at_negotiate = true;
  return plan;
}

Reply FollowPlan2(const Seen& seen) {
  return seen.Is(Stage::kNegotiate) ? Reply{Verdict::kContinue, PackPlan(2)} : Reply{Verdict::kReject, {}};
}

TEST("the class is chosen at negotiation when the plan says so") {
  Plan chosen = PlanFor({Stage::kEnvfrom});
  chosen.id = 2;
  Filter filter(Asking(), FollowPlan2);
  filter.server().AddPlan(std::make_shared<const Plan>(chosen));
  Mta mta(filter.address());
  const Packet answer = mta.Negotiate();
  CHECK_EQ(answer.data.substr(4, 4), Big32(SMFIF_ADDHDRS));
  mta.Connect();
  CHECK_EQ(mta.Mail(), "r");
}

TEST("a plan that is removed serves the sessions that follow it, and is then gone") {
  Plan chosen = PlanFor({Stage::kEnvfrom});
  chosen.id = 2;
  auto plan = std::make_shared<const Plan>(chosen);
  const std::weak_ptr<const Plan> watched = plan;
  Filter filter(Asking(), FollowPlan2);
  filter.server().AddPlan(std::move(plan));
  {
    Mta before(filter.address());
    before.Negotiate();
    before.Connect();
    CHECK(filter.server().RemovePlan(2));
    CHECK_EQ(before.Mail(), "r");
    Mta after(filter.address());
    CHECK(after.Negotiate().command != 'O');
    CHECK(!watched.expired());
  }
  CHECK(Eventually([&] { return watched.expired(); }));
}

TEST("a plan that is unknown, or that new connections follow, cannot be removed") {
  Filter filter(PlanFor({Stage::kEnvfrom}));
  Plan next = PlanFor({});
  next.id = 2;
  filter.server().AddPlan(std::make_shared<const Plan>(next));
  CHECK(!filter.server().RemovePlan(1));
  CHECK(!filter.server().RemovePlan(3));
  CHECK(!filter.server().UsePlan(3));
  CHECK(filter.server().UsePlan(2));
  CHECK(filter.server().RemovePlan(1));
  CHECK(!filter.server().RemovePlan(1));
}

}  // namespace
}  // namespace milter::test
