/* SPDX-License-Identifier: MIT */
/*
 * What a shell asks init for when it starts: authority that does not fit the request that spawned it. `authority` -> words: one bit per
 * capability that follows, enum init_authority; the capabilities in that order.
 */
#ifndef SVC_INIT_H
#define SVC_INIT_H

#include <capos/iface.h>

#define INIT_IFACE (CAPOS_IFACE_USER + 2u)

enum init_method { INIT_METHOD_AUTHORITY = 0 };
enum init_authority { INIT_POLICY = 1, INIT_CONTEXT = 2 };

#endif
