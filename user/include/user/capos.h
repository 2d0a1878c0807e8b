/* SPDX-License-Identifier: MIT */
/* Everything of user/lib, for programs. */
#ifndef USER_CAPOS_H
#define USER_CAPOS_H

#include <lib/fmt.h>
#include <user/arena.h>
#include <user/channel.h>
#include <user/endpoint.h>
#include <user/lock.h>
#include <user/mem.h>
#include <user/names.h>
#include <user/print.h>
#include <user/ring.h>
#include <user/rng.h>
#include <user/spawn.h>
#include <user/start.h>
#include <user/stubs.h>
#include <user/sys.h>
#include <user/tap.h>
#include <user/thread.h>

#endif
