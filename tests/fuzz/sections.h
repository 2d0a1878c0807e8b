/* SPDX-License-Identifier: MIT */
/* Included before every file of core and simulator that the fuzzer is built from: their variables can be set back. */
#pragma clang section data = "sim_data" bss = "sim_bss"
