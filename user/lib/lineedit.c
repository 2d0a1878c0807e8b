/* SPDX-License-Identifier: MIT */
/* The line editor; see user/lineedit.h for the keys. Everything goes through refresh(), but typing at the end. */
#include <user/lineedit.h>

#include <user/mem.h>

#define CTRL(letter) ((letter) & 31)
#define ESCAPE 27
#define DELETE 127

static void put(struct lineedit *edit, const char *bytes, size_t n)
{
	if (n)
		edit->write(edit->context, bytes, n);
}

static void put_text(struct lineedit *edit, const char *text)
{
	put(edit, text, strlen(text));
}

/* Columns that the line may take: one is left for the cursor behind its end. */
static size_t room(const struct lineedit *edit)
{
	size_t columns = edit->columns ? edit->columns : 80, prompt = strlen(edit->prompt);

	return columns > prompt + 9 ? columns - prompt - 1 : 8;
}

static size_t append(char *to, size_t at, const char *bytes, size_t n)
{
	memcpy(to + at, bytes, n);
	return at + n;
}

/* Draws prompt, the visible part of the line and the cursor, in one write. */
static void refresh(struct lineedit *edit)
{
	char out[LINEEDIT_BYTES * 2];
	size_t n = 0, width = room(edit), prompt = strlen(edit->prompt);

	if (prompt > LINEEDIT_BYTES / 2)
		prompt = LINEEDIT_BYTES / 2;
	n = append(out, n, "\r", 1);
	n = append(out, n, edit->prompt, prompt);
	if (!edit->hidden) {
		if (edit->cursor < edit->first_shown)
			edit->first_shown = edit->cursor;
		if (edit->cursor > edit->first_shown + width)
			edit->first_shown = edit->cursor - width;

		size_t shown = edit->length - edit->first_shown;

		if (shown > width)
			shown = width;
		n = append(out, n, edit->text + edit->first_shown, shown);
		n = append(out, n, "\x1b[K", 3);

		size_t back = shown - (edit->cursor - edit->first_shown);

		if (back > 0) {
			char move[] = { ESCAPE,
					'[',
					(char)('0' + back / 100 % 10),
					(char)('0' + back / 10 % 10),
					(char)('0' + back % 10),
					'D' };

			n = append(out, n, move, sizeof(move));
		}
	}
	put(edit, out, n);
}

void lineedit_show(struct lineedit *edit)
{
	refresh(edit);
}

void lineedit_begin(struct lineedit *edit)
{
	edit->length = edit->cursor = edit->first_shown = 0;
	edit->text[0] = 0;
	edit->back = 0;
	edit->escape = 0;
	edit->tab_before = false;
	refresh(edit);
}

/* --- changing the line -------------------------------------------------------------------------------------------- */

static void insert(struct lineedit *edit, const char *bytes, size_t n)
{
	if (n == 0 || edit->length + n >= LINEEDIT_BYTES)
		return;
	memmove(edit->text + edit->cursor + n, edit->text + edit->cursor, edit->length - edit->cursor + 1);
	memcpy(edit->text + edit->cursor, bytes, n);

	bool at_end = edit->cursor == edit->length;

	edit->length += n;
	edit->cursor += n;
	if (edit->hidden)
		return;
	if (at_end && edit->length - edit->first_shown <= room(edit))
		put(edit, bytes, n);
	else
		refresh(edit);
}

static void erase(struct lineedit *edit, size_t from, size_t to)
{
	if (from >= to)
		return;
	memmove(edit->text + from, edit->text + to, edit->length - to + 1);
	edit->length -= to - from;
	edit->cursor = from;
	refresh(edit);
}

static void move(struct lineedit *edit, size_t to)
{
	if (to > edit->length)
		return;
	edit->cursor = to;
	refresh(edit);
}

static size_t word_start(const struct lineedit *edit)
{
	size_t at = edit->cursor;

	while (at > 0 && edit->text[at - 1] == ' ')
		at--;
	while (at > 0 && edit->text[at - 1] != ' ')
		at--;
	return at;
}

/* --- history ------------------------------------------------------------------------------------------------------ */

void history_add(struct history *history, const char *line)
{
	const char *newest = history_get(history, 1);

	if (!line[0] || (newest && strcmp(newest, line) == 0))
		return;
	copy_name(history->lines[history->count++ % HISTORY_LINES], LINEEDIT_BYTES, line);
}

const char *history_get(const struct history *history, unsigned back)
{
	if (back == 0 || back > history->count || back > HISTORY_LINES)
		return NULL;
	return history->lines[(history->count - back) % HISTORY_LINES];
}

static void recall(struct lineedit *edit, unsigned back)
{
	const char *line;

	if (!edit->history || edit->hidden)
		return;
	if (edit->back == 0)
		memcpy(edit->typed, edit->text, sizeof(edit->typed));
	line = back ? history_get(edit->history, back) : edit->typed;
	if (!line)
		return;
	edit->back = back;
	memmove(edit->text, line, strlen(line) + 1);
	edit->length = edit->cursor = strlen(edit->text);
	edit->first_shown = 0;
	refresh(edit);
}

static void recall_older(struct lineedit *edit)
{
	recall(edit, edit->back + 1);
}

static void recall_newer(struct lineedit *edit)
{
	if (edit->back > 0)
		recall(edit, edit->back - 1);
}

/* --- completion --------------------------------------------------------------------------------------------------- */

