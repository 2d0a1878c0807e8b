/* SPDX-License-Identifier: MIT */
/*
 * run-scheduling-context, in QEMU and in the simulator: contexttest [exact] [GROUP…]. What scheduling contexts promise, in TAP, a
 * group per file. exact: contexttest.h.
 */
#include "contexttest.h"

bool exact;

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "budget", test_budget }, { "donate", test_donate }, { "deaths", test_deaths }, { "notify", test_notify },
	{ "mask", test_mask },	   { "ends", test_ends },     { "share", test_share },
};

capos_handle context_made(struct capos_context_spec spec)
{
	capos_handle out = 0;

	insist(scheduling_context_create(known.context, &spec, &out));
	return out;
}

struct capos_context_info context_info(capos_handle context)
{
	struct capos_context_info info = { 0 };

	must(scheduling_context_info(context, &info));
	return info;
}

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
	for (size_t i = 0; i < COUNT_OF(groups); i++) {
		char name[64];
		struct usage before;

		if (!wanted(groups[i].name, argc, argv))
			continue;
		tap_note("group %s", groups[i].name);
		before = usage_now();
		groups[i].run();
		fmt_buf(name, sizeof(name), "%s: everything was given back", groups[i].name);
		tap_returns(before, name);
	}
	return tap_done();
}
