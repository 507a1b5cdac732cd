/*
 * The yardstick: a filter on libmilter that does nothing, with the protocol steps given as an argument.
 *
 *   noop SOCKET STEPS      STEPS as in xxfi_negotiate, e.g. 0 (every stage sent and answered) or 0x4a0
 */
#include <libmilter/mfapi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned long steps;

static sfsistat answer(unsigned long no_reply) { return steps & no_reply ? SMFIS_NOREPLY : SMFIS_CONTINUE; }

static sfsistat negotiate(SMFICTX* ctx, unsigned long f0, unsigned long f1, unsigned long f2,
                          unsigned long f3, unsigned long* actions, unsigned long* wanted, unsigned long* p2,
                          unsigned long* p3) {
  (void)ctx, (void)f1, (void)f2, (void)f3;
  *actions = f0;
  *wanted = steps;
  *p2 = *p3 = 0;
  return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX* c, char* host, _SOCK_ADDR* a) {
  (void)c, (void)host, (void)a;
  return answer(SMFIP_NR_CONN);
}
static sfsistat on_helo(SMFICTX* c, char* name) {
  (void)c, (void)name;
  return answer(SMFIP_NR_HELO);
}
static sfsistat on_envfrom(SMFICTX* c, char** args) {
  (void)c, (void)args;
  return answer(SMFIP_NR_MAIL);
}
static sfsistat on_envrcpt(SMFICTX* c, char** args) {
  (void)c, (void)args;
  return answer(SMFIP_NR_RCPT);
}
static sfsistat on_data(SMFICTX* c) {
  (void)c;
  return answer(SMFIP_NR_DATA);
}
static sfsistat on_unknown(SMFICTX* c, const char* command) {
  (void)c, (void)command;
  return answer(SMFIP_NR_UNKN);
}
static sfsistat on_header(SMFICTX* c, char* name, char* value) {
  (void)c, (void)name, (void)value;
  return answer(SMFIP_NR_HDR);
}
static sfsistat on_eoh(SMFICTX* c) {
  (void)c;
  return answer(SMFIP_NR_EOH);
}
static sfsistat on_body(SMFICTX* c, unsigned char* chunk, size_t size) {
  (void)c, (void)chunk, (void)size;
  return answer(SMFIP_NR_BODY);
}
static sfsistat on_end(SMFICTX* c) {
  (void)c;
  return SMFIS_CONTINUE;
}

int main(int argc, char** argv) {
  unsigned major, minor, patch;
  struct smfiDesc filter = {
      .xxfi_name = "noop",
      .xxfi_version = SMFI_VERSION,
      .xxfi_flags = SMFI_CURR_ACTS,
      .xxfi_connect = on_connect,
      .xxfi_helo = on_helo,
      .xxfi_envfrom = on_envfrom,
      .xxfi_envrcpt = on_envrcpt,
      .xxfi_header = on_header,
      .xxfi_eoh = on_eoh,
      .xxfi_body = on_body,
      .xxfi_eom = on_end,
      .xxfi_abort = on_end,
      .xxfi_close = on_end,
      .xxfi_unknown = on_unknown,
      .xxfi_data = on_data,
      .xxfi_negotiate = negotiate,
  };
  if (argc != 3) {
    fprintf(stderr, "usage: noop SOCKET STEPS\n");
    return 2;
  }
  steps = strtoul(argv[2], NULL, 0);
  smfi_version(&major, &minor, &patch);
  printf("libmilter %u.%u.%u\n", major, minor, patch);
  fflush(stdout);
  if (smfi_register(filter) != MI_SUCCESS || smfi_setconn(argv[1]) != MI_SUCCESS ||
      smfi_opensocket(true) != MI_SUCCESS) {
    fprintf(stderr, "noop: cannot listen on %s\n", argv[1]);
    return 1;
  }
  return smfi_main() == MI_SUCCESS ? 0 : 1;
}
