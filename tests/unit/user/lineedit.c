/* SPDX-License-Identifier: MIT */
/* LINK: user/lib/lineedit.c user/lib/words.c */
/*
 * The line editor in front of a small terminal: what is typed goes in, and what a person would see is looked at, not
 * which bytes produced it.
 */
#include <user/lineedit.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEFT "\x1b[D"
#define RIGHT "\x1b[C"
#define UP "\x1b[A"
#define DOWN "\x1b[B"

/* One row of a terminal: knows \r, \n, ESC [ K, ESC [ n D; other sequences are passed over. */
static char row[600];
static size_t column;
static char history_of_rows[4000];

static void terminal(void *context, const char *bytes, size_t n)
{
	(void)context;
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\r') {
			column = 0;
		} else if (bytes[i] == '\n') {
			strcat(strcat(history_of_rows, row), "|");
			memset(row, 0, sizeof(row));
			column = 0;
		} else if (bytes[i] == 27) {
			size_t number = 0;

			assert_int_equal(bytes[i + 1], '[');
			for (i += 2; bytes[i] >= '0' && bytes[i] <= '9'; i++)
				number = number * 10 + (size_t)(bytes[i] - '0');
			if (bytes[i] == 'K')
				memset(row + column, 0, sizeof(row) - column);
			else if (bytes[i] == 'D')
				column -= number;
			else if (bytes[i] == 'J')
				memset(row, 0, sizeof(row));
			assert_true(column < sizeof(row));
		} else {
			assert_true(column + 1 < sizeof(row));
			row[column++] = bytes[i];
		}
	}
}

static const char *const names[] = { "help", "hello", "spin", "spawn", "spinner" };

static const char *candidate(void *context, const char *line, size_t start, unsigned index)
{
	(void)context;
	(void)line;
	(void)start;
	return index < sizeof(names) / sizeof(names[0]) ? names[index] : NULL;
}

static struct history history;
static struct lineedit edit;

static int setup(void **state)
{
	(void)state;
	memset(&history, 0, sizeof(history));
	memset(&edit, 0, sizeof(edit));
	memset(row, 0, sizeof(row));
	history_of_rows[0] = 0;
	column = 0;
	edit.prompt = "> ";
	edit.history = &history;
	edit.write = terminal;
	edit.candidate = candidate;
	lineedit_begin(&edit);
	return 0;
}

/* Feeds text; returns the last event. */
static enum lineedit_event type(const char *text)
{
	enum lineedit_event event = LINEEDIT_MORE;

	for (; *text; text++)
		event = lineedit_feed(&edit, (unsigned char)*text);
	return event;
}

/* The line, the row and the cursor are as expected. */
static void expect(const char *text, size_t cursor)
{
	char shown[300];

	assert_string_equal(edit.text, text);
	assert_int_equal(edit.length, strlen(text));
	assert_int_equal(edit.cursor, cursor);
	snprintf(shown, sizeof(shown), "> %s", text);
	assert_string_equal(row, shown);
	assert_int_equal(column, cursor + 2);
}

static void test_typing(void **state)
{
	(void)state;
	type("helo");
	expect("helo", 4);
	type(LEFT "l");
	expect("hello", 4);
	type("\x7f\x7f");
	expect("heo", 2);
	assert_int_equal(type("\r"), LINEEDIT_LINE);
	assert_string_equal(edit.text, "heo");
	assert_string_equal(history_of_rows, "> heo|");
}

static void test_moving_and_erasing(void **state)
{
	(void)state;
	type("one two three");
	type("\x01");
	expect("one two three", 0);
	type(LEFT RIGHT RIGHT);
	expect("one two three", 2);
	type("\x05" RIGHT);
	expect("one two three", 13);
	type("\x17");
	expect("one two ", 8);
	type("\x17");
	expect("one ", 4);
	type("\x1b[H\x1b[3~");
	expect("ne ", 0);
	type("\x04");
	expect("e ", 0);
	type("\x1b[Fxyz\x1b[1~" RIGHT "\x0b");
	expect("e", 1);
	type("abc\x15");
	expect("", 0);
	type("ab\x1bOD\x1bOHc\x1b[4~d\x1b[7~e\x1b[8~f");
	expect("ecabdf", 6);
	type("\x02\x02\x06!");
	expect("ecabd!f", 6);
}

static void test_history(void **state)
{
	(void)state;
	type("first\r");
	lineedit_begin(&edit);
	type("second\r");
	lineedit_begin(&edit);
	type("second\r");
	lineedit_begin(&edit);
	type("\r");
	lineedit_begin(&edit);
	assert_int_equal(history.count, 2);
	type("typing" UP);
	expect("second", 6);
	type(UP);
	expect("first", 5);
	type(UP);
	expect("first", 5);
	type(DOWN);
	expect("second", 6);
	type(DOWN);
	expect("typing", 6);
	type(DOWN "\x10");
	expect("second", 6);
	type("!\r");
	assert_string_equal(history_get(&history, 1), "second!");
	assert_string_equal(history_get(&history, 2), "second");
	for (unsigned i = 0; i < 3 * HISTORY_LINES; i++) {
		char line[16];

		snprintf(line, sizeof(line), "line %u", i);
		history_add(&history, line);
	}
	assert_string_equal(history_get(&history, 1), "line 95");
	assert_string_equal(history_get(&history, HISTORY_LINES), "line 64");
	assert_null(history_get(&history, HISTORY_LINES + 1));
	assert_null(history_get(&history, 0));
}

