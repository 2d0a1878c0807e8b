/* SPDX-License-Identifier: MIT */
/* Names of the contract's numbers, for people. Each returns a constant text; an unknown number gives "?". */
#ifndef USER_NAMES_H
#define USER_NAMES_H

#include <user/sys.h>

const char *status_name(unsigned status);
const char *iface_name(uint32_t iface);
const char *method_name(uint32_t iface, unsigned method);
const char *wait_name(uint32_t wait);
const char *trace_event_name(unsigned event);
unsigned trace_event_of(const char *name); /* 0: no such event */
const char *thread_state_name(uint32_t state);
const char *process_state_name(uint32_t state);
const char *exit_cause_name(uint64_t cause);
const char *fault_cause_name(uint64_t cause);
const char *quota_name(uint32_t quota);
const char *latency_class_name(uint32_t latency_class);
const char *migration_name(uint32_t kind); /* enum capos_migration */
/* Of scheduling contexts: enum capos_overrun, capos_replenishment, capos_context_state. */
const char *overrun_name(uint32_t overrun);
const char *replenishment_name(uint32_t kind);
const char *context_state_name(uint32_t state);

/* Name of an interface result of a kernel interface, or NULL. */
const char *iresult_name(uint32_t iface, unsigned iresult);

/* The rights as letters of the manifest: r w x c v s t k n g d, `-` where missing. text: 12 bytes. */
void rights_text(uint32_t rights, char *text);

#define RESULT_TEXT_BYTES 64u
/* "ok", "badArgument (detail 2)", "unknownProgram", "quotaExceeded: memory" … ; returns text. */
const char *result_text(uint32_t iface, struct capos_result r, char text[RESULT_TEXT_BYTES]);

#endif
