/* What an MTA connection writes, as a script of writes and waits. */
#ifndef BENCH_SCRIPT_H
#define BENCH_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

struct step {
  size_t end;  /* write the script's bytes up to here */
  char awaits; /* then wait for the reply to this command; 0: go on */
};

struct script {
  unsigned char* bytes;
  size_t length, flushed; /* flushed: what the steps cover so far */
  struct step* steps;
  size_t count;
};

/* How a filter wants it: the protocol steps it negotiated, and the size of the stream's write buffer. */
struct wire {
  uint32_t steps;
  size_t buffer;
};

void put_packet(struct script* s, char command, const void* data, size_t length);

/* Connect and HELO; the last step awaits nothing. */
void script_session(struct script* s, const struct wire* w);

/* One message with one recipient; the last step awaits the verdict of eom. */
void script_message(struct script* s, const struct wire* w);

_Noreturn void fail(const char* format, ...);
void* grow(void* memory, size_t bytes);

#endif
