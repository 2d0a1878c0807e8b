/* SPDX-License-Identifier: MIT */
/*
 * Errors of capos/errors.h that usertests do not produce: X(iface, method, status, result, detail, ways, where). `where` is
 * "FILE: NAME", a test that does, or "docs/CAVEATS.md: TEXT", why none can.
 */
#ifndef USERTESTS_ELSEWHERE_H
#define USERTESTS_ELSEWHERE_H

#define ERRORS_ELSEWHERE(X)                                                                                          \
	X(wall_clock, now, CAPOS_STATUS_NOT_SUPPORTED, 0, 0, BOTH, "tests/unit/dev/devices.c: test_no_wall_clock")   \
	X(entropy, read, CAPOS_STATUS_NOT_SUPPORTED, 0, 0, BOTH, "tests/unit/dev/devices.c: test_no_entropy")        \
	X(console, write, CAPOS_STATUS_WOULD_BLOCK, 0, 0, RING, "tests/unit/dev/devices.c: test_console_full")       \
	X(process_spawner, spawn, CAPOS_STATUS_DYING, 0, 0, BOTH, "user/proofs/racetest.c: killed_before_its_start") \
	X(scheduling_context, bind_caller_thread, CAPOS_STATUS_OK, CAPOS_CONTEXT_SESSION_ENDED, 0, BOTH,             \
	  "user/proofs/sessiontest.c: refused_in_an_ended_session")                                                  \
	X(process, bind_context, CAPOS_STATUS_OK, CAPOS_CONTEXT_SESSION_ENDED, 0, BOTH,                              \
	  "user/proofs/sessiontest.c: refused_in_an_ended_session")                                                  \
	X(scheduling_context, bind_thread, CAPOS_STATUS_OK, CAPOS_CONTEXT_SESSION_ENDED, 0, BOTH,                    \
	  "user/proofs/sessiontest.c: refused_in_an_ended_session")

#endif