static void test_completion(void **state)
{
	(void)state;
	type("hel\t");
	expect("hel", 3);
	type("l\t");
	expect("hello ", 6);
	type("sp\t");
	expect("hello sp", 8);
	history_of_rows[0] = 0;
	type("\t");
	assert_non_null(strstr(history_of_rows, "spin  spawn  spinner"));
	assert_null(strstr(history_of_rows, "help"));
	expect("hello sp", 8);
	type("i\t");
	expect("hello spin", 10);
	type("q\t");
	expect("hello spinq", 11);
}

static void test_endings(void **state)
{
	(void)state;
	assert_int_equal(type("\x04"), LINEEDIT_END);
	lineedit_begin(&edit);
	assert_int_equal(type("abc\x03"), LINEEDIT_CANCEL);
	lineedit_begin(&edit);
	expect("", 0);
	/* \r\n is one end. */
	assert_int_equal(type("abc\r"), LINEEDIT_LINE);
	lineedit_begin(&edit);
	assert_int_equal(type("\n"), LINEEDIT_MORE);
	expect("", 0);
	assert_int_equal(type("\n"), LINEEDIT_LINE);
}

static void test_hidden(void **state)
{
	(void)state;
	edit.prompt = "password: ";
	edit.hidden = true;
	lineedit_begin(&edit);
	type("secret" UP LEFT "\t");
	assert_null(strchr(row, 'c'));
	assert_string_equal(row, "password: ");
	assert_int_equal(type("x\r"), LINEEDIT_LINE);
	assert_string_equal(edit.text, "secrext");
	assert_int_equal(history.count, 0);
	assert_string_equal(history_of_rows, "password: |");
}

static void test_long_lines(void **state)
{
	char expected[LINEEDIT_BYTES] = "";

	(void)state;
	edit.columns = 40;
	for (unsigned i = 0; i < 400; i++) {
		char text[2] = { (char)('a' + i % 26), 0 };

		type(text);
		if (i < LINEEDIT_BYTES - 1)
			strcat(expected, text);
		assert_true(strlen(row) < 40);
		assert_true(column < 40);
	}
	assert_string_equal(edit.text, expected);
	type("\x01");
	assert_int_equal(column, 2);
	assert_memory_equal(row + 2, expected, 37);
	type("\x05\x7f");
	assert_int_equal(edit.length, LINEEDIT_BYTES - 2);
	assert_int_equal(row[column - 1], edit.text[edit.length - 1]);
}

/* Any bytes: the editor stays within its line, and the row shows what it has. */
static void test_random_keys(void **state)
{
	const char keys[] = "abc  \t\x01\x05\x02\x06\x0b\x15\x17\x7f\x10\x0e\x0c\x1b[ABCDHF~;13O\xff";
	uint32_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned char key;

		seed = seed * 1664525 + 1013904223;
		key = (unsigned char)keys[(seed >> 16) % (sizeof(keys) - 1)];
		if (lineedit_feed(&edit, key) != LINEEDIT_MORE)
			lineedit_begin(&edit);
		if ((seed >> 8 & 255) == 0) {
			history_add(&history, edit.text);
			lineedit_begin(&edit);
		}
		assert_true(edit.length < LINEEDIT_BYTES && edit.cursor <= edit.length);
		assert_int_equal(edit.text[edit.length], 0);
		assert_int_equal(strlen(edit.text), edit.length);
		if (!edit.escape) {
			assert_memory_equal(row + 2, edit.text + edit.first_shown, strlen(row + 2));
			assert_int_equal(column, 2 + edit.cursor - edit.first_shown);
		}
		history_of_rows[0] = 0;
	}
}

static void test_words(void **state)
{
	char *words[5], line[64];

	(void)state;
	strcpy(line, "  run  a\\ b 'c  d' \"e'f\"");
	assert_int_equal(words_split(line, words, 5), 4);
	assert_string_equal(words[0], "run");
	assert_string_equal(words[1], "a b");
	assert_string_equal(words[2], "c  d");
	assert_string_equal(words[3], "e'f");
	strcpy(line, " \t ");
	assert_int_equal(words_split(line, words, 5), 0);
	strcpy(line, "a 'b");
	assert_int_equal(words_split(line, words, 5), -1);
	strcpy(line, "1 2 3 4 5 6");
	assert_int_equal(words_split(line, words, 5), -1);
	strcpy(line, "1 2 3 4 5 ");
	assert_int_equal(words_split(line, words, 5), 5);
	strcpy(line, "'' x\\");
	assert_int_equal(words_split(line, words, 5), 2);
	assert_string_equal(words[0], "");
	assert_string_equal(words[1], "x\\");
	strcpy(line, "a'b'c\"d\"");
	assert_int_equal(words_split(line, words, 5), 1);
	assert_string_equal(words[0], "abcd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_typing, setup),
		cmocka_unit_test_setup(test_moving_and_erasing, setup),
		cmocka_unit_test_setup(test_history, setup),
		cmocka_unit_test_setup(test_completion, setup),
		cmocka_unit_test_setup(test_endings, setup),
		cmocka_unit_test_setup(test_hidden, setup),
		cmocka_unit_test_setup(test_long_lines, setup),
		cmocka_unit_test_setup(test_random_keys, setup),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
