/* SPDX-License-Identifier: MIT */
/* The wall clock of the board, read once: MC146818, taken to be UTC and between 1970 and 2069. */
#include "mach_priv.h"

enum { SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, FIELDS };

static const u8 registers[FIELDS] = { 0, 2, 4, 7, 8, 9 };

static u8 cmos(u8 reg)
{
	outb(0x70, (u8)(0x80 | reg)); /* NMI stays off for the moment of the read */
	return inb(0x71);
}

static void read_fields(u8 *fields)
{
	for (u32 i = 0; i < 100000 && (cmos(0xa) & 0x80) != 0; i++)
		;
	for (u32 i = 0; i < FIELDS; i++)
		fields[i] = cmos(registers[i]);
}

static u64 days_before(u32 year, u32 month, u32 day)
{
	/* Days since 1970-01-01, years counted from March. */
	u64 y = month <= 2 ? year - 1 : year;
	u64 m = month <= 2 ? month + 9 : month - 3;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

u64 rtc_read(void)
{
	u8 first[FIELDS], fields[FIELDS];
	u8 format = cmos(0xb);
	bool same = false, pm;

	for (u32 i = 0; i < 10 && !same; i++) {
		read_fields(first);
		read_fields(fields);
		same = __builtin_memcmp(first, fields, FIELDS) == 0;
	}
	cmos(0xd); /* leaves a harmless register selected */
	outb(0x70, 0x0d);
	pm = (fields[HOUR] & 0x80) != 0;
	fields[HOUR] &= 0x7f;
	for (u32 i = 0; i < FIELDS && (format & 4) == 0; i++)
		fields[i] = (u8)((fields[i] >> 4) * 10 + (fields[i] & 15));
	if ((format & 2) == 0)
		fields[HOUR] = (u8)(fields[HOUR] % 12 + (pm ? 12 : 0));
	if (!same || fields[SECOND] > 59 || fields[MINUTE] > 59 || fields[HOUR] > 23 || fields[DAY] < 1 ||
	    fields[DAY] > 31 || fields[MONTH] < 1 || fields[MONTH] > 12 || fields[YEAR] > 99)
		return 0;
	return ((days_before(fields[YEAR] + (fields[YEAR] < 70 ? 2000u : 1900u), fields[MONTH], fields[DAY]) * 24 +
		 fields[HOUR]) *
			60 +
		fields[MINUTE]) *
		       60 +
	       fields[SECOND];
}
