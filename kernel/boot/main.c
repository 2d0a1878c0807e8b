/* SPDX-License-Identifier: MIT */
/*
 * From the machine's hand-over to the first thread, and the end.
 *
 *   frames -> CPU records -> rooms -> devices -> archive, manifest -> other CPUs -> banner -> processes -> dispatch
 */
#include "boot_priv.h"

#include <kernel/clock.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <kernel/version.h>

static void make_object(struct object *object, u16 iface)
{
	object_init(object, iface, NULL);
	if (object_publish(object) != CAPOS_STATUS_OK)
		panic("no memory for the %s", object_type(iface)->name);
}

static void banner(void)
{
	const struct boot_info *info = &kernel_state.boot;

	klog(LOG_INFO, "capOS %s (%s) on %s: %u CPUs, %llu MiB", CAPOS_VERSION, CAPOS_BUILD, info->machine,
	     kernel_state.cpu_count, (unsigned long long)(frames_total() * PAGE_BYTES >> 20));
	boot_print_topology();
}

struct thread *kernel_boot(const struct boot_info *info)
{
	struct boot_state *boot = &kernel_state.manifest;
	const struct manifest *manifest;
	struct cpu *cpu;

	kernel_state.boot = *info;
	frames_init(info);
	boot_make_cpus(info);
	cpu = mach_this_cpu();
	reclaim_kernel_enter(cpu);
	if (!info->clocks_agree)
		clock_distrust(cpu);
	cpu->account_ns = mach_clock().ns;
	cpu->up_ns = cpu->account_ns;
	cpu->tick_ns = cpu->account_ns + TICK_NS;
	atomic_store_release(&cpu->online, 1u); /* as kernel_cpu_boot does for the others */
	task_init();
	park_init();
	dev_init();
	make_object(&boot->process_spawner, CAPOS_IFACE_process_spawner);
	make_object(&boot->session_manager, CAPOS_IFACE_session_manager);

	boot_read_archive(info);
	manifest = boot_read_manifest(info->cpu_count);
	sched_set_policy((enum sched_policy)manifest->scheduler);
	boot_start_cpus();
	banner();
	boot_options(kernel_state.boot.cmdline);
	log_set_console_level((enum log_level)manifest->log_level);

	atomic_store_relaxed(&boot->live, 1u); /* ourselves: the last process has not ended before all have begun */
	boot_start_processes(cpu, manifest);
	frames_boot_done();
	boot_process_not_started();
	return sched_exit(cpu);
}

static void one_less(void)
{
	struct boot_state *boot = &kernel_state.manifest;

	if (atomic_fetch_sub(&boot->live, 1u) != 1)
		return;
	klog(LOG_INFO, "sched: last process exited, halting");
	console_flush_sync();
	mach_exit(atomic_load_relaxed(&boot->failed) != 0 ? MACH_EXIT_TESTS_FAILED : MACH_EXIT_OK);
}

void boot_process_started(void)
{
	atomic_fetch_add(&kernel_state.manifest.live, 1u);
}

void boot_process_not_started(void)
{
	one_less();
}

void boot_process_ended(struct process *process)
{
	if (process->essential && (process->exit_cause != CAPOS_EXIT_NORMAL || process->exit_code != 0))
		atomic_xchg(&kernel_state.manifest.failed, 1u);
	one_less();
}