static size_t common(const char *a, const char *b, size_t n)
{
	size_t i = 0;

	while (i < n && a[i] && a[i] == b[i])
		i++;
	return i;
}

static void list_candidates(struct lineedit *edit, size_t start, size_t typed)
{
	const char *name;

	put_text(edit, "\r\n");
	for (unsigned i = 0; (name = edit->candidate(edit->context, edit->text, start, i)); i++) {
		if (strncmp(name, edit->text + start, typed) != 0)
			continue;
		put_text(edit, name);
		put_text(edit, "  ");
	}
	put_text(edit, "\r\n");
	refresh(edit);
}

static void complete(struct lineedit *edit)
{
	size_t start = edit->cursor, length = 0;
	const char *name, *first = NULL;
	unsigned matches = 0;

	if (!edit->candidate || edit->hidden)
		return;
	while (start > 0 && edit->text[start - 1] != ' ')
		start--;

	size_t typed = edit->cursor - start;

	for (unsigned i = 0; (name = edit->candidate(edit->context, edit->text, start, i)); i++) {
		if (strncmp(name, edit->text + start, typed) != 0)
			continue;
		if (matches++ == 0) {
			first = name;
			length = strlen(name);
		} else {
			length = common(first, name, length);
		}
	}
	if (matches == 0)
		return;
	if (length > typed)
		insert(edit, first + typed, length - typed);
	else if (matches > 1 && edit->tab_before)
		list_candidates(edit, start, typed);
	if (matches == 1)
		insert(edit, " ", 1);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* Last byte of ESC [ … or ESC O …; number: the digits between. */
static void escape_key(struct lineedit *edit, unsigned char final, unsigned number)
{
	switch (final) {
	case 'A':
		recall_older(edit);
		break;
	case 'B':
		recall_newer(edit);
		break;
	case 'C':
		move(edit, edit->cursor + 1);
		break;
	case 'D':
		if (edit->cursor > 0)
			move(edit, edit->cursor - 1);
		break;
	case 'H':
		move(edit, 0);
		break;
	case 'F':
		move(edit, edit->length);
		break;
	case '~':
		if (number == 1 || number == 7)
			move(edit, 0);
		else if (number == 4 || number == 8)
			move(edit, edit->length);
		else if (number == 3 && edit->cursor < edit->length)
			erase(edit, edit->cursor, edit->cursor + 1);
		break;
	default:
		break;
	}
}

/* A byte inside an escape sequence. */
static void feed_escape(struct lineedit *edit, unsigned char byte)
{
	if (edit->escape == 1) {
		edit->escape = byte == '[' || byte == 'O' ? 2 : 0;
		edit->number = 0;
	} else if (byte >= '0' && byte <= '9') {
		edit->number = edit->number < 1000 ? edit->number * 10 + (byte - '0') : edit->number;
	} else if (byte == ';') {
		edit->number = 0; /* modifiers: the key counts */
	} else {
		edit->escape = 0;
		escape_key(edit, byte, edit->number);
	}
}

/* Keys that change the line or the cursor. */
static void feed_key(struct lineedit *edit, unsigned char byte)
{
	switch (byte) {
	case ESCAPE:
		edit->escape = 1;
		break;
	case DELETE:
	case CTRL('H'):
		if (edit->cursor > 0)
			erase(edit, edit->cursor - 1, edit->cursor);
		break;
	case CTRL('D'):
		if (edit->cursor < edit->length)
			erase(edit, edit->cursor, edit->cursor + 1);
		break;
	case CTRL('A'):
		move(edit, 0);
		break;
	case CTRL('E'):
		move(edit, edit->length);
		break;
	case CTRL('B'):
		escape_key(edit, 'D', 0);
		break;
	case CTRL('F'):
		escape_key(edit, 'C', 0);
		break;
	case CTRL('K'):
		edit->length = edit->cursor;
		edit->text[edit->length] = 0;
		refresh(edit);
		break;
	case CTRL('U'):
		erase(edit, 0, edit->cursor);
		break;
	case CTRL('W'):
		erase(edit, word_start(edit), edit->cursor);
		break;
	case CTRL('P'):
		recall_older(edit);
		break;
	case CTRL('N'):
		recall_newer(edit);
		break;
	case CTRL('L'):
		put_text(edit, "\x1b[H\x1b[2J");
		refresh(edit);
		break;
	case '\t':
		complete(edit);
		break;
	default:
		if (byte >= ' ')
			insert(edit, (const char *)&byte, 1);
	}
}

enum lineedit_event lineedit_feed(struct lineedit *edit, unsigned char byte)
{
	bool second_half = edit->after_return && byte == '\n';

	edit->after_return = byte == '\r';
	if (second_half)
		return LINEEDIT_MORE;
	if (edit->escape) {
		feed_escape(edit, byte);
		return LINEEDIT_MORE;
	}
	if (byte == '\r' || byte == '\n') {
		if (edit->cursor < edit->length && !edit->hidden)
			move(edit, edit->length);
		put_text(edit, "\r\n");
		if (edit->history && !edit->hidden)
			history_add(edit->history, edit->text);
		return LINEEDIT_LINE;
	}
	if (byte == CTRL('C')) {
		put_text(edit, "^C\r\n");
		return LINEEDIT_CANCEL;
	}
	if (byte == CTRL('D') && edit->length == 0) {
		put_text(edit, "\r\n");
		return LINEEDIT_END;
	}
	feed_key(edit, byte);
	edit->tab_before = byte == '\t';
	return LINEEDIT_MORE;
}
