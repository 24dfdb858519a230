/*
 * Clocks. A value's name says its clock and unit: `*_us` of the wall clock (Unix epoch), `*_mono_us` of
 * CLOCK_MONOTONIC, `*_rtp` in ticks of an RTP clock.
 */
#ifndef STENO_BASE_CLOCK_H
#define STENO_BASE_CLOCK_H

#include <glib.h>

/* Now on the wall clock, µs since 1970. */
gint64 steno_clock_wall_us(void);

/* Now on CLOCK_MONOTONIC, µs. */
gint64 steno_clock_mono_us(void);

/*
 * Turns a monotonic time into wall-clock time with an offset taken once a process, so that the recording's clock never
 * jumps when somebody sets the machine's.
 */
gint64 steno_clock_mono_to_wall_us(gint64 mono_us);

/* 64-bit NTP time (RFC 3550 §4: seconds since 1900, 32.32) to µs since 1970. */
gint64 steno_clock_ntp_to_wall_us(guint64 ntp);
guint64 steno_clock_wall_us_to_ntp(gint64 wall_us);

/* RFC 3339 with milliseconds, UTC: "2026-11-21T19:55:40.123Z". Caller frees. */
char *steno_clock_format(gint64 wall_us);
/* For file names: "20261121T195540Z". Caller frees. */
char *steno_clock_format_compact(gint64 wall_us);

#endif
