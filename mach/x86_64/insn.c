/* SPDX-License-Identifier: MIT */
/*
 * Length of an x86 instruction in 64-bit mode: legacy, REX and VEX encodings; not EVEX or XOP. Invalid opcodes may
 * get a length too. Pure.
 *
 *   prefixes | REX or VEX | opcode of map 1 (one byte), 2 (0f), 3 (0f 38), 4 (0f 3a) | modrm sib disp | immediate
 */
#include "insn.h"

struct insn {
	const u8 *code;
	u32 n;
	u32 at;
	bool operand16; /* prefix 66 */
	bool address32; /* prefix 67 */
	bool wide;	/* REX.W */
};

/* Next byte, or 0 beyond the end, which insn_length finds out by `at`. */
static u8 take(struct insn *i)
{
	u8 byte = i->at < i->n ? i->code[i->at] : 0;

	i->at++;
	return byte;
}

static bool in(u8 op, u8 low, u8 high)
{
	return op >= low && op <= high;
}

static bool map1_has_modrm(u8 op)
{
	if (op < 0x40)
		return (op & 7) < 4;
	return op == 0x63 || op == 0x69 || op == 0x6b || in(op, 0x80, 0x8f) || op == 0xc0 || op == 0xc1 ||
	       op == 0xc6 || op == 0xc7 || in(op, 0xd0, 0xd3) || in(op, 0xd8, 0xdf) || op == 0xf6 || op == 0xf7 ||
	       op == 0xfe || op == 0xff;
}

static u32 map1_immediate(const struct insn *i, u8 op, u8 modrm)
{
	u32 z = i->operand16 && !i->wide ? 2 : 4;

	if (op < 0x40)
		return (op & 7) == 4 ? 1 : (op & 7) == 5 ? z : 0;
	if (op == 0x68 || op == 0x69 || op == 0x81 || op == 0xa9 || op == 0xc7)
		return z;
	if (op == 0xe8 || op == 0xe9)
		return 4;
	if (op == 0x6a || op == 0x6b || in(op, 0x70, 0x7f) || op == 0x80 || op == 0x83 || op == 0xa8 ||
	    in(op, 0xb0, 0xb7) || op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xcd || in(op, 0xe0, 0xe7) ||
	    op == 0xeb)
		return 1;
	if (in(op, 0xa0, 0xa3))
		return i->address32 ? 4 : 8;
	if (in(op, 0xb8, 0xbf))
		return i->wide ? 8 : z;
	if (op == 0xc2 || op == 0xca)
		return 2;
	if (op == 0xc8)
		return 3;
	if ((op == 0xf6 || op == 0xf7) && (modrm & 0x38) < 0x10)
		return op == 0xf6 ? 1 : z;
	return 0;
}

static bool map2_has_modrm(u8 op)
{
	return !(in(op, 0x04, 0x0b) || op == 0x0e || in(op, 0x30, 0x37) || op == 0x77 || in(op, 0x80, 0x8f) ||
		 in(op, 0xa0, 0xa2) || in(op, 0xa8, 0xaa) || in(op, 0xc8, 0xcf));
}

static u32 map2_immediate(u8 op)
{
	if (in(op, 0x80, 0x8f))
		return 4;
	return in(op, 0x70, 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 || in(op, 0xc4, 0xc6) ||
	       op == 0x0f;
}

static void take_address(struct insn *i, u8 modrm)
{
	u32 mod = modrm >> 6;
	u8 sib = 0;

	if (mod == 3)
		return;
	if ((modrm & 7) == 4)
		sib = take(i);
	if (mod == 1)
		i->at += 1;
	else if (mod == 2 || (modrm & 7) == 5 || ((modrm & 7) == 4 && (sib & 7) == 5))
		i->at += 4;
}

static u8 take_prefixes(struct insn *i)
{
	u8 byte;

	for (;;) {
		byte = take(i);
		if (byte == 0x66)
			i->operand16 = true;
		else if (byte == 0x67)
			i->address32 = true;
		else if (byte != 0xf0 && byte != 0xf2 && byte != 0xf3 && byte != 0x2e && byte != 0x36 &&
			 byte != 0x3e && byte != 0x26 && byte != 0x64 && byte != 0x65)
			break;
	}
	if ((byte & 0xf0) == 0x40) {
		i->wide = (byte & 8) != 0;
		byte = take(i);
	}
	return byte;
}

u32 insn_length(const u8 *code, u32 n)
{
	struct insn i = { .code = code, .n = n };
	u8 op = take_prefixes(&i);
	u32 map = 1;
	u8 modrm = 0;

	if (op == 0x62)
		return 0;
	if (op == 0xc5) {
		take(&i);
		map = 2;
		op = take(&i);
	} else if (op == 0xc4) {
		map = (take(&i) & 0x1fu) + 1;
		take(&i);
		op = take(&i);
	} else if (op == 0x0f) {
		op = take(&i);
		map = op == 0x38 ? 3 : op == 0x3a ? 4 : 2;
		if (map > 2)
			op = take(&i);
	}
	if (map > 4)
		return 0;
	if (map == 1 ? map1_has_modrm(op) : map > 2 || map2_has_modrm(op)) {
		modrm = take(&i);
		take_address(&i, modrm);
	}
	i.at += map == 1 ? map1_immediate(&i, op, modrm) : map == 2 ? map2_immediate(op) : map == 4;
	return i.at <= n && i.at <= 15 ? i.at : 0;
}
