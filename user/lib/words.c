/* SPDX-License-Identifier: MIT */
/* Splits a command line into words; pure. */
#include <user/lineedit.h>

/* Copies one word down to *to, its quotes and backslashes taken away; returns where it ended, NULL: open quote. */
static char *take_word(char *from, char **to)
{
	char quote = 0;

	for (; *from && (quote || (*from != ' ' && *from != '\t')); from++) {
		if (quote && *from == quote)
			quote = 0;
		else if (!quote && (*from == '"' || *from == '\''))
			quote = *from;
		else if (*from == '\\' && quote != '\'' && from[1])
			*(*to)++ = *++from;
		else
			*(*to)++ = *from;
	}
	return quote ? NULL : from;
}

int words_split(char *line, char **words, int max)
{
	int count = 0;
	char *from = line, *to = line;

	for (;;) {
		while (*from == ' ' || *from == '\t')
			from++;
		if (!*from)
			return count;
		if (count == max)
			return -1;
		words[count++] = to;
		from = take_word(from, &to);
		if (!from)
			return -1;

		bool last = !*from;

		*to++ = 0; /* never beyond `from`: a word is at most as long as its source */
		if (last)
			return count;
		from++;
	}
}
