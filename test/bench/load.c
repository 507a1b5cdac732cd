/*
 * The load: many MTA connections, each sending the same message over and over, as Postfix would.
 *
 * Everything a connection writes is worked out once, after the first negotiation, into a script of writes and
 * waits; sending a message is then little more than send() and recv(). So the generator, which shares the
 * machine with the filter it measures, is not what is measured. It reports its own CPU time to prove that.
 *
 * Every reply other than "continue" is an error: it ends the run with a message and exit code 1.
 *
 * The result is one line of JSON: times per message in microseconds; `starved` counts connections that got
 * less than a tenth of the average connection's messages; `cpu` is the generator's own CPU time in seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "script.h"

enum { PROTOCOL_VERSION = 6, ALL_ACTIONS = 0x1ff, ALL_STEPS = 0x1fffff };
enum { STREAM_BUFFER = 4096, REPLY_BUFFER = 1 << 17, PATIENCE_S = 30 };

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

struct connection {
  int fd, number;
  bool blocked;                /* waits to write */
  const struct script* script; /* NULL: negotiating */
  size_t step, written;
  uint64_t started, measured; /* measured: messages finished while measuring */
  size_t have;
  unsigned char replies[REPLY_BUFFER];
};

static struct {
  int epoll;
  bool negotiated, stopping;
  uint32_t actions;
  struct wire wire;
  struct script session, message;
  int live;
  uint64_t wanted, begun, finished; /* messages; wanted 0: until the time is up */
  uint64_t opened;                  /* when measuring began; 0: not yet */
  uint32_t* samples; /* microseconds per message, those that end after the time is up included */
  size_t sampled, room;
} load;

static void watch(struct connection* c, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(load.epoll, operation, c->fd, &event) != 0)
    fail("connection %d: epoll: %s", c->number, strerror(errno));
}

static void begin_message(struct connection* c) {
  if (load.stopping || (load.wanted != 0 && load.begun == load.wanted)) {
    static const unsigned char quit[] = {0, 0, 0, 1, 'Q'};
    send(c->fd, quit, sizeof quit, MSG_NOSIGNAL); /* the filter may be quicker to hang up */
    close(c->fd);
    load.live--;
    return;
  }
  load.begun++;
  c->script = &load.message;
  c->step = c->written = 0;
  c->started = now_ns();
}

static void end_message(struct connection* c) {
  load.finished++;
  if (load.opened != 0) {
    c->measured += load.stopping ? 0 : 1;
    if (load.sampled == load.room) {
      load.room = load.room * 2 + 65536;
      load.samples = grow(load.samples, load.room * sizeof *load.samples);
    }
    load.samples[load.sampled++] = (uint32_t)((now_ns() - c->started) / 1000);
  }
  begin_message(c);
}

/* Write until a reply is due, the socket is full or the connection is done. */
static void advance(struct connection* c) {
  for (int live = load.live; live == load.live;) {
    const struct step* step = &c->script->steps[c->step];
    while (c->written < step->end) {
      ssize_t n = send(c->fd, c->script->bytes + c->written, step->end - c->written, MSG_NOSIGNAL);
      if (n >= 0) {
        c->written += (size_t)n;
      } else if (errno == EAGAIN) {
        c->blocked = true;
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
        return;
      } else if (errno != EINTR) {
        fail("connection %d: write: %s", c->number, strerror(errno));
      }
    }
    if (step->awaits != 0) return;
    if (++c->step == c->script->count) begin_message(c); /* only the session's script ends without a reply */
  }
}

