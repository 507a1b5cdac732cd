// The answer to one stage: a verdict, the SMTP reply that goes with it, and the message's recorded actions.
//
// It arrives packed (lib/run/answers.ts writes it) and stays packed until libmilter's own thread replays
// it. Value types; the functions that take a context must run in that context's callback.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "library.h"

namespace milter {

// The numbers are libmilter's SMFIS_*, so that nothing else can ever reach libmilter.
enum class Verdict : uint8_t {
  kContinue = SMFIS_CONTINUE,
  kReject = SMFIS_REJECT,
  kDiscard = SMFIS_DISCARD,
  kAccept = SMFIS_ACCEPT,
  kTempfail = SMFIS_TEMPFAIL,
  kSkip = SMFIS_SKIP,
};

// libmilter sends nothing at all for a code it does not know, and the MTA hangs: anything odd is a tempfail.
Verdict ToVerdict(uint32_t number);

struct Answer {
  Verdict verdict = Verdict::kTempfail;
  std::string packed;  // Reply, actions and plan change; may be empty.
};

// The parts of a packed answer, as views into it.
struct AnswerParts {
  std::string_view reply;     // Empty: none.
  std::string_view actions;   // The whole message's actions in the order of their replay.
  bool has_actions = false;   // False: the actions recorded so far stay as they are.
  bool changes_plan = false;  // Only at negotiate.
  uint32_t plan = 0;
  uint32_t offer_actions = 0;
  uint32_t steps = 0;
};

// Returns false, and no parts, for a packet that is not well-formed.
bool Unpack(std::string_view packed, AnswerParts& parts);

// Gives libmilter the SMTP reply for the verdict about to be returned. An unused reply would stick to the
// connection, so this is called only together with reject or tempfail. Returns false when libmilter refused
// it.
bool SetReply(const Library& library, SMFICTX* context, std::string_view reply);

// Replays recorded actions, in order. Only legal in eom. Returns false at the first that libmilter refused,
// which after our own checks means that the MTA is gone.
bool Replay(const Library& library, SMFICTX* context, std::string_view actions);

}  // namespace milter
