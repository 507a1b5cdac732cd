// libmilter's own lists of macros, inside its context, put in order before it reads them.
//
// What the MTA sent with a command stands in an array: name, value, name, value, and a null. libmilter takes
// whatever comes: after a list whose last name has no value, smfi_getsymval() reads behind the array. And it
// keeps a list until another comes with the same command, so that one message or recipient sees what came
// with the one before. mfapi.h does not show the lists. They are found by asking the library's own functions
// about a context that we made, and touched only if those confirm every word of it.
//
// Threads: those of macros.h. libmilter touches the lists only between two callbacks of their connection.
#pragma once

#include <libmilter/mfapi.h>

#include <cstddef>

#include "stage.h"

namespace milter {

class MacroLists {
 public:
  // How the lists are asked for; any copy of the library will do, they are laid out alike.
  struct Functions {
    decltype(&smfi_getsymval) getsymval;
    decltype(&smfi_setpriv) setpriv;
    decltype(&smfi_getpriv) getpriv;
  };

  // Not found: all below does nothing.
  MacroLists() = default;
  // Finds them.
  explicit MacroLists(const Functions& library);

  bool found() const { return first_ != 0; }

  // Takes the last name without a value out of each list.
  void Mend(SMFICTX* context) const;
  // A stage has come. Empties its list if that came with an earlier occurrence of the stage.
  void Came(SMFICTX* context, Stage stage) const;
  // A message is over: empties its lists.
  void EndMessage(SMFICTX* context) const;

 private:
  template <typename Act>
  void ForEach(SMFICTX* context, Act act) const;

  size_t first_ = 0;  // Where the first list lies in the context, in words; 0: not known.
};

}  // namespace milter
