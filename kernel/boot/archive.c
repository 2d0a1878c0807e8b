/* SPDX-License-Identifier: MIT */
/*
 * newc: per entry a header of 110 bytes (magic, 13 numbers of 8 hexadecimal digits), the name with its 0, padding to 4,
 * the data, padding to 4; the entry TRAILER!!! ends it. Directories are passed over; other things than plain files are
 * refused. The name field may be longer than the name: that is how data come to be page-aligned.
 */
#include <kernel/archive.h>

#include <string.h>

#define HEADER_BYTES 110u
#define NAME_BYTES_MAX 8192u
#define MODE_TYPE 0170000u
#define MODE_FILE 0100000u
#define MODE_DIRECTORY 0040000u

enum { FIELD_MODE = 1, FIELD_FILE_BYTES = 6, FIELD_NAME_BYTES = 11, FIELD_COUNT = 13 };

static bool hex_field(const u8 *digits, u32 *out)
{
	u32 value = 0;

	for (u32 i = 0; i < 8; i++) {
		u8 c = digits[i];
		u32 digit;

		if (c >= '0' && c <= '9')
			digit = c - (u32)'0';
		else if (c >= 'a' && c <= 'f')
			digit = c - (u32)'a' + 10;
		else if (c >= 'A' && c <= 'F')
			digit = c - (u32)'A' + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*out = value;
	return true;
}

/* One entry at `at`; NULL when sound. */
static const char *entry_read(const u8 *bytes, u64 size, u64 at, u32 field[FIELD_COUNT], const char **name, u64 *data)
{
	u64 name_at = at + HEADER_BYTES;
	u64 name_bytes;

	if (at > size || size - at < HEADER_BYTES)
		return "truncated header";
	if (memcmp(bytes + at, "070701", 6) != 0)
		return "bad magic";
	for (u32 i = 0; i < FIELD_COUNT; i++)
		if (!hex_field(bytes + at + 6 + 8ul * i, &field[i]))
			return "bad number";
	name_bytes = field[FIELD_NAME_BYTES];
	if (name_bytes < 2 || name_bytes > NAME_BYTES_MAX)
		return "bad name length";
	if (size - name_at < name_bytes)
		return "truncated name";
	if (bytes[name_at] == 0 || memchr(bytes + name_at, 0, name_bytes) == NULL)
		return "name is empty or not terminated";
	*name = (const char *)bytes + name_at;
	*data = ALIGN_UP(name_at + name_bytes, 4u);
	if (*data > size || size - *data < field[FIELD_FILE_BYTES])
		return "truncated data";
	return NULL;
}

const char *archive_check(const u8 *bytes, u64 size, struct archive_file *files, u32 max, u32 *count)
{
	u32 n = 0;

	for (u64 at = 0;;) {
		u32 field[FIELD_COUNT];
		const char *name;
		const char *wrong;
		u64 data;
		u64 data_bytes;

		wrong = entry_read(bytes, size, at, field, &name, &data);
		if (wrong != NULL)
			return wrong;
		if (strcmp(name, "TRAILER!!!") == 0)
			break;
		data_bytes = field[FIELD_FILE_BYTES];
		at = ALIGN_UP(data + data_bytes, 4u);
		if ((field[FIELD_MODE] & MODE_TYPE) == MODE_DIRECTORY)
			continue;
		if ((field[FIELD_MODE] & MODE_TYPE) != MODE_FILE)
			return "not a plain file";
		if (data_bytes > 0 && (u64)(uintptr_t)(bytes + data) % PAGE_BYTES != 0)
			return "data are not page-aligned";
		if (archive_search(files, n, name) != NULL)
			return "two files of one name";
		if (n == max)
			return "too many files";
		files[n++] = (struct archive_file){ name, bytes + data, data_bytes };
	}
	*count = n;
	return NULL;
}

const struct archive_file *archive_search(const struct archive_file *files, u32 count, const char *name)
{
	for (u32 i = 0; i < count; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}
