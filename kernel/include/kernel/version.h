/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_VERSION_H
#define KERNEL_VERSION_H

#define CAPOS_VERSION "0.1"
#if defined(CAPOS_MEASURE)
#define CAPOS_BUILD "measure"
#elif defined(CAPOS_DEBUG) && CAPOS_DEBUG
#define CAPOS_BUILD "debug"
#else
#define CAPOS_BUILD "release"
#endif

#endif
