/* SPDX-License-Identifier: MIT */
/*
 * A planted bug for the fuzzer's own test: the fuzzer is linked with --wrap=cap_transfer_drop, and with CAPOS_FUZZ_PLANT=drop in
 * the environment capabilities that did not reach a receiver leave the reference to one of their grants behind.
 */
#include <stdlib.h>
#include <string.h>

#include <kernel/cap.h>

void __real_cap_transfer_drop(const struct cap *caps, u32 count);
void __wrap_cap_transfer_drop(const struct cap *caps, u32 count);

void __wrap_cap_transfer_drop(const struct cap *caps, u32 count)
{
	const char *plant = getenv("CAPOS_FUZZ_PLANT");

	if (plant != NULL && strcmp(plant, "drop") == 0 && count >= 2)
		count--;
	__real_cap_transfer_drop(caps, count);
}
