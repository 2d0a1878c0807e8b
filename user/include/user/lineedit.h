/* SPDX-License-Identifier: MIT */
/*
 * A line editor for a terminal that knows a few ANSI sequences; pure: bytes in by lineedit_feed(), bytes out by a
 * callback. The line is shown in one row: a long one scrolls sideways under the prompt.
 *
 *   Left Right Home End, Ctrl-B F A E   move            Backspace, Delete, Ctrl-D   erase a character
 *   Up Down, Ctrl-P N                   history         Ctrl-W, Ctrl-U, Ctrl-K      erase word, to start, to end
 *   Tab                                 complete        Ctrl-L                      clear the screen
 *   Enter  the line is done             Ctrl-C  cancel  Ctrl-D on an empty line     end of input
 */
#ifndef USER_LINEEDIT_H
#define USER_LINEEDIT_H

#include <stdbool.h>
#include <stddef.h>

#define LINEEDIT_BYTES 256u /* longest line, its 0 included */
#define HISTORY_LINES 32u

/* The last HISTORY_LINES lines; a line that repeats the newest, or is empty, is not kept again. */
struct history {
	char lines[HISTORY_LINES][LINEEDIT_BYTES];
	unsigned count; /* ever added; line i is at i % HISTORY_LINES */
};
void history_add(struct history *history, const char *line);
/* The line that is `back` steps old (1: newest), or NULL. */
const char *history_get(const struct history *history, unsigned back);

enum lineedit_event { LINEEDIT_MORE, LINEEDIT_LINE, LINEEDIT_CANCEL, LINEEDIT_END };

struct lineedit {
	/* set by the user */
	const char *prompt;
	bool hidden;		 /* shows nothing of what is typed */
	unsigned columns;	 /* of the terminal; 0: 80 */
	struct history *history; /* or NULL */
	void *context;
	void (*write)(void *context, const char *bytes, size_t n);
	/* Candidate number `index` to complete the word that starts at `start` of `line`, or NULL after the last; those
	 * that do not begin with what is typed are passed over. NULL: no completion. */
	const char *(*candidate)(void *context, const char *line, size_t start, unsigned index);

	/* state */
	char text[LINEEDIT_BYTES];
	size_t length, cursor;
	size_t first_shown;
	unsigned back; /* history line shown, 0: the one being typed */
	char typed[LINEEDIT_BYTES];
	unsigned escape; /* 0; 1: after ESC; 2: after ESC [ or ESC O; 3: in a number */
	unsigned number;
	bool tab_before;
	bool after_return;
};

/* Begins a line: empties it and shows the prompt. */
void lineedit_begin(struct lineedit *edit);

/* Takes one byte. On LINEEDIT_LINE, `text` is the line. */
enum lineedit_event lineedit_feed(struct lineedit *edit, unsigned char byte);

/* Shows prompt and line again, after something else was printed. */
void lineedit_show(struct lineedit *edit);

/*
 * Splits a line in place into words at blanks; "…", '…' and \ protect. words[] gets at most `max` pointers. Returns
 * their number, or -1 when a quote is not closed or there are too many.
 */
int words_split(char *line, char **words, int max);

#endif
