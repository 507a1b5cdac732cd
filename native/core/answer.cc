// Unpacking answers and handing them to libmilter. See answer.h. Threads: the callback's own.
#include "answer.h"

#include <array>
#include <climits>

#include "bytes.h"

namespace milter {
namespace {

// libmilter's parameters are not const, but it only reads them.
char* Mutable(std::string_view text) { return const_cast<char*>(text.data()); }
char* MutableOrNull(std::string_view text) { return text.empty() ? nullptr : Mutable(text); }

// The order is shared with lib/milter/actions.ts.
enum class Action : uint8_t {
  kAddHeader = 0,
  kInsertHeader = 1,
  kChangeHeader = 2,
  kChangeFrom = 3,
  kAddRcpt = 4,
  kDeleteRcpt = 5,
  kReplaceBody = 6,
  kQuarantine = 7,
};

int ReplayOne(const Library& library, SMFICTX* context, ByteReader& packet) {
  const auto action = static_cast<Action>(packet.U8());
  const int index = static_cast<int>(packet.U32());
  const std::string_view first = packet.Text();
  const std::string_view second = packet.Text();
  if (!packet.ok()) return MI_FAILURE;
  switch (action) {
    case Action::kAddHeader:
      return library.addheader(context, Mutable(first), Mutable(second));
    case Action::kInsertHeader:
      return library.insheader(context, index, Mutable(first), Mutable(second));
    case Action::kChangeHeader:
      return library.chgheader(context, Mutable(first), index, MutableOrNull(second));
    case Action::kChangeFrom:
      return library.chgfrom(context, Mutable(first), MutableOrNull(second));
    case Action::kAddRcpt:
      return second.empty() ? library.addrcpt(context, Mutable(first))
                            : library.addrcpt_par(context, Mutable(first), Mutable(second));
    case Action::kDeleteRcpt:
      return library.delrcpt(context, Mutable(first));
    case Action::kReplaceBody: {
      if (first.size() > INT_MAX) return MI_FAILURE;
      return library.replacebody(context, reinterpret_cast<unsigned char*>(Mutable(first)),
                                 static_cast<int>(first.size()));
    }
    case Action::kQuarantine:
      return library.quarantine(context, Mutable(first));
  }
  return MI_FAILURE;
}

}  // namespace

Verdict ToVerdict(uint32_t number) {
  switch (number) {
    case SMFIS_CONTINUE:
    case SMFIS_REJECT:
    case SMFIS_DISCARD:
    case SMFIS_ACCEPT:
    case SMFIS_SKIP:
      return static_cast<Verdict>(number);
    default:
      return Verdict::kTempfail;
  }
}

bool Unpack(std::string_view packed, AnswerParts& parts) {
  if (packed.empty()) return true;
  ByteReader packet(packed);
  const uint8_t contents = packet.U8();
  if ((contents & 1) != 0) parts.reply = packet.Text();
  parts.has_actions = (contents & 2) != 0;
  if (parts.has_actions) parts.actions = packet.Text();
  parts.changes_plan = (contents & 4) != 0;
  if (parts.changes_plan) {
    parts.plan = packet.U32();
    parts.offer_actions = packet.U32();
    parts.steps = packet.U32();
  }
  if (!packet.ok()) parts = AnswerParts{};
  return packet.ok();
}

bool SetReply(const Library& library, SMFICTX* context, std::string_view reply) {
  ByteReader packet(reply);
  const std::string_view code = packet.Text();
  const std::string_view enhanced = packet.Text();
  const uint32_t count = packet.U32();
  constexpr uint32_t kMaxLines = 32;  // smfi_setmlreply's own limit.
  std::array<const char*, kMaxLines> lines{};
  if (count == 0 || count > kMaxLines) return false;
  for (uint32_t i = 0; i < count; i++) lines[i] = packet.Text().data();
  if (!packet.ok()) return false;
  const auto& l = lines;
  // A variadic function can only be called with a number of arguments known here; it stops at the first null.
  return library.setmlreply(context, code.data(), MutableOrNull(enhanced), l[0], l[1], l[2], l[3], l[4], l[5],
                            l[6], l[7], l[8], l[9], l[10], l[11], l[12], l[13], l[14], l[15], l[16], l[17],
                            l[18], l[19], l[20], l[21], l[22], l[23], l[24], l[25], l[26], l[27], l[28],
                            l[29], l[30], l[31], static_cast<const char*>(nullptr)) == MI_SUCCESS;
}

bool Replay(const Library& library, SMFICTX* context, std::string_view actions) {
  ByteReader packet(actions);
  const uint32_t count = packet.U32();
  for (uint32_t i = 0; i < count; i++) {
    if (ReplayOne(library, context, packet) != MI_SUCCESS) return false;
  }
  return packet.ok();
}

}  // namespace milter
