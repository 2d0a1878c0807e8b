/* SPDX-License-Identifier: MIT */
/* The tiny static program that bench/linux/costs.c starts: no C library, ends at once. */
void _start(void);

void _start(void)
{
	__asm__ volatile("syscall" ::"a"(60), "D"(0) : "rcx", "r11", "memory");
	__builtin_unreachable();
}
