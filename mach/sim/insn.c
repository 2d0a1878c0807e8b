/* SPDX-License-Identifier: MIT */
/*
 * Length of an x86-64 instruction: prefixes, opcode map, ModRM with SIB and displacement, immediate. Needed to skip
 * an instruction that faulted; what is not known (EVEX, invalid opcodes) has length 0.
 */
#include "sim.h"

enum { MODRM = 1, IMM8 = 2, IMMZ = 4, IMM16 = 8, IMM_MOV = 16, MOFFS = 32, BAD = 64, IMM32 = 128 };

struct insn {
	const u8 *code;
	u32 room, at;
	bool wide, short_operand, short_address;
};

static u32 form_of_one_byte(u8 op, u8 modrm_reg)
{
	if (op < 0x40)
		return (op & 7) < 4 ? MODRM : (op & 7) == 4 ? IMM8 : (op & 7) == 5 ? IMMZ : BAD;
	if (op < 0x60)
		return op < 0x50 ? BAD : 0;
	if (op >= 0x70 && op < 0x80)
		return IMM8;
	if (op >= 0xb0 && op < 0xb8)
		return IMM8;
	if (op >= 0xb8 && op < 0xc0)
		return IMM_MOV;
	if (op >= 0xa0 && op < 0xa4)
		return MOFFS;
	if (op >= 0x84 && op < 0x90)
		return MODRM;
	if (op >= 0xd0 && op < 0xe0)
		return op < 0xd4 || op >= 0xd8 ? MODRM : op == 0xd7 ? 0 : BAD;
	switch (op) {
	case 0x63:
	case 0xfe:
	case 0xff:
		return MODRM;
	case 0x68:
	case 0xa9:
		return IMMZ;
	case 0x69:
	case 0x81:
	case 0xc7:
		return MODRM | IMMZ;
	case 0x6b:
	case 0x80:
	case 0x83:
	case 0xc0:
	case 0xc1:
	case 0xc6:
		return MODRM | IMM8;
	case 0x6a:
	case 0xa8:
	case 0xcd:
	case 0xeb:
		return IMM8;
	case 0xc2:
	case 0xca:
		return IMM16;
	case 0xc8:
		return IMM16 | IMM8;
	case 0xe8:
	case 0xe9:
		return IMM32;
	case 0xf6:
		return MODRM | (modrm_reg < 2 ? IMM8 : 0);
	case 0xf7:
		return MODRM | (modrm_reg < 2 ? IMMZ : 0);
	case 0x60:
	case 0x61:
	case 0x62: /* EVEX */
	case 0x82:
	case 0x9a:
	case 0xce:
	case 0xea:
		return BAD;
	default:
		break;
	}
	if (op >= 0xe0 && op < 0xe8)
		return IMM8;
	return 0;
}

static u32 form_of_two_byte(u8 op)
{
	if (op >= 0x80 && op < 0x90)
		return IMM32;
	if ((op >= 0x70 && op < 0x74) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 ||
	    (op >= 0xc4 && op < 0xc7))
		return MODRM | IMM8;
	if ((op >= 0x05 && op <= 0x0b) || (op >= 0x30 && op < 0x38) || op == 0x77 || (op >= 0xa0 && op < 0xa3) ||
	    (op >= 0xa8 && op < 0xab) || (op >= 0xc8 && op < 0xd0))
		return 0;
	return MODRM;
}

static u8 peek(const struct insn *in, u32 offset)
{
	return in->at + offset < in->room ? in->code[in->at + offset] : 0;
}

static void skip_modrm(struct insn *in)
{
	u8 modrm = peek(in, 0);
	u32 mod = modrm >> 6, rm = modrm & 7u;

	in->at++;
	if (mod == 3)
		return;
	if (rm == 4) {
		u8 sib = peek(in, 0);
		in->at++;
		if (mod == 0 && (sib & 7u) == 5)
			in->at += 4;
	} else if (mod == 0 && rm == 5) {
		in->at += 4;
	}
	in->at += mod == 1 ? 1 : mod == 2 ? 4 : 0;
}

static void skip_prefixes(struct insn *in)
{
	for (;; in->at++) {
		u8 byte = peek(in, 0);
		if (byte == 0x66)
			in->short_operand = true;
		else if (byte == 0x67)
			in->short_address = true;
		else if (byte != 0xf0 && byte != 0xf2 && byte != 0xf3 && byte != 0x2e && byte != 0x36 &&
			 byte != 0x3e && byte != 0x26 && byte != 0x64 && byte != 0x65)
			break;
		if (in->at >= in->room)
			return;
	}
	if ((peek(in, 0) & 0xf0) == 0x40) {
		in->wide = (peek(in, 0) & 8) != 0;
		in->at++;
	}
}

/* Opcode map 1 (0f), 2 (0f 38), 3 (0f 3a). */
static u32 form_of_map(u32 map, u8 op)
{
	return map == 1 ? form_of_two_byte(op) : map == 2 ? (u32)MODRM : map == 3 ? (u32)(MODRM | IMM8) : (u32)BAD;
}

static u32 read_opcode(struct insn *in)
{
	u8 op = peek(in, 0);
	u32 map;

	in->at++;
	if (op == 0xc5 || op == 0xc4) {
		map = op == 0xc5 ? 1 : peek(in, 0) & 31u;
		in->at += op == 0xc5 ? 1 : 2;
	} else if (op == 0x0f) {
		u8 next = peek(in, 0);
		map = next == 0x38 ? 2 : next == 0x3a ? 3 : 1;
		in->at += map > 1 ? 1 : 0;
	} else {
		return form_of_one_byte(op, (u8)(peek(in, 0) >> 3 & 7u));
	}
	op = peek(in, 0);
	in->at++;
	return form_of_map(map, op);
}

u32 insn_bytes(const u8 *code, u32 room)
{
	struct insn in = { .code = code, .room = room };

	skip_prefixes(&in);
	u32 form = read_opcode(&in);
	if ((form & BAD) != 0)
		return 0;
	if ((form & MODRM) != 0)
		skip_modrm(&in);
	in.at += (form & IMM8) != 0 ? 1 : 0;
	in.at += (form & IMM16) != 0 ? 2 : 0;
	in.at += (form & IMM32) != 0 ? 4 : 0;
	in.at += (form & IMMZ) != 0 ? (in.short_operand && !in.wide ? 2u : 4u) : 0;
	in.at += (form & IMM_MOV) != 0 ? (in.wide ? 8u : in.short_operand ? 2u : 4u) : 0;
	in.at += (form & MOFFS) != 0 ? (in.short_address ? 4u : 8u) : 0;
	return in.at <= room && in.at <= 15 ? in.at : 0;
}
