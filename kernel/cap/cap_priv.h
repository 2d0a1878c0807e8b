/* SPDX-License-Identifier: MIT */
#ifndef CAP_PRIV_H
#define CAP_PRIV_H

#include <kernel/cap.h>
#include <kernel/fastpath.h>
#include <kernel/thread.h>

/* The root grant of an object under construction, charged to its owner. Status as pool_alloc. */
MUST_CHECK u16 grant_create_root(struct object *object);

#endif
