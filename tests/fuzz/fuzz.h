/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "../../user/proofs/fuzzcalls/case.h"

#define FUZZ_ACTIONS_MAX 512u
#define FUZZ_CASE_BYTES_MAX (sizeof(struct case_header) + FUZZ_ACTIONS_MAX * sizeof(struct case_action))

#endif
