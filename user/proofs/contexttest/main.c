/* SPDX-License-Identifier: MIT */
/*
 * run-scheduling-context, in QEMU and in the simulator: contexttest [exact] [GROUP…]. What scheduling contexts promise, in TAP, a
 * group per file. exact: contexttest.h.
 */
#include "contexttest.h"

bool exact;

static const struct group groups[] = {
	{ "budget", test_budget }, { "donate", test_donate }, { "deaths", test_deaths }, { "notify", test_notify },
	{ "mask", test_mask },	   { "ends", test_ends },     { "share", test_share },	 { "chaos", test_chaos },
};

static bool wanted(const char *name, int argc, char **argv)
{
	bool all = true;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], name) == 0)
			return true;
		all = all && strcmp(argv[i], "exact") == 0;
	}
	return all;
}

int main(int argc, char **argv)
{
	static const struct mode modes[] = { { "link", chain_link }, { "spend", spend }, { "spin", spend_forever } };
	const struct mode *mode = mode_asked(modes, COUNT_OF(modes), argc, argv);

	if (mode != NULL)
		return mode->run(argc, argv);
	tap_plan(0);
	for (int i = 1; i < argc; i++)
		exact = exact || strcmp(argv[i], "exact") == 0;
	grow_table();
	(void)child_run("exit 0");
	for (size_t i = 0; i < COUNT_OF(groups); i++)
		if (wanted(groups[i].name, argc, argv))
			run_group(&groups[i]);
	return tap_done();
}
