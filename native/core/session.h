// One MTA connection on libmilter's side: obeys the plan, gathers what need not cross, asks what must, and
// turns answers into what libmilter is to do.
//
// Threads: the callbacks of one connection come one at a time, but on Debian each may come on another thread;
// libmilter's own locks order them. ShutdownRead() and the flags marked atomic are also used by the thread
// that closes the server. `socket_mutex_` guards the descriptor, which libmilter closes after Close().
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "macros.h"
#include "plan.h"
#include "recorder.h"
#include "ticket.h"

namespace milter {

class Server;

class Session {
 public:
  Session(std::shared_ptr<Server> server, std::shared_ptr<const Plan> plan, SMFICTX* context, uint32_t id,
          int socket, bool refused);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // What xxfi_negotiate works on: offered on entry, wanted on exit.
  struct Offer {
    unsigned long actions;
    unsigned long steps;
  };
  // Returns false when the connection is not to be served.
  bool Negotiate(Offer& offer);

  sfsistat Connect(const char* hostname, const sockaddr* address);
  sfsistat Helo(const char* name);
  sfsistat Envfrom(char** arguments);
  sfsistat Envrcpt(char** arguments);
  sfsistat Data();
  sfsistat Unknown(std::string_view command);
  sfsistat Header(const char* name, const char* value);
  sfsistat Eoh();
  sfsistat Body(std::string_view chunk);
  sfsistat Eom();
  void Abort();
  // The connection's end, told once.
  void Close();
  // Tells the connection's end from another thread, where libmilter has left it alone for good, or for long.
  void Abandon();
  // Takes the session from libmilter and the server. It may be gone when this returns.
  void Detach();

  uint32_t id() const { return id_; }
  bool refused() const { return refused_; }
  std::optional<std::string> LookupMacro(const std::string& name) { return macros_.Lookup(name); }
  bool in_message() const { return in_message_; }

  // Lets libmilter send the reply under way and then find the connection at its end.
  void ShutdownRead();
  // Breaks the connection, also under a write that the MTA does not take.
  void ShutdownBoth();

 private:
  template <typename Record>
  sfsistat Run(Stage stage, Record record);
  Verdict Ask(Stage stage);
  Answer Await(const std::shared_ptr<Ticket>& ticket, Stage stage);
  Verdict Apply(Stage stage, const Answer& answer);
  Verdict ApplyToMessage(Stage stage, Verdict verdict);
  Verdict EndWithReplay(Verdict verdict);
  void EndMessage(Verdict verdict);
  void Tell(uint8_t stage_or_notice, uint32_t about);
  void TellWithRecords(Stage stage);
  void RequestMacros();
  unsigned long WantedSteps(unsigned long offered) const;
  void AckAtOnce();
  bool HungUp() const;
  sfsistat Return(Stage stage, Verdict verdict);
  std::shared_ptr<Ticket> MakeTicket(Stage stage);

  const std::shared_ptr<Server> server_;
  SMFICTX* const context_;
  const uint32_t id_;
  const bool refused_;  // Too many connections: answered with tempfail, never crosses.
  std::shared_ptr<const Plan> plan_;
  Macros macros_;
  Recorder recorder_;
  unsigned long actions_ = 0;  // Granted SMFIF_*.
  unsigned long steps_ = 0;    // Negotiated SMFIP_*.

  std::atomic<bool> known_{false};  // JavaScript has heard of this session.
  std::atomic<uint32_t> plan_id_;   // Of plan_.
  bool closed_ = false;             // Guarded by socket_mutex_.
  bool message_known_ = false;      // JavaScript has heard of this message.
  bool accepted_ = false;           // Accepted before eom with actions recorded: the rest is ours.
  std::string recorded_actions_;
  Verdict final_ = Verdict::kContinue;  // What ended the last message, should the MTA go on with it.
  std::atomic<bool> in_message_{false};

  mutable std::mutex socket_mutex_;
  int socket_;  // Guarded by socket_mutex_. -1: unknown or gone.
};

}  // namespace milter
