/* SPDX-License-Identifier: MIT */
/* Capabilities that go along with a message. */
#include "cap_priv.h"

void cap_transfer_drop(const struct cap *caps, u32 count)
{
	for (u32 i = 0; i < count; i++)
		grant_put(caps[i].grant);
}

u16 cap_transfer_decode(struct thread *from, u32 count, struct cap out[CAPOS_MESSAGE_CAPS])
{
	if (count > CAPOS_MESSAGE_CAPS)
		return CAPOS_STATUS_BAD_SIZE;
	for (u32 i = 0; i < count; i++) {
		u64 handle = shared_load_relaxed(&from->page->send_cap[i]);
		u16 status = cap_lookup_typed(from->process, handle, 0, CAPOS_RIGHT_GRANT, &out[i]);

		if (status == CAPOS_STATUS_OK && !grant_get(out[i].grant))
			status = CAPOS_STATUS_REVOKED;
		if (status != CAPOS_STATUS_OK) {
			cap_transfer_drop(out, i);
			return status;
		}
	}
	return CAPOS_STATUS_OK;
}

u64 cap_transfer_commit(struct process *to, const struct cap *caps, u32 count, u64 handles[CAPOS_MESSAGE_CAPS])
{
	for (u32 i = 0; i < count; i++) {
		u16 status = cap_insert(to, &caps[i], &handles[i]);

		if (status != CAPOS_STATUS_OK) {
			u64 result = CAPOS_RESULT(status, 0, cap_quota_detail(to, status));

			while (i-- > 0)
				(void)!cap_release(to, handles[i]);
			return result;
		}
	}
	return STATUS(OK);
}
