/*
 * The script follows what Postfix does, for every filter alike:
 *  - a stage negotiated away (NO*) is not sent; its macros still are, except for header, eoh and body;
 *  - a no-reply stage (NR_*) is not waited for, and its packet stays in the stream's buffer;
 *  - that buffer is written when it is full (4096 bytes, on TCP twice the segment size), before a reply is
 *    read, and after DATA, where smtpd hands the connection over to cleanup;
 *  - each message ends with an abort that travels with the next message.
 *
 * Nagle's algorithm stays on, as in Postfix. On TCP a filter that leaves DATA unanswered therefore pays 40 ms
 * a message: the flush after DATA is still unacknowledged when the content follows, and the content waits for
 * the delayed ACK. Postfix 3.7 was seen to take 50 ms for such a message, and 2 ms where DATA was answered.
 */
#include "script.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  NOCONNECT = 0x1,
  NOHELO = 0x2,
  NOMAIL = 0x4,
  NORCPT = 0x8,
  NOBODY = 0x10,
  NOHDRS = 0x20,
  NOEOH = 0x40,
  NR_HDR = 0x80,
  NODATA = 0x200,
  NR_CONN = 0x1000,
  NR_HELO = 0x2000,
  NR_MAIL = 0x4000,
  NR_RCPT = 0x8000,
  NR_DATA = 0x10000,
  NR_EOH = 0x40000,
  NR_BODY = 0x80000,
  HDR_LEADSPC = 0x100000,
};
enum { BODY_BYTES = 4096 };

_Noreturn void fail(const char* format, ...) {
  va_list ap;
  va_start(ap, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, ap);
  fputc('\n', stderr);
  va_end(ap);
  exit(1);
}

void* grow(void* memory, size_t bytes) {
  void* larger = realloc(memory, bytes);
  if (larger == NULL) fail("out of memory");
  return larger;
}

static void put(struct script* s, const void* data, size_t length) {
  s->bytes = grow(s->bytes, s->length + length);
  memcpy(s->bytes + s->length, data, length);
  s->length += length;
}

void put_packet(struct script* s, char command, const void* data, size_t length) {
  uint32_t size = htonl((uint32_t)length + 1);
  put(s, &size, sizeof size);
  put(s, &command, 1);
  put(s, data, length);
}

static void flush(struct script* s, size_t buffer, char awaits) {
  do {
    size_t left = s->length - s->flushed;
    s->flushed += left < buffer ? left : buffer;
    s->steps = grow(s->steps, (s->count + 1) * sizeof *s->steps);
    s->steps[s->count++] = (struct step){s->flushed, s->flushed == s->length ? awaits : 0};
  } while (s->flushed < s->length);
}

/* A string literal with its final NUL, which is how the protocol ends strings. */
#define TEXT(literal) (literal), sizeof(literal)
#define NOTHING "", (size_t)0

static void stage(struct script* s, const struct wire* w, char command, uint32_t off, uint32_t no_reply,
                  const char* macros, size_t macros_length, const void* data, size_t length) {
  bool content = command == 'L' || command == 'N' || command == 'B';
  if (content && (w->steps & off)) return;
  char definitions[512] = {command};
  memcpy(definitions + 1, macros, macros_length);
  put_packet(s, 'D', definitions, 1 + macros_length);
  if (w->steps & off) return;
  put_packet(s, command, data, length);
  if (!(w->steps & no_reply)) flush(s, w->buffer, command);
}

#define QUEUE_ID \
  "i\0"          \
  "4XkR2c1hQzz9vJ"

static const struct {
  const char *name, *value;
} headers[] = {
    {"Received",
     "from relay.example.org (relay.example.org [198.51.100.7])\n"
     "\tby mail.example.org (Postfix) with ESMTPS id 4XkR2b5c3Tz2xQ\n"
     "\tfor <bob@example.com>; Mon, 23 Nov 2026 06:30:00 +0000 (UTC)"},
    {"DKIM-Signature",
     "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail;\n"
     "\tt=1795415400; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=;\n"
     "\th=From:To:Subject:Date:Message-ID; b=Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFy"},
    {"From", "Alice Example <alice@example.org>"},
    {"To", "Bob Example <bob@example.com>"},
    {"Subject", "Minutes of the meeting on Monday, with the figures for October"},
    {"Date", "Mon, 23 Nov 2026 06:30:00 +0000"},
    {"Message-ID", "<20261123063000.4XkR2b5c3Tz2xQ@mail.example.org>"},
    {"MIME-Version", "1.0"},
    {"Content-Type", "text/plain; charset=utf-8"},
    {"X-Mailer", "Example Mail 12.4 (build 20261101)"},
};

void script_session(struct script* s, const struct wire* w) {
  stage(s, w, 'C', NOCONNECT, NR_CONN,
        TEXT("j\0mx.example.com\0{daemon_name}\0mx.example.com\0{daemon_addr}\0"
             "192.0.2.25\0"
             "v\0Postfix 3.7.11\0_\0mail.example.org [198.51.100.25]"),
        TEXT("mail.example.org\0"
             "4\x9c\x42"
             "198.51.100.25"));
  stage(s, w, 'H', NOHELO, NR_HELO, NOTHING, TEXT("mail.example.org"));
  flush(s, w->buffer, 0);
}

void script_message(struct script* s, const struct wire* w) {
  unsigned char body[BODY_BYTES];
  for (size_t i = 0; i < sizeof body; i++)
    body[i] = (unsigned char)(i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : 'a' + (int)(i * 7 % 26));

  put_packet(s, 'A', NOTHING);
  stage(s, w, 'M', NOMAIL, NR_MAIL,
        TEXT("{mail_addr}\0alice@example.org\0{mail_host}\0example.org\0{mail_mailer}\0smtp"),
        TEXT("<alice@example.org>\0SIZE=5210\0BODY=8BITMIME"));
  stage(s, w, 'R', NORCPT, NR_RCPT,
        TEXT("{rcpt_addr}\0bob@example.com\0{rcpt_host}\0example.com\0{rcpt_mailer}\0local"),
        TEXT("<bob@example.com>"));
  stage(s, w, 'T', NODATA, NR_DATA, TEXT(QUEUE_ID), NOTHING);
  if (s->flushed < s->length) flush(s, w->buffer, 0);
  for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
    char line[1024];
    int length = snprintf(line, sizeof line, "%s%c%s%s", headers[i].name, 0,
                          w->steps & HDR_LEADSPC ? " " : "", headers[i].value);
    stage(s, w, 'L', NOHDRS, NR_HDR, TEXT(QUEUE_ID), line, (size_t)length + 1);
  }
  stage(s, w, 'N', NOEOH, NR_EOH, TEXT(QUEUE_ID), NOTHING);
  stage(s, w, 'B', NOBODY, NR_BODY, TEXT(QUEUE_ID), body, sizeof body);
  stage(s, w, 'E', 0, 0, TEXT(QUEUE_ID), NOTHING);
}
