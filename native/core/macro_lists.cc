// See macro_lists.h.
#include "macro_lists.h"

#include <array>
#include <string_view>

namespace milter {
namespace {

// One for each command that carries macros, in every release since there is SMFIM_.
constexpr size_t kLists = 7;
// In the context: the lists, the packets into which they point, as many lists of requested names, the reply,
// and the private data.
constexpr size_t kToPrivateData = 3 * kLists + 1;
// The command, first byte of the packet, is of no more use to libmilter once the list is made. So that is
// where we write that a list was seen.
constexpr std::string_view kCommands = "OCHMRTULNBEAQ";  // By stage.
static_assert(kCommands.size() == kStages);

constexpr char SeenMark(char command) { return static_cast<char>(command | 0x20); }

// A context that is larger than libmilter's and belongs to nobody.
class FakeContext {
 public:
  explicit FakeContext(const MacroLists::Functions& library) : library_(library) {}

  // Where smfi_setpriv() writes, in words; 0 when that cannot be told.
  size_t FindPrivateData() {
    words_.fill(nullptr);
    library_.setpriv(get(), list_.data());
    size_t found = 0;
    for (size_t word = 0; word < words_.size(); word++) {
      if (words_[word] == nullptr) continue;
      if (found != 0) return 0;
      found = word;
    }
    return library_.getpriv(get()) == list_.data() ? found : 0;
  }

  // Whether libmilter finds a macro when these two words are all that is set.
  bool FindsMacro(size_t list, size_t packet) {
    words_.fill(nullptr);
    words_[list] = list_.data();
    const bool alone = Found();
    words_[packet] = packet_.data();
    return !alone && Found();
  }

 private:
  SMFICTX* get() { return reinterpret_cast<SMFICTX*>(words_.data()); }
  bool Found() { return library_.getsymval(get(), name_) == value_; }

  const MacroLists::Functions& library_;
  std::array<void*, 256> words_{};
  char name_[8] = "{probe}";
  char value_[6] = "value";
  std::array<char*, 3> list_{name_, value_, nullptr};
  std::array<char*, 1> packet_{};  // Only its address matters; where it is taken for a list, it is empty.
};

}  // namespace

MacroLists::MacroLists(const Functions& library) {
  FakeContext fake(library);
  const size_t private_data = fake.FindPrivateData();
  if (private_data <= kToPrivateData) return;
  const size_t first = private_data - kToPrivateData;
  for (size_t list = 0; list < 2 * kLists; list++) {
    for (size_t packet = 0; packet < 2 * kLists; packet++) {
      if (list == packet) continue;
      const bool pair = list < kLists && packet == list + kLists;
      if (fake.FindsMacro(first + list, first + packet) != pair) return;
    }
  }
  first_ = first;
}

template <typename Act>
void MacroLists::ForEach(SMFICTX* context, Act act) const {
  if (!found()) return;
  void** const words = reinterpret_cast<void**>(context) + first_;
  for (size_t i = 0; i < kLists; i++) {
    auto** const list = static_cast<char**>(words[i]);
    auto* const packet = static_cast<char*>(words[kLists + i]);
    if (list != nullptr && packet != nullptr) act(list, *packet);
  }
}

void MacroLists::Mend(SMFICTX* context) const {
  ForEach(context, [](char** list, char) {
    size_t texts = 0;
    while (list[texts] != nullptr) texts++;
    if (texts % 2 != 0) list[texts - 1] = nullptr;
  });
}

void MacroLists::Came(SMFICTX* context, Stage stage) const {
  ForEach(context, [command = kCommands[Index(stage)]](char** list, char& mark) {
    if (mark == SeenMark(command)) {
      list[0] = nullptr;
    } else if (mark == command) {
      mark = SeenMark(command);
    }
  });
}

void MacroLists::EndMessage(SMFICTX* context) const {
  constexpr std::string_view kStaying = "CcHhM";  // An unseen one of MAIL is the next message's.
  ForEach(context, [&](char** list, char mark) {
    if (kStaying.find(mark) == std::string_view::npos) list[0] = nullptr;
  });
}

}  // namespace milter
