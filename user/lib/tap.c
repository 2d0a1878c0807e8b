/* SPDX-License-Identifier: MIT */
/* TAP lines, each composed in full and written at once. */
#include <user/tap.h>

#include <lib/fmt.h>
#include <user/mem.h>
#include <user/names.h>
#include <user/print.h>
#include <user/start.h>

#define NAME_BYTES 200u

static unsigned planned, reported, failed;

void tap_plan(unsigned count)
{
	planned = count;
	print("# program %s\n", startup()->program);
	if (count)
		print("1..%u\n", count);
}

static bool report(const char *file, int line, bool passed, const char *name, const char *why)
{
	unsigned number = __atomic_add_fetch(&reported, 1, __ATOMIC_RELAXED);

	if (passed) {
		print("ok %u - %s\n", number, name);
	} else {
		__atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
		print("not ok %u - %s\n# %s:%d%s\n", number, name, file, line, why);
	}
	return passed;
}

bool tap_ok_at(const char *file, int line, bool passed, const char *format, ...)
{
	char name[NAME_BYTES];
	va_list args;

	va_start(args, format);
	fmt_vbuf(name, sizeof(name), format, args);
	va_end(args);
	return report(file, line, passed, name, "");
}

bool tap_status_at(const char *file, int line, struct capos_result r, unsigned status, const char *format, ...)
{
	char name[NAME_BYTES], why[96];
	va_list args;

	va_start(args, format);
	fmt_vbuf(name, sizeof(name), format, args);
	va_end(args);
	fmt_buf(why, sizeof(why), ": status %s, expected %s, result %u, detail %u", status_name(r.status),
		status_name(status), r.iresult, r.detail);
	return report(file, line, r.status == status && r.iresult == 0, name, why);
}

void tap_skip(const char *format, ...)
{
	char why[NAME_BYTES];
	va_list args;

	va_start(args, format);
	fmt_vbuf(why, sizeof(why), format, args);
	va_end(args);
	print("ok %u # SKIP %s\n", __atomic_add_fetch(&reported, 1, __ATOMIC_RELAXED), why);
}

void tap_note(const char *format, ...)
{
	char text[NAME_BYTES];
	va_list args;

	va_start(args, format);
	fmt_vbuf(text, sizeof(text), format, args);
	va_end(args);
	print("# %s\n", text);
}

int tap_done(void)
{
	if (!planned) {
		planned = reported;
		print("1..%u\n", planned);
	}
	if (reported != planned)
		print("# planned %u, reported %u\n", planned, reported);
	if (failed)
		print("# %s: %u of %u failed\n", startup()->program, failed, planned);
	return failed || reported != planned;
}