static void negotiated(struct connection* c, const unsigned char* data, size_t length) {
  uint32_t answer[3];
  if (length < sizeof answer) fail("connection %d: negotiation answered with %zu bytes", c->number, length);
  memcpy(answer, data, sizeof answer);
  uint32_t actions = ntohl(answer[1]), steps = ntohl(answer[2]);
  if (!load.negotiated) {
    load.negotiated = true;
    load.actions = actions;
    load.wire.steps = steps;
    script_session(&load.session, &load.wire);
    script_message(&load.message, &load.wire);
  } else if (actions != load.actions || steps != load.wire.steps) {
    fail("connection %d: negotiated actions 0x%x steps 0x%x, the first one 0x%x 0x%x", c->number, actions,
         steps, load.actions, load.wire.steps);
  }
  c->script = &load.session;
  c->step = c->written = 0;
  advance(c);
}

// Progress, and the changes that a filter makes before its verdict on a message.
static bool comes_before_verdict(char command) { return strchr("phimbe+-2q", command) != NULL; }

static void reply(struct connection* c, char verdict, const unsigned char* data, size_t length) {
  if (c->script == NULL) {
    if (verdict != 'O') fail("connection %d: negotiation answered with '%c'", c->number, verdict);
    negotiated(c, data, length);
    return;
  }
  char awaits = c->script->steps[c->step].awaits;
  if (comes_before_verdict(verdict) && awaits == 'E') return;
  if (verdict != 'c') fail("connection %d: '%c' in reply to '%c', expected 'c'", c->number, verdict, awaits);
  if (++c->step < c->script->count) {
    advance(c);
    return;
  }
  int live = load.live;
  if (c->script == &load.message)
    end_message(c);
  else
    begin_message(c);
  if (live == load.live) advance(c);
}

static void readable(struct connection* c) {
  ssize_t n = recv(c->fd, c->replies + c->have, sizeof c->replies - c->have, 0);
  if (n == 0) fail("connection %d: closed by the filter", c->number);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    fail("connection %d: read: %s", c->number, strerror(errno));
  }
  c->have += (size_t)n;
  size_t at = 0;
  while (c->have - at >= 5) {
    uint32_t size;
    memcpy(&size, c->replies + at, sizeof size);
    size = ntohl(size);
    if (size == 0 || size > sizeof c->replies - 4) fail("connection %d: reply of %u bytes", c->number, size);
    if (c->have - at < 4 + size) break;
    char verdict = (char)c->replies[at + 4];
    const unsigned char* data = c->replies + at + 5;
    at += 4 + size;
    if (at < c->have && !comes_before_verdict(verdict)) fail("connection %d: more replies than questions", c->number);
    reply(c, verdict, data, size - 1);
  }
  if (at < c->have) memmove(c->replies, c->replies + at, c->have - at);
  c->have -= at;
}

/* unix:/path or inet:port@address, as libmilter writes them. */
static int dial(const char* spec) {
  int port, fd, failed;
  char host[64];
  if (strncmp(spec, "unix:", 5) == 0) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", spec + 5);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    failed = connect(fd, (struct sockaddr*)&a, sizeof a);
  } else if (sscanf(spec, "inet:%d@%63s", &port, host) == 2) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) fail("%s: not an IPv4 address: %s", spec, host);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    failed = connect(fd, (struct sockaddr*)&a, sizeof a);
  } else {
    fail("%s: expected unix:/path or inet:port@address", spec);
  }
  if (fd < 0 || failed != 0) fail("%s: %s", spec, strerror(errno));
  return fd;
}

static void start(struct connection* c, const char* spec) {
  c->fd = dial(spec);
  if (load.wire.buffer == 0) {
    int segment = 0;
    socklen_t length = sizeof segment;
    load.wire.buffer = STREAM_BUFFER;
    if (strncmp(spec, "inet:", 5) == 0 &&
        getsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, &length) == 0 && segment > 0)
      load.wire.buffer = (size_t)segment * 2;
  }
  uint32_t packet[] = {htonl(PROTOCOL_VERSION), htonl(ALL_ACTIONS), htonl(ALL_STEPS)};
  struct script offer = {0};
  put_packet(&offer, 'O', packet, sizeof packet);
  if (send(c->fd, offer.bytes, offer.length, MSG_NOSIGNAL) != (ssize_t)offer.length)
    fail("connection %d: write: %s", c->number, strerror(errno));
  free(offer.bytes);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  watch(c, EPOLL_CTL_ADD, EPOLLIN);
  load.live++;
}

