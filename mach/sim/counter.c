/* SPDX-License-Identifier: MIT */
/*
 * The counters that the clock is read from (enum sim_tsc): a line in pieces, one for all CPUs or one for each. Its draws are its own, so
 * that a run with an exact counter is what it was.
 */
#include "sim.h"

#include <string.h>

#define BASE (1ull << 50) /* the counter at the start: far from 0 and from wrapping */
#define MS 1000000ull
#define RATE_ONE 1000ull

struct line {
	u64 random;
	u64 value;   /* at ... */
	u64 at_ns;   /* ... this virtual time, */
	u64 rate;    /* then by this, in thousandths */
	u64 next_ns; /* until then */
};

static struct line lines[SIM_CPUS_MAX];

static const char *const names[TSC_KINDS] = { "exact", "dead",	   "halting", "backward", "fast",
					      "slow",  "crawling", "differ",  "drift",	  "wild" };

int sim_tsc_of(const char *name)
{
	for (int i = 0; i < TSC_KINDS; i++) {
		if (strcmp(name, names[i]) == 0)
			return i;
	}
	return -1;
}

static u64 draw(struct line *line, u64 below)
{
	u64 z = line->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return ((z ^ (z >> 31)) >> 32) * below >> 32;
}

/* 1 us to 2 s, each order of magnitude as likely. */
static u64 draw_jump(struct line *line)
{
	u64 ns = 1000;

	for (u64 i = draw(line, 7); i > 0; i--)
		ns *= 10;
	return ns + draw(line, ns);
}

/* A piece ends: what the next one is like. */
static void turn(struct line *line)
{
	enum sim_tsc kind = sim.tsc == TSC_WILD ? (enum sim_tsc)(TSC_HALTING + draw(line, 5)) : sim.tsc;

	line->next_ns = line->at_ns + MS + draw(line, 150 * MS);
	switch (kind) {
	case TSC_DEAD:
		line->rate = 0;
		line->next_ns = SIM_NEVER;
		break;
	case TSC_HALTING:
		line->rate = line->rate == 0 ? RATE_ONE : 0;
		break;
	case TSC_BACKWARD:
		line->value -= draw_jump(line);
		break;
	case TSC_FAST:
		line->rate = RATE_ONE + draw(line, 3 * RATE_ONE);
		break;
	case TSC_SLOW:
		line->rate = RATE_ONE / 4 + draw(line, RATE_ONE * 3 / 4);
		break;
	case TSC_CRAWLING:
		line->rate = 10 + draw(line, 90);
		break;
	default:
		line->next_ns = SIM_NEVER;
		break;
	}
}

static bool is_common(void)
{
	return sim.tsc < TSC_DIFFER;
}

static void start(struct line *line, u32 cpu)
{
	*line = (struct line){ .random = sim_options.seed * 0x9fb21c651e98df25ull + cpu,
			       .value = BASE,
			       .rate = RATE_ONE };
	line->next_ns = sim.tsc == TSC_EXACT || sim.tsc == TSC_DIFFER || sim.tsc == TSC_DRIFT
				? SIM_NEVER
				: 20 * MS + draw(line, 100 * MS);
	if ((sim.tsc == TSC_DIFFER || sim.tsc == TSC_WILD) && cpu != 0)
		line->value = draw(line, 2) == 0 ? BASE + draw_jump(line) : BASE - draw_jump(line);
	if (sim.tsc == TSC_DRIFT)
		line->rate = RATE_ONE - 50 + draw(line, 100);
}

void sim_counter_init(void)
{
	struct line drawn = { .random = sim_options.seed };

	sim.tsc = sim_options.tsc >= 0 ? (enum sim_tsc)sim_options.tsc : (enum sim_tsc)draw(&drawn, TSC_KINDS);
	for (u32 i = 0; i < (is_common() ? 1 : sim.cpu_count); i++)
		start(&lines[i], i);
}

u64 sim_counter_base(void)
{
	return sim.tsc == TSC_EXACT ? 0 : BASE;
}

static void go_on(struct line *line, u64 now_ns)
{
	line->value += (now_ns - line->at_ns) * line->rate / RATE_ONE;
	line->at_ns = now_ns;
}

u64 sim_counter(const struct vcpu *cpu, u64 now_ns)
{
	struct line *line = &lines[is_common() ? 0 : cpu->id];

	if (sim.tsc == TSC_EXACT)
		return now_ns;
	while (line->next_ns <= now_ns) {
		go_on(line, line->next_ns);
		turn(line);
	}
	return line->value + (now_ns - MIN(line->at_ns, now_ns)) * line->rate / RATE_ONE;
}
