// See callbacks.h.
#include "callbacks.h"

#if defined(__linux__)
#include <malloc.h>
#elif defined(__FreeBSD__)
#include <malloc_np.h>
#elif defined(__APPLE__)
#include <malloc/malloc.h>
#endif

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <utility>

#include "server.h"

namespace milter {
namespace {

// Process-wide and never destroyed: libmilter's threads may call in while the process exits.
struct Places {
  std::mutex mutex;
  std::array<std::shared_ptr<Server>, kServerPlaces> servers;  // Guarded by mutex.
};

Places& AllPlaces() {
  static Places* const places = std::make_unique<Places>().release();
  return *places;
}

std::shared_ptr<Server> ServerAt(size_t place) {
  Places& places = AllPlaces();
  std::lock_guard lock(places.mutex);
  return places.servers[place];
}

// smfi_getpriv() of whichever copy of the library: it reads one field of the context, which is alike in all.
std::atomic<decltype(&smfi_getpriv)> get_priv{nullptr};

Session* SessionOf(SMFICTX* context) { return static_cast<Session*>(get_priv.load()(context)); }

// Runs a callback's work on its session. A context without one (after a protocol command that neither Postfix
// nor Sendmail sends, libmilter reuses a closed context) is answered with tempfail.
template <typename Work>
sfsistat OnSession(SMFICTX* context, Work work) noexcept {
  try {
    Session* session = SessionOf(context);
    return session != nullptr ? work(*session) : SMFIS_TEMPFAIL;
  } catch (...) {
    return SMFIS_TEMPFAIL;  // Out of memory: the sender retries.
  }
}

// The argument of an unknown command: the MTA's packet as libmilter allocated it, which looks at its end for
// every other command, but not for this one. The MTA need not have sent the final NUL.
std::string_view Bounded(const char* packet) {
#if defined(__linux__) || defined(__FreeBSD__)
  return {packet, strnlen(packet, malloc_usable_size(const_cast<char*>(packet)))};
#elif defined(__APPLE__)
  return {packet, strnlen(packet, malloc_size(packet))};
#else
  return packet;
#endif
}

sfsistat OnConnect(SMFICTX* context, char* hostname, _SOCK_ADDR* address) noexcept {
  return OnSession(context,
                   [&](Session& s) { return s.Connect(hostname, reinterpret_cast<sockaddr*>(address)); });
}
sfsistat OnHelo(SMFICTX* context, char* name) noexcept {
  return OnSession(context, [&](Session& s) { return s.Helo(name); });
}
sfsistat OnEnvfrom(SMFICTX* context, char** arguments) noexcept {
  return OnSession(context, [&](Session& s) { return s.Envfrom(arguments); });
}
sfsistat OnEnvrcpt(SMFICTX* context, char** arguments) noexcept {
  return OnSession(context, [&](Session& s) { return s.Envrcpt(arguments); });
}
sfsistat OnData(SMFICTX* context) noexcept {
  return OnSession(context, [](Session& s) { return s.Data(); });
}
sfsistat OnUnknown(SMFICTX* context, const char* command) noexcept {
  return OnSession(context, [&](Session& s) { return s.Unknown(Bounded(command)); });
}
sfsistat OnHeader(SMFICTX* context, char* name, char* value) noexcept {
  return OnSession(context, [&](Session& s) { return s.Header(name, value); });
}
sfsistat OnEoh(SMFICTX* context) noexcept {
  return OnSession(context, [](Session& s) { return s.Eoh(); });
}
sfsistat OnBody(SMFICTX* context, unsigned char* chunk, size_t length) noexcept {
  return OnSession(context,
                   [&](Session& s) { return s.Body({reinterpret_cast<const char*>(chunk), length}); });
}
sfsistat OnEom(SMFICTX* context) noexcept {
  return OnSession(context, [](Session& s) { return s.Eom(); });
}
sfsistat OnAbort(SMFICTX* context) noexcept {
  return OnSession(context, [](Session& s) {
    s.Abort();
    return SMFIS_CONTINUE;
  });
}

template <size_t Place>
sfsistat OnClose(SMFICTX* context) noexcept {
  try {
    const std::shared_ptr<Server> server = ServerAt(Place);
    Session* session = SessionOf(context);
    if (session != nullptr) {
      session->Close();
      session->Detach();
    } else if (server) {
      server->SawDial();
    }
  } catch (...) {
  }
  return SMFIS_CONTINUE;
}

template <size_t Place>
sfsistat OnNegotiate(SMFICTX* context, unsigned long actions, unsigned long steps, unsigned long,
                     unsigned long, unsigned long* wanted_actions, unsigned long* wanted_steps,
                     unsigned long* wanted2, unsigned long* wanted3) noexcept {
  try {
    const std::shared_ptr<Server> server = ServerAt(Place);
    Session* session = server ? server->Open(context) : nullptr;
    if (session == nullptr) return SMFIS_REJECT;
    Session::Offer offer{actions, steps};
    if (!session->Negotiate(offer)) return SMFIS_REJECT;
    *wanted_actions = offer.actions;
    *wanted_steps = offer.steps;
    *wanted2 = 0;
    *wanted3 = 0;
    return SMFIS_CONTINUE;
  } catch (...) {
    return SMFIS_REJECT;
  }
}

using NegotiateFunction = decltype(smfiDesc::xxfi_negotiate);
using CloseFunction = decltype(smfiDesc::xxfi_close);

template <size_t... Place>
constexpr std::array<std::pair<NegotiateFunction, CloseFunction>, kServerPlaces> PlaceFunctions(
    std::index_sequence<Place...>) {
  return {{{OnNegotiate<Place>, OnClose<Place>}...}};
}

constexpr auto kPlaceFunctions = PlaceFunctions(std::make_index_sequence<kServerPlaces>{});

}  // namespace

size_t TakePlace(std::shared_ptr<Server> server) {
  get_priv = server->library().getpriv;
  Places& places = AllPlaces();
  std::lock_guard lock(places.mutex);
  for (size_t place = 0; place < kServerPlaces; place++) {
    if (places.servers[place]) continue;
    places.servers[place] = std::move(server);
    return place;
  }
  return kServerPlaces;
}

void LeavePlace(size_t place) {
  std::shared_ptr<Server> leaving;  // Let go of outside the lock.
  Places& places = AllPlaces();
  std::lock_guard lock(places.mutex);
  leaving.swap(places.servers[place]);
}

smfiDesc Callbacks(size_t place) {
  static char name[] = "libmilter for Node.js";
  smfiDesc callbacks{};
  callbacks.xxfi_name = name;
  // The version of 8.14.3 and later without optional features; every library we load takes it.
  callbacks.xxfi_version = 0x01000001;
  callbacks.xxfi_flags = SMFIF_ADDHDRS;  // Replaced in negotiate.
  callbacks.xxfi_connect = OnConnect;
  callbacks.xxfi_helo = OnHelo;
  callbacks.xxfi_envfrom = OnEnvfrom;
  callbacks.xxfi_envrcpt = OnEnvrcpt;
  callbacks.xxfi_header = OnHeader;
  callbacks.xxfi_eoh = OnEoh;
  callbacks.xxfi_body = OnBody;
  callbacks.xxfi_eom = OnEom;
  callbacks.xxfi_abort = OnAbort;
  callbacks.xxfi_close = kPlaceFunctions[place].second;
  callbacks.xxfi_unknown = OnUnknown;
  callbacks.xxfi_data = OnData;
  callbacks.xxfi_negotiate = kPlaceFunctions[place].first;
  return callbacks;
}

}  // namespace milter
