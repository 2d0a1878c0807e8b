/* SPDX-License-Identifier: MIT */
/* The smallest program: says hello, with its arguments. */
#include <user/capos.h>

int main(int argc, char **argv)
{
	print("hello from process %lu on a machine with %u CPUs\n", (unsigned long)startup()->process_id,
	      startup()->cpu_count);
	for (int i = 1; i < argc; i++)
		print("  argument %d: %s\n", i, argv[i]);
	return 0;
}
