/* SPDX-License-Identifier: MIT */
/* The end: the harness's exit device (QEMU returns 2 v + 1), else power off by ACPI, else halt. */
#include "mach_priv.h"

#define EXIT_PORT 0xf4u
#define SLEEP_ENABLE 0x2000u /* with sleep type 0: state S5 of QEMU's boards */
#define QEMU_PM1_CONTROL 0x604u

void mach_exit(enum mach_exit code)
{
	static const u8 values[] = { [MACH_EXIT_OK] = 0x10,
				     [MACH_EXIT_TESTS_FAILED] = 0x11,
				     [MACH_EXIT_PANIC] = 0x12,
				     [MACH_EXIT_BAD_MANIFEST] = 0x13 };

	serial_flush();
	outl(EXIT_PORT, values[code]);
	if (acpi.pm1_control_port != 0)
		outw(acpi.pm1_control_port, SLEEP_ENABLE);
	outw(QEMU_PM1_CONTROL, SLEEP_ENABLE);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}
