// See session.h.
#include "session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "server.h"

namespace milter {
namespace {

using std::chrono::milliseconds;

// A callback that waits this long may be holding a worker that another connection needs.
constexpr milliseconds kStarvationSuspected{20};
// How often a waiting callback looks whether its MTA is still there.
constexpr milliseconds kHangupPoll{250};
// Well under the shortest time-out an MTA has for the end of a message.
constexpr milliseconds kProgressInterval{5000};

bool OfMessage(Stage stage) {
  return stage >= Stage::kEnvfrom && stage <= Stage::kAbort && stage != Stage::kUnknown;
}

}  // namespace

Session::Session(std::shared_ptr<Server> server, std::shared_ptr<const Plan> plan, SMFICTX* context,
                 uint32_t id, int socket, bool refused)
    : server_(std::move(server)),
      context_(context),
      id_(id),
      refused_(refused),
      plan_(std::move(plan)),
      macros_(server_->library(), context),
      plan_id_(plan_->id),
      socket_(socket) {
  recorder_.SetPlan(*plan_);
  // Else the packet after an action waits for the MTA's delayed acknowledgement. Fails on unix sockets: no
  // harm.
  const int on = 1;
  if (socket_ >= 0) setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool Session::Negotiate(Offer& offer) {
  const Offer offered = offer;
  actions_ = offered.actions;
  if (refused_) {
    // Only connect is wanted: its tempfail is what the client gets to see.
    offer.steps = 0;
    for (const StageFlags& flags : kStageFlags) offer.steps |= flags.off;
    steps_ = offer.steps &= offered.steps & ~static_cast<unsigned long>(SMFIP_NOCONNECT);
    return true;
  }
  steps_ = WantedSteps(offered.steps);
  if (plan_->asks_at_negotiate) {
    recorder_.Negotiation(offered.actions, offered.steps);
    const Answer answer = Await(MakeTicket(Stage::kNegotiate), Stage::kNegotiate);
    AnswerParts parts;
    if (!Unpack(answer.packed, parts) || answer.verdict != Verdict::kContinue) return false;
    if (parts.changes_plan) {
      auto chosen = server_->FindPlan(parts.plan);
      if (!chosen) return false;  // Removed meanwhile. The old plan stays, for what is still to come.
      plan_ = std::move(chosen);
      plan_id_ = plan_->id;
      recorder_.SetPlan(*plan_);
      constexpr uint32_t kByPlan = 0xffffffff;
      actions_ = offered.actions & parts.offer_actions;
      steps_ = parts.steps == kByPlan ? WantedSteps(offered.steps) : offered.steps & parts.steps;
    }
  }
  if ((offered.actions & SMFIF_SETSYMLIST) != 0) RequestMacros();
  recorder_.Negotiation(actions_, steps_);
  offer.actions = actions_;
  offer.steps = steps_;
  return true;
}

// What the plan does not need is switched off, what it only gathers gets no reply. libmilter offers every
// no-reply flag and itself sends the reply where the MTA does not know the flag.
unsigned long Session::WantedSteps(unsigned long offered) const {
  unsigned long steps = SMFIP_SKIP | SMFIP_HDR_LEADSPC;
  if (plan_->rejected_recipients) steps |= SMFIP_RCPT_REJ;
  for (size_t stage = 0; stage < kStages; stage++) {
    if (plan_->modes[stage] == Mode::kOff) steps |= kStageFlags[stage].off;
    if (plan_->modes[stage] != Mode::kWait) steps |= kStageFlags[stage].no_reply;
  }
  return steps & offered;
}

void Session::RequestMacros() {
  constexpr std::array<std::pair<Stage, int>, 7> kLists = {{{Stage::kConnect, SMFIM_CONNECT},
                                                            {Stage::kHelo, SMFIM_HELO},
                                                            {Stage::kEnvfrom, SMFIM_ENVFROM},
                                                            {Stage::kEnvrcpt, SMFIM_ENVRCPT},
                                                            {Stage::kData, SMFIM_DATA},
                                                            {Stage::kEoh, SMFIM_EOH},
                                                            {Stage::kEom, SMFIM_EOM}}};
  for (const auto& [stage, place] : kLists) {
    const std::string& names = plan_->requested_macros[Index(stage)];
    // The parameter is not const, but libmilter copies it.
    if (!names.empty()) server_->library().setsymlist(context_, place, const_cast<char*>(names.c_str()));
  }
}

// The way of every stage but eom: record it, and ask if its verdict is wanted.
template <typename Record>
sfsistat Session::Run(Stage stage, Record record) {
  if (refused_) return Return(stage, Verdict::kTempfail);
  if (OfMessage(stage)) {
    if (!in_message()) return Return(stage, final_);
    if (accepted_) return Return(stage, Verdict::kContinue);
  }
  const Mode mode = plan_->modes[Index(stage)];
  if (mode == Mode::kOff) return Return(stage, Verdict::kContinue);
  record();
  return Return(stage, mode == Mode::kWait ? Ask(stage) : Verdict::kContinue);
}

sfsistat Session::Connect(const char* hostname, const sockaddr* address) {
  return Run(Stage::kConnect,
             [&] { recorder_.Connect(hostname, address, macros_.Collect(*plan_, Stage::kConnect)); });
}

sfsistat Session::Helo(const char* name) {
  return Run(Stage::kHelo,
             [&] { recorder_.Text(Stage::kHelo, name, macros_.Collect(*plan_, Stage::kHelo)); });
}

sfsistat Session::Envfrom(char** arguments) {
  if (refused_) return Return(Stage::kEnvfrom, Verdict::kTempfail);
  // libmilter aborts the message before this one, but not after every sequence of commands that an MTA can
  // make up.
  if (in_message()) EndMessage(Verdict::kTempfail);
  if (server_->draining() && plan_->modes[Index(Stage::kEnvfrom)] == Mode::kWait) {
    final_ = Verdict::kTempfail;
    return Return(Stage::kEnvfrom, Verdict::kTempfail);
  }
  in_message_ = true;
  final_ = Verdict::kContinue;
  server_->counters().messages_created++;
  return Run(Stage::kEnvfrom, [&] {
    recorder_.Envelope(Stage::kEnvfrom, arguments, macros_.Collect(*plan_, Stage::kEnvfrom));
  });
}

sfsistat Session::Envrcpt(char** arguments) {
  return Run(Stage::kEnvrcpt, [&] {
    recorder_.Envelope(Stage::kEnvrcpt, arguments, macros_.Collect(*plan_, Stage::kEnvrcpt));
  });
}

sfsistat Session::Data() {
  if (plan_->modes[Index(Stage::kData)] == Mode::kRecord) AckAtOnce();
  return Run(Stage::kData, [&] { recorder_.Plain(Stage::kData, macros_.Collect(*plan_, Stage::kData)); });
}

sfsistat Session::Unknown(std::string_view command) {
  return Run(Stage::kUnknown, [&] { recorder_.Text(Stage::kUnknown, command, {}); });
}

sfsistat Session::Header(const char* name, const char* value) {
  return Run(Stage::kHeader, [&] { recorder_.Header(name, value); });
}

sfsistat Session::Eoh() {
  return Run(Stage::kEoh, [&] { recorder_.Plain(Stage::kEoh, macros_.Collect(*plan_, Stage::kEoh)); });
}

sfsistat Session::Body(std::string_view chunk) {
  return Run(Stage::kBody, [&] { recorder_.Body(chunk); });
}

sfsistat Session::Eom() {
  if (refused_) return SMFIS_TEMPFAIL;
  if (!in_message()) return Return(Stage::kEom, final_);
  if (!accepted_ && plan_->modes[Index(Stage::kEom)] == Mode::kWait) {
    recorder_.Eom(macros_.Collect(*plan_, Stage::kEom));
    return Return(Stage::kEom, Ask(Stage::kEom));
  }
  const bool tell = message_known_;
  const Verdict verdict = EndWithReplay(accepted_ ? Verdict::kAccept : Verdict::kContinue);
  if (tell && verdict != Verdict::kTempfail) {
    recorder_.Eom({});
    TellWithRecords(Stage::kEom);
  }
  return Return(Stage::kEom, verdict);
}

void Session::Abort() {
  if (!in_message()) return;
  if (message_known_ || plan_->modes[Index(Stage::kAbort)] == Mode::kWait) {
    recorder_.Plain(Stage::kAbort, macros_.Collect(*plan_, Stage::kAbort));
    TellWithRecords(Stage::kAbort);
  }
  EndMessage(Verdict::kTempfail);
}

void Session::Close() {
  if (in_message()) EndMessage(Verdict::kTempfail);
  {
    std::lock_guard lock(socket_mutex_);
    socket_ = -1;
    if (closed_) return;
    closed_ = true;
  }
  if (!refused_ && (known_ || plan_->modes[Index(Stage::kClose)] == Mode::kWait)) {
    recorder_.Plain(Stage::kClose, {});
    TellWithRecords(Stage::kClose);
  }
}

void Session::Abandon() {
  {
    std::lock_guard lock(socket_mutex_);
    if (closed_) return;
    closed_ = true;
  }
  if (!known_) return;
  // The recorder belongs to the callbacks, so this is a record without what they gathered: a stage, no
  // macros.
  auto ticket = std::make_shared<Ticket>(id_, plan_id_, static_cast<uint8_t>(Stage::kClose));
  ticket->records = {static_cast<char>(Stage::kClose), 0};
  server_->lane().Post(std::move(ticket), false);
}

void Session::Detach() { server_->Remove(context_, id_); }

std::shared_ptr<Ticket> Session::MakeTicket(Stage stage) {
  auto ticket = std::make_shared<Ticket>(id_, plan_->id, static_cast<uint8_t>(stage));
  recorder_.Take(ticket->records, ticket->body);
  known_ = true;
  if (in_message()) message_known_ = true;
  return ticket;
}

Verdict Session::Ask(Stage stage) { return Apply(stage, Await(MakeTicket(stage), stage)); }

// News with everything gathered so far; nobody waits for an answer.
void Session::TellWithRecords(Stage stage) { server_->lane().Post(MakeTicket(stage), false); }

void Session::Tell(uint8_t notice, uint32_t about) {
  auto ticket = std::make_shared<Ticket>(id_, plan_->id, notice);
  ticket->id = about;
  server_->lane().Post(std::move(ticket), false);
}

// Sleeps until the answer or the deadline; meanwhile keeps the MTA patient, notices when it leaves, and sees
// to it that libmilter has a worker for others.
Answer Session::Await(const std::shared_ptr<Ticket>& ticket, Stage stage) {
  ticket->set_session(this);
  if (!server_->lane().Post(ticket, true)) return Answer{};
  Server::Waiting waiting(*server_);
  const auto begun = Clock::now();
  const auto deadline = begun + plan_->deadlines[Index(stage)];
  auto wake = begun + kStarvationSuspected;
  auto progress = stage == Stage::kEom ? begun + kProgressInterval : Clock::time_point::max();
  bool gone = false;
  for (;;) {
    if (auto answer = ticket->Wait(std::min({deadline, wake, progress}))) return std::move(*answer);
    const auto now = Clock::now();
    if (now >= deadline) {
      Answer answer;
      if (ticket->Expire(plan_->on_error, answer)) {
        server_->lane().Forget(ticket->id);
        Tell(static_cast<uint8_t>(Notice::kExpired), ticket->id);
      }
      return answer;
    }
    waiting.TakesLong();
    bool left = HungUp();
    if (now >= progress) {
      left = server_->library().progress(context_) != MI_SUCCESS || left;
      progress = now + kProgressInterval;
    }
    if (left && !gone) {
      gone = true;
      progress = Clock::time_point::max();
      Tell(static_cast<uint8_t>(Notice::kHangup), ticket->id);
    }
    wake = now + kHangupPoll;
  }
}

Verdict Session::Apply(Stage stage, const Answer& answer) {
  AnswerParts parts;
  Verdict verdict = answer.verdict;
  if (!Unpack(answer.packed, parts)) verdict = Verdict::kTempfail;
  if (parts.has_actions) recorded_actions_ = parts.actions;
  if (verdict == Verdict::kSkip && (stage != Stage::kBody || (steps_ & SMFIP_SKIP) == 0))
    verdict = Verdict::kContinue;
  // A policy may say so, but it is none of this stage's verdicts.
  if (stage == Stage::kUnknown && verdict == Verdict::kAccept) verdict = Verdict::kContinue;
  const bool final = verdict == Verdict::kReject || verdict == Verdict::kTempfail;
  if (final && !parts.reply.empty()) SetReply(server_->library(), context_, parts.reply);
  return OfMessage(stage) ? ApplyToMessage(stage, verdict) : verdict;
}

Verdict Session::ApplyToMessage(Stage stage, Verdict verdict) {
  switch (verdict) {
    case Verdict::kContinue:
      return stage == Stage::kEom ? EndWithReplay(verdict) : verdict;
    case Verdict::kSkip:
      return verdict;
    case Verdict::kAccept:
      if (stage == Stage::kEom) return EndWithReplay(verdict);
      if (!recorded_actions_.empty()) {
        // The MTA never comes to eom after an accept, and the actions would be lost.
        accepted_ = true;
        recorder_.DropMessage();
        return Verdict::kContinue;
      }
      break;
    case Verdict::kReject:
    case Verdict::kTempfail:
      if (stage == Stage::kEnvrcpt) return verdict;  // Concerns this recipient only.
      break;
    case Verdict::kDiscard:
      break;
  }
  EndMessage(verdict);
  return verdict;
}

Verdict Session::EndWithReplay(Verdict verdict) {
  if (!recorded_actions_.empty() && !Replay(server_->library(), context_, recorded_actions_)) {
    Tell(static_cast<uint8_t>(Notice::kReplayFailed), 0);
    verdict = Verdict::kTempfail;
  }
  EndMessage(verdict);
  return verdict;
}

void Session::EndMessage(Verdict verdict) {
  final_ = verdict;
  in_message_ = false;
  message_known_ = false;
  accepted_ = false;
  recorded_actions_.clear();
  recorder_.DropMessage();
  macros_.EndMessage();
  server_->counters().messages_freed++;
}

sfsistat Session::Return(Stage stage, Verdict verdict) {
  if (server_->draining() && !in_message()) ShutdownRead();
  // With the flag negotiated this is the only legal value, and without it an illegal one.
  if ((steps_ & kStageFlags[Index(stage)].no_reply) != 0) return SMFIS_NOREPLY;
  return static_cast<sfsistat>(verdict);
}

// Postfix flushes its stream at DATA. Where we send no reply, Nagle keeps the content back until the kernel's
// delayed acknowledgement, 40 ms later, unless that is sent now.
void Session::AckAtOnce() {
#ifdef TCP_QUICKACK
  const int on = 1;
  std::lock_guard lock(socket_mutex_);
  if (socket_ >= 0) setsockopt(socket_, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
#endif
}

bool Session::HungUp() const {
  std::lock_guard lock(socket_mutex_);
  if (socket_ < 0) return false;
#ifdef POLLRDHUP
  pollfd watch{socket_, POLLRDHUP, 0};
  return poll(&watch, 1, 0) > 0 && (watch.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
#else
  char byte;
  return recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
#endif
}

void Session::ShutdownRead() {
  std::lock_guard lock(socket_mutex_);
  if (socket_ >= 0) shutdown(socket_, SHUT_RD);
}

void Session::ShutdownBoth() {
  std::lock_guard lock(socket_mutex_);
  if (socket_ >= 0) shutdown(socket_, SHUT_RDWR);
}

}  // namespace milter
