// Answers of any bytes, given to what unpacks them and hands them to libmilter. Held:
//
// - nothing is read outside of the packet (AddressSanitizer; the packet is as large as its bytes);
// - every text that libmilter is given lies in the packet and ends in a NUL that is in it too;
// - a packet that is not well-formed has no parts, and one that is reads the same twice;
// - there are no more actions than the packet has room for, and none after one that libmilter refused;
// - a reply has 1 to 32 lines, and behind the last comes a null.
//
// Threads: libFuzzer's one.
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "../core/answer.h"

namespace {

using milter::AnswerParts;
using milter::Library;

#define HOLDS(condition) \
  if (!(condition)) std::abort()

// What libmilter was given.
struct Heard {
  std::string_view packet;
  std::vector<std::string> actions;
  size_t refused_at = SIZE_MAX;  // The number of the action that is refused.
  size_t reply_lines = 0;
};
Heard heard;

void IsInPacket(const char* text) {
  const char* end = heard.packet.data() + heard.packet.size();
  HOLDS(text >= heard.packet.data() && text < end);
  HOLDS(std::memchr(text, 0, static_cast<size_t>(end - text)) != nullptr);
}

int Hear(const char* what, std::initializer_list<const char*> texts) {
  std::string action = what;
  for (const char* text : texts) {
    if (text == nullptr) continue;
    IsInPacket(text);
    action.append(1, '\0').append(text);
  }
  heard.actions.push_back(std::move(action));
  return heard.actions.size() > heard.refused_at ? MI_FAILURE : MI_SUCCESS;
}

int SetMlReply(SMFICTX*, const char* code, const char* enhanced, ...) {
  IsInPacket(code);
  if (enhanced != nullptr) IsInPacket(enhanced);
  va_list lines;
  va_start(lines, enhanced);
  for (const char* line = va_arg(lines, const char*); line != nullptr; line = va_arg(lines, const char*)) {
    IsInPacket(line);
    heard.reply_lines++;
  }
  va_end(lines);
  HOLDS(heard.reply_lines >= 1 && heard.reply_lines <= 32);
  return MI_SUCCESS;
}

Library Listening() {
  Library library{};
  library.setmlreply = SetMlReply;
  library.addheader = [](SMFICTX*, char* name, char* value) { return Hear("addheader", {name, value}); };
  library.insheader = [](SMFICTX*, int, char* name, char* value) { return Hear("insheader", {name, value}); };
  library.chgheader = [](SMFICTX*, char* name, int, char* value) { return Hear("chgheader", {name, value}); };
  library.chgfrom = [](SMFICTX*, char* sender, char* arguments) {
    return Hear("chgfrom", {sender, arguments});
  };
  library.addrcpt = [](SMFICTX*, char* rcpt) { return Hear("addrcpt", {rcpt}); };
  library.addrcpt_par = [](SMFICTX*, char* rcpt, char* arguments) {
    return Hear("addrcpt_par", {rcpt, arguments});
  };
  library.delrcpt = [](SMFICTX*, char* rcpt) { return Hear("delrcpt", {rcpt}); };
  library.replacebody = [](SMFICTX*, unsigned char* body, int length) {
    const char* text = reinterpret_cast<const char*>(body);
    IsInPacket(text);
    HOLDS(length >= 0 && text + length < heard.packet.data() + heard.packet.size());
    return Hear("replacebody", {});
  };
  library.quarantine = [](SMFICTX*, char* reason) { return Hear("quarantine", {reason}); };
  return library;
}

bool Same(const AnswerParts& a, const AnswerParts& b) {
  return a.reply == b.reply && a.actions == b.actions && a.has_actions == b.has_actions &&
         a.changes_plan == b.changes_plan && a.plan == b.plan && a.offer_actions == b.offer_actions &&
         a.steps == b.steps;
}

}  // namespace

// The first byte says which action is refused, if any; the rest is the packet.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Library library = Listening();
  if (size == 0) return 0;
  const uint8_t refused_at = *data++;
  // Of just that size, so that AddressSanitizer sees what is read behind it.
  const std::vector<char> bytes(data, data + size - 1);
  const std::string_view packed(bytes.data(), bytes.size());
  heard = Heard{packed, {}, refused_at == 0 ? SIZE_MAX : refused_at - 1u, 0};

  AnswerParts parts;
  AnswerParts again;
  const bool well_formed = milter::Unpack(packed, parts);
  HOLDS(milter::Unpack(packed, again) == well_formed && Same(parts, again));
  if (!well_formed) HOLDS(Same(parts, AnswerParts{}));
  if (!well_formed) return 0;

  if (!parts.reply.empty()) HOLDS(milter::SetReply(library, nullptr, parts.reply) == (heard.reply_lines > 0));
  if (!parts.has_actions) return 0;
  const bool replayed = milter::Replay(library, nullptr, parts.actions);
  // A kind, a number and two texts.
  constexpr size_t kSmallestAction = 1 + 4 + 5 + 5;
  HOLDS(heard.actions.size() <= parts.actions.size() / kSmallestAction);
  if (heard.refused_at != SIZE_MAX) HOLDS(heard.actions.size() <= heard.refused_at + 1);
  if (replayed) HOLDS(heard.actions.size() <= heard.refused_at);
  return 0;
}
