/* SPDX-License-Identifier: MIT */
/* From the first instruction to main(): the first thread's record, capabilities by name, the command line. */
#include <user/start.h>

#include <user/print.h>
#include <user/stubs.h>

_Static_assert(CAPOS_ABI_VERSION == 1, "the note in entry.S says 1");
_Static_assert(offsetof(struct capos_startup, stack_base) == 40, "entry.S");
_Static_assert(offsetof(struct capos_startup, stack_bytes) == 48, "entry.S");
_Static_assert(USER_THREAD_BYTES == 256, "entry.S");

#define ARGS_MAX 24

struct known_caps known;

static const struct capos_startup *startup_record;
static char args_text[sizeof(startup_record->args) + 1];
static char program_name[CAPOS_NAME_BYTES];
static char *args[ARGS_MAX + 1];

_Noreturn void user_start(const struct capos_startup *record);

const struct capos_startup *startup(void)
{
	return startup_record;
}

capos_handle cap(const char *name)
{
	for (uint32_t i = 0; i < startup_record->cap_count && i < CAPOS_STARTUP_CAPS; i++)
		if (strncmp(startup_record->caps[i].name, name, CAPOS_NAME_BYTES) == 0)
			return startup_record->caps[i].handle;
	return 0;
}

capos_handle cap_need(const char *name)
{
	capos_handle h = cap(name);

	if (!h)
		panic("%s: needs a capability '%s'", startup_record->program, name);
	return h;
}

static const struct {
	char name[16];
	size_t place; /* in struct known_caps */
} known_names[] = {
#define KNOWN(name) { #name, offsetof(struct known_caps, name) }
	KNOWN(caps),	KNOWN(space),  KNOWN(threads),	       KNOWN(self),
	KNOWN(factory), KNOWN(park),   KNOWN(console),	       KNOWN(log),
	KNOWN(entropy), KNOWN(timer),  KNOWN(wall_clock),      KNOWN(system_info),
	KNOWN(trace),	KNOWN(power),  KNOWN(process_spawner), KNOWN(session_manager),
	KNOWN(session), KNOWN(policy), KNOWN(context),
#undef KNOWN
};

/* The kernel gives the first ones in this order, so that most are found at once. */
static void find_known(void)
{
	const size_t count = sizeof(known_names) / sizeof(known_names[0]);

	for (uint32_t i = 0; i < startup_record->cap_count && i < CAPOS_STARTUP_CAPS; i++) {
		const struct capos_startup_cap *given = &startup_record->caps[i];

		for (size_t n = i < count ? i : 0, tried = 0; tried < count; tried++, n = n + 1 < count ? n + 1 : 0) {
			capos_handle *handle = (capos_handle *)(void *)((char *)&known + known_names[n].place);

			if (strncmp(given->name, known_names[n].name, sizeof(known_names[n].name)) == 0) {
				*handle = given->handle;
				break;
			}
		}
	}
}

static int split_args(void)
{
	int count = 0;

	memcpy(program_name, startup_record->program, CAPOS_NAME_BYTES - 1);
	memcpy(args_text, startup_record->args, sizeof(startup_record->args));
	args[count++] = program_name;
	for (char *at = args_text; count < ARGS_MAX;) {
		while (*at == ' ')
			*at++ = 0;
		if (!*at)
			break;
		args[count++] = at;
		while (*at && *at != ' ')
			at++;
	}
	args[count] = NULL;
	return count;
}

/* Called by _start, on the first stack, relocated. */
_Noreturn void user_start(const struct capos_startup *record)
{
	struct user_thread *thread = self();

	startup_record = record;
	memset(thread, 0, sizeof(*thread));
	thread->page = (struct capos_thread_page *)record->thread_page;
	thread->id = record->thread_id;
	find_known();
	thread->handle = known.self;

	int count = split_args();

	thread_end((uint64_t)(int64_t)main(count, args));
}

uint64_t now_ns(void)
{
	uint64_t now = 0;

	if (known.timer)
		(void)timer_now(known.timer, &now);
	return now;
}

/* A sleep that ends at its deadline went well. */
struct capos_result sleep_until_ns(uint64_t deadline_ns)
{
	struct capos_result r = timer_sleep(known.timer, deadline_ns);

	return r.status == CAPOS_STATUS_TIMED_OUT ? (struct capos_result){ 0 } : r;
}

struct capos_result sleep_ns(uint64_t span_ns)
{
	return sleep_until_ns(now_ns() + span_ns);
}