static int by_value(const void* a, const void* b) {
  uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

static double number(const char* name, const char* text, double least) {
  char* end;
  double value = strtod(text, &end);
  if (*text == 0 || *end != 0 || !(value >= least))
    fail("%s: expected a number of at least %g, got \"%s\"", name, least, text);
  return value;
}

int main(int argc, char** argv) {
  int connections = 16, option;
  double seconds = 4, warmup = 0;
  while ((option = getopt(argc, argv, "c:s:w:m:")) != -1) {
    switch (option) {
      case 'c':
        connections = (int)number("-c connections", optarg, 1);
        break;
      case 's':
        seconds = number("-s seconds", optarg, 0.01);
        break;
      case 'w':
        warmup = number("-w warm-up seconds", optarg, 0);
        break;
      case 'm':
        load.wanted = (uint64_t)number("-m messages", optarg, 1);
        break;
      default:
        return 2;
    }
  }
  if (argc - optind != 1)
    fail("usage: load [-c connections] [-s seconds] [-w warm-up seconds] [-m messages] socket");

  load.epoll = epoll_create1(EPOLL_CLOEXEC);
  struct connection* all = calloc((size_t)connections, sizeof *all);
  if (all == NULL) fail("out of memory");
  for (int i = 0; i < connections; i++) {
    all[i].number = i;
    start(&all[i], argv[optind]);
  }

  uint64_t began = now_ns(), heard = began, now = began;
  double cpu = 0, elapsed = 0;
  while (load.live > 0) {
    struct epoll_event events[64];
    int n = epoll_wait(load.epoll, events, 64, 100);
    now = now_ns();
    if (load.opened == 0 && (double)(now - began) / 1e9 >= warmup) {
      load.opened = now;
      cpu = cpu_seconds();
    }
    elapsed = load.opened == 0 ? 0 : (double)(now - load.opened) / 1e9;
    if (!load.stopping && load.opened != 0 && load.wanted == 0 && elapsed >= seconds) {
      load.stopping = true;
      cpu = cpu_seconds() - cpu;
      seconds = elapsed;
    }
    if (n > 0)
      heard = now;
    else if (now - heard > PATIENCE_S * 1000000000ull)
      fail("no reply for %d s", PATIENCE_S);
    for (int i = 0; i < n; i++) {
      struct connection* c = events[i].data.ptr;
      if (c->blocked) {
        c->blocked = false;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
        advance(c);
      } else {
        readable(c);
      }
    }
  }
  if (!load.stopping) {
    cpu = cpu_seconds() - cpu;
    seconds = (double)(now_ns() - load.opened) / 1e9;
  }
  if (load.sampled == 0) fail("no message was finished in %g s", seconds);

  uint64_t messages = 0;
  int starved = 0;
  for (int i = 0; i < connections; i++) messages += all[i].measured;
  for (int i = 0; i < connections; i++) starved += all[i].measured * (uint64_t)connections * 10 < messages;

  qsort(load.samples, load.sampled, sizeof *load.samples, by_value);
  printf(
      "{\"connections\":%d,\"actions\":%u,\"steps\":%u,\"messages\":%llu,\"total\":%llu,\"seconds\":%.6f,"
      "\"rate\":%.1f,\"p50\":%u,\"p99\":%u,\"max\":%u,\"starved\":%d,\"cpu\":%.6f}\n",
      connections, load.actions, load.wire.steps, (unsigned long long)messages,
      (unsigned long long)load.finished, seconds, (double)messages / seconds, load.samples[load.sampled / 2],
      load.samples[load.sampled - 1 - load.sampled / 100], load.samples[load.sampled - 1], starved, cpu);
  return 0;
}
