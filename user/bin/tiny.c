/* SPDX-License-Identifier: MIT */
/* tiny: ends at once. What starting and ending a program costs is measured with it (bench/). */
#include <user/start.h>

STACK_BYTES_NOTE(4096);

int main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 0;
}
