/* Loaded into a server before its libc: its clock is CLOCK_AHEAD_MS milliseconds ahead of the machine's, or behind it where
   that is negative. Time that is only measured, by the monotonic clock, goes on as it does. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long ahead(void) {
  static int known;
  static long long millis;
  if (!known) {
    const char *text = getenv("CLOCK_AHEAD_MS");
    millis = text ? strtoll(text, NULL, 10) : 0;
    known = 1;
  }
  return millis;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    long long nanos = now->tv_nsec + ahead() % 1000 * 1000000;
    now->tv_sec += ahead() / 1000 + (nanos >= 1000000000) - (nanos < 0);
    now->tv_nsec = (nanos + 1000000000) % 1000000000;
  }
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec precise;
  int failed = clock_gettime(CLOCK_REALTIME, &precise);
  if (!failed) {
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
  }
  return failed;
}

time_t time(time_t *place) {
  struct timespec precise;
  if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
  if (place) *place = precise.tv_sec;
  return precise.tv_sec;
}
