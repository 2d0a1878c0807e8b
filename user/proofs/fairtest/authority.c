/* SPDX-License-Identifier: MIT */
/* With SchedulingPolicyCap: weights, classes, and what is refused. */
#include "fairtest.h"

void authority(void)
{
}
